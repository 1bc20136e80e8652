// SPDX-License-Identifier: ISC
#include <cerrno>
#include <new>

#include <netinet/tcp.h>
#include <unistd.h>

#include <mirage/async/sleep.hpp>
#include <mirage/target/unix/socket_tcp.hpp>

namespace mirage::target::posix {

namespace {

constexpr int on = 1;

/// The next established connection; negative with errno.
int accept_next(Socket& socket) noexcept {
  const int descriptor = ::accept4(socket.descriptor(), nullptr, nullptr, SOCK_NONBLOCK | SOCK_CLOEXEC);
  if (descriptor >= 0) ::setsockopt(descriptor, IPPROTO_TCP, TCP_NODELAY, &on, sizeof on);
  return descriptor;
}

std::unique_ptr<Socket> adopt(Shard& shard, int descriptor) noexcept {
  std::unique_ptr<Socket> socket{new (std::nothrow) Socket(shard, descriptor)};
  if (socket == nullptr) ::close(descriptor);
  if (socket != nullptr && !socket->watch()) socket = nullptr;
  return socket;
}

Task<Result<SocketFlow, FlowError>> accept_flow(Socket& listener, LingerSet& lingering) {
  for (;;) {
    if (listener.descriptor() < 0) co_return Failure{FlowError::closed};
    const int descriptor = accept_next(listener);
    if (descriptor >= 0) {
      auto socket = adopt(listener.shard(), descriptor);
      if (socket != nullptr) co_return SocketFlow{std::move(socket), lingering};
      continue;
    }
    if (errno == EMFILE || errno == ENFILE || errno == ENOBUFS || errno == ENOMEM) {
      // The connection stays in the kernel's queue until there is room.
      if (co_await sleep(10ms) == WaitStatus::cancelled) co_return Failure{FlowError::cancelled};
      continue;
    }
    if (errno != EAGAIN) continue;  // that connection has failed; another may be there (accept(2), error handling)
    if (co_await listener.readable().wait() == WaitStatus::cancelled) co_return Failure{FlowError::cancelled};
  }
}

ListenError listen_error(int error) noexcept {
  switch (error) {
    case EADDRINUSE:
      return ListenError::port_in_use;
    case EACCES:
    case EPERM:
    case EADDRNOTAVAIL:
      return ListenError::denied;
    default:
      return ListenError::no_memory;
  }
}

/// The outcome of a connection attempt that was in progress; 0: connected.
int connect_outcome(const Socket& socket) noexcept {
  int error = EBADF;
  socklen_t size = sizeof error;
  ::getsockopt(socket.descriptor(), SOL_SOCKET, SO_ERROR, &error, &size);
  return error;
}

}  // namespace

Task<Result<SocketFlow, FlowError>> SocketListener::accept() noexcept { return accept_flow(*socket_, *lingering_); }

Result<SocketListener, ListenError> SocketTcp::listen(Port port, const ListenOptions& options) noexcept {
  const int descriptor = open_socket(family_, SOCK_STREAM);
  if (descriptor < 0) return Failure{listen_error(errno)};
  ::setsockopt(descriptor, SOL_SOCKET, SO_REUSEADDR, &on, sizeof on);
  SocketAddress address = to_socket(family_, {options.address.is_unspecified() ? address_ : options.address, port, 0});
  if (::bind(descriptor, address.get(), address.size) != 0 || ::listen(descriptor, options.backlog) != 0) {
    const ListenError error = listen_error(errno);
    ::close(descriptor);
    return Failure{error};
  }
  auto socket = adopt(shard_, descriptor);
  if (socket == nullptr) return Failure{ListenError::no_memory};
  return SocketListener{std::move(socket), lingering_};
}

/// A socket whose connection is in progress or established; negative with errno.
int SocketTcp::open_connecting(const Endpoint& remote) noexcept {
  if (family_ == AF_INET && !remote.address.is_v4()) {
    errno = ENETUNREACH;
    return -1;
  }
  const int descriptor = open_socket(family_, SOCK_STREAM);
  if (descriptor < 0) return -1;
  ::setsockopt(descriptor, IPPROTO_TCP, TCP_NODELAY, &on, sizeof on);
  SocketAddress own = to_socket(family_, {address_, 0, 0});
  SocketAddress to = to_socket(family_, remote);
  const bool bound = address_.is_unspecified() || ::bind(descriptor, own.get(), own.size) == 0;
  if (bound && (::connect(descriptor, to.get(), to.size) == 0 || errno == EINPROGRESS)) return descriptor;
  const int error = errno;
  ::close(descriptor);
  errno = error;
  return -1;
}

Task<Result<SocketFlow, FlowError>> SocketTcp::connect(Endpoint remote) {
  const int descriptor = open_connecting(remote);
  if (descriptor < 0) co_return Failure{flow_error(errno)};
  auto socket = adopt(shard_, descriptor);
  if (socket == nullptr) co_return Failure{FlowError::no_memory};
  // Edge-triggered: the first event tells that the attempt has ended, even when it ended before the watch.
  if (co_await socket->writable().wait() == WaitStatus::cancelled) co_return Failure{FlowError::cancelled};
  if (const int error = connect_outcome(*socket); error != 0) co_return Failure{flow_error(error)};
  co_return SocketFlow{std::move(socket), lingering_};
}

}  // namespace mirage::target::posix
