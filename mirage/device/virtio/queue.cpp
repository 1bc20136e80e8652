// SPDX-License-Identifier: ISC
#include <algorithm>
#include <atomic>
#include <bit>
#include <cstdlib>
#include <cstring>
#include <new>
#include <utility>

#include <mirage/device/virtio/queue.hpp>

namespace mirage::virtio {

namespace {

constexpr std::uint16_t descriptor_next = 1;
constexpr std::uint16_t descriptor_write = 2;
constexpr std::uint16_t descriptor_indirect = 4;
constexpr std::uint16_t available_no_interrupt = 1;
constexpr std::uint16_t used_no_notify = 1;
std::uint64_t device_address(const void* memory) noexcept { return reinterpret_cast<std::uintptr_t>(memory); }

std::uint16_t load(const std::uint16_t* word) noexcept {
  return std::atomic_ref(*const_cast<std::uint16_t*>(word)).load(std::memory_order_acquire);
}
void store(std::uint16_t* word, std::uint16_t value) noexcept {
  std::atomic_ref(*word).store(value, std::memory_order_release);
}

/// Section 2.7.10: did moving from `before` to `after` pass `event`?
constexpr bool passed_event(std::uint16_t event, std::uint16_t after, std::uint16_t before) noexcept {
  return static_cast<std::uint16_t>(after - event - 1) < static_cast<std::uint16_t>(after - before);
}
static_assert(passed_event(4, 5, 4) && !passed_event(5, 5, 4) && passed_event(0xffff, 0, 0xffff));

}  // namespace

void Queue::FreeMemory::operator()(std::byte* memory) const noexcept {
  if (!borrowed) std::free(memory);
}

bool Queue::allocate(std::uint16_t size, MutableBytes memory) noexcept {
  const std::size_t bytes = memory_size(size);
  if (memory.empty()) {
    memory_ = Memory(static_cast<std::byte*>(std::aligned_alloc(ring_alignment, bytes)));
  } else if (memory.size() >= bytes && reinterpret_cast<std::uintptr_t>(memory.data()) % ring_alignment == 0) {
    memory_ = Memory(memory.data(), FreeMemory{.borrowed = true});
  }
  if (!memory_) return false;
  std::memset(memory_.get(), 0, bytes);
  descriptors_ = reinterpret_cast<Descriptor*>(memory_.get());
  available_ = reinterpret_cast<std::uint16_t*>(memory_.get() + 16 * std::size_t{size});
  used_ = reinterpret_cast<std::uint16_t*>(memory_.get() + used_offset(size));
  shadow_ = reinterpret_cast<Shadow*>(memory_.get() + used_offset(size) + align(6 + 8 * std::size_t{size}));
  size_ = free_ = size;
  first_free_ = 0;
  in_flight_ = next_available_ = published_ = next_used_ = 0;
  broken_ = false;
  for (std::uint16_t i = 0; i < size; ++i) {
    auto* shadow = new (shadow_ + i) Shadow;
    shadow->next = static_cast<std::uint16_t>(i + 1);
  }
  return true;
}

bool Queue::allocate_indirect(std::uint16_t requests) noexcept {
  indirect_count_ = 0;
  if (requests == 0) return true;
  const std::size_t bytes = align(sizeof(Descriptor) * maximum_segments * requests);
  indirect_memory_ = Memory(static_cast<std::byte*>(std::aligned_alloc(ring_alignment, bytes)));
  indirect_free_.reset(new (std::nothrow) std::uint16_t[requests]);
  if (!indirect_memory_ || !indirect_free_) return false;
  indirect_ = reinterpret_cast<Descriptor*>(indirect_memory_.get());
  while (indirect_count_ < requests) {
    indirect_free_[indirect_count_] = indirect_count_;
    ++indirect_count_;
  }
  return true;
}

bool Queue::start(Transport& transport, std::uint16_t index, const Negotiated& negotiated, std::uint16_t wanted,
                  std::uint16_t indirect_requests, MutableBytes memory) noexcept {
  std::uint16_t size = transport.queue_limit(index);
  if (size == 0) return false;
  if (!transport.queue_size_is_fixed()) size = std::bit_floor(std::min(size, wanted));
  if (size > maximum_size || !std::has_single_bit(size)) return false;
  transport_ = &transport;
  event_index_ = negotiated.has(Feature::event_index);
  if (!allocate(size, memory)) return false;
  if (!allocate_indirect(negotiated.has(Feature::indirect) ? indirect_requests : std::uint16_t{0})) return false;
  disable_interrupts();
  doorbell_.queue = index;
  return transport.enable_queue(doorbell_, size,
                                {device_address(descriptors_), device_address(available_), device_address(used_)});
}

std::uint16_t Queue::take_descriptor() noexcept {
  const std::uint16_t taken = first_free_;
  first_free_ = shadow_[taken].next;
  --free_;
  return taken;
}

bool Queue::add_direct(std::span<const Segment> segments, Shadow*& head_shadow) noexcept {
  if (segments.size() > free_) return false;
  const std::uint16_t head = take_descriptor();
  std::uint16_t current = head;
  for (std::size_t i = 0; i < segments.size(); ++i) {
    const bool last = i + 1 == segments.size();
    const std::uint16_t next = last ? std::uint16_t{0} : take_descriptor();
    descriptors_[current] = {
        device_address(segments[i].data), segments[i].size,
        static_cast<std::uint16_t>((segments[i].device_writes ? descriptor_write : 0) | (last ? 0 : descriptor_next)),
        next};
    shadow_[current].next = next;
    current = next;
  }
  head_shadow = &shadow_[head];
  head_shadow->count = static_cast<std::uint16_t>(segments.size());
  head_shadow->indirect = none;
  make_available(head);
  return true;
}

bool Queue::add_indirect(std::span<const Segment> segments, Shadow*& head_shadow) noexcept {
  if (free_ == 0) return false;
  const std::uint16_t slot = indirect_free_[--indirect_count_];
  Descriptor* table = indirect_ + std::size_t{slot} * maximum_segments;
  for (std::size_t i = 0; i < segments.size(); ++i) {
    const bool last = i + 1 == segments.size();
    table[i] = {
        device_address(segments[i].data), segments[i].size,
        static_cast<std::uint16_t>((segments[i].device_writes ? descriptor_write : 0) | (last ? 0 : descriptor_next)),
        static_cast<std::uint16_t>(last ? 0 : i + 1)};
  }
  const std::uint16_t head = take_descriptor();
  descriptors_[head] = {device_address(table), static_cast<std::uint32_t>(segments.size() * sizeof(Descriptor)),
                        descriptor_indirect, 0};
  head_shadow = &shadow_[head];
  head_shadow->count = 1;
  head_shadow->indirect = slot;
  make_available(head);
  return true;
}

void Queue::make_available(std::uint16_t head) noexcept {
  available_[2 + (next_available_ & (size_ - 1))] = head;
  ++next_available_;
}

bool Queue::add(std::span<const Segment> segments, std::uint16_t token) noexcept {
  if (segments.empty() || segments.size() > maximum_segments || broken_) return false;
  Shadow* head = nullptr;
  const bool added =
      segments.size() > 1 && indirect_count_ > 0 ? add_indirect(segments, head) : add_direct(segments, head);
  if (!added) return false;
  head->token = token;
  head->writable = 0;
  for (const Segment& segment : segments) head->writable += segment.device_writes ? segment.size : 0;
  ++in_flight_;
  return true;
}

bool Queue::device_wants_kick(std::uint16_t before) const noexcept {
  const auto* avail_event = used_ + 2 + 4 * std::size_t{size_};
  if (event_index_) return passed_event(load(avail_event), published_, before);
  return (load(used_) & used_no_notify) == 0;
}

void Queue::publish() noexcept {
  if (published_ == next_available_) return;
  const std::uint16_t before = published_;
  published_ = next_available_;
  store(available_ + 1, published_);
  // The index must be visible before the device's wish is read (section 2.7.13.4.1).
  std::atomic_thread_fence(std::memory_order_seq_cst);
  if (!device_wants_kick(before)) return;
  ++statistics_.kicks;
  transport_->notify(doorbell_);
}

std::uint16_t Queue::used_index() const noexcept { return load(used_ + 1); }

void Queue::release_chain(std::uint16_t head) noexcept {
  Shadow& shadow = shadow_[head];
  if (shadow.indirect != none) indirect_free_[indirect_count_++] = std::exchange(shadow.indirect, none);
  std::uint16_t last = head;
  for (std::uint16_t i = 1; i < shadow.count; ++i) last = shadow_[last].next;
  free_ = static_cast<std::uint16_t>(free_ + shadow.count);
  shadow.count = 0;
  shadow_[last].next = first_free_;
  first_free_ = head;
  --in_flight_;
}

std::optional<Completion> Queue::take() noexcept {
  // At most one round over the ring per call: a device that writes nonsense faster than we read gets no further.
  for (std::uint16_t round = 0; round < size_ && !broken_; ++round) {
    const auto waiting = static_cast<std::uint16_t>(used_index() - next_used_);
    if (waiting == 0) return std::nullopt;
    if (waiting > in_flight_) {
      broken_ = true;
      break;
    }
    // Copied once: the device may change it under our hands.
    UsedElement element{};
    std::memcpy(&element, used_ + 2 + 4 * std::size_t{next_used_ & (size_ - 1U)}, sizeof element);
    ++next_used_;
    if (element.id >= size_ || shadow_[element.id].count == 0) {
      ++statistics_.bad_completions;
      continue;
    }
    const auto head = static_cast<std::uint16_t>(element.id);
    const Completion completion{shadow_[head].token, std::min(element.length, shadow_[head].writable)};
    if (element.length > shadow_[head].writable) ++statistics_.bad_lengths;
    release_chain(head);
    return completion;
  }
  return std::nullopt;
}

bool Queue::enable_interrupts() noexcept {
  if (event_index_) {
    store(available_ + 2 + size_, next_used_);
  } else {
    store(available_, 0);
  }
  std::atomic_thread_fence(std::memory_order_seq_cst);
  return !broken_ && used_index() != next_used_;
}

void Queue::disable_interrupts() noexcept {
  if (event_index_) {
    // As far away as possible: half the index space behind.
    store(available_ + 2 + size_, static_cast<std::uint16_t>(next_used_ + 0x8000));
  } else {
    store(available_, available_no_interrupt);
  }
}

}  // namespace mirage::virtio
