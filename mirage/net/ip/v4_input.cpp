// SPDX-License-Identifier: ISC
// The receive half of IPv4.
#include <mirage/net/ip/fragmentation.hpp>
#include <mirage/net/ip/ip.hpp>

namespace mirage::net::ip {

using wire::Ipv4ParseError;
using wire::Ipv4View;

namespace {

constexpr Ipv4Address all_hosts = Ipv4Address::of(224, 0, 0, 1);  // RFC 1112 4

/// RFC 791 3.1: loose (131) or strict (137) source and record route among the options.
constexpr bool has_source_route(Bytes options) noexcept {
  std::size_t at = 0;
  while (at < options.size()) {
    const auto type = std::to_integer<unsigned>(options[at]);
    if (type == 131 || type == 137) return true;
    if (type == 0) return false;
    if (type == 1) {
      ++at;
      continue;
    }
    if (at + 1 >= options.size()) return false;
    const auto length = std::to_integer<std::size_t>(options[at + 1]);
    if (length < 2) return false;
    at += length;
  }
  return false;
}

}  // namespace

bool Ip::input_v4(LinkPacket& packet, IpPacket& up) noexcept {
  const Bytes first = packet.data.empty() ? Bytes{} : packet.data[0].bytes();
  const auto view = Ipv4View::parse(first, packet.data.byte_count());
  if (!view) {
    count(view.error());
    return false;
  }
  const bool own = addresses_.find(view->destination(), up.interface) != nullptr;
  if (!acceptable_v4(*view, up.interface, own, packet.is_broadcast)) return false;
  const wire::Ipv4Header header = view->value();
  up.source = header.source;
  up.destination = header.destination;
  up.protocol = header.protocol;
  up.traffic_class = header.traffic_class;
  up.hop_limit = header.time_to_live;
  up.checksum_optional = true;
  up.is_multicast = !own && is_group(up.destination, up.interface);
  up.pseudo_header_sum = wire::pseudo_header_sum(header.source, header.destination);
  const std::size_t header_size = view->header_size();
  up.original = packet.data[0].sub(0, quoted_bytes_v4);
  up.payload = std::move(packet.data);
  up.payload.truncate(header.total_length);  // what the link padded
  up.payload.remove_prefix(header_size);
  if (!header.more_fragments && header.fragment_offset == 0) return true;
  return collect(up, {.key = {.source = up.source,
                              .destination = up.destination,
                              .identification = header.identification,
                              .protocol = header.protocol,
                              .interface = up.interface},
                      .offset = header.fragment_offset,
                      .more = header.more_fragments,
                      .protocol = header.protocol,
                      .payload = {},
                      .original = {}});
}

void Ip::count(Ipv4ParseError error) noexcept {
  switch (error) {
    case Ipv4ParseError::truncated:
      ++counters_.drop_truncated;
      break;
    case Ipv4ParseError::version:
      ++counters_.drop_version;
      break;
    case Ipv4ParseError::header_length:
    case Ipv4ParseError::total_length:
      ++counters_.drop_length;
      break;
    case Ipv4ParseError::checksum:
      ++counters_.drop_checksum;
      break;
    case Ipv4ParseError::fragment:
      ++counters_.drop_bad_fragment;
      break;
  }
}

/// RFC 1122 3.2.1.3 (addresses), 3.3.6 (link broadcasts), RFC 7126 4.3 (source routes).
/// `own`: the destination is the interface's address.
bool Ip::acceptable_v4(const Ipv4View& view, std::uint16_t interface, bool own, bool link_broadcast) noexcept {
  const Ipv4Address source = view.source();
  const Ipv4Address destination = view.destination();
  // A switch that asks for members may have no address (RFC 4541 2.1.1).
  const bool nobody = source.is_unspecified() && view.protocol() == ip_protocol::igmp && destination.is_multicast();
  if (!(source.is_unicast() || nobody) || source.is_loopback() || is_broadcast(source, interface) ||
      is_own_source(source, interface)) {
    ++counters_.drop_bad_source;
    return false;
  }
  const bool to_group = !own && (is_broadcast(destination, interface) || destination == all_hosts ||
                                 listens(destination, interface, view.source()));
  if (!to_group && !own) {
    count_foreign(destination, interface, link_broadcast);
    return false;
  }
  if (link_broadcast && !to_group) {
    ++counters_.drop_unicast_in_broadcast;
    return false;
  }
  if (view.has_options() && has_source_route(view.header().subspan(wire::ipv4_at::options))) {
    ++counters_.drop_source_route;
    return false;
  }
  return true;
}

}  // namespace mirage::net::ip
