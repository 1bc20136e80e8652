// SPDX-License-Identifier: ISC
// For tests: a stack on two networks, "front" and "back", with a station on each, and a DHCP server where one is
// wanted.
#pragma once

#include <doctest/doctest.h>

#include <mirage/net/testbed_v6_test.hpp>
#include <mirage/wire/dhcpv4.hpp>

namespace mirage::net::test {

using wire::ArpPacket;
using Host = BasicStack<2>;

inline constexpr Ipv4Address back_ip = Ipv4Address::of(10, 9, 0, 2);
inline constexpr MacAddress back_mac{{2, 0, 0, 0, 0, 3}};
inline constexpr Ipv4Address far = Ipv4Address::of(192, 0, 2, 7);
inline constexpr std::uint16_t front = 0;
inline constexpr std::uint16_t back = 1;

inline InterfaceSettings front_settings() {
  InterfaceSettings settings{.name = "front"};
  settings.addresses.gateway = Ipv4Address::of(10, 0, 0, 1);
  return settings;
}

inline InterfaceSettings back_settings() {
  InterfaceSettings settings{.name = "back"};
  settings.addresses.ipv4 = {back_ip, 24};
  return settings;
}

inline InterfaceSettings with_ipv6(InterfaceSettings settings, const char* address) {
  settings.addresses.ipv6 = {.enabled = true,
                             .accept_router_advertisements = false,
                             .address = {*IpAddress::parse(address), 64},
                             .secret = "a test's secret"};
  return settings;
}

struct Bed {
  explicit Bed(const InterfaceSettings& a = front_settings(), const InterfaceSettings& b = back_settings())
      : first(shard, net[0], a), second(shard, net[1], b), stack(shard, first, second, {}) {
    net[1].capabilities_.mac = back_mac;
  }
  ~Bed() {
    scope.cancel();
    turns(4);
  }
  void start(bool keep_sent = false) {
    (void)scope.spawn([](Host& host, std::string& error, bool& done) -> Task<void> {
      const auto result = co_await host.start();
      if (!result) error = result.error().text();
      done = true;
    }(stack, start_error, started));
    turns(4);
    if (!keep_sent) forget();
  }
  void turns(int number) {
    for (int i = 0; i < number; ++i) (void)shard.turn();
  }
  void run(Duration duration) {
    const Time end = environment.now + duration;
    while (true) {
      while (shard.turn()) {
      }
      if (shard.next_deadline() > end) break;
      environment.now = std::max(environment.now, shard.next_deadline());
    }
    environment.now = end;
    turns(2);
  }
  void arrive(std::uint16_t at, const Packet& frame) {
    net[at].arrive(frame);
    turns(2);
  }
  Sent take(std::uint16_t at) {
    if (net[at].sent.empty()) return {};
    Sent oldest = std::move(net[at].sent.front());
    net[at].sent.pop_front();
    return oldest;
  }
  void forget() {
    net[0].sent.clear();
    net[1].sent.clear();
  }
  /// Both gateways' link addresses are known.
  void meet() {
    arrive(front, near[front].arp(ArpPacket::request, own_ip));
    arrive(back, near[back].arp(ArpPacket::request, back_ip));
    forget();
  }
  /// A packet of a station on a network to any address.
  Packet to(std::uint16_t at, Ipv4Address destination, std::uint8_t protocol, const Packet& payload) const {
    return near[at].ipv4(
        protocol, payload, [&](wire::Ipv4Header& header) { header.destination = destination; },
        at == front ? own_mac : back_mac);
  }
  Result<Path, IpError> route(const IpAddress& destination, const IpAddress& source = {}, std::uint16_t zone = 0) {
    return stack.ip().route(source, destination, zone);
  }
  TestEnvironment environment;
  Shard shard{environment};
  TestNet net[2]{TestNet{shard.buffers()}, TestNet{shard.buffers()}};
  Interface first, second;
  Host stack;
  Scope scope{shard};
  Peer near[2]{Peer{}, Peer{{{2, 0, 0, 0, 9, 1}}, Ipv4Address::of(10, 9, 0, 1)}};
  std::string start_error;
  bool started = false;
};

/// The next DHCP message that was sent on a network.
inline std::optional<wire::DhcpMessage> next_dhcp(Bed& bed, std::uint16_t at, Packet& memory) {
  while (!bed.net[at].sent.empty()) {
    const Parsed packet = parse(bed.take(at));
    if (packet.ip.protocol != 17) continue;
    memory.assign(packet.payload.begin() + 8, packet.payload.end());
    return wire::DhcpMessage::parse(memory);
  }
  return std::nullopt;
}

/// A server's answer to the next DHCP message.
inline void answer_dhcp(Bed& bed, std::uint16_t at, wire::DhcpType type, Ipv4Address leased,
                        std::uint32_t mask = 0xffffff00) {
  Packet memory;
  const auto asked = next_dhcp(bed, at, memory);
  REQUIRE(asked);
  wire::DhcpMessage reply;
  reply.type = type;
  reply.is_reply = true;
  reply.transaction = asked->transaction;
  reply.client_mac = at == front ? own_mac : back_mac;
  reply.your_address = leased;
  reply.server = bed.near[at].ip;
  reply.lease_time = 1000;
  reply.subnet_mask = mask;
  reply.routers = {{bed.near[at].ip}, 1};
  reply.name_servers = {{bed.near[at].ip}, 1};
  Packet bytes(wire::dhcp_maximum_size);
  bytes.resize(reply.emit(bytes));
  const Ipv4Address all{0xffffffff};
  bed.arrive(at, bed.near[at].ipv4(
                     17, bed.near[at].udp(67, 68, bytes, all),
                     [&](wire::Ipv4Header& header) { header.destination = all; }, MacAddress::broadcast()));
}

/// A server on a network says offer, and to what comes then, acknowledged.
inline void grant(Bed& bed, std::uint16_t at, Ipv4Address leased, std::uint32_t mask = 0xffffff00) {
  answer_dhcp(bed, at, wire::DhcpType::offer, leased, mask);
  answer_dhcp(bed, at, wire::DhcpType::ack, leased, mask);
  bed.turns(3);
}

inline InterfaceSettings by_dhcp(InterfaceSettings settings) {
  settings.addresses.dhcp = true;
  return settings;
}

}  // namespace mirage::net::test
