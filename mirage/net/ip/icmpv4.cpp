// SPDX-License-Identifier: ISC
#include <algorithm>

#include <mirage/net/ip/icmpv4.hpp>
#include <mirage/wire/icmpv4.hpp>

namespace mirage::net::ip {

using wire::Icmpv4Header;

namespace {

/// Of a path's MTU: what is less is 0 from routers that do not tell (RFC 1191 5), an attack (RFC 5927 7), or a link
/// that fragments below us. What Linux takes (min_pmtu).
constexpr std::uint16_t least_mtu = 552;

/// RFC 1122 4.2.3.9: which errors are final and which are hints is the transport's decision; this names them.
std::optional<TransportError::Kind> kind_of(const Icmpv4Header& header) noexcept {
  using Kind = TransportError::Kind;
  namespace code = wire::icmpv4_unreachable;
  if (header.type == wire::icmpv4_type::time_exceeded || header.type == wire::icmpv4_type::parameter_problem) {
    return Kind::soft;
  }
  if (header.type != wire::icmpv4_type::destination_unreachable) return std::nullopt;
  switch (header.code) {
    case code::protocol:
      return Kind::protocol_unreachable;
    case code::port:
      return Kind::port_unreachable;
    case code::fragmentation_needed:
      return Kind::packet_too_big;
    case code::network_prohibited:
    case code::host_prohibited:
    case code::communication_prohibited:
      return Kind::administratively_prohibited;
    default:
      return Kind::soft;
  }
}

}  // namespace

std::optional<QuotedError> Icmpv4::input(IpPacket& packet) noexcept {
  ++counters_.received;
  const auto header = Icmpv4Header::parse(packet.payload.empty() ? Bytes{} : packet.payload[0].bytes());
  if (!header) {
    ++counters_.drop_truncated;
    return std::nullopt;
  }
  if (!packet.source.is_v4()) {
    ++counters_.drop_unknown;
    return std::nullopt;
  }
  wire::ChecksumSum sum;
  sum.add(packet.payload);
  if (sum.checksum() != 0) {
    ++counters_.drop_checksum;
    return std::nullopt;
  }
  if (header->is_error()) return error(packet, *header);
  if (header->type == wire::icmpv4_type::echo_request && header->code == 0) {
    echo(packet, *header);
  } else {
    ++counters_.drop_unknown;
  }
  return std::nullopt;
}

/// RFC 1122 3.2.2.6. The data goes back from where it was received, without a copy.
void Icmpv4::echo(IpPacket& packet, const Icmpv4Header& header) noexcept {
  if (packet.is_multicast) {
    ++counters_.drop_broadcast;
    return;
  }
  const auto path = ip_.route(packet.destination, packet.source, packet.source_zone);
  if (!path) return;
  packet.payload.remove_prefix(Icmpv4Header::size);
  counters_.echo_replies += ip_.send_icmp(*path, {.type = wire::icmpv4_type::echo_reply, .rest = header.rest},
                                          packet.traffic_class, std::move(packet.payload));
}

std::optional<QuotedError> Icmpv4::error(const IpPacket& packet, const Icmpv4Header& header) noexcept {
  const Bytes message = packet.payload[0].bytes();
  const auto kind = kind_of(header);
  if (!kind) {
    if (header.type == wire::icmpv4_type::redirect && discovery_.take_redirect(packet)) return std::nullopt;
    ++counters_.drop_unknown;
    return std::nullopt;
  }
  const Bytes quoted = message.subspan(Icmpv4Header::size);
  const auto view = wire::Ipv4View::parse_quoted(quoted);
  if (!view || quoted.size() < view->header_size() + 8) {
    ++counters_.drop_bad_quote;
    return std::nullopt;
  }
  // RFC 5927 4.1: what it quotes must have come from us, as a first fragment.
  if (ip_.addresses().find(view->source(), packet.interface) == nullptr || view->fragment_offset() != 0 ||
      packet.is_multicast) {
    ++counters_.drop_foreign_quote;
    return std::nullopt;
  }
  ++counters_.errors;
  return QuotedError{view->protocol(),
                     {.kind = *kind,
                      .local = view->source(),
                      .remote = view->destination(),
                      .interface = packet.interface,
                      .mtu = std::max(header.next_hop_mtu(), least_mtu),
                      .transport_header = quoted.subspan(view->header_size())}};
}

}  // namespace mirage::net::ip
