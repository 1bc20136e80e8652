// SPDX-License-Identifier: ISC
// A wire of two ends in memory, each a Net: what one sends the other receives, in order. For tests, the simulator, and
// two stacks in one image. It has the room of a bounded ring in each direction and loses nothing while there are
// buffers; for loss see device/fault. Frames are copied, as a wire would: what the receiver holds pins memory of its
// own and none of the sender's.
#pragma once

#include <array>
#include <cstdint>

#include <mirage/async/shard.hpp>
#include <mirage/base/counters.hpp>
#include <mirage/base/ring.hpp>
#include <mirage/module/net.hpp>

namespace mirage::device {

struct LoopbackOptions {
  std::uint16_t mtu = 1500;
  /// Partial checksums and large TCP segments travel as they are, like over a pair of virtual Ethernet devices.
  bool offload = false;
  std::array<MacAddress, 2> macs{MacAddress{{2, 0, 0, 0, 0, 1}}, MacAddress{{2, 0, 0, 0, 0, 2}}};
};

class LoopbackEnd {
 public:
  struct Counters {
    std::uint64_t sent = 0;
    std::uint64_t drop_too_large = 0;
    std::uint64_t drop_unsupported = 0;  ///< asks for an offload that the wire does not have
    std::uint64_t drop_no_memory = 0;    ///< no buffer for the receiver's copy
  };

  [[nodiscard]] const NetCapabilities& capabilities() const noexcept { return capabilities_; }
  [[nodiscard]] LoopbackEnd& queue(std::size_t) noexcept { return *this; }
  std::size_t poll(std::span<ReceivedFrame> frames) noexcept;
  std::size_t send(std::span<TransmitFrame> frames) noexcept;
  [[nodiscard]] Shard& shard() const noexcept { return shard_; }
  [[nodiscard]] const Counters& counters() const noexcept { return counters_; }
  void visit_counters(CounterVisitor& visitor) const noexcept { visitor.counters("loopback", counters_of(counters_)); }

 private:
  friend class Loopback;
  static constexpr std::size_t room = 128;
  LoopbackEnd(Shard& shard, LoopbackEnd& other, const LoopbackOptions& options, const MacAddress& mac) noexcept;
  void transmit(TransmitFrame&& frame) noexcept;
  [[nodiscard]] bool copy(const TransmitFrame& frame, SliceList& out) noexcept;

  Shard& shard_;
  LoopbackEnd& other_;
  NetCapabilities capabilities_;
  Counters counters_;
  Ring<ReceivedFrame, room> arrived_;
};

class Loopback {
 public:
  explicit Loopback(Shard& shard, const LoopbackOptions& options = {}) noexcept
      : left_(shard, right_, options, options.macs[0]), right_(shard, left_, options, options.macs[1]) {}
  Loopback(const Loopback&) = delete;
  Loopback& operator=(const Loopback&) = delete;

  [[nodiscard]] LoopbackEnd& left() noexcept { return left_; }
  [[nodiscard]] LoopbackEnd& right() noexcept { return right_; }

 private:
  LoopbackEnd left_;
  LoopbackEnd right_;
};

static_assert(Net<LoopbackEnd>);

}  // namespace mirage::device
