// SPDX-License-Identifier: ISC
#include <cerrno>
#include <cstring>

#include <fcntl.h>
#include <poll.h>
#include <sys/socket.h>

#include <tender/usernet/frame_port.hpp>

namespace mirage::usernet {

using tender::Errno;
using tender::fail;

namespace {

constexpr std::size_t arp_frame = ethernet_header + 28;   // RFC 826 for Ethernet and IPv4
constexpr std::size_t ipv4_frame = ethernet_header + 20;  // RFC 791
/// Room for messages in the kernel. Best effort: net.core.wmem_max bounds it for all but root.
constexpr int socket_buffer = 1 << 20;

Result<int> socket_option(int descriptor, int option) {
  int value = 0;
  socklen_t size = sizeof value;
  if (::getsockopt(descriptor, SOL_SOCKET, option, &value, &size) != 0) {
    return fail("descriptor ", descriptor, errno == EBADF ? " is not open" : " is not a socket");
  }
  return value;
}

void enlarge_buffer(int descriptor) {
  if (::setsockopt(descriptor, SOL_SOCKET, SO_SNDBUFFORCE, &socket_buffer, sizeof socket_buffer) != 0) {
    ::setsockopt(descriptor, SOL_SOCKET, SO_SNDBUF, &socket_buffer, sizeof socket_buffer);
  }
}

}  // namespace

FramePort::FramePort(int descriptor, bool connection_oriented)
    : descriptor_{descriptor}, connection_oriented_{connection_oriented}, input_(maximum_frame) {
  queue_.reserve(queue_bound);
}

Result<FramePort> FramePort::open(int descriptor) {
  const auto domain = socket_option(descriptor, SO_DOMAIN);
  if (!domain) {
    return std::unexpected{domain.error()};
  }
  const auto type = socket_option(descriptor, SO_TYPE);
  if (!type || *domain != AF_UNIX || (*type != SOCK_SEQPACKET && *type != SOCK_DGRAM)) {
    return fail("descriptor ", descriptor, " must be a Unix socket that keeps messages apart (SOCK_SEQPACKET)");
  }
  const int flags = ::fcntl(descriptor, F_GETFL);
  if (flags < 0 || ::fcntl(descriptor, F_SETFL, flags | O_NONBLOCK) != 0) {
    return fail("cannot make descriptor ", descriptor, " non-blocking: ", Errno{errno});
  }
  enlarge_buffer(descriptor);
  return FramePort{descriptor, *type == SOCK_SEQPACKET};
}

bool FramePort::peer_hung_up() const {
  pollfd poll{descriptor_, POLLRDHUP, 0};
  return ::poll(&poll, 1, 0) == 1 && (poll.revents & (POLLHUP | POLLRDHUP | POLLERR)) != 0;
}

bool FramePort::acceptable(std::size_t size) {
  if (size > input_.size()) {
    ++counters_.too_long;
    return false;
  }
  if (size < ethernet_header) {
    ++counters_.too_short;
    return false;
  }
  const auto protocol = std::to_integer<unsigned>(input_[12]) << 8 | std::to_integer<unsigned>(input_[13]);
  if (protocol != 0x0800 && protocol != 0x0806) {
    ++counters_.not_ip;
    return false;
  }
  const bool whole = size >= (protocol == 0x0800 ? ipv4_frame : arp_frame);
  counters_.too_short += whole ? 0 : 1;
  return whole;
}

std::optional<std::span<const std::byte>> FramePort::receive() {
  if (closed_) {
    return std::nullopt;
  }
  const auto take = [this] { return ::recv(descriptor_, input_.data(), input_.size(), MSG_DONTWAIT | MSG_TRUNC); };
  ssize_t size = take();
  if (size < 0 && errno == ECONNRESET) {
    size = take();  // the peer has left frames unread: that is told first, and what it sent comes after
  }
  if (size < 0) {
    closed_ = errno != EAGAIN && errno != EINTR && errno != ENOBUFS && errno != ENOMEM;
    return std::nullopt;
  }
  // A guest may send an empty message too: only a hang-up ends us.
  if (size == 0 && connection_oriented_ && peer_hung_up()) {
    closed_ = true;
    return std::nullopt;
  }
  ++counters_.received;
  const std::span<const std::byte> frame{input_.data(), static_cast<std::size_t>(size)};
  return acceptable(frame.size()) ? frame : std::span<const std::byte>{};
}

FramePort::Outcome FramePort::transmit(std::span<const std::byte> frame) {
  while (::send(descriptor_, frame.data(), frame.size(), MSG_DONTWAIT | MSG_NOSIGNAL) < 0) {
    switch (errno) {
      case EINTR:
        continue;
      case EAGAIN:
      case ENOBUFS:
      case ENOMEM:
        return Outcome::no_room;
      case EMSGSIZE:
        ++counters_.unsendable;
        return Outcome::done;
      default:  // EPIPE, ECONNRESET, ECONNREFUSED: nobody is there any more
        return Outcome::closed;
    }
  }
  ++counters_.sent;
  return Outcome::done;
}

void FramePort::enqueue(std::span<const std::byte> frame) {
  const auto size = static_cast<std::uint32_t>(frame.size());
  if (queue_.size() + sizeof size + size > queue_bound) {
    queue_.erase(queue_.begin(), queue_.begin() + static_cast<std::ptrdiff_t>(head_));
    head_ = 0;
    if (queue_.size() + sizeof size + size > queue_bound) {
      ++counters_.queue_full;
      return;
    }
  }
  std::byte header[sizeof size];
  std::memcpy(header, &size, sizeof size);
  queue_.insert(queue_.end(), header, header + sizeof size);
  queue_.insert(queue_.end(), frame.begin(), frame.end());
}

/// What the peer sent before it went is still to be read, where its end will be told.
void FramePort::lose_listener() {
  deaf_ = true;
  closed_ = closed_ || !connection_oriented_;
}

void FramePort::send(std::span<const std::byte> frame) {
  if (closed_ || deaf_) {
    return;
  }
  if (frame.size() > maximum_frame) {
    ++counters_.unsendable;
    return;
  }
  const Outcome outcome = congested() ? Outcome::no_room : transmit(frame);
  if (outcome == Outcome::closed) {
    lose_listener();
  }
  if (outcome == Outcome::no_room) {
    enqueue(frame);
  }
}

void FramePort::flush() {
  while (congested()) {
    std::uint32_t size = 0;
    std::memcpy(&size, queue_.data() + head_, sizeof size);
    const Outcome outcome = transmit({queue_.data() + head_ + sizeof size, size});
    if (outcome == Outcome::no_room) {
      return;
    }
    if (outcome == Outcome::closed) {
      lose_listener();
    }
    head_ += sizeof size + size;
  }
  queue_.clear();
  head_ = 0;
}

}  // namespace mirage::usernet
