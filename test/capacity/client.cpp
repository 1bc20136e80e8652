// SPDX-License-Identifier: ISC
// "capacity_client INTERFACE MAC CONNECTIONS CYCLES PROCESS": the crowd on a network interface without addresses,
// through a packet socket (needs CAP_NET_RAW). PROCESS is the tender's: its memory is printed after each phase. Exits
// with status 1 unless every connection was opened, answered and closed.
#include <array>
#include <chrono>
#include <cstdio>
#include <cstdlib>
#include <fstream>
#include <print>
#include <string>

#include <arpa/inet.h>
#include <linux/if_ether.h>
#include <linux/if_packet.h>
#include <net/if.h>
#include <poll.h>
#include <sys/socket.h>
#include <unistd.h>

#include <test/capacity/crowd.hpp>

namespace {

using capacity::Crowd;
using capacity::Phase;
using Clock = std::chrono::steady_clock;

int open_interface(const char* name) {
  const int socket = ::socket(AF_PACKET, SOCK_RAW | SOCK_CLOEXEC, htons(ETH_P_ALL));
  sockaddr_ll place{};
  place.sll_family = AF_PACKET;
  place.sll_protocol = htons(ETH_P_ALL);
  place.sll_ifindex = static_cast<int>(::if_nametoindex(name));
  constexpr int buffer = 64 << 20, on = 1;
  if (socket < 0 || ::bind(socket, reinterpret_cast<sockaddr*>(&place), sizeof place) != 0) {
    std::perror(name);
    return -1;
  }
  (void)::setsockopt(socket, SOL_SOCKET, SO_RCVBUFFORCE, &buffer, sizeof buffer);
  (void)::setsockopt(socket, SOL_PACKET, PACKET_IGNORE_OUTGOING, &on, sizeof on);
  return socket;
}

std::string resident(const std::string& process) {
  std::ifstream status{"/proc/" + process + "/status"};
  for (std::string line; std::getline(status, line);) {
    if (line.starts_with("VmRSS:")) return line.substr(line.find_first_not_of(" \t", 6));
  }
  return "?";
}

class Client {
 public:
  Client(int socket, std::uint32_t connections, mirage::MacAddress server)
      : socket_(socket), crowd_(connections, server, [socket](mirage::Bytes frame) {
          [[maybe_unused]] const auto sent = ::send(socket, frame.data(), frame.size(), 0);
        }) {}

  bool run(const char* name, Phase phase, std::uint32_t count, const std::string& process) {
    const auto begin = Clock::now();
    crowd_.start(phase, count);
    unsigned quiet = 0;
    while (!crowd_.finished() && quiet < 50) {
      if (receive()) {
        quiet = 0;
      } else {
        ++quiet;
        crowd_.repeat();
      }
    }
    const std::chrono::duration<double> took = Clock::now() - begin;
    std::println("{:8} {:8} of {:8} in {:6.1f} s ({:6.0f} /s), {} answers, {} resets, {} repeated; tender {}", name,
                 crowd_.done(), count, took.count(), crowd_.done() / took.count(), crowd_.answers, crowd_.resets,
                 crowd_.repeated, resident(process));
    std::fflush(stdout);
    return crowd_.finished() && crowd_.resets == 0;
  }

 private:
  /// False when nothing came for 200 ms.
  bool receive() {
    pollfd ready{socket_, POLLIN, 0};
    if (::poll(&ready, 1, 200) <= 0) return false;
    for (int i = 0; i < 64; ++i) {
      const ssize_t size = ::recv(socket_, frame_.data(), frame_.size(), MSG_DONTWAIT);
      if (size <= 0) break;
      crowd_.take(mirage::Bytes(frame_).first(static_cast<std::size_t>(size)));
    }
    return true;
  }
  int socket_;
  Crowd crowd_;
  std::array<std::byte, 65536> frame_{};
};

}  // namespace

int main(int count, char** values) {
  mirage::MacAddress server;
  std::array<unsigned, 6> octets{};
  if (count != 6 || std::sscanf(values[2], "%x:%x:%x:%x:%x:%x", &octets[0], &octets[1], &octets[2], &octets[3],
                                &octets[4], &octets[5]) != 6) {
    std::fputs("usage: capacity_client INTERFACE MAC CONNECTIONS CYCLES PROCESS\n", stderr);
    return 2;
  }
  for (std::size_t i = 0; i < 6; ++i) server.octets[i] = static_cast<std::uint8_t>(octets[i]);
  const auto connections = static_cast<std::uint32_t>(std::strtoul(values[3], nullptr, 10));
  const auto cycles = static_cast<std::uint32_t>(std::strtoul(values[4], nullptr, 10));
  const std::string process = values[5];
  const int socket = open_interface(values[1]);
  if (socket < 0) return 1;
  Client client{socket, connections, server};
  const bool right =
      client.run("open", Phase::open, connections, process) && client.run("ask", Phase::ask, connections, process) &&
      client.run("ask", Phase::ask, connections, process) && client.run("close", Phase::close, connections, process) &&
      client.run("cycle", Phase::cycle, cycles, process);
  return right ? 0 : 1;
}
