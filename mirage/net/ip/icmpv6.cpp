// SPDX-License-Identifier: ISC
#include <algorithm>

#include <mirage/net/ip/icmpv6.hpp>

namespace mirage::net::ip {

using wire::Icmpv6Header;

namespace type = wire::icmpv6_type;

namespace {

/// RFC 4443 3, RFC 1122 4.2.3.9: which errors are final and which are hints is the transport's decision; this names
/// them. RFC 4443 2.4 (a): unknown errors are hints.
TransportError::Kind kind_of(const Icmpv6Header& header) noexcept {
  using Kind = TransportError::Kind;
  namespace code = wire::icmpv6_unreachable;
  if (header.type == type::packet_too_big) return Kind::packet_too_big;
  if (header.type == type::parameter_problem && header.code == wire::icmpv6_parameter_problem::next_header) {
    return Kind::protocol_unreachable;
  }
  if (header.type != type::destination_unreachable) return Kind::soft;
  if (header.code == code::port) return Kind::port_unreachable;
  if (header.code == code::prohibited || header.code == code::source_policy || header.code == code::reject_route) {
    return Kind::administratively_prohibited;
  }
  return Kind::soft;
}

}  // namespace

std::optional<QuotedError> Icmpv6::input(IpPacket& packet) noexcept {
  ++counters_.received;
  const auto header = Icmpv6Header::parse(packet.payload.empty() ? Bytes{} : packet.payload[0].bytes());
  if (!header) {
    ++counters_.drop_truncated;
    return std::nullopt;
  }
  if (packet.source.is_v4()) {
    ++counters_.drop_unknown;
    return std::nullopt;
  }
  if (!packet.checksum_verified && !checksum_is_right(packet)) {
    ++counters_.drop_checksum;
    return std::nullopt;
  }
  if (header->is_error()) return error(packet, *header);
  switch (header->type) {
    case type::echo_request:
      echo(packet, *header);
      break;
    case type::listener_query:
      discovery_.on_query(packet);
      break;
    case type::router_solicitation:
    case type::router_advertisement:
    case type::neighbour_solicitation:
    case type::neighbour_advertisement:
    case type::redirect:
      discovery_.input(packet);
      break;
    default:
      ++counters_.drop_unknown;
  }
  return std::nullopt;
}

bool Icmpv6::checksum_is_right(const IpPacket& packet) const noexcept {
  const auto length = static_cast<std::uint32_t>(packet.payload.byte_count());
  wire::ChecksumSum sum{wire::pseudo_header_complete(packet.pseudo_header_sum, ip_protocol::icmpv6, length)};
  sum.add(packet.payload);
  return sum.checksum() == 0;
}

/// RFC 4443 4.2. The data goes back from where it was received, without a copy. A group's members answer too, but no
/// faster than they send errors: a question to all must not become a flood.
void Icmpv6::echo(IpPacket& packet, const Icmpv6Header& header) noexcept {
  if (packet.is_multicast && !ip_.may_answer(packet.interface)) {
    ++counters_.drop_broadcast;
    return;
  }
  const auto path =
      ip_.route(packet.is_multicast ? IpAddress{} : packet.destination, packet.source, packet.source_zone);
  // A question to all, from an address beyond another interface, must not send its data there.
  if (!path || path->interface != packet.interface) {
    ++counters_.drop_broadcast;
    return;
  }
  packet.payload.remove_prefix(Icmpv6Header::size);
  counters_.echo_replies += ip_.send_icmp(*path, {.type = type::echo_reply, .rest = header.rest}, packet.traffic_class,
                                          std::move(packet.payload));
}

std::optional<QuotedError> Icmpv6::error(const IpPacket& packet, const Icmpv6Header& header) noexcept {
  const Bytes message = packet.payload[0].bytes();
  const Bytes quoted = message.subspan(Icmpv6Header::size);
  const auto about = wire::Ipv6Header::parse_quoted(quoted);
  const Bytes behind = about ? quoted.subspan(wire::ipv6_header_size) : Bytes{};
  const auto walk =
      wire::walk_extensions(about ? about->next_header : wire::ipv6_next::none, behind, wire::ipv6_header_size);
  // A first fragment of ours is as good as a whole packet.
  const bool first = walk.outcome == wire::Ipv6Walk::Outcome::fragment && walk.fragment.offset == 0;
  if (!about || (walk.outcome != wire::Ipv6Walk::Outcome::transport && !first) || behind.size() < walk.offset + 8) {
    ++counters_.drop_bad_quote;
    return std::nullopt;
  }
  // RFC 5927 4.1: what it quotes must have come from us; RFC 8201 4: no path has less than the minimum.
  const bool too_big = header.type == type::packet_too_big;
  const bool ours = ip_.addresses().find(about->source, packet.interface) != nullptr;
  if (!ours || packet.is_multicast || (too_big && header.rest < wire::ipv6_minimum_mtu)) {
    ++counters_.drop_foreign_quote;
    return std::nullopt;
  }
  ++counters_.errors;
  return QuotedError{walk.protocol,
                     {.kind = kind_of(header),
                      .local = about->source,
                      .remote = about->destination,
                      .interface = packet.interface,
                      .mtu = static_cast<std::uint16_t>(too_big ? std::min<std::uint32_t>(header.rest, 0xffff) : 0),
                      .transport_header = behind.subspan(walk.offset)}};
}

}  // namespace mirage::net::ip
