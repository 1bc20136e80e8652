// SPDX-License-Identifier: ISC
#include <algorithm>
#include <array>
#include <cerrno>
#include <new>

#include <sys/epoll.h>
#include <sys/uio.h>
#include <unistd.h>

#include <mirage/target/unix/socket_udp.hpp>

namespace mirage::target::posix {

namespace {
constexpr std::size_t largest_datagram = 65535;
}

SocketUdp::Binding::~Binding() {
  environment_of(owner.shard_).end_watch(descriptor, *this);
  ::close(descriptor);
}

void SocketUdp::Binding::on_ready(std::uint32_t) noexcept {
  std::array<Datagram, burst> datagrams;
  std::size_t count = 0;
  while (count < burst && owner.receive(*this, datagrams[count])) ++count;
  if (count != 0) handler.on_burst({datagrams.data(), count});  // may unbind: the last thing done here
}

SocketUdp::~SocketUdp() {
  while (Binding* binding = bindings_.front()) delete binding;
  if (unbound_ >= 0) ::close(unbound_);
}

SocketUdp::Binding* SocketUdp::find(Port port) noexcept {
  for (Binding* binding = bindings_.front(); binding != nullptr; binding = bindings_.next(*binding)) {
    if (binding->port == port) return binding;
  }
  return nullptr;
}

Result<Port, UdpError> SocketUdp::bind(Port port, DatagramHandler& handler) noexcept {
  const int descriptor = open_socket(family_, SOCK_DGRAM);
  if (descriptor < 0) return Failure{UdpError::no_memory};
  SocketAddress address = to_socket(family_, {address_, port, 0});
  if (::bind(descriptor, address.get(), address.size) != 0) {
    const UdpError error = errno == EADDRINUSE ? UdpError::port_in_use : UdpError::no_route;
    ::close(descriptor);
    return Failure{error};
  }
  auto* binding = new (std::nothrow) Binding(*this, descriptor, handler);
  if (binding == nullptr) {
    ::close(descriptor);
    return Failure{UdpError::no_memory};
  }
  if (!environment_of(shard_).watch(descriptor, EPOLLIN, binding)) {
    delete binding;
    return Failure{UdpError::no_memory};
  }
  address.size = sizeof address.storage;
  ::getsockname(descriptor, address.get(), &address.size);
  binding->port = to_endpoint(address).port;
  bindings_.push_back(*binding);
  return binding->port;
}

void SocketUdp::unbind(Port port) noexcept { delete find(port); }

bool SocketUdp::receive(Binding& binding, Datagram& datagram) noexcept {
  std::array<MutableSlice, 2> buffers{shard_.buffers().allocate(frame_capacity, 0),
                                      shard_.buffers().allocate(largest_datagram, 0)};
  if (!buffers[0] || !buffers[1]) {
    ++statistics_.no_buffer;  // and thrown away: it would be reported for ever
    (void)::recv(binding.descriptor, nullptr, 0, MSG_TRUNC);
    return false;
  }
  std::array<iovec, 2> pieces{iovec{buffers[0].tail().data(), buffers[0].tail().size()},
                              iovec{buffers[1].tail().data(), buffers[1].tail().size()}};
  SocketAddress from;
  msghdr message{};
  message.msg_name = &from.storage;
  message.msg_namelen = from.size;
  message.msg_iov = pieces.data();
  message.msg_iovlen = pieces.size();
  const ssize_t size = ::recvmsg(binding.descriptor, &message, 0);
  if (size < 0) return false;
  auto left = static_cast<std::uint32_t>(size);
  for (MutableSlice& buffer : buffers) {
    const std::uint32_t part = std::min(left, buffer.tailroom());
    left -= part;
    buffer.grow_back(part);
    (void)datagram.payload.push_back(std::move(buffer).freeze());
  }
  datagram.remote = to_endpoint(from);
  datagram.local = {address_, binding.port, 0};
  ++statistics_.received;
  return true;
}

/// The socket to send from; negative when there is none.
int SocketUdp::sender(Port port) noexcept {
  if (const Binding* binding = find(port)) return binding->descriptor;
  if (unbound_ < 0) unbound_ = open_socket(family_, SOCK_DGRAM);
  return unbound_;
}

SocketUdp::Outcome SocketUdp::transmit(Datagram& datagram) noexcept {
  std::array<iovec, SliceList::capacity> pieces;
  for (std::size_t i = 0; i < datagram.payload.size(); ++i) {
    const Bytes bytes = datagram.payload[i].bytes();
    pieces[i] = {const_cast<std::byte*>(bytes.data()), bytes.size()};  // sendmsg(2) only reads
  }
  SocketAddress to = to_socket(family_, datagram.remote);
  msghdr message{};
  message.msg_name = &to.storage;
  message.msg_namelen = to.size;
  message.msg_iov = pieces.data();
  message.msg_iovlen = datagram.payload.size();
  const bool reachable = family_ == AF_INET6 || datagram.remote.address.is_v4();
  const bool sent = reachable && ::sendmsg(sender(datagram.local.port), &message, MSG_NOSIGNAL) >= 0;
  if (reachable && !sent && (errno == EAGAIN || errno == ENOBUFS)) return Outcome::no_room;
  ++(sent ? statistics_.sent : statistics_.refused);
  return Outcome::done;
}

std::size_t SocketUdp::send(std::span<Datagram> datagrams) noexcept {
  std::size_t count = 0;
  while (count < datagrams.size() && transmit(datagrams[count]) == Outcome::done) {
    datagrams[count++].payload.clear();
  }
  return count;
}

}  // namespace mirage::target::posix
