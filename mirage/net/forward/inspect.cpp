// SPDX-License-Identifier: ISC
#include <mirage/module/ip.hpp>
#include <mirage/net/forward/inspect.hpp>
#include <mirage/wire/icmpv4.hpp>
#include <mirage/wire/tcp.hpp>
#include <mirage/wire/udp.hpp>

namespace mirage::net::forward {

namespace {

constexpr std::size_t port_bytes = 8;  // of a transport header, which every ICMP error quotes (RFC 792)

/// The ports of a packet's transport header, or an ICMP query's identifier. `transport` has at least 8 bytes.
constexpr bool read_ports(std::uint8_t protocol, Bytes transport, Tuple& tuple) noexcept {
  if (protocol == ip_protocol::icmp) {
    const auto type = load_big<std::uint8_t>(transport, wire::Icmpv4Header::type_at);
    if (type != wire::icmpv4_type::echo_request && type != wire::icmpv4_type::echo_reply) return false;
    tuple.source_port = tuple.destination_port = load_big<std::uint16_t>(transport, wire::Icmpv4Header::rest_at);
    return true;
  }
  if (protocol != ip_protocol::tcp && protocol != ip_protocol::udp) return false;
  tuple.source_port = load_big<std::uint16_t>(transport, 0);
  tuple.destination_port = load_big<std::uint16_t>(transport, 2);
  return true;
}

Result<void, InspectError> inspect_error(Bytes first, Inspected& out) noexcept {
  const std::size_t at = out.header_size + wire::Icmpv4Header::size;
  const auto quoted = wire::Ipv4View::parse_quoted(first.subspan(at));
  if (!quoted) return Failure{InspectError::malformed};
  out.quoted_at = at;
  out.quoted_transport_at = at + quoted->header_size();
  out.inspected_size = out.quoted_transport_at + port_bytes;
  if (first.size() < out.inspected_size) return Failure{InspectError::truncated};
  out.kind = Inspected::Kind::icmp_error;
  out.tuple = {.source = quoted->source(), .destination = quoted->destination(), .protocol = quoted->protocol()};
  const bool known = read_ports(quoted->protocol(), first.subspan(out.quoted_transport_at), out.tuple);
  // RFC 5508 REQ-3: what does not belong to a flow is not forwarded; a later fragment has no ports.
  if (!known || quoted->fragment_offset() != 0) return Failure{InspectError::malformed};
  return {};
}

Result<void, InspectError> inspect_icmp(Bytes first, Inspected& out) noexcept {
  const auto header = wire::Icmpv4Header::parse(first.subspan(out.header_size));
  if (!header) return Failure{InspectError::truncated};
  if (header->is_error()) return inspect_error(first, out);
  out.inspected_size = out.header_size + wire::Icmpv4Header::size;
  if (read_ports(ip_protocol::icmp, first.subspan(out.header_size), out.tuple)) out.kind = Inspected::Kind::icmp_query;
  return {};
}

Result<void, InspectError> inspect_transport(Bytes first, std::size_t available, Inspected& out) noexcept {
  const Bytes transport = first.subspan(out.header_size);
  if (out.tuple.protocol == ip_protocol::icmp) return inspect_icmp(first, out);
  if (out.tuple.protocol == ip_protocol::tcp) {
    const auto view = wire::TcpView::parse(transport);
    if (!view) return Failure{InspectError::malformed};
    out.kind = Inspected::Kind::tcp;
    const wire::TcpHeader header = view->header();
    out.tcp_flags = header.flags;
    out.tcp_sequence = header.sequence;
    out.tcp_acknowledgement = header.acknowledgement;
    out.inspected_size = out.header_size + view->header_size();
  } else if (out.tuple.protocol == ip_protocol::udp) {
    if (!wire::UdpHeader::parse(transport, available - out.header_size)) return Failure{InspectError::malformed};
    out.kind = Inspected::Kind::udp;
    out.inspected_size = out.header_size + wire::UdpHeader::size;
  } else {
    out.inspected_size = out.header_size;
    return {};
  }
  (void)read_ports(out.tuple.protocol, transport, out.tuple);
  return {};
}

}  // namespace

Result<Inspected, InspectError> inspect(Bytes first, std::size_t available) noexcept {
  const auto view = wire::Ipv4View::parse(first, available);
  if (!view) return Failure{InspectError::malformed};
  if (view->is_fragment()) return Failure{InspectError::fragment};
  Inspected out;
  out.source = view->source();
  out.destination = view->destination();
  out.tuple = {.source = out.source, .destination = out.destination, .protocol = view->protocol()};
  out.time_to_live = view->time_to_live();
  out.dont_fragment = view->dont_fragment();
  out.total_length = view->total_length();
  out.header_size = view->header_size();
  // Link padding is none of the packet's bytes: a UDP length or a TCP header must not reach into it.
  const Bytes packet = first.first(std::min<std::size_t>(first.size(), view->total_length()));
  MIRAGE_CHECK(inspect_transport(packet, view->total_length(), out));
  return out;
}

}  // namespace mirage::net::forward
