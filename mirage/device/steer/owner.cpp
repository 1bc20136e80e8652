// SPDX-License-Identifier: ISC
#include <algorithm>

#include <mirage/device/steer/owner.hpp>
#include <mirage/module/ip.hpp>
#include <mirage/module/port_share.hpp>
#include <mirage/wire/arp.hpp>
#include <mirage/wire/ethernet.hpp>
#include <mirage/wire/icmpv4.hpp>
#include <mirage/wire/icmpv6.hpp>
#include <mirage/wire/ipv4.hpp>
#include <mirage/wire/ipv6.hpp>
#include <mirage/wire/ipv6_extension.hpp>

namespace mirage::device {

namespace {

using wire::EthernetHeader;

constexpr std::uint16_t vlan_tag = 0x8100;
constexpr std::uint16_t dhcp_client_port = 68;     // RFC 2131 4.1
constexpr std::uint16_t dhcpv6_client_port = 546;  // RFC 8415 7.2

constexpr Verdict here{Verdict::Kind::here};
constexpr Verdict everyone{Verdict::Kind::everyone};

Verdict of_arp(Bytes bytes) noexcept {
  const auto packet = wire::ArpPacket::parse(bytes);
  if (!packet || packet->is_probe()) return here;
  return packet->operation == wire::ArpPacket::reply ? everyone : Verdict{Verdict::Kind::news};
}

/// Questions that one shard answers for all.
bool is_question(std::uint8_t protocol, std::uint8_t type) noexcept {
  if (protocol == ip_protocol::icmp) return type == wire::icmpv4_type::echo_request;
  return type == wire::icmpv6_type::echo_request || type == wire::icmpv6_type::neighbour_solicitation ||
         type == wire::icmpv6_type::router_solicitation;
}

}  // namespace

Verdict Owner::of(Bytes first) noexcept {
  if (first.size() < EthernetHeader::size) return here;
  std::size_t header = EthernetHeader::size;
  auto type = load_big<std::uint16_t>(first, EthernetHeader::type_at);
  if (type == vlan_tag && first.size() >= header + vlan_tag_size) {
    header += vlan_tag_size;
    type = load_big<std::uint16_t>(first, header - sizeof type);
  }
  const bool group = (std::to_integer<unsigned>(first[0]) & 1) != 0;
  const Bytes packet = first.subspan(header);
  if (type == wire::ether_type::arp) return of_arp(packet);
  Verdict verdict = group ? everyone : here;
  if (type == wire::ether_type::ipv4) verdict = of_v4(packet);
  if (type == wire::ether_type::ipv6) verdict = of_v6(packet);
  // What goes to a group belongs to every member; questions to all hosts are answered once.
  return group && verdict.kind == Verdict::Kind::shard ? everyone : verdict;
}

Verdict Owner::of_v4(Bytes packet) noexcept {
  const auto header = wire::Ipv4View::parse_quoted(packet);
  if (!header) return here;
  Transport transport{.addresses = packet.subspan(wire::ipv4_at::source, 8),
                      .segment = packet.subspan(header->header_size()),
                      .identification = packet.subspan(wire::ipv4_at::identification, 2),
                      .protocol = header->protocol()};
  transport.first = header->fragment_offset() == 0;
  transport.whole = transport.first && !header->more_fragments();
  return of_transport(transport);
}

Verdict Owner::of_v6(Bytes packet) noexcept {
  const auto header = wire::Ipv6Header::parse_quoted(packet);
  if (!header) return here;
  const Bytes rest = packet.subspan(wire::ipv6_header_size);
  const auto walk = wire::walk_extensions(header->next_header, rest, wire::ipv6_header_size);
  Transport transport;
  transport.addresses = packet.subspan(wire::ipv6_at::source, 32);
  transport.protocol = walk.protocol;
  if (walk.outcome == wire::Ipv6Walk::Outcome::transport) {
    transport.segment = rest.subspan(walk.offset);
    return of_transport(transport);
  }
  if (walk.outcome != wire::Ipv6Walk::Outcome::fragment) return here;
  transport.identification =
      rest.subspan(walk.offset - wire::Ipv6Fragment::size + wire::Ipv6Fragment::identification_at, 4);
  transport.whole = false;
  transport.first = walk.fragment.offset == 0;
  transport.segment = rest.subspan(walk.offset);
  if (transport.first && wire::is_extension(walk.protocol)) {  // RFC 7112: all headers are in the first fragment
    const auto inner = wire::walk_extensions(walk.protocol, transport.segment, 0);
    if (inner.outcome != wire::Ipv6Walk::Outcome::transport) return here;
    transport.segment = transport.segment.subspan(inner.offset);
    transport.protocol = inner.protocol;
  }
  return of_transport(transport);
}

Verdict Owner::of_transport(const Transport& transport) noexcept {
  if (transport.whole) return of_flow(transport);
  const std::uint64_t hash = datagram(transport);
  Datagram& entry = datagrams_[hash % datagrams_.size()];
  if (transport.first) entry = {hash, of_flow(transport), true};
  return entry.known && entry.hash == hash ? entry.verdict : everyone;
}

/// Precondition: the transport header is there, if the packet is not cut off.
Verdict Owner::of_flow(const Transport& transport) const noexcept {
  const Bytes segment = transport.segment;
  const std::uint8_t protocol = transport.protocol;
  if (protocol == ip_protocol::icmp || protocol == ip_protocol::icmpv6) {
    return segment.empty() || is_question(protocol, std::to_integer<std::uint8_t>(segment[0])) ? here : everyone;
  }
  if (protocol == ip_protocol::igmp) return everyone;
  if ((protocol != ip_protocol::tcp && protocol != ip_protocol::udp) || segment.size() < 4) return here;
  const auto port = load_big<std::uint16_t>(segment, 2);
  if (protocol == ip_protocol::udp && (port == dhcp_client_port || port == dhcpv6_client_port)) return everyone;
  if (port >= PortShare::first_ephemeral) return {Verdict::Kind::shard, static_cast<std::uint16_t>(port % shards_)};
  std::array<std::byte, 32 + 4> tuple{};
  std::ranges::copy(transport.addresses, tuple.begin());
  std::ranges::copy(segment.first(4), tuple.begin() + static_cast<std::ptrdiff_t>(transport.addresses.size()));
  return {Verdict::Kind::shard, spread(siphash(key_, Bytes{tuple}.first(transport.addresses.size() + 4)))};
}

std::uint16_t Owner::spread(std::uint64_t hash) const noexcept {
  return static_cast<std::uint16_t>((hash >> 32) * shards_ >> 32);
}

/// RFC 791 3.2, RFC 8200 4.5: what the fragments of one datagram have in common.
std::uint64_t Owner::datagram(const Transport& transport) const noexcept {
  std::array<std::byte, 32 + 4> name{};
  const auto end = std::ranges::copy(transport.addresses, name.begin()).out;
  std::ranges::copy(transport.identification, end);
  return siphash(key_, name);
}

}  // namespace mirage::device
