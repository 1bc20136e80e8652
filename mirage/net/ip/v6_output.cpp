// SPDX-License-Identifier: ISC
// The transmit half of IPv6: header, fragmentation, ICMP errors.
#include <algorithm>

#include <mirage/net/ip/fragmentation.hpp>
#include <mirage/net/ip/ip.hpp>

namespace mirage::net::ip {

using wire::Icmpv6Header;
using wire::Ipv6Fragment;
using wire::Ipv6Header;

Result<void, IpError> Ip::send_v6(const Path& path, std::uint8_t protocol, std::uint8_t traffic_class,
                                  TransmitFrame&& frame) noexcept {
  const std::size_t size = frame.byte_count();
  if (size > 0xffff) return fail(IpError::too_long);
  const std::uint8_t advertised = interfaces_[path.interface]->hop_limit;
  Ipv6Header header{.traffic_class = traffic_class,
                    .flow_label = flow_label(path, frame),
                    .payload_length = static_cast<std::uint16_t>(size),
                    .next_header = protocol,
                    .hop_limit = advertised != 0 ? advertised : options_.time_to_live,
                    .source = path.source,
                    .destination = path.destination};
  if (path.destination.is_multicast()) header.hop_limit = 1;  // RFC 3493 5.2
  const bool segmented = frame.offload.segmentation != Offload::Segmentation::none;
  if (size + wire::ipv6_header_size > path.mtu && !segmented) return send_fragments(path, header, std::move(frame));
  return send_packet(path, header, std::move(frame));
}

/// RFC 6437 3: the same for all packets of a flow, which the first four bytes of its transport header tell apart
/// (ports; of ICMP type, code and checksum, which does no harm), and not to be foreseen.
std::uint32_t Ip::flow_label(const Path& path, const TransmitFrame& frame) const noexcept {
  if (frame.header.size() < 4) return 0;
  const std::uint64_t ports = load_big<std::uint32_t>(frame.header.bytes(), 0);
  const std::uint64_t mixed = (ports << 32 ^ path.destination.low() ^ identification_key_) * 0x9e3779b97f4a7c15U;
  return static_cast<std::uint32_t>(mixed >> 44);
}

/// RFC 8200 4.5: only the source cuts packets. Identifications as RFC 7739 5.3 has them.
Result<void, IpError> Ip::send_fragments(const Path& path, Ipv6Header header, TransmitFrame&& frame) noexcept {
  complete_checksum(frame);
  const std::size_t total = frame.byte_count();
  const std::size_t chunk = (path.mtu - wire::ipv6_header_size - Ipv6Fragment::size) & ~std::size_t{7};
  Ipv6Fragment fragment{.next_header = header.next_header};
  const auto low = static_cast<std::uint32_t>(path.destination.low());
  fragment.identification = std::uint32_t{next_identification({low}, 0)} << 16 | (shard_.random().next_u32() & 0xffff);
  header.next_header = wire::ipv6_next::fragment;
  const Slice head = std::move(frame.header).freeze();
  for (std::size_t offset = 0; offset < total; offset += chunk) {
    const std::size_t size = std::min(chunk, total - offset);
    fragment.offset = static_cast<std::uint16_t>(offset);
    fragment.more = offset + size < total;
    header.payload_length = static_cast<std::uint16_t>(size + Ipv6Fragment::size);
    [[clang::uninitialized]] TransmitFrame part;
    part.header = new_frame(Ipv6Fragment::size);
    if (!part.header || !take_part(head, frame.payload, offset, size, part.payload)) return fail(IpError::no_memory);
    fragment.emit(part.header.grow_back(Ipv6Fragment::size));
    ++counters_.fragments_sent;
    MIRAGE_CHECK(send_packet(path, header, std::move(part)));
  }
  return {};
}

Result<void, IpError> Ip::send_packet(const Path& path, const Ipv6Header& header, TransmitFrame&& frame) noexcept {
  if (frame.header.headroom() < wire::ipv6_header_size + ethernet_header_size) return fail(IpError::no_memory);
  header.emit(frame.header.grow_front(wire::ipv6_header_size));
  Offload& offload = frame.offload;
  if (offload.needs_checksum) offload.checksum_start += wire::ipv6_header_size;
  if (offload.segmentation != Offload::Segmentation::none) offload.header_length += wire::ipv6_header_size;
  return to_link(path, std::move(frame));
}

void Ip::send_control(std::uint16_t interface, const ControlHeader& header, TransmitFrame&& frame) noexcept {
  Path path;
  path.source = header.source;
  path.destination = header.destination;
  path.interface = interface;
  path.pseudo_header_sum = wire::pseudo_header_sum(path.source, path.destination);
  fill_icmp_checksum(path, frame);
  // Hop-by-hop options: router alert, two bytes of padding.
  constexpr std::uint64_t router_alert = 0x3a00'0502'0000'0100;
  if (header.router_alert) store_big(frame.header.grow_front(8), 0, router_alert);
  (void)send_packet(path,
                    {.payload_length = static_cast<std::uint16_t>(frame.byte_count()),
                     .next_header = header.router_alert ? wire::ipv6_next::hop_by_hop : ip_protocol::icmpv6,
                     .hop_limit = header.hop_limit,
                     .source = path.source,
                     .destination = path.destination},
                    std::move(frame));
}

/// RFC 4443 2.4: never about an ICMP error, to no single host, and about packets to groups only where (e.3) says so.
void Ip::send_error_v6(const Slice& original, const ErrorReply& error) noexcept {
  const auto about = Ipv6Header::parse_quoted(original.bytes());
  if (!about) return;
  const Bytes behind = original.bytes().subspan(wire::ipv6_header_size);
  const auto walk = wire::walk_extensions(about->next_header, behind, wire::ipv6_header_size);
  const Bytes payload = behind.subspan(std::min(walk.offset, behind.size()));
  const auto inner = Icmpv6Header::parse(payload);
  const bool about_error = walk.protocol == ip_protocol::icmpv6 && (!inner || inner->is_error());
  const bool to_group = about->destination.is_multicast();
  if (about_error || !about->source.is_unicast() || (to_group && !error.even_to_group)) {
    ++counters_.errors_forbidden;
    return;
  }
  const bool ours = addresses_.find(about->destination) != nullptr;
  const auto path = route(ours ? about->destination : IpAddress{}, about->source, error.interface);
  // About a packet to a group: back to where it came in, whatever other way there is to the address it names.
  if (!path || (!ours && path->interface != error.interface)) return;
  send_error(*path, error, original.sub(0, wire::ipv6_header_size + about->payload_length));
}

}  // namespace mirage::net::ip
