// SPDX-License-Identifier: ISC
// The receive half of IPv6.
#include <mirage/net/ip/ip.hpp>

namespace mirage::net::ip {

using wire::Ipv6Fragment;
using wire::Ipv6Header;
using wire::Ipv6ParseError;
using wire::Ipv6Walk;

namespace {

constexpr std::size_t quoted_bytes_v6 = wire::ipv6_minimum_mtu - wire::ipv6_header_size - wire::Icmpv6Header::size;

Bytes first_bytes(const SliceList& payload) noexcept { return payload.empty() ? Bytes{} : payload[0].bytes(); }

}  // namespace

bool Ip::input_v6(LinkPacket& packet, IpPacket& up) noexcept {
  const auto header = Ipv6Header::parse(first_bytes(packet.data), packet.data.byte_count());
  if (!header) {
    count(header.error());
    return false;
  }
  if (!acceptable_v6(*header, up.interface, packet.is_broadcast)) return false;
  up.source = header->source;
  up.destination = header->destination;
  up.protocol = header->next_header;
  up.traffic_class = header->traffic_class;
  up.hop_limit = header->hop_limit;
  up.is_multicast = header->destination.is_multicast();
  up.pseudo_header_sum = wire::pseudo_header_sum(header->source, header->destination);
  up.original = packet.data[0].sub(0, quoted_bytes_v6);
  up.payload = std::move(packet.data);
  up.payload.truncate(wire::ipv6_header_size + header->payload_length);  // what the link padded
  up.payload.remove_prefix(wire::ipv6_header_size);
  return unwrap(up, wire::ipv6_header_size);
}

void Ip::count(Ipv6ParseError error) noexcept {
  switch (error) {
    case Ipv6ParseError::truncated:
      ++counters_.drop_truncated;
      break;
    case Ipv6ParseError::version:
      ++counters_.drop_version;
      break;
    case Ipv6ParseError::length:
      ++counters_.drop_length;
      break;
  }
}

/// RFC 4291 2.5-2.7; RFC 4038 4.2: an IPv4-mapped address on the wire is an attack on whoever takes it for IPv4.
bool Ip::acceptable_v6(const Ipv6Header& header, std::uint16_t interface, bool link_broadcast) noexcept {
  const IpAddress& source = header.source;
  const IpAddress& destination = header.destination;
  const bool to_group = destination.is_multicast();
  const bool nobody = source.is_unspecified() && to_group;  // while it asks for its address (RFC 4862 5.4)
  if (source.is_v4() || source.is_loopback() || !(source.is_unicast() || nobody) || is_own_source(source, interface)) {
    ++counters_.drop_bad_source;
    return false;
  }
  const bool for_us = to_group ? destination == wire::ipv6_group::all_nodes || listens(destination, interface, source)
                               : !destination.is_v4() && addresses_.find(destination, interface) != nullptr;
  if (!for_us) {
    count_foreign(destination, interface, link_broadcast);
    return false;
  }
  if (link_broadcast && !to_group) {
    ++counters_.drop_unicast_in_broadcast;
    return false;
  }
  return true;
}

/// Removes the extension headers at the front of the payload, which lies at `base` of its packet. True when what is
/// left is a transport's.
bool Ip::unwrap(IpPacket& packet, std::size_t base) noexcept {
  if (wire::is_extension(packet.protocol) && !pull_up(packet.payload, wire::ipv6_maximum_extensions)) return false;
  const Ipv6Walk walk = wire::walk_extensions(packet.protocol, first_bytes(packet.payload), base);
  packet.payload.remove_prefix(walk.offset);
  packet.protocol = walk.protocol;
  const bool again = walk.has_fragment && packet.was_fragmented;
  packet.was_fragmented = packet.was_fragmented || walk.has_fragment;
  switch (walk.outcome) {
    case Ipv6Walk::Outcome::transport:
      if (again) break;
      return true;
    case Ipv6Walk::Outcome::fragment:
      if (again) break;  // fragments of fragments: nobody makes them but to get past a filter
      return collect_v6(packet, walk.fragment, base + walk.offset);
    case Ipv6Walk::Outcome::nothing:
      ++counters_.drop_no_next_header;
      return false;
    case Ipv6Walk::Outcome::problem:
      send_error_v6(packet.original, {.type = wire::icmpv6_type::parameter_problem,
                                      .code = walk.code,
                                      .rest = walk.pointer,
                                      .even_to_group = walk.even_to_group,
                                      .interface = packet.interface});
      break;
    case Ipv6Walk::Outcome::discard:
      break;
  }
  ++counters_.drop_extension;
  return false;
}

/// RFC 8200 4.5 and RFC 7112 5; `base` is where the payload lies in the packet.
bool Ip::collect_v6(IpPacket& packet, const Ipv6Fragment& fragment, std::size_t base) noexcept {
  const std::size_t size = packet.payload.byte_count();
  const auto problem = [&](std::uint8_t code, std::size_t pointer) {
    ++counters_.drop_bad_fragment;
    send_error_v6(
        packet.original,
        {.type = wire::icmpv6_type::parameter_problem, .code = code, .rest = static_cast<std::uint32_t>(pointer)});
    return false;
  };
  if (fragment.more && size % 8 != 0) {
    return problem(wire::icmpv6_parameter_problem::header_field, wire::ipv6_at::payload_length);
  }
  if (fragment.offset + size > 0xffff) {
    return problem(wire::icmpv6_parameter_problem::header_field, base - Ipv6Fragment::size + Ipv6Fragment::offset_at);
  }
  if (fragment.offset == 0 && (!pull_up(packet.payload, wire::ipv6_maximum_extensions) ||
                               !wire::holds_header_chain(fragment.next_header, first_bytes(packet.payload)))) {
    return problem(wire::icmpv6_parameter_problem::incomplete_chain, 0);
  }
  const bool whole = collect(packet, {.key = {.source = packet.source,
                                              .destination = packet.destination,
                                              .identification = fragment.identification,
                                              .interface = packet.interface},
                                      .offset = fragment.offset,
                                      .more = fragment.more,
                                      .protocol = fragment.next_header,
                                      .payload = {},
                                      .original = {}});
  return whole && unwrap(packet, base);
}

}  // namespace mirage::net::ip
