// SPDX-License-Identifier: ISC
#include <algorithm>
#include <cstring>
#include <utility>

#include <mirage/device/vlan/vlan.hpp>
#include <mirage/wire/ethernet.hpp>

namespace mirage::device {

namespace {

constexpr std::uint16_t tag_type = 0x8100;
constexpr std::uint32_t tag_size = 4;
constexpr std::uint16_t id_mask = 0x0fff;

/// Moves what is measured from the frame's start; false when it would point into the link header.
bool shift(mirage::Offload& offload, int by) noexcept {
  const auto move = [by](std::uint16_t& at) {
    const int moved = at + by;
    if (moved < static_cast<int>(wire::EthernetHeader::size) || moved > 0xffff) return false;
    at = static_cast<std::uint16_t>(moved);
    return true;
  };
  if (offload.needs_checksum && !move(offload.checksum_start)) return false;
  return offload.segmentation == mirage::Offload::Segmentation::none || move(offload.header_length);
}

}  // namespace

Task<Result<void, StartError>> Vlan::start() {
  if (options_.id == 0 || options_.id >= id_mask || options_.priority > 7) {
    co_return Failure{StartError("vlan: {} is no VLAN from 1 to 4094, or {} no priority from 0 to 7", options_.id,
                                 options_.priority)};
  }
  capabilities_ = device_.capabilities();
  // What cuts segments must know about the tag: device/offload stands above, where there is none.
  capabilities_.segment_tcp4 = capabilities_.segment_tcp6 = capabilities_.segment_udp = false;
  capabilities_.maximum_frame = capabilities_.mtu + std::uint32_t{ethernet_header_size};
  co_return Result<void, StartError>{};
}

std::size_t Vlan::poll(std::span<ReceivedFrame> frames) noexcept {
  const std::size_t count = device_.queue(0).poll(frames);
  std::size_t kept = 0;
  for (std::size_t i = 0; i < count; ++i) {
    if (!untag(frames[i])) {
      frames[i] = {};
      continue;
    }
    if (kept != i) frames[kept] = std::move(frames[i]);
    ++kept;
  }
  counters_.received += kept;
  return kept;
}

/// IEEE 802.1Q 9.3. The addresses and the inner type go into a buffer of their own, the packet stays where it is.
bool Vlan::untag(ReceivedFrame& frame) noexcept {
  const Bytes first = frame.data.empty() ? Bytes{} : frame.data[0].bytes();
  if (first.size() < wire::EthernetHeader::size + tag_size || load_big<std::uint16_t>(first, 12) != tag_type) {
    ++counters_.drop_untagged;
    return false;
  }
  if ((load_big<std::uint16_t>(first, 14) & id_mask) != options_.id) {
    ++counters_.drop_other_vlan;
    return false;
  }
  MutableSlice header = shard_.buffers().allocate(wire::EthernetHeader::size, 0);
  SliceList data;
  if (!header || frame.data.full() || !shift(frame.offload, -static_cast<int>(tag_size))) {
    ++counters_.drop_no_room;
    return false;
  }
  const MutableBytes out = header.grow_back(wire::EthernetHeader::size);
  std::ranges::copy(first.first(12), out.begin());
  store_big(out, wire::EthernetHeader::type_at, load_big<std::uint16_t>(first, 16));
  frame.data.remove_prefix(wire::EthernetHeader::size + tag_size);
  (void)data.push_back(std::move(header).freeze());
  for (Slice& slice : frame.data) (void)data.push_back(std::move(slice));
  frame.data = std::move(data);
  return true;
}

std::size_t Vlan::send(std::span<TransmitFrame> frames) noexcept {
  // A frame that cannot carry the tag is accepted and dropped, which ends the run before it.
  std::size_t done = 0;
  while (done < frames.size()) {
    std::size_t run = tagged_;
    while (done + run < frames.size() && tag(frames[done + run])) ++run;
    const std::size_t accepted = run == 0 ? 0 : device_.queue(0).send(frames.subspan(done, run));
    counters_.sent += accepted;
    done += accepted;
    tagged_ = run - accepted;
    if (tagged_ > 0 || done == frames.size()) return done;
    ++counters_.drop_no_room;
    frames[done++] = {};
  }
  return done;
}

bool Vlan::tag(TransmitFrame& frame) const noexcept {
  if (frame.header.headroom() < tag_size || frame.header.size() < wire::EthernetHeader::size) return false;
  mirage::Offload moved = frame.offload;
  if (!shift(moved, static_cast<int>(tag_size))) return false;
  frame.offload = moved;
  frame.header.grow_front(tag_size);
  const MutableBytes bytes = frame.header.bytes();
  std::memmove(bytes.data(), bytes.data() + tag_size, 12);
  store_big(bytes, 12, tag_type);
  store_big(bytes, 14, static_cast<std::uint16_t>(options_.priority << 13 | options_.id));
  return true;
}

}  // namespace mirage::device
