// SPDX-License-Identifier: ISC
// Disturbs the frames that arrive through a device: loss, duplicates, reordering, corruption, delay, all decided by a
// seed, so that the same frames at the same times give the same disturbance. A Net over a Net; wrap both ends of a wire
// to disturb both directions.
//
// Corruption flips one bit of an IP packet, which a checksum sees. The link header and ARP have none of their own (on
// a real wire the frame check sequence protects them), so they are left alone. A packet whose checksum is not filled in
// yet (NEEDS_CSUM) cannot be corrupted visibly and is lost instead.
#pragma once

#include <array>
#include <cstdint>

#include <mirage/async/shard.hpp>
#include <mirage/base/counters.hpp>
#include <mirage/module/net.hpp>

namespace mirage::device {

struct FaultOptions {
  std::uint64_t seed = 1;
  /// Probabilities per frame, in parts per million.
  std::uint32_t loss = 0;
  std::uint32_t duplicate = 0;
  std::uint32_t reorder = 0;  ///< held back by `reorder_by`, so that later frames overtake
  std::uint32_t corrupt = 0;
  Duration delay{};   ///< of every frame
  Duration jitter{};  ///< and up to this much more, which reorders too
  Duration reorder_by = 5ms;
};

class Fault {
 public:
  struct Counters {
    std::uint64_t arrived = 0;
    std::uint64_t lost = 0;
    std::uint64_t duplicated = 0;
    std::uint64_t reordered = 0;
    std::uint64_t corrupted = 0;
    std::uint64_t overflow = 0;   ///< lost because too many were held already
    std::uint64_t no_memory = 0;  ///< lost because there was no buffer for a corrupted copy
  };

  /// `device` must outlive it.
  template <Net Device>
  Fault(Shard& shard, Device& device, const FaultOptions& options) noexcept : Fault(shard, NetPort{device}, options) {}
  Fault(Shard& shard, NetPort device, const FaultOptions& options) noexcept;
  Fault(const Fault&) = delete;
  Fault& operator=(const Fault&) = delete;

  [[nodiscard]] const NetCapabilities& capabilities() const noexcept { return device_.capabilities(); }
  [[nodiscard]] Fault& queue(std::size_t) noexcept { return *this; }
  std::size_t poll(std::span<ReceivedFrame> frames) noexcept;
  /// Undisturbed.
  std::size_t send(std::span<TransmitFrame> frames) noexcept { return device_.queue(0).send(frames); }
  [[nodiscard]] Shard& shard() const noexcept { return shard_; }

  /// A cut wire loses everything; frames that are held still arrive.
  void set_cut(bool cut) noexcept { cut_ = cut; }
  /// For what arrives from now on; the seed's sequence goes on.
  void set_options(const FaultOptions& options) noexcept { options_ = options; }
  [[nodiscard]] const Counters& counters() const noexcept { return counters_; }
  void visit_counters(CounterVisitor& visitor) const noexcept { visitor.counters("fault", counters_of(counters_)); }

 private:
  static constexpr std::size_t room = 256;  ///< frames held at most
  static constexpr std::size_t batch = 16;

  struct Held {
    Time due;
    std::uint64_t order = 0;
    std::uint16_t slot = 0;
    /// True when `other` comes first: the order of a heap whose front is the earliest.
    [[nodiscard]] bool operator<(const Held& other) const noexcept {
      return due != other.due ? due > other.due : order > other.order;
    }
  };

  [[nodiscard]] std::uint64_t random() noexcept;
  [[nodiscard]] bool chance(std::uint32_t parts_per_million) noexcept;
  [[nodiscard]] Duration random_delay() noexcept;
  void disturb(ReceivedFrame&& frame) noexcept;
  [[nodiscard]] bool corrupt(ReceivedFrame& frame) noexcept;
  void hold(ReceivedFrame frame) noexcept;
  [[nodiscard]] ReceivedFrame release() noexcept;

  Shard& shard_;
  NetPort device_;
  FaultOptions options_;
  bool cut_ = false;
  std::uint64_t state_;
  std::uint64_t order_ = 0;
  Counters counters_;
  std::array<ReceivedFrame, batch> arriving_;
  std::array<ReceivedFrame, room> slots_;
  std::array<std::uint16_t, room> free_slots_;
  std::array<Held, room> heap_;
  std::size_t held_ = 0;
  Timer wake_;  // ends the loop's wait when a held frame is due
};

static_assert(Net<Fault>);

}  // namespace mirage::device
