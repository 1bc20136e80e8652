// SPDX-License-Identifier: ISC
#include <algorithm>
#include <array>
#include <chrono>
#include <cstdint>
#include <cstdio>
#include <cstdlib>

#include <arpa/inet.h>
#include <bench/net/tool.hpp>
#include <netinet/in.h>
#include <netinet/udp.h>
#include <sys/socket.h>
#include <unistd.h>

namespace bench {

namespace {

using Clock = std::chrono::steady_clock;
constexpr std::size_t batch = 64;
constexpr std::size_t payload = 64;

/// Room for a batch of datagrams, as recvmmsg(2) and sendmmsg(2) want it.
struct Batch {
  std::array<std::array<char, 2048>, batch> bytes{};
  std::array<sockaddr_in, batch> addresses{};
  std::array<iovec, batch> vectors{};
  std::array<mmsghdr, batch> messages{};

  explicit Batch(bool named) {
    for (std::size_t i = 0; i < batch; ++i) {
      vectors[i] = {bytes[i].data(), bytes[i].size()};
      messages[i].msg_hdr.msg_iov = &vectors[i];
      messages[i].msg_hdr.msg_iovlen = 1;
      if (!named) continue;
      messages[i].msg_hdr.msg_name = &addresses[i];
      messages[i].msg_hdr.msg_namelen = sizeof addresses[i];
    }
  }
};

std::uint16_t number(const char* text) { return static_cast<std::uint16_t>(std::atoi(text)); }

}  // namespace

int datagram_echo(int, char** arguments) {
  const int socket = ::socket(AF_INET, SOCK_DGRAM, 0);
  sockaddr_in address{.sin_family = AF_INET, .sin_port = htons(number(arguments[0])), .sin_addr = {}, .sin_zero = {}};
  if (::bind(socket, reinterpret_cast<sockaddr*>(&address), sizeof address) != 0) return 1;
  static Batch room{true};
  while (true) {
    const int count = ::recvmmsg(socket, room.messages.data(), batch, MSG_WAITFORONE, nullptr);
    if (count <= 0) return 1;
    const auto got = static_cast<std::size_t>(count);
    for (std::size_t i = 0; i < got; ++i) room.vectors[i].iov_len = room.messages[i].msg_len;
    ::sendmmsg(socket, room.messages.data(), static_cast<unsigned>(got), 0);
    for (std::size_t i = 0; i < got; ++i) room.vectors[i].iov_len = room.bytes[i].size();
  }
}

int datagram_client(int, char** arguments) {
  const int socket = ::socket(AF_INET, SOCK_DGRAM, 0);
  sockaddr_in address{.sin_family = AF_INET, .sin_port = htons(number(arguments[1])), .sin_addr = {}, .sin_zero = {}};
  timeval patience{0, 20'000};  // what got lost is sent anew
  ::setsockopt(socket, SOL_SOCKET, SO_RCVTIMEO, &patience, sizeof patience);
  if (::inet_pton(AF_INET, arguments[0], &address.sin_addr) != 1 ||
      ::connect(socket, reinterpret_cast<sockaddr*>(&address), sizeof address) != 0) {
    return 1;
  }
  static Batch to_send{false};
  static Batch received{false};
  for (iovec& vector : to_send.vectors) vector.iov_len = payload;
  const auto window = static_cast<std::size_t>(number(arguments[3]));
  const auto start = Clock::now();
  const auto end = start + std::chrono::milliseconds(static_cast<int>(1000 * std::atof(arguments[2])));
  std::size_t outstanding = 0;
  std::uint64_t answers = 0;
  while (Clock::now() < end) {
    while (outstanding < window) {
      const std::size_t count = std::min(window - outstanding, batch);
      const int sent = ::sendmmsg(socket, to_send.messages.data(), static_cast<unsigned>(count), 0);
      if (sent <= 0) break;
      outstanding += static_cast<std::size_t>(sent);
    }
    const int count = ::recvmmsg(socket, received.messages.data(), batch, MSG_WAITFORONE, nullptr);
    answers += count > 0 ? static_cast<std::uint64_t>(count) : 0;
    outstanding = count > 0 ? outstanding - std::min(outstanding, static_cast<std::size_t>(count)) : 0;
  }
  const std::chrono::duration<double> took = Clock::now() - start;
  std::printf("%.0f\n", static_cast<double>(answers) / took.count());
  return 0;
}

int datagram_flood(int, char** arguments) {
  const int socket = ::socket(AF_INET, SOCK_DGRAM, 0);
  const int least = 1;  // room for answers: a few are kept, none is read, all are counted by the host
  const int segment = payload;
  sockaddr_in address{.sin_family = AF_INET, .sin_port = htons(number(arguments[1])), .sin_addr = {}, .sin_zero = {}};
  ::setsockopt(socket, SOL_SOCKET, SO_RCVBUF, &least, sizeof least);
  if (::setsockopt(socket, SOL_UDP, UDP_SEGMENT, &segment, sizeof segment) != 0 ||
      ::inet_pton(AF_INET, arguments[0], &address.sin_addr) != 1 ||
      ::connect(socket, reinterpret_cast<sockaddr*>(&address), sizeof address) != 0) {
    return 1;
  }
  constexpr std::size_t together = 32;  // of one call, cut by the host
  static std::array<char, together * payload> bytes{};
  const double rate = std::atof(arguments[3]);
  const auto start = Clock::now();
  const auto end = start + std::chrono::milliseconds(static_cast<int>(1000 * std::atof(arguments[2])));
  std::uint64_t sent = 0;
  for (auto now = start; now < end; now = Clock::now()) {
    const std::chrono::duration<double> passed = now - start;
    if (rate > 0 && static_cast<double>(sent) > passed.count() * rate) continue;
    if (::send(socket, bytes.data(), bytes.size(), 0) > 0) sent += together;
  }
  const std::chrono::duration<double> took = Clock::now() - start;
  std::printf("%.0f\n", static_cast<double>(sent) / took.count());
  return 0;
}

}  // namespace bench
