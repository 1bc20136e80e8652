// SPDX-License-Identifier: ISC
#include <array>
#include <chrono>
#include <cstdint>
#include <cstdio>
#include <cstdlib>
#include <string_view>
#include <thread>

#include <arpa/inet.h>
#include <bench/net/tool.hpp>
#include <netinet/in.h>
#include <signal.h>
#include <sys/socket.h>
#include <unistd.h>

namespace bench {

namespace {

using Clock = std::chrono::steady_clock;
constexpr std::size_t block = std::size_t{128} * 1024;

std::uint64_t receive_all(int socket, Clock::time_point end) {
  static std::array<char, block> buffer;
  std::uint64_t total = 0;
  while (Clock::now() < end) {
    const ssize_t size = ::recv(socket, buffer.data(), buffer.size(), 0);
    if (size <= 0) break;
    total += static_cast<std::uint64_t>(size);
  }
  return total;
}

std::uint64_t send_all(int socket, Clock::time_point end) {
  static std::array<char, block> buffer;
  std::uint64_t total = 0;
  while (Clock::now() < end) {
    const ssize_t size = ::send(socket, buffer.data(), buffer.size(), MSG_NOSIGNAL);
    if (size <= 0) break;
    total += static_cast<std::uint64_t>(size);
  }
  return total;
}

[[noreturn]] void serve(std::uint16_t port, bool sink) {
  const int listener = ::socket(AF_INET, SOCK_STREAM, 0);
  const int on = 1;
  ::setsockopt(listener, SOL_SOCKET, SO_REUSEADDR, &on, sizeof on);
  sockaddr_in address{.sin_family = AF_INET, .sin_port = htons(port), .sin_addr = {}, .sin_zero = {}};
  if (::bind(listener, reinterpret_cast<sockaddr*>(&address), sizeof address) != 0 || ::listen(listener, 8) != 0) {
    std::perror("stream-server");
    std::_Exit(1);
  }
  while (true) {
    const int flow = ::accept(listener, nullptr, nullptr);
    if (flow < 0) continue;
    (void)(sink ? receive_all(flow, Clock::time_point::max()) : send_all(flow, Clock::time_point::max()));
    ::close(flow);
  }
}

}  // namespace

int stream_server(int, char** arguments) {
  std::thread sink{[&] { serve(static_cast<std::uint16_t>(std::atoi(arguments[0])), true); }};
  serve(static_cast<std::uint16_t>(std::atoi(arguments[1])), false);
}

int stream_client(int, char** arguments) {
  sockaddr_in address{.sin_family = AF_INET,
                      .sin_port = htons(static_cast<std::uint16_t>(std::atoi(arguments[1]))),
                      .sin_addr = {},
                      .sin_zero = {}};
  const bool sends = std::string_view{arguments[2]} == "send";
  const int flow = ::socket(AF_INET, SOCK_STREAM, 0);
  if (::inet_pton(AF_INET, arguments[0], &address.sin_addr) != 1 ||
      ::connect(flow, reinterpret_cast<sockaddr*>(&address), sizeof address) != 0) {
    std::perror("stream-client");
    return 1;
  }
  if (!sends && ::send(flow, "go\n", 3, 0) != 3) return 1;
  const auto duration = std::chrono::duration<double>(std::atof(arguments[3]));
  const auto start = Clock::now();
  const auto end = start + std::chrono::duration_cast<Clock::duration>(duration);
  const std::uint64_t bytes = sends ? send_all(flow, end) : receive_all(flow, end);
  const std::chrono::duration<double> took = Clock::now() - start;
  std::printf("%.0f\n", static_cast<double>(bytes) / took.count());
  return bytes > 0 ? 0 : 1;
}

}  // namespace bench
