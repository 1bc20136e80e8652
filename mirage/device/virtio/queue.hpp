// SPDX-License-Identifier: ISC
// A split virtqueue, driver side: VIRTIO 1.2 section 2.7. Read 2.7.5 (descriptors), 2.7.7 (event index) and 2.7.13-14
// before editing. The device is not trusted: what it writes into the used ring is copied once, bounded and counted; it
// can make requests fail or never finish, but not make the driver touch memory that is not its own.
//
// Deliberately without packed rings and without descriptor tables shared between chains.
#pragma once

#include <array>
#include <cstddef>
#include <cstdint>
#include <memory>
#include <optional>
#include <span>

#include <mirage/device/virtio/transport.hpp>

namespace mirage::virtio {

/// Memory that a descriptor refers to.
struct Segment {
  const std::byte* data = nullptr;
  std::uint32_t size = 0;
  bool device_writes = false;
};

[[nodiscard]] inline Segment readable(Bytes bytes) noexcept {
  return {bytes.data(), static_cast<std::uint32_t>(bytes.size()), false};
}
[[nodiscard]] inline Segment writable(MutableBytes bytes) noexcept {
  return {bytes.data(), static_cast<std::uint32_t>(bytes.size()), true};
}

/// A request that the device has finished.
struct Completion {
  std::uint16_t token = 0;
  std::uint32_t written = 0;  ///< bytes, at most what the chain let the device write
};

class Queue {
 public:
  static constexpr std::uint16_t maximum_size = 1024;
  /// Segments of one request at most.
  static constexpr std::size_t maximum_segments = 22;

  struct Statistics {
    std::uint64_t bad_completions = 0;  ///< used entries whose id is not a request in flight: ignored
    std::uint64_t bad_lengths = 0;      ///< used entries that claim more than the request allowed: clamped
    std::uint64_t kicks = 0;
  };

  Queue() noexcept = default;
  Queue(const Queue&) = delete;
  Queue& operator=(const Queue&) = delete;

  /// Allocates the ring for queue number `index` and hands it to the device. `wanted`: upper bound of the size, a power
  /// of two. `indirect_requests`: how many requests in flight may use indirect descriptors (0: none), when the
  /// feature is negotiated. `memory`: where the ring goes instead of the heap (page aligned, memory_size(wanted) bytes,
  /// outlives the queue), for use before there is one. False when there is no such queue, no memory, or the device
  /// refuses.
  [[nodiscard]] bool start(Transport& transport, std::uint16_t index, const Negotiated& negotiated,
                           std::uint16_t wanted, std::uint16_t indirect_requests = 0,
                           MutableBytes memory = {}) noexcept;

  /// Bytes of a queue of `size` descriptors (without indirect tables), a multiple of the page size.
  [[nodiscard]] static constexpr std::size_t memory_size(std::size_t size) noexcept {
    return align(used_offset(size) + align(6 + 8 * size) + sizeof(Shadow) * size);
  }
  [[nodiscard]] std::uint16_t size() const noexcept { return size_; }
  /// Descriptors that are free now.
  [[nodiscard]] std::uint16_t free_descriptors() const noexcept { return free_; }
  [[nodiscard]] std::uint16_t in_flight() const noexcept { return in_flight_; }

  /// Queues a request: device-readable segments first, then writable ones (section 2.7.4.2). False, and nothing done,
  /// when there is no room or the number of segments is 0 or above maximum_segments. The memory must stay valid until
  /// take() returns `token`.
  [[nodiscard]] bool add(std::span<const Segment> segments, std::uint16_t token) noexcept;

  /// Makes what was added visible and notifies the device if it asks for it.
  void publish() noexcept;

  /// The next finished request.
  [[nodiscard]] std::optional<Completion> take() noexcept;

  /// Asks for an interrupt at the next completion. True when one is there already.
  [[nodiscard]] bool enable_interrupts() noexcept;
  void disable_interrupts() noexcept;

  /// True once the device has claimed more completions than there are requests: the queue stands still from then on.
  [[nodiscard]] bool broken() const noexcept { return broken_; }
  [[nodiscard]] const Statistics& statistics() const noexcept { return statistics_; }

 private:
  /// struct virtq_desc
  struct Descriptor {
    std::uint64_t address;
    std::uint32_t length;
    std::uint16_t flags;
    std::uint16_t next;
  };
  static_assert(sizeof(Descriptor) == 16);
  /// struct virtq_used_elem
  struct UsedElement {
    std::uint32_t id;
    std::uint32_t length;
  };
  /// What the driver remembers about a descriptor, out of the device's reach.
  struct Shadow {
    std::uint32_t writable = 0;     ///< head of a chain: bytes the device may write
    std::uint16_t token = 0;        ///< head
    std::uint16_t count = 0;        ///< head in flight: descriptors of the chain; otherwise 0
    std::uint16_t next = 0;         ///< chain, or free list
    std::uint16_t indirect = none;  ///< head: indirect table in use
  };
  static constexpr std::uint16_t none = 0xffff;

  /// Alignment of the used ring in the legacy layout (section 2.7.2), which all devices get.
  static constexpr std::size_t ring_alignment = 4096;
  static constexpr std::size_t align(std::size_t size) { return (size + ring_alignment - 1) & ~(ring_alignment - 1); }
  static constexpr std::size_t used_offset(std::size_t size) { return align(16 * size + 2 * (3 + size)); }

  [[nodiscard]] bool allocate(std::uint16_t size, MutableBytes memory) noexcept;
  [[nodiscard]] bool allocate_indirect(std::uint16_t requests) noexcept;
  [[nodiscard]] bool add_direct(std::span<const Segment> segments, Shadow*& head_shadow) noexcept;
  [[nodiscard]] bool add_indirect(std::span<const Segment> segments, Shadow*& head_shadow) noexcept;
  [[nodiscard]] std::uint16_t take_descriptor() noexcept;
  void release_chain(std::uint16_t head) noexcept;
  [[nodiscard]] std::uint16_t used_index() const noexcept;
  void make_available(std::uint16_t head) noexcept;
  [[nodiscard]] bool device_wants_kick(std::uint16_t before) const noexcept;

  struct FreeMemory {
    void operator()(std::byte* memory) const noexcept;
    bool borrowed;
  };
  using Memory = std::unique_ptr<std::byte, FreeMemory>;

  Transport* transport_ = nullptr;
  Memory memory_;  ///< ring, then shadow
  Memory indirect_memory_;
  Shadow* shadow_ = nullptr;
  std::unique_ptr<std::uint16_t[]> indirect_free_;
  Descriptor* descriptors_ = nullptr;
  std::uint16_t* available_ = nullptr;  // flags, index, ring[size], used_event
  std::uint16_t* used_ = nullptr;       // flags, index, ring[size] of UsedElement, avail_event
  Descriptor* indirect_ = nullptr;
  Doorbell doorbell_;
  std::uint16_t size_ = 0;
  std::uint16_t free_ = 0;
  std::uint16_t first_free_ = 0;
  std::uint16_t indirect_count_ = 0;  ///< free indirect tables
  std::uint16_t in_flight_ = 0;
  std::uint16_t next_available_ = 0;  ///< index not yet published
  std::uint16_t published_ = 0;
  std::uint16_t next_used_ = 0;
  bool event_index_ = false;
  bool broken_ = false;
  Statistics statistics_;
};

}  // namespace mirage::virtio
