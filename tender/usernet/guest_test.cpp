// SPDX-License-Identifier: ISC
#include <algorithm>
#include <chrono>
#include <csignal>

#include <arpa/inet.h>
#include <doctest/doctest.h>
#include <fcntl.h>
#include <poll.h>
#include <sched.h>
#include <sys/socket.h>
#include <sys/wait.h>
#include <unistd.h>

#include <tender/usernet/guest_test.hpp>

namespace mirage::usernet::test {

std::uint16_t get16(const Frame& frame, std::size_t offset) {
  return static_cast<std::uint16_t>(frame.at(offset) << 8 | frame.at(offset + 1));
}
std::uint32_t get32(const Frame& frame, std::size_t offset) {
  return std::uint32_t{get16(frame, offset)} << 16 | get16(frame, offset + 2);
}
void put16(Frame& frame, std::size_t offset, std::uint16_t value) {
  frame.at(offset) = static_cast<std::uint8_t>(value >> 8);
  frame.at(offset + 1) = static_cast<std::uint8_t>(value);
}
void put32(Frame& frame, std::size_t offset, std::uint32_t value) {
  put16(frame, offset, static_cast<std::uint16_t>(value >> 16));
  put16(frame, offset + 2, static_cast<std::uint16_t>(value));
}

std::uint16_t checksum(const Frame& frame, std::size_t offset, std::size_t size, std::uint32_t sum) {
  for (std::size_t i = 0; i < size; ++i) {
    sum += static_cast<std::uint32_t>(frame.at(offset + i)) << (i % 2 == 0 ? 8 : 0);
  }
  while (sum >> 16 != 0) {
    sum = (sum & 0xffff) + (sum >> 16);
  }
  return static_cast<std::uint16_t>(~sum);
}

namespace {

Frame ethernet(std::span<const std::uint8_t> destination, std::uint16_t protocol) {
  Frame frame{destination.begin(), destination.end()};
  frame.insert(frame.end(), guest_mac.begin(), guest_mac.end());
  frame.resize(14);
  put16(frame, 12, protocol);
  return frame;
}

/// Sum of the pseudo header (RFC 9293 section 3.1).
std::uint32_t pseudo_header(std::uint8_t protocol, std::uint32_t source, std::uint32_t destination, std::size_t size) {
  return (source >> 16) + (source & 0xffff) + (destination >> 16) + (destination & 0xffff) + protocol +
         static_cast<std::uint32_t>(size);
}

}  // namespace

Frame arp_request(std::uint32_t sender, std::uint32_t target) {
  static constexpr std::array<std::uint8_t, 6> broadcast{255, 255, 255, 255, 255, 255};
  Frame frame = ethernet(broadcast, 0x0806);
  frame.resize(42);
  put16(frame, 14, 1);
  put16(frame, 16, 0x0800);
  frame[18] = 6;
  frame[19] = 4;
  put16(frame, 20, 1);
  std::copy(guest_mac.begin(), guest_mac.end(), frame.begin() + 22);
  put32(frame, 28, sender);
  put32(frame, 38, target);
  return frame;
}

Frame ipv4(std::uint8_t protocol, std::uint32_t source, std::uint32_t destination, const Frame& payload) {
  Frame frame = ethernet(gateway_mac, 0x0800);
  frame.resize(transport_at);
  frame[14] = 0x45;
  put16(frame, 16, static_cast<std::uint16_t>(20 + payload.size()));
  frame[22] = 64;
  frame[23] = protocol;
  put32(frame, 26, source);
  put32(frame, 30, destination);
  put16(frame, 24, checksum(frame, ip_at, 20));
  frame.insert(frame.end(), payload.begin(), payload.end());
  return frame;
}

Frame udp(std::uint32_t source, std::uint16_t source_port, std::uint32_t destination, std::uint16_t destination_port,
          std::string_view payload) {
  Frame datagram(8);
  put16(datagram, 0, source_port);
  put16(datagram, 2, destination_port);
  put16(datagram, 4, static_cast<std::uint16_t>(8 + payload.size()));
  datagram.insert(datagram.end(), payload.begin(), payload.end());
  return ipv4(17, source, destination, datagram);
}

Frame tcp(const Segment& segment) {
  Frame bytes(20);
  put16(bytes, 0, segment.source_port);
  put16(bytes, 2, segment.destination_port);
  put32(bytes, 4, segment.sequence);
  put32(bytes, 8, segment.acknowledgement);
  bytes[12] = 5 << 4;
  bytes[13] = segment.flags;
  put16(bytes, 14, 65535);
  bytes.insert(bytes.end(), segment.payload.begin(), segment.payload.end());
  put16(bytes, 16, checksum(bytes, 0, bytes.size(), pseudo_header(6, guest_ip, segment.destination, bytes.size())));
  return ipv4(6, guest_ip, segment.destination, bytes);
}

bool is_ipv4(const Frame& frame, std::uint8_t protocol) {
  return frame.size() >= 34 && get16(frame, 12) == 0x0800 && frame[14] == 0x45 && frame[23] == protocol;
}

Helper::Helper(std::vector<std::string> options, bool isolated) {
  int pair[2], ready[2], errors[2];
  REQUIRE(::socketpair(AF_UNIX, SOCK_SEQPACKET | SOCK_CLOEXEC, 0, pair) == 0);
  REQUIRE(::pipe2(ready, O_CLOEXEC) == 0);
  REQUIRE(::pipe2(errors, O_CLOEXEC) == 0);
  pid_ = ::fork();
  if (pid_ == 0) {
    ::dup2(errors[1], STDERR_FILENO);
    if (isolated && ::unshare(CLONE_NEWNET) != 0 && ::unshare(CLONE_NEWUSER | CLONE_NEWNET) != 0) {
      ::_exit(126);
    }
    // Away from the numbers that they go to.
    const int frames = ::fcntl(pair[1], F_DUPFD, 20);
    const int signal = ::fcntl(ready[1], F_DUPFD, 20);
    ::dup2(frames, 10);
    ::dup2(signal, 11);
    options.insert(options.begin(), {MIRAGE_USERNET, "--fd=10", "--ready-fd=11"});
    std::vector<char*> arguments;
    for (std::string& option : options) {
      arguments.push_back(option.data());
    }
    arguments.push_back(nullptr);
    ::execv(arguments[0], arguments.data());
    ::_exit(127);
  }
  REQUIRE(pid_ > 0);
  socket_ = pair[0];
  errors_ = errors[0];
  ::close(pair[1]);
  ::close(ready[1]);
  ::close(errors[1]);
  char line[400];
  ready_.assign(line, static_cast<std::size_t>(std::max<ssize_t>(::read(ready[0], line, sizeof line), 0)));
  ::close(ready[0]);
}

Helper::~Helper() {
  if (pid_ > 0) {
    ::kill(pid_, SIGKILL);
    ::waitpid(pid_, nullptr, 0);
  }
  close_socket();
  ::close(errors_);
}

bool Helper::send(const Frame& frame) {
  return ::send(socket_, frame.data(), frame.size(), MSG_NOSIGNAL) == static_cast<ssize_t>(frame.size());
}

bool Helper::waiting(int milliseconds) const {
  pollfd poll{socket_, POLLIN, 0};
  return ::poll(&poll, 1, milliseconds) == 1;
}

std::optional<Frame> Helper::receive(const std::function<bool(const Frame&)>& wanted, int milliseconds) {
  const auto deadline = std::chrono::steady_clock::now() + std::chrono::milliseconds{milliseconds};
  Frame frame(70000);
  for (;;) {
    const auto left =
        std::chrono::duration_cast<std::chrono::milliseconds>(deadline - std::chrono::steady_clock::now());
    if (left.count() <= 0 || !waiting(static_cast<int>(left.count()))) {
      return std::nullopt;
    }
    const ssize_t size = ::recv(socket_, frame.data(), frame.size(), 0);
    if (size <= 0) {
      return std::nullopt;
    }
    Frame received{frame.begin(), frame.begin() + size};
    if (wanted(received)) {
      return received;
    }
  }
}

void Helper::close_socket() {
  if (socket_ >= 0) {
    ::close(socket_);
    socket_ = -1;
  }
}

int Helper::wait() {
  close_socket();
  int status = -1;
  ::waitpid(pid_, &status, 0);
  pid_ = -1;
  return status;
}

std::string Helper::errors() {
  std::string text(4096, '\0');
  const ssize_t size = ::read(errors_, text.data(), text.size());
  text.resize(size > 0 ? static_cast<std::size_t>(size) : 0);
  return text;
}

int loopback_socket(int type, std::uint16_t bind_port) {
  const int socket = ::socket(AF_INET, type | SOCK_CLOEXEC, 0);
  const timeval limit{5, 0};
  ::setsockopt(socket, SOL_SOCKET, SO_RCVTIMEO, &limit, sizeof limit);
  sockaddr_in address{
      .sin_family = AF_INET, .sin_port = htons(bind_port), .sin_addr = {htonl(INADDR_LOOPBACK)}, .sin_zero = {}};
  if (::bind(socket, reinterpret_cast<const sockaddr*>(&address), sizeof address) != 0) {
    ::close(socket);
    return -1;
  }
  return socket;
}

std::uint16_t port_of(int socket) {
  sockaddr_in address{};
  socklen_t size = sizeof address;
  ::getsockname(socket, reinterpret_cast<sockaddr*>(&address), &size);
  return ntohs(address.sin_port);
}

int connect_to(std::uint16_t port) {
  const int socket = loopback_socket(SOCK_STREAM);
  const sockaddr_in address{
      .sin_family = AF_INET, .sin_port = htons(port), .sin_addr = {htonl(INADDR_LOOPBACK)}, .sin_zero = {}};
  REQUIRE(::connect(socket, reinterpret_cast<const sockaddr*>(&address), sizeof address) == 0);
  return socket;
}

std::uint16_t free_port(int type) {
  const int socket = loopback_socket(type);
  const std::uint16_t port = port_of(socket);
  ::close(socket);
  return port;
}

}  // namespace mirage::usernet::test
