// SPDX-License-Identifier: ISC
#include <algorithm>
#include <cstring>
#include <new>
#include <utility>

#include <mirage/device/vnet/vnet.hpp>

namespace mirage::device {

Vnet::Vnet(Shard& shard, const VnetOptions& options) noexcept
    : shard_(shard), options_(options), wake_([](Timer&) noexcept {}) {
  for (std::size_t side = 0; side < ends_.size(); ++side) {
    End& end = ends_[side];
    end.wire_ = this;
    end.peer_ = &ends_[1 - side];
    NetCapabilities& capabilities = end.capabilities_;
    capabilities.mac = {{0x02, 0x76, 0x6e, 0x65, 0x74, static_cast<std::uint8_t>(1 + side)}};
    capabilities.mtu = options.mtu;
    capabilities.maximum_frame = options.mtu + static_cast<std::uint32_t>(ethernet_header_size);
    capabilities.gather = options.offload;
    capabilities.transmit_checksum = capabilities.receive_checksum = options.offload;
    capabilities.segment_tcp4 = capabilities.segment_tcp6 = capabilities.coalesce = options.offload;
    if (options.offload) capabilities.maximum_frame = 65535 + static_cast<std::uint32_t>(ethernet_header_size);
  }
}

std::size_t Vnet::End::poll(std::span<ReceivedFrame> frames) noexcept {
  std::size_t count = 0;
  for (; count < frames.size() && count_ > 0; ++count, --count_) {
    frames[count] = std::exchange(inbox_[first_], ReceivedFrame{});
    first_ = (first_ + 1) % wire_->options_.queue;
  }
  return count;
}

std::size_t Vnet::End::send(std::span<TransmitFrame> frames) noexcept {
  std::size_t count = 0;
  while (count < frames.size() && peer_->put(std::move(frames[count]))) {
    frames[count] = {};
    ++count;
  }
  if (count > 0 && !wire_->wake_.armed()) wire_->wake_.arm(wire_->shard_.timers(), wire_->shard_.now());
  return count;
}

/// False, and the frame untouched, when there is no room.
bool Vnet::End::put(TransmitFrame&& frame) noexcept {
  if (!inbox_) inbox_.reset(new (std::nothrow) ReceivedFrame[wire_->options_.queue]);
  if (!inbox_ || count_ == wire_->options_.queue) return false;
  ReceivedFrame& place = inbox_[(first_ + count_) % wire_->options_.queue];
  if (frame.byte_count() > capabilities_.maximum_frame || !convert(std::move(frame), place)) {
    ++dropped_;
    place = {};
    return true;
  }
  ++count_;
  return true;
}

/// Into a buffer of the frame's own size, as any receiving device does: a slice of a large buffer would pin all of it.
bool Vnet::End::copy(const TransmitFrame& frame, ReceivedFrame& out) noexcept {
  MutableSlice whole = wire_->shard_.buffers().allocate(frame.byte_count(), 0);
  if (!whole) return false;
  const auto append = [&whole](Bytes bytes) {
    std::ranges::copy(bytes, whole.grow_back(static_cast<std::uint32_t>(bytes.size())).begin());
  };
  append(frame.header.bytes());
  for (const Slice& slice : frame.payload) append(slice.bytes());
  out.data = SliceList{std::move(whole).freeze()};
  return true;
}

bool Vnet::End::convert(TransmitFrame&& frame, ReceivedFrame& out) noexcept {
  out.offload = frame.offload;
  if (!wire_->options_.offload) return copy(frame, out);
  if (frame.payload.full()) {  // a received list has one place less for payload: join the first two
    MutableSlice joined = wire_->shard_.buffers().allocate(frame.payload[0].size() + frame.payload[1].size(), 0);
    if (!joined) return false;
    for (std::size_t i = 0; i < 2; ++i) {
      const Slice& part = frame.payload[i];
      std::memcpy(joined.grow_back(part.size()).data(), part.data(), part.size());
    }
    SliceList rest;
    (void)rest.push_back(std::move(joined).freeze());
    for (std::size_t i = 2; i < frame.payload.size(); ++i) (void)rest.push_back(std::move(frame.payload[i]));
    frame.payload = std::move(rest);
  }
  out.data.clear();
  (void)out.data.push_back(std::move(frame.header).freeze());
  for (Slice& slice : frame.payload) (void)out.data.push_back(std::move(slice));
  return true;
}

}  // namespace mirage::device
