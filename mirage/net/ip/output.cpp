// SPDX-License-Identifier: ISC
// The transmit half of Ip: header, fragmentation, ICMP errors.
#include <algorithm>

#include <mirage/net/ip/ip.hpp>
#include <mirage/wire/icmpv4.hpp>

namespace mirage::net::ip {

using wire::Ipv4Header;

namespace {

constexpr std::size_t quoted_bytes = 548;  // with the headers in front 576 bytes, which every host takes (RFC 1812)

/// Fills in what the device would: no device computes a checksum over several fragments.
void complete_checksum(TransmitFrame& frame) noexcept {
  if (!frame.offload.needs_checksum) return;
  const std::size_t start = frame.offload.checksum_start;
  wire::ChecksumSum sum;
  sum.add(Bytes(frame.header.bytes()).subspan(start));
  sum.add(frame.payload);
  const std::uint16_t checksum = sum.checksum();
  store_big(frame.header.bytes(), start + frame.offload.checksum_offset,
            checksum == 0 ? std::uint16_t{0xffff} : checksum);
  frame.offload = {};
}

/// The part [offset, offset + count) of `whole`; false when it has more slices than a list can hold.
bool take_part(const Slice& head, const SliceList& rest, std::size_t offset, std::size_t count,
               SliceList& part) noexcept {
  const auto take = [&](const Slice& slice) {
    if (offset >= slice.size()) {
      offset -= slice.size();
      return true;
    }
    const std::size_t taken = std::min<std::size_t>(slice.size() - offset, count);
    const bool fits = taken == 0 || part.push_back(slice.sub(offset, taken));
    offset = 0;
    count -= taken;
    return fits;
  };
  if (!take(head)) return false;
  return std::ranges::all_of(rest, take);
}

}  // namespace

Result<void, IpError> Ip::send(const Path& path, std::uint8_t protocol, std::uint8_t traffic_class,
                               TransmitFrame frame) noexcept {
  const std::size_t size = frame.byte_count();
  if (size > 0xffff - wire::ipv4_header_size) return fail(IpError::too_long);
  // The address may have gone since the path was computed (a lease that ended).
  if (path.source != IpAddress{prefix_.address}) return fail(IpError::no_route);
  Ipv4Header header{.traffic_class = traffic_class,
                    .total_length = static_cast<std::uint16_t>(size + wire::ipv4_header_size),
                    .time_to_live = options_.time_to_live,
                    .protocol = protocol,
                    .source = path.source.v4(),
                    .destination = path.destination.v4()};
  if (header.destination.is_multicast()) header.time_to_live = 1;  // RFC 1112 6.1
  // RFC 1191: TCP finds the path's MTU; other protocols are fragmented on the way where need be.
  header.dont_fragment = protocol == ip_protocol::tcp;
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
  header.dont_fragment = false;
  const Slice head = std::move(frame.header).freeze();
  for (std::size_t offset = 0; offset < total; offset += chunk) {
    const std::size_t size = std::min(chunk, total - offset);
    header.fragment_offset = static_cast<std::uint16_t>(offset);
    header.more_fragments = offset + size < total;
    header.total_length = static_cast<std::uint16_t>(size + wire::ipv4_header_size);
    TransmitFrame fragment;
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

Result<void, IpError> Ip::to_link(const Path& path, TransmitFrame&& frame) noexcept {
  const Ipv4Address destination = path.destination.v4();
  Result<void, LinkError> sent;
  if (path.is_local_broadcast) {
    sent = link_.send_broadcast(std::move(frame));
  } else if (destination.is_multicast()) {
    sent = link_.send_multicast(destination, std::move(frame));
  } else {
    const Route* route = routes_.find(destination);
    if (route == nullptr) return fail(IpError::no_route);
    sent = link_.send(route->gateway.is_unspecified() ? destination : route->gateway, std::move(frame));
  }
  if (!sent) return fail(sent.error() == LinkError::unreachable ? IpError::no_route : IpError::queue_full);
  ++counters_.sent;
  return {};
}

void Ip::send_error(const Slice& original, const ErrorReply& error) noexcept {
  const auto view = wire::Ipv4View::parse_quoted(original.bytes());
  if (!view || prefix_.address.is_unspecified()) return;
  // RFC 1122 3.2.2: never about an ICMP error, a group destination, a later fragment, or to no single host.
  const Bytes payload = original.bytes().subspan(view->header_size());
  const auto inner = wire::Icmpv4Header::parse(payload);
  const bool about_error = view->protocol() == ip_protocol::icmp && (!inner || inner->is_error());
  if (about_error || is_group(view->destination()) || view->fragment_offset() != 0 || !view->source().is_unicast() ||
      is_broadcast(view->source())) {
    ++counters_.errors_forbidden;
    return;
  }
  if (!error_limit_.allow(shard_.now())) {
    ++counters_.errors_limited;
    return;
  }
  const auto path = route({}, view->source());
  if (!path) return;
  TransmitFrame frame;
  frame.header = new_frame(wire::Icmpv4Header::size);
  if (!frame.header) {
    ++counters_.drop_no_memory;
    return;
  }
  (void)frame.payload.push_back(original.sub(0, std::min<std::size_t>(view->total_length(), quoted_bytes)));
  wire::Icmpv4Header header{.type = error.type, .code = error.code, .checksum = 0, .rest = error.rest};
  const MutableBytes out = frame.header.grow_back(wire::Icmpv4Header::size);
  header.emit(out);
  wire::ChecksumSum sum;
  sum.add(out);
  sum.add(frame.payload);
  store_big(out, wire::Icmpv4Header::checksum_at, sum.checksum());
  ++counters_.errors_sent;
  (void)send(*path, ip_protocol::icmp, 0, std::move(frame));
}

}  // namespace mirage::net::ip
