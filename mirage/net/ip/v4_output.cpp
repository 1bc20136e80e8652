// SPDX-License-Identifier: ISC
// The transmit half of IPv4: header, fragmentation, ICMP errors.
#include <algorithm>

#include <mirage/net/ip/fragmentation.hpp>
#include <mirage/net/ip/ip.hpp>
#include <mirage/wire/icmpv4.hpp>

namespace mirage::net::ip {

using wire::Ipv4Header;

Result<void, IpError> Ip::send_v4(const Path& path, std::uint8_t protocol, std::uint8_t traffic_class,
                                  TransmitFrame&& frame) noexcept {
  const std::size_t size = frame.byte_count();
  if (size > 0xffff - wire::ipv4_header_size) return fail(IpError::too_long);
  Ipv4Header header{.traffic_class = traffic_class,
                    .total_length = static_cast<std::uint16_t>(size + wire::ipv4_header_size),
                    .time_to_live = options_.time_to_live,
                    .protocol = protocol,
                    .source = path.source.v4(),
                    .destination = path.destination.v4()};
  if (header.destination.is_multicast()) header.time_to_live = 1;  // RFC 1112 6.1
  // RFC 1191: TCP and UDP learn the path's MTU, and we cut to it; other protocols are cut on the way where need be.
  header.dont_fragment = protocol == ip_protocol::tcp || protocol == ip_protocol::udp;
  if (!header.dont_fragment) header.identification = next_identification(header.destination, protocol);
  const bool segmented = frame.offload.segmentation != Offload::Segmentation::none;
  if (header.total_length > path.mtu && !segmented) return send_fragments(path, header, std::move(frame));
  return send_packet(path, header, std::move(frame));
}

/// RFC 6864 4.2: unique per source, destination and protocol for as long as fragments may live; unpredictable across
/// destinations. Packets that may not be fragmented carry 0.
std::uint16_t Ip::next_identification(Ipv4Address destination, std::uint8_t protocol) noexcept {
  const std::uint32_t mixed = (destination.value ^ identification_key_ ^ protocol) * 0x9e3779b1U;
  return identifications_[mixed >> 26]++;
}

Result<void, IpError> Ip::send_fragments(const Path& path, Ipv4Header header, TransmitFrame&& frame) noexcept {
  complete_checksum(frame);
  const std::size_t total = frame.byte_count();
  const std::size_t chunk = (path.mtu - wire::ipv4_header_size) & ~std::size_t{7};
  if (chunk == 0) return fail(IpError::too_long);
  if (header.dont_fragment) header.identification = next_identification(header.destination, header.protocol);
  header.dont_fragment = false;
  const Slice head = std::move(frame.header).freeze();
  for (std::size_t offset = 0; offset < total; offset += chunk) {
    const std::size_t size = std::min(chunk, total - offset);
    header.fragment_offset = static_cast<std::uint16_t>(offset);
    header.more_fragments = offset + size < total;
    header.total_length = static_cast<std::uint16_t>(size + wire::ipv4_header_size);
    [[clang::uninitialized]] TransmitFrame fragment;
    fragment.header = new_frame(0);
    if (!fragment.header || !take_part(head, frame.payload, offset, size, fragment.payload)) {
      return fail(IpError::no_memory);
    }
    ++counters_.fragments_sent;
    MIRAGE_CHECK(send_packet(path, header, std::move(fragment)));
  }
  return {};
}

Result<void, IpError> Ip::send_packet(const Path& path, const Ipv4Header& header, TransmitFrame&& frame) noexcept {
  if (frame.header.headroom() < wire::ipv4_header_size + ethernet_header_size) return fail(IpError::no_memory);
  header.emit(frame.header.grow_front(wire::ipv4_header_size));
  Offload& offload = frame.offload;
  if (offload.needs_checksum) offload.checksum_start += wire::ipv4_header_size;
  if (offload.segmentation != Offload::Segmentation::none) offload.header_length += wire::ipv4_header_size;
  return to_link(path, std::move(frame));
}

/// RFC 3376 4: IP precedence of internetwork control, TTL 1, router alert (RFC 2113).
void Ip::send_group_report(std::uint16_t interface, Ipv4Address to, TransmitFrame&& frame) noexcept {
  constexpr std::uint32_t router_alert = 0x94040000;
  constexpr std::size_t size = wire::ipv4_header_size + 4;
  constexpr std::uint8_t igmp = 2;
  Path path;
  path.source = prefix(interface).address;
  path.destination = to;
  path.interface = interface;
  const Ipv4Header header{.traffic_class = 0xc0,
                          .total_length = static_cast<std::uint16_t>(frame.byte_count() + size),
                          .dont_fragment = true,
                          .time_to_live = 1,
                          .protocol = igmp,
                          .source = path.source.v4(),
                          .destination = path.destination.v4()};
  const MutableBytes out = frame.header.grow_front(size);
  header.emit(out);
  store_big(out, wire::ipv4_at::version_and_length, std::uint8_t{0x46});
  store_big(out, wire::ipv4_at::options, router_alert);
  store_big(out, wire::ipv4_at::checksum, std::uint16_t{0});
  store_big(out, wire::ipv4_at::checksum, wire::checksum_of(out));
  (void)to_link(path, std::move(frame));
}

void Ip::send_error_v4(const Slice& original, const ErrorReply& error) noexcept {
  const auto view = wire::Ipv4View::parse_quoted(original.bytes());
  if (!view) return;
  // RFC 1122 3.2.2: never about an ICMP error, a group destination, a later fragment, or to no single host.
  const Bytes payload = original.bytes().subspan(view->header_size());
  const auto inner = wire::Icmpv4Header::parse(payload);
  const bool about_error = view->protocol() == ip_protocol::icmp && (!inner || inner->is_error());
  const Address* own = addresses_.find(view->destination());  // null: on its way through a router
  bool to_group = false;                                      // of whichever network it came from
  for (std::uint16_t i = 0; i < interface_count_; ++i) {
    to_group = to_group || is_group(view->destination(), i) || is_broadcast(view->source(), i);
  }
  if (about_error || to_group || view->fragment_offset() != 0 || !view->source().is_unicast()) {
    ++counters_.errors_forbidden;
    return;
  }
  const auto path = route(own == nullptr ? IpAddress{} : own->address(), view->source(), 0);
  if (!path) return;
  send_error(*path, error, original.sub(0, std::min<std::size_t>(view->total_length(), quoted_bytes_v4)));
}

}  // namespace mirage::net::ip
