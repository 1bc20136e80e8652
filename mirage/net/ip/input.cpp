// SPDX-License-Identifier: ISC
// The receive half of Ip.
#include <algorithm>
#include <cstring>

#include <mirage/net/ip/ip.hpp>
#include <mirage/wire/icmpv4.hpp>

namespace mirage::net::ip {

using wire::Ipv4ParseError;
using wire::Ipv4View;

namespace {

constexpr std::size_t contiguous_header = 60;                     // what IpPacket promises to transports
constexpr Ipv4Address all_hosts = Ipv4Address::of(224, 0, 0, 1);  // RFC 1112 4
constexpr std::size_t quoted_bytes = 548;                         // of an ICMP error: 576 in all (RFC 1812 4.3.2.3)

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

std::optional<IpPacket> Ip::input(LinkPacket&& packet) noexcept {
  ++counters_.received;
  const auto view = check(packet);
  if (!view || !acceptable(*view, packet.is_broadcast)) return std::nullopt;
  const wire::Ipv4Header header = view->value();

  IpPacket up;
  up.source = header.source;
  up.destination = header.destination;
  up.protocol = header.protocol;
  up.traffic_class = header.traffic_class;
  up.hop_limit = header.time_to_live;
  up.checksum_verified = packet.offload.needs_checksum || packet.offload.checksum_valid;
  up.is_multicast = is_group(header.destination);
  up.pseudo_header_sum = wire::pseudo_header_sum(header.source, header.destination);
  if (packet.offload.segmentation != Offload::Segmentation::none) up.segment_size = packet.offload.segment_size;
  const std::size_t header_size = view->header_size();
  up.original = packet.data[0].sub(0, quoted_bytes);
  up.payload = std::move(packet.data);
  up.payload.truncate(header.total_length);  // what the link padded
  up.payload.remove_prefix(header_size);
  if (header.more_fragments || header.fragment_offset != 0) return collect(std::move(up), header);
  if (!pull_up(up.payload)) return std::nullopt;
  ++counters_.delivered;
  return up;
}

std::optional<Ipv4View> Ip::check(const LinkPacket& packet) noexcept {
  const Bytes first = packet.data.empty() ? Bytes{} : packet.data[0].bytes();
  const auto view = Ipv4View::parse(first, packet.data.byte_count());
  if (!view) {
    count(view.error());
    return std::nullopt;
  }
  return *view;
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

bool Ip::is_broadcast(Ipv4Address address) const noexcept {
  return address.is_broadcast() || (!prefix_.address.is_unspecified() && address == prefix_.broadcast());
}

bool Ip::is_group(Ipv4Address address) const noexcept { return address.is_multicast() || is_broadcast(address); }

/// RFC 1122 3.2.1.3 (addresses), 3.3.6 (link broadcasts), RFC 7126 4.3 (source routes).
bool Ip::acceptable(const Ipv4View& view, bool link_broadcast) noexcept {
  const Ipv4Address source = view.source();
  const Ipv4Address destination = view.destination();
  const bool configured = !prefix_.address.is_unspecified();
  if (!source.is_unicast() || source.is_loopback() || is_broadcast(source) ||
      (configured && source == prefix_.address)) {
    ++counters_.drop_bad_source;
    return false;
  }
  const bool to_group = is_broadcast(destination) || destination == all_hosts;
  if (!to_group && (!configured || destination != prefix_.address)) {
    ++counters_.drop_not_for_us;
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

std::optional<IpPacket> Ip::collect(IpPacket&& packet, const wire::Ipv4Header& header) noexcept {
  ++counters_.fragments_received;
  Reassembled whole;
  const auto outcome = reassembly_.add({.key = {.source = header.source,
                                                .destination = header.destination,
                                                .identification = header.identification,
                                                .protocol = header.protocol},
                                        .offset = header.fragment_offset,
                                        .more = header.more_fragments,
                                        .payload = std::move(packet.payload),
                                        .original = std::move(packet.original)},
                                       shard_.now(), whole);
  switch (outcome) {
    case ReassemblyOutcome::waiting:
      if (!timer_.armed()) timer_.arm(shard_.timers(), reassembly_.next_deadline());
      return std::nullopt;
    case ReassemblyOutcome::complete:
      break;
    case ReassemblyOutcome::overlap:
      ++counters_.drop_overlap;
      return std::nullopt;
    case ReassemblyOutcome::too_many:
    case ReassemblyOutcome::inconsistent:
      ++counters_.drop_reassembly;
      return std::nullopt;
    case ReassemblyOutcome::no_memory:
      ++counters_.drop_no_memory;
      return std::nullopt;
  }
  ++counters_.reassembled;
  ++counters_.delivered;
  packet.payload = std::move(whole.payload);
  packet.original = std::move(whole.original);
  packet.checksum_verified = false;  // no device sees a whole datagram
  packet.segment_size = 0;
  return std::move(packet);
}

/// Makes the transport header contiguous where a device or a peer split it.
bool Ip::pull_up(SliceList& payload) noexcept {
  if (payload.size() <= 1 || payload[0].size() >= contiguous_header) return true;
  const std::size_t wanted = std::min(payload.byte_count(), contiguous_header);
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

/// RFC 1122 3.3.2: a reassembly whose time is over is reported to its sender if the first fragment came.
void Ip::expire() noexcept {
  Slice original;
  while (reassembly_.expire(shard_.now(), original)) {
    ++counters_.reassembly_timeouts;
    if (!original.empty()) {
      send_error(original, {.type = wire::icmpv4_type::time_exceeded, .code = wire::icmpv4_time_exceeded::reassembly});
    }
    original = {};
  }
  const Time next = reassembly_.next_deadline();
  if (next != never) timer_.arm(shard_.timers(), next);
}

}  // namespace mirage::net::ip
