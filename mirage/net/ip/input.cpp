// SPDX-License-Identifier: ISC
// The part of receiving that both IP versions share: the way in, fragments, contiguous headers, rejections.
#include <algorithm>
#include <cstring>

#include <mirage/net/ip/fragmentation.hpp>
#include <mirage/net/ip/ip.hpp>
#include <mirage/wire/ethernet.hpp>
#include <mirage/wire/icmpv4.hpp>

namespace mirage::net::ip {

namespace {

bool is_v6(const Slice& packet) noexcept {
  return !packet.empty() && load_big<std::uint8_t>(packet.bytes(), 0) >> 4 == 6;
}
}  // namespace

std::optional<IpPacket> Ip::input(LinkPacket&& packet, std::uint16_t interface) noexcept {
  ++counters_.received;
  [[clang::uninitialized]] std::optional<IpPacket> up{std::in_place};
  up->interface = interface;
  up->checksum_verified = packet.offload.needs_checksum || packet.offload.checksum_valid;
  if (packet.offload.segmentation != Offload::Segmentation::none) up->segment_size = packet.offload.segment_size;
  const bool v6 = packet.protocol == wire::ether_type::ipv6;
  if (!(v6 ? input_v6(packet, *up) : input_v4(packet, *up)) || !pull_up(up->payload, contiguous_header)) {
    up.reset();
    return up;
  }
  if (interface != 0) {  // the first interface's zone is 0
    up->source_zone = zone_of(up->source, interface);
    // A network's own broadcast address says as little as the limited one where it came in.
    up->destination_zone = up->is_multicast ? interface : zone_of(up->destination, interface);
  }
  ++counters_.delivered;
  return up;
}

/// Somebody poses as us: also as what we are on another network, unless the address means something else here (RFC
/// 4007).
bool Ip::is_own_source(const IpAddress& source, std::uint16_t interface) const noexcept {
  const Address* own = addresses_.find(source);
  return own != nullptr && (own->interface == interface || !has_zone(source));
}

/// A packet whose destination is none of its interface's. Hosts do not forward (RFC 1122 3.3.1), nor answer here for an
/// address that they have there (strong host model, RFC 1122 3.3.4.2).
void Ip::count_foreign(const IpAddress& destination, std::uint16_t interface, bool link_broadcast) noexcept {
  const Address* own = addresses_.find(destination);
  if (own != nullptr && own->interface != interface) {
    ++counters_.drop_other_interface;
  } else if (link_broadcast || destination.is_multicast()) {
    ++counters_.drop_not_for_us;
  } else {
    ++counters_.drop_transit;
  }
}

/// True when the fragment completes its datagram, which is then the packet's payload.
bool Ip::collect(IpPacket& packet, Fragment&& fragment) noexcept {
  ++counters_.fragments_received;
  packet.was_fragmented = true;
  fragment.ecn = packet.traffic_class & 3;
  fragment.payload = std::move(packet.payload);
  fragment.original = std::move(packet.original);
  [[clang::uninitialized]] Reassembled whole;
  const ReassemblyOutcome outcome = reassembly_.add(std::move(fragment), shard_.now(), whole);
  counters_.reassembly_displaced = reassembly_.displaced();
  switch (outcome) {
    case ReassemblyOutcome::waiting:
      if (!timer_.armed()) timer_.arm(shard_.timers(), reassembly_.next_deadline());
      return false;
    case ReassemblyOutcome::complete:
      break;
    case ReassemblyOutcome::overlap:
      ++counters_.drop_overlap;
      return false;
    case ReassemblyOutcome::too_many:
    case ReassemblyOutcome::inconsistent:
      ++counters_.drop_reassembly;
      return false;
    case ReassemblyOutcome::no_memory:
      ++counters_.drop_no_memory;
      return false;
  }
  ++counters_.reassembled;
  packet.protocol = whole.protocol;
  if (whole.congestion) packet.traffic_class |= 3;
  packet.payload = std::move(whole.payload);
  packet.original = std::move(whole.original);
  packet.checksum_verified = false;  // no device sees a whole datagram
  packet.segment_size = 0;
  return true;
}

/// Makes the first `wanted` bytes contiguous where a device or a peer split them.
bool Ip::pull_up(SliceList& payload, std::size_t wanted) noexcept {
  if (payload.size() <= 1 || payload[0].size() >= wanted) return true;
  wanted = std::min(payload.byte_count(), wanted);
  MutableSlice head = shard_.buffers().allocate(wanted, 0);
  if (!head) {
    ++counters_.drop_no_memory;
    return false;
  }
  SliceList rest = payload;
  for (const Slice& slice : payload) {
    const std::size_t part = std::min<std::size_t>(slice.size(), wanted - head.size());
    if (part == 0) break;
    std::memcpy(head.grow_back(static_cast<std::uint32_t>(part)).data(), slice.data(), part);
  }
  rest.remove_prefix(wanted);
  payload.clear();
  (void)payload.push_back(std::move(head).freeze());
  for (Slice& slice : rest) (void)payload.push_back(std::move(slice));
  return true;
}

/// RFC 1122 3.3.2, RFC 8200 4.5: a reassembly whose time is over is reported to its sender if the first fragment came.
void Ip::expire() noexcept {
  Slice original;
  while (reassembly_.expire(shard_.now(), original)) {
    ++counters_.reassembly_timeouts;
    if (!original.empty()) {
      send_error(original, is_v6(original) ? ErrorReply{.type = wire::icmpv6_type::time_exceeded,
                                                        .code = wire::icmpv6_time_exceeded::reassembly}
                                           : ErrorReply{.type = wire::icmpv4_type::time_exceeded,
                                                        .code = wire::icmpv4_time_exceeded::reassembly});
    }
    original = {};
  }
  const Time next = reassembly_.next_deadline();
  if (next != never) timer_.arm(shard_.timers(), next);
}

void Ip::send_error(const Slice& original, const ErrorReply& error) noexcept {
  if (is_v6(original)) return send_error_v6(original, error);
  send_error_v4(original, error);
}

void Ip::reject(const IpPacket& packet, Rejection why) noexcept {
  const bool port = why == Rejection::port_unreachable;
  if (packet.source.is_v4()) {
    return send_error_v4(packet.original,
                         {.type = wire::icmpv4_type::destination_unreachable,
                          .code = port ? wire::icmpv4_unreachable::port : wire::icmpv4_unreachable::protocol});
  }
  if (port) {
    return send_error_v6(packet.original,
                         {.type = wire::icmpv6_type::destination_unreachable, .code = wire::icmpv6_unreachable::port});
  }
  // RFC 8200 4: an unknown next header is a parameter problem that points at who named it.
  std::uint32_t pointer = wire::ipv6_at::next_header;
  if (const auto header = wire::Ipv6Header::parse_quoted(packet.original.bytes())) {
    const Bytes behind = packet.original.bytes().subspan(wire::ipv6_header_size);
    const auto walk = wire::walk_extensions(header->next_header, behind, wire::ipv6_header_size);
    pointer = static_cast<std::uint32_t>(walk.next_header_at);
  }
  send_error_v6(packet.original, {.type = wire::icmpv6_type::parameter_problem,
                                  .code = wire::icmpv6_parameter_problem::next_header,
                                  .rest = pointer});
}

}  // namespace mirage::net::ip
