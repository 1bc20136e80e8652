// SPDX-License-Identifier: ISC
#include <algorithm>
#include <cerrno>
#include <cstring>
#include <utility>

#include <sys/epoll.h>
#include <unistd.h>

#include <mirage/target/unix/socket.hpp>

namespace mirage::target::posix {

namespace {

template <class Address>
void store(SocketAddress& out, const Address& address) noexcept {
  std::memcpy(&out.storage, &address, sizeof address);
  out.size = sizeof address;
}

template <class Address>
Address load(const SocketAddress& from) noexcept {
  Address address{};
  std::memcpy(&address, &from.storage, sizeof address);
  return address;
}

}  // namespace

SocketAddress to_socket(int family, const Endpoint& endpoint) noexcept {
  SocketAddress out;
  if (family == AF_INET) {
    sockaddr_in address{};
    address.sin_family = AF_INET;
    address.sin_port = htons(endpoint.port);
    address.sin_addr.s_addr = htonl(endpoint.address.is_v4() ? endpoint.address.v4().value : 0);
    store(out, address);
    return out;
  }
  sockaddr_in6 address{};
  address.sin6_family = AF_INET6;
  address.sin6_port = htons(endpoint.port);
  address.sin6_scope_id = endpoint.zone;
  if (!endpoint.address.is_unspecified()) std::ranges::copy(endpoint.address.octets, address.sin6_addr.s6_addr);
  store(out, address);
  return out;
}

Endpoint to_endpoint(const SocketAddress& address) noexcept {
  if (address.storage.ss_family == AF_INET) {
    const auto v4 = load<sockaddr_in>(address);
    return {Ipv4Address{ntohl(v4.sin_addr.s_addr)}, ntohs(v4.sin_port), 0};
  }
  const auto v6 = load<sockaddr_in6>(address);
  Endpoint endpoint{{}, ntohs(v6.sin6_port), static_cast<std::uint16_t>(v6.sin6_scope_id)};
  std::ranges::copy(v6.sin6_addr.s6_addr, endpoint.address.octets.begin());
  return endpoint;
}

int usable_family() noexcept {
  const int socket = ::socket(AF_INET6, SOCK_DGRAM | SOCK_CLOEXEC, 0);
  if (socket < 0) return AF_INET;
  ::close(socket);
  return AF_INET6;
}

int open_socket(int family, int type) noexcept {
  const int socket = ::socket(family, type | SOCK_NONBLOCK | SOCK_CLOEXEC, 0);
  constexpr int off = 0;
  if (socket >= 0 && family == AF_INET6) ::setsockopt(socket, IPPROTO_IPV6, IPV6_V6ONLY, &off, sizeof off);
  return socket;
}

FlowError flow_error(int error) noexcept {
  switch (error) {
    case ECONNREFUSED:
      return FlowError::refused;
    case ETIMEDOUT:
      return FlowError::timed_out;
    case ENETUNREACH:
    case EHOSTUNREACH:
    case ENETDOWN:
    case EADDRNOTAVAIL:
    case EAFNOSUPPORT:
    case EACCES:
    case EPERM:
      return FlowError::unreachable;
    case ENOMEM:
    case ENOBUFS:
    case EMFILE:
    case ENFILE:
      return FlowError::no_memory;
    case EBADF:
      return FlowError::closed;
    default:  // ECONNRESET, EPIPE and what else ends a connection
      return FlowError::reset;
  }
}

bool Socket::watch() noexcept {
  return environment_of(shard_).watch(descriptor_, EPOLLIN | EPOLLOUT | EPOLLRDHUP | EPOLLET, this);
}

int Socket::release() noexcept {
  if (descriptor_ >= 0) environment_of(shard_).end_watch(descriptor_, *this);
  readable_.notify_all();
  writable_.notify_all();
  return std::exchange(descriptor_, -1);
}

void Socket::close() noexcept {
  if (const int descriptor = release(); descriptor >= 0) ::close(descriptor);
}

void Socket::shut_down() noexcept {
  shut_down_ = true;
  if (descriptor_ >= 0) ::shutdown(descriptor_, SHUT_WR);
}

Endpoint Socket::local() const noexcept {
  SocketAddress address;
  return ::getsockname(descriptor_, address.get(), &address.size) == 0 ? to_endpoint(address) : Endpoint{};
}

Endpoint Socket::peer() const noexcept {
  SocketAddress address;
  return ::getpeername(descriptor_, address.get(), &address.size) == 0 ? to_endpoint(address) : Endpoint{};
}

void Socket::on_ready(std::uint32_t events) noexcept {
  constexpr std::uint32_t always = EPOLLERR | EPOLLHUP;
  if ((events & (EPOLLIN | EPOLLRDHUP | always)) != 0) readable_.notify_all();
  if ((events & (EPOLLOUT | always)) != 0) writable_.notify_all();
}

}  // namespace mirage::target::posix
