// SPDX-License-Identifier: ISC
#include <algorithm>

#include <mirage/device/bridge/bridge.hpp>
#include <mirage/wire/ethernet.hpp>

namespace mirage::device {

namespace {

constexpr Duration retry_after = 1ms;
constexpr std::size_t copied_headers = 192;  // contiguous for devices: Ethernet, IP with options, TCP with options

/// IEEE 802.1D-2004 7.12.6: 01-80-C2-00-00-00 to -0F stay on their segment.
constexpr bool is_reserved(const MacAddress& mac) noexcept {
  const auto& o = mac.octets;
  return o[0] == 0x01 && o[1] == 0x80 && o[2] == 0xc2 && o[3] == 0 && o[4] == 0 && o[5] <= 0x0f;
}

MacAddress destination_of(const ReceivedFrame& frame) noexcept {
  return wire::load_mac(frame.data[0].bytes(), wire::EthernetHeader::destination_at);
}
MacAddress source_of(const ReceivedFrame& frame) noexcept {
  return wire::load_mac(frame.data[0].bytes(), wire::EthernetHeader::source_at);
}

}  // namespace

// --- where stations are ---

std::size_t StationTable::set_of(const MacAddress& station) const noexcept {
  const auto& o = station.octets;
  const std::uint32_t low = std::uint32_t{o[2]} << 24 | std::uint32_t{o[3]} << 16 | std::uint32_t{o[4]} << 8 | o[5];
  const std::uint32_t mixed = (low ^ key_ ^ (std::uint32_t{o[0]} << 8 | o[1])) * 0x9e3779b1U;
  return (mixed >> 24) % sets * ways;
}

void StationTable::learn(const MacAddress& station, std::uint8_t port, Time now) noexcept {
  Entry* place = &entries_[set_of(station)];
  Entry* oldest = place;
  for (std::size_t way = 0; way < ways; ++way, ++place) {
    if (place->station == station && place->port != unknown) {
      oldest = place;
      break;
    }
    if (place->seen < oldest->seen) oldest = place;
  }
  *oldest = {station, port, now};
}

std::uint8_t StationTable::find(const MacAddress& station, Time now) const noexcept {
  const Entry* place = &entries_[set_of(station)];
  for (std::size_t way = 0; way < ways; ++way, ++place) {
    if (place->station == station && place->port != unknown) return now - place->seen < ageing ? place->port : unknown;
  }
  return unknown;
}

// --- the bridge ---

Task<Result<void, StartError>> Bridge::start() {
  join_capabilities();
  stations_.set_key(shard_.seed_random() ? shard_.random().next_u32() : 0);
  co_return Result<void, StartError>{};
}

void Bridge::join_capabilities() noexcept {
  capabilities_ = ports_[0].net->capabilities();
  capabilities_.ports = {};  // what is switched has no owner
  for (std::size_t i = 1; i < count_; ++i) {
    const NetCapabilities& other = ports_[i].net->capabilities();
    capabilities_.mtu = std::min(capabilities_.mtu, other.mtu);
    capabilities_.maximum_frame = std::min(capabilities_.maximum_frame, other.maximum_frame);
    capabilities_.gather &= other.gather;
    capabilities_.transmit_checksum &= other.transmit_checksum;
    capabilities_.receive_checksum |= other.receive_checksum;  // what one port delivers may arrive
    capabilities_.segment_tcp4 &= other.segment_tcp4;
    capabilities_.segment_tcp6 &= other.segment_tcp6;
    capabilities_.segment_udp &= other.segment_udp;
    capabilities_.coalesce |= other.coalesce;
  }
}

/// A frame for the stack is one of `frames`, so a port is asked for no more than there is room for.
std::size_t Bridge::poll(std::span<ReceivedFrame> frames) noexcept {
  std::size_t local = 0;
  first_ = static_cast<std::uint8_t>((first_ + 1) % count_);
  for (std::uint8_t i = 0; i < count_ && local < frames.size(); ++i) {
    const auto from = static_cast<std::uint8_t>((first_ + i) % count_);
    const auto room = frames.subspan(local);
    const std::size_t count = ports_[from].net->queue(0).poll(room);
    std::size_t kept = 0;
    for (std::size_t at = 0; at < count; ++at) {
      if (!switch_frame(room[at], from)) {
        room[at] = {};
        continue;
      }
      if (kept != at) room[kept] = std::exchange(room[at], ReceivedFrame{});
      ++kept;
    }
    local += kept;
  }
  counters_.local += local;
  if (!flush() && !retry_.armed()) retry_.arm(shard_.timers(), shard_.now() + retry_after);
  return local;
}

bool Bridge::acceptable(const ReceivedFrame& frame) noexcept {
  if (frame.data.empty() || frame.data[0].size() < wire::EthernetHeader::size) {
    ++counters_.drop_short;
    return false;
  }
  const MacAddress source = source_of(frame);
  if (source.is_multicast() || source == MacAddress{} || source == capabilities_.mac) {
    ++counters_.drop_bad_source;
    return false;
  }
  if (is_reserved(destination_of(frame))) {
    ++counters_.drop_reserved;
    return false;
  }
  return true;
}

/// IEEE 802.1D-2004 7.7-7.8. True when the frame is (also) for the stack.
bool Bridge::switch_frame(const ReceivedFrame& frame, std::uint8_t from) noexcept {
  if (!acceptable(frame)) return false;
  const Bytes first = frame.data[0].bytes();
  Parts parts{
      .header = first.first(std::min(first.size(), copied_headers)), .payload = frame.data, .offload = frame.offload};
  parts.payload.remove_prefix(static_cast<std::uint32_t>(parts.header.size()));
  parts.offload.checksum_valid = false;
  stations_.learn(source_of(frame), from, shard_.now());
  const MacAddress destination = destination_of(frame);
  if (destination == capabilities_.mac) return true;
  if (destination.is_multicast()) {
    spread(parts, from);
    return true;
  }
  const std::uint8_t to = stations_.find(destination, shard_.now());
  if (to == from) {
    ++counters_.drop_same_port;
  } else if (to != StationTable::unknown) {
    forward(parts, ports_[to]);
  } else {
    ++counters_.flooded;
    spread(parts, from);
  }
  return false;
}

void Bridge::spread(const Parts& parts, std::uint8_t from) noexcept {
  for (std::uint8_t to = 0; to < count_; ++to) {
    if (to != from) forward(parts, ports_[to]);
  }
}

void Bridge::forward(const Parts& parts, Port& port) noexcept {
  const auto copied = static_cast<std::uint32_t>(parts.header.size());
  if (copied + parts.payload.byte_count() > port.net->capabilities().maximum_frame) {
    ++counters_.drop_too_large;
    return;
  }
  TransmitFrame out;
  out.header = shard_.buffers().allocate(copied);
  if (!out.header) {
    ++counters_.drop_no_memory;
    return;
  }
  std::ranges::copy(parts.header, out.header.grow_back(copied).begin());
  out.payload = parts.payload;
  out.offload = parts.offload;
  enqueue(std::move(out), port);
}

void Bridge::enqueue(TransmitFrame&& frame, Port& port) noexcept {
  if (port.count == queue_length) {
    (void)flush();
    if (port.count == queue_length) {
      ++counters_.drop_queue_full;
      return;
    }
  }
  port.waiting[port.count++] = std::move(frame);
}

/// True when every port took everything.
bool Bridge::flush() noexcept {
  bool all = true;
  for (std::size_t i = 0; i < count_; ++i) {
    Port& port = ports_[i];
    if (port.count == 0) continue;
    const std::size_t sent = port.net->queue(0).send(std::span(port.waiting).first(port.count));
    counters_.forwarded += sent;
    std::move(port.waiting.begin() + static_cast<std::ptrdiff_t>(sent),
              port.waiting.begin() + static_cast<std::ptrdiff_t>(port.count), port.waiting.begin());
    for (std::size_t gone = port.count - sent; gone < port.count; ++gone) port.waiting[gone] = {};
    port.count -= sent;
    all = all && port.count == 0;
  }
  return all;
}

/// From the stack. A frame to one port whose queue is full stays with the stack, which offers it again.
std::size_t Bridge::send(std::span<TransmitFrame> frames) noexcept {
  std::size_t count = 0;
  for (; count < frames.size(); ++count) {
    TransmitFrame& frame = frames[count];
    const MacAddress destination = wire::load_mac(frame.header.bytes(), wire::EthernetHeader::destination_at);
    const std::uint8_t to =
        destination.is_multicast() ? StationTable::unknown : stations_.find(destination, shard_.now());
    if (to != StationTable::unknown) {
      if (ports_[to].count == queue_length && !flush() && ports_[to].count == queue_length) break;
      enqueue(std::exchange(frame, TransmitFrame{}), ports_[to]);
      continue;
    }
    const TransmitFrame sent = std::exchange(frame, TransmitFrame{});
    spread({.header = sent.header.bytes(), .payload = sent.payload, .offload = sent.offload},
           static_cast<std::uint8_t>(maximum_ports));
  }
  if (!flush() && !retry_.armed()) retry_.arm(shard_.timers(), shard_.now() + retry_after);
  return count;
}

}  // namespace mirage::device
