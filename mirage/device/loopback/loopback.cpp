// SPDX-License-Identifier: ISC
#include <algorithm>
#include <utility>

#include <mirage/device/loopback/loopback.hpp>

namespace mirage::device {

LoopbackEnd::LoopbackEnd(Shard& shard, LoopbackEnd& other, const LoopbackOptions& options,
                         const MacAddress& mac) noexcept
    : shard_(shard), other_(other) {
  constexpr std::uint32_t largest_segment = 65535 + ethernet_header_size;
  capabilities_.mac = mac;
  capabilities_.mtu = options.mtu;
  capabilities_.maximum_frame = options.offload ? largest_segment : options.mtu + std::uint32_t{ethernet_header_size};
  capabilities_.gather = true;
  capabilities_.transmit_checksum = options.offload;
  capabilities_.receive_checksum = options.offload;
  capabilities_.segment_tcp4 = options.offload;
  capabilities_.segment_tcp6 = options.offload;
  capabilities_.coalesce = options.offload;
}

std::size_t LoopbackEnd::poll(std::span<ReceivedFrame> frames) noexcept {
  std::size_t count = 0;
  while (count < frames.size() && !arrived_.empty()) frames[count++] = arrived_.pop();
  return count;
}

/// Into a small buffer, so that a small frame pins little, and what does not fit into a large one.
bool LoopbackEnd::copy(const TransmitFrame& frame, SliceList& out) noexcept {
  const std::size_t size = frame.byte_count();
  const std::size_t front = std::min<std::size_t>(size, frame_capacity);
  MutableSlice first = shard_.buffers().allocate(front, 0);
  MutableSlice rest = size > front ? shard_.buffers().allocate(size - front, 0) : MutableSlice{};
  if (!first || (size > front && !rest)) return false;
  const auto append = [&](Bytes bytes) noexcept {
    const auto part = static_cast<std::uint32_t>(std::min<std::size_t>(bytes.size(), front - first.size()));
    std::ranges::copy(bytes.first(part), first.grow_back(part).begin());
    const Bytes left = bytes.subspan(part);
    if (!left.empty()) std::ranges::copy(left, rest.grow_back(static_cast<std::uint32_t>(left.size())).begin());
  };
  append(frame.header.bytes());
  for (const Slice& slice : frame.payload) append(slice.bytes());
  (void)out.push_back(std::move(first).freeze());
  (void)out.push_back(std::move(rest).freeze());
  return true;
}

void LoopbackEnd::transmit(TransmitFrame&& frame) noexcept {
  TransmitFrame taken = std::move(frame);
  const bool plain = !taken.offload.needs_checksum && taken.offload.segmentation == Offload::Segmentation::none;
  if (taken.byte_count() > capabilities_.maximum_frame) {
    ++counters_.drop_too_large;
    return;
  }
  if (!plain && !capabilities_.transmit_checksum) {
    ++counters_.drop_unsupported;
    return;
  }
  ReceivedFrame arriving;
  arriving.offload = taken.offload;
  if (!copy(taken, arriving.data)) {
    ++counters_.drop_no_memory;
    return;
  }
  ++counters_.sent;
  (void)other_.arrived_.push(std::move(arriving));
}

std::size_t LoopbackEnd::send(std::span<TransmitFrame> frames) noexcept {
  std::size_t count = 0;
  while (count < frames.size() && !other_.arrived_.full()) transmit(std::move(frames[count++]));
  return count;
}

}  // namespace mirage::device
