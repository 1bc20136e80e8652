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
constexpr std::size_t address_size = 12;     // of destination and source, which the tag stands behind
constexpr std::size_t copied_headers = 192;  // Ethernet, IP with options, TCP with options

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

/// IEEE 802.1Q 9.3. The headers go into a buffer of their own, without the tag and in one piece; the rest stays where
/// it is.
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
  const auto copied = static_cast<std::uint32_t>(std::min(first.size() - tag_size, copied_headers));
  MutableSlice header = shard_.buffers().allocate(copied, 0);
  SliceList data;
  const bool full = frame.data.full() && first.size() > copied + tag_size;
  if (!header || full || !shift(frame.offload, -static_cast<int>(tag_size))) {
    ++counters_.drop_no_room;
    return false;
  }
  const MutableBytes out = header.grow_back(copied);
  std::ranges::copy(first.first(address_size), out.begin());
  std::ranges::copy(first.subspan(address_size + tag_size, copied - address_size), out.begin() + address_size);
  frame.data.remove_prefix(copied + tag_size);
  (void)data.push_back(std::move(header).freeze());
  for (Slice& slice : frame.data) (void)data.push_back(std::move(slice));
  frame.data = std::move(data);
  return true;
}

std::size_t Vlan::send(std::span<TransmitFrame> frames) noexcept {
  // A frame that cannot carry the tag is accepted and dropped, which ends the run before it. What a full device leaves
  // is given back as it came: its owner may offer another one next.
  std::size_t done = 0;
  while (done < frames.size()) {
    std::size_t run = 0;
    while (done + run < frames.size() && tag(frames[done + run])) ++run;
    const std::size_t accepted = run == 0 ? 0 : device_.queue(0).send(frames.subspan(done, run));
    counters_.sent += accepted;
    for (TransmitFrame& left : frames.subspan(done + accepted, run - accepted)) take_back(left);
    done += accepted;
    if (accepted < run || done == frames.size()) return done;
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
  std::memmove(bytes.data(), bytes.data() + tag_size, address_size);
  store_big(bytes, 12, tag_type);
  store_big(bytes, 14, static_cast<std::uint16_t>(options_.priority << 13 | options_.id));
  return true;
}

void Vlan::take_back(TransmitFrame& frame) noexcept {
  std::byte* const start = frame.header.bytes().data();
  std::memmove(start + tag_size, start, address_size);
  frame.header.remove_prefix(tag_size);
  (void)shift(frame.offload, -static_cast<int>(tag_size));
}

}  // namespace mirage::device
