// SPDX-License-Identifier: ISC
// For tests: an IPv6 station beside the testbed's stack, and what the stack sends as IPv6.
#pragma once

#include <mirage/net/testbed_test.hpp>
#include <mirage/wire/ipv6_extension.hpp>
#include <mirage/wire/ndp.hpp>

namespace mirage::net::test {

inline const IpAddress own_v6 = *IpAddress::parse("2001:db8::2");

/// A stack with the static address own_v6, without IPv4.
inline StackOptions v6_options(bool accept_routers = false) {
  StackOptions options;
  options.ipv4_enabled = false;
  options.ipv6 = {.enabled = true,
                  .accept_router_advertisements = accept_routers,
                  .address = {own_v6, 64},
                  .secret = "a test's secret"};
  return options;
}

/// Another station: builds frames to the stack.
struct Peer6 {
  MacAddress mac{{2, 0, 0, 0, 0, 1}};
  IpAddress ip = *IpAddress::parse("2001:db8::1");
  IpAddress link_local = *IpAddress::parse("fe80::1");

  /// `change` may edit the header before it is written.
  Packet ipv6(std::uint8_t next, const Packet& payload,
              const std::function<void(wire::Ipv6Header&)>& change = {}) const {
    wire::Ipv6Header header{.payload_length = static_cast<std::uint16_t>(payload.size()),
                            .next_header = next,
                            .source = ip,
                            .destination = own_v6};
    if (change) change(header);
    Packet packet(14 + 40 + payload.size());
    const auto& low = header.destination.octets;
    const MacAddress group{{0x33, 0x33, low[12], low[13], low[14], low[15]}};
    wire::EthernetHeader{header.destination.is_multicast() ? group : own_mac, mac, wire::ether_type::ipv6}.emit(packet);
    header.emit(MutableBytes(packet).subspan(14));
    std::ranges::copy(payload, packet.begin() + 54);
    return packet;
  }
  /// Writes the checksum at `field` of a message between two addresses.
  static void seal(Packet& message, std::size_t field, std::uint8_t protocol, const IpAddress& from,
                   const IpAddress& to) {
    store_big(MutableBytes(message), field, std::uint16_t{0});
    const auto pseudo = wire::pseudo_header_complete(wire::pseudo_header_sum(from, to), protocol,
                                                     static_cast<std::uint32_t>(message.size()));
    store_big(MutableBytes(message), field, wire::checksum_of(message, pseudo));
  }
  /// A whole ICMPv6 packet; hop limit 255 suits neighbour discovery.
  Packet icmp(Packet message, const IpAddress& from, const IpAddress& to, std::uint8_t hop_limit = 255) const {
    seal(message, 2, 58, from, to);
    return ipv6(58, message, [&](wire::Ipv6Header& header) {
      header.source = from;
      header.destination = to;
      header.hop_limit = hop_limit;
    });
  }
  static Packet echo(const Packet& data) {
    Packet message(8 + data.size());
    wire::Icmpv6Header{.type = 128, .rest = 0x00070001}.emit(message);
    std::ranges::copy(data, message.begin() + 8);
    return message;
  }
  /// With the link address of this station unless `with_mac` is false.
  Packet neighbour(std::uint8_t type, std::uint8_t flags, const IpAddress& target, bool with_mac = true) const {
    Packet message(with_mac ? 32 : 24);
    wire::NeighbourMessage{type, flags, target, {}}.emit(message);
    if (with_mac) {
      wire::emit_link_address(MutableBytes(message).subspan(24), static_cast<std::uint8_t>(type == 135 ? 1 : 2), mac);
    }
    return message;
  }
  Packet solicitation(const IpAddress& target = own_v6) const {
    return icmp(neighbour(135, 0, target), ip, wire::ipv6_group::solicited_node(target));
  }
  Packet advertisement(std::uint8_t flags = 0x60) const { return icmp(neighbour(136, flags, ip), ip, own_v6); }
  Packet udp(Port from, Port to, const Packet& data, std::function<void(wire::Ipv6Header&)> change = {}) const {
    return ipv6(17, datagram(from, to, data), change);
  }
  Packet datagram(Port from, Port to, const Packet& data) const {
    Packet message(8 + data.size());
    wire::UdpHeader{from, to, static_cast<std::uint16_t>(message.size()), 0}.emit(message);
    std::ranges::copy(data, message.begin() + 8);
    seal(message, 6, 17, ip, own_v6);
    return message;
  }
};

struct Parsed6 {
  wire::EthernetHeader ethernet{};
  wire::Ipv6Header ip{};
  Packet payload;
  [[nodiscard]] bool is_icmp(std::uint8_t type) const {
    return ip.next_header == 58 && !payload.empty() && payload[0] == std::byte{type};
  }
  [[nodiscard]] bool checksum_is_right() const {
    const auto pseudo = wire::pseudo_header_complete(wire::pseudo_header_sum(ip.source, ip.destination), ip.next_header,
                                                     static_cast<std::uint32_t>(payload.size()));
    return wire::checksum_is_valid(payload, pseudo);
  }
};

inline Parsed6 parse6(const Sent& sent) {
  Parsed6 parsed;
  parsed.ethernet = wire::EthernetHeader::parse(sent.bytes).value_or(wire::EthernetHeader{});
  if (sent.bytes.size() < 54 || parsed.ethernet.type != wire::ether_type::ipv6) return parsed;
  const Bytes packet = Bytes(sent.bytes).subspan(14);
  const auto header = wire::Ipv6Header::parse(packet, packet.size());
  if (!header) return parsed;
  parsed.ip = *header;
  const Bytes payload = packet.subspan(40, header->payload_length);
  parsed.payload.assign(payload.begin(), payload.end());
  return parsed;
}

/// A started stack whose addresses are past their detection, with nothing sent yet.
struct Bed6 : Testbed {
  explicit Bed6(const StackOptions& options = v6_options()) : Testbed(options) {
    start();
    run(2s);
    net.sent.clear();
  }
  /// Makes the peer's link address known and reachable.
  void meet(const Peer6& peer) {
    arrive(peer.solicitation());
    arrive(peer.advertisement());
    net.sent.clear();
  }
  Parsed6 take6() { return parse6(take()); }
  [[nodiscard]] std::size_t in_use() { return shard.buffers().statistics().bytes_in_use; }
};

}  // namespace mirage::net::test
