// SPDX-License-Identifier: ISC
#include <algorithm>
#include <utility>

#include <mirage/device/fault/fault.hpp>

namespace mirage::device {

Fault::Fault(Shard& shard, NetPort device, const FaultOptions& options) noexcept
    : shard_(shard), device_(device), options_(options), state_(options.seed), wake_([](Timer&) noexcept {}) {
  for (std::size_t i = 0; i < room; ++i) free_slots_[i] = static_cast<std::uint16_t>(i);
}

/// SplitMix64 (Steele, Lea, Flood 2014): small, and good enough to throw dice.
std::uint64_t Fault::random() noexcept {
  std::uint64_t z = state_ += 0x9e3779b97f4a7c15;
  z = (z ^ z >> 30) * 0xbf58476d1ce4e5b9;
  z = (z ^ z >> 27) * 0x94d049bb133111eb;
  return z ^ z >> 31;
}

bool Fault::chance(std::uint32_t parts_per_million) noexcept { return random() % 1'000'000 < parts_per_million; }

Duration Fault::random_delay() noexcept {
  const auto jitter = static_cast<std::uint64_t>(std::max<std::int64_t>(options_.jitter.count(), 0));
  return options_.delay + Duration{static_cast<std::int64_t>(random() % (jitter + 1))};
}

bool Fault::corrupt(ReceivedFrame& frame) noexcept {
  const Bytes first = frame.data.empty() ? Bytes{} : frame.data[0].bytes();
  const std::size_t size = frame.data.byte_count();
  if (first.size() < ethernet_header_size || size <= ethernet_header_size) return true;
  const auto protocol = std::to_integer<unsigned>(first[12]) << 8 | std::to_integer<unsigned>(first[13]);
  if (protocol != 0x0800 && protocol != 0x86dd) return true;
  if (frame.offload.needs_checksum) return false;
  MutableSlice copy = shard_.buffers().allocate(size, 0);
  if (!copy) {
    ++counters_.no_memory;
    return false;
  }
  for (const Slice& slice : frame.data) {
    std::ranges::copy(slice.bytes(), copy.grow_back(slice.size()).begin());
  }
  const std::uint64_t dice = random();
  const std::size_t place = ethernet_header_size + (dice >> 3) % (size - ethernet_header_size);
  copy.bytes()[place] ^= static_cast<std::byte>(1U << (dice & 7));
  frame.data.clear();
  (void)frame.data.push_back(std::move(copy).freeze());
  frame.offload = {};
  ++counters_.corrupted;
  return true;
}

void Fault::hold(ReceivedFrame frame) noexcept {
  Duration delay = random_delay();
  if (chance(options_.reorder)) {
    delay += options_.reorder_by;
    ++counters_.reordered;
  }
  if (held_ == room) {
    ++counters_.overflow;
    return;
  }
  const std::uint16_t slot = free_slots_[held_];
  slots_[slot] = std::move(frame);
  heap_[held_++] = {shard_.now() + delay, order_++, slot};
  std::push_heap(heap_.begin(), heap_.begin() + static_cast<std::ptrdiff_t>(held_));
}

ReceivedFrame Fault::release() noexcept {
  std::pop_heap(heap_.begin(), heap_.begin() + static_cast<std::ptrdiff_t>(held_));
  const std::uint16_t slot = heap_[--held_].slot;
  free_slots_[held_] = slot;
  return std::exchange(slots_[slot], ReceivedFrame{});
}

void Fault::disturb(ReceivedFrame&& frame) noexcept {
  ReceivedFrame taken = std::move(frame);
  ++counters_.arrived;
  // Every decision is drawn for every frame, so that changing one probability does not shift the others' dice.
  const bool lost = chance(options_.loss);
  const bool corrupted = chance(options_.corrupt);
  const bool duplicated = chance(options_.duplicate);
  if (lost || cut_ || (corrupted && !corrupt(taken))) {
    ++counters_.lost;
    return;
  }
  if (duplicated) {
    ++counters_.duplicated;
    hold(ReceivedFrame{taken});
  }
  hold(std::move(taken));
}

std::size_t Fault::poll(std::span<ReceivedFrame> frames) noexcept {
  while (held_ < room) {
    const std::size_t count = device_.queue(0).poll(arriving_);
    for (ReceivedFrame& frame : std::span{arriving_}.first(count)) disturb(std::move(frame));
    if (count < arriving_.size()) break;
  }
  std::size_t count = 0;
  while (count < frames.size() && held_ != 0 && heap_.front().due <= shard_.now()) frames[count++] = release();
  if (held_ == 0) {
    wake_.disarm();
  } else {
    wake_.arm(shard_.timers(), heap_.front().due);
  }
  return count;
}

}  // namespace mirage::device
