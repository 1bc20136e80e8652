// SPDX-License-Identifier: ISC
// One VLAN of a trunk (IEEE 802.1Q): a Net over a Net that tags what is sent and takes the tag off what arrives. Frames
// of other VLANs, and untagged ones, are dropped and counted. Offsets of the offload metadata move with the tag.
// Deliberately not here: sharing one trunk among several VLANs, service tags (802.1ad).
#pragma once

#include <cstdint>

#include <mirage/async/shard.hpp>
#include <mirage/base/counters.hpp>
#include <mirage/module/net.hpp>
#include <mirage/module/start.hpp>

namespace mirage::device {

struct VlanOptions {
  std::uint16_t id = 1;       ///< 1 to 4094
  std::uint8_t priority = 0;  ///< 0 to 7, of what is sent
};

class Vlan {
 public:
  struct Counters {
    std::uint64_t sent = 0;
    std::uint64_t received = 0;
    std::uint64_t drop_untagged = 0;
    std::uint64_t drop_other_vlan = 0;
    std::uint64_t drop_no_room = 0;  ///< no buffer, no headroom, or no place for another slice
  };

  /// `device` must outlive it.
  template <Net Device>
  Vlan(Shard& shard, Device& device, const VlanOptions& options) noexcept : Vlan(shard, NetPort{device}, options) {}
  Vlan(Shard& shard, NetPort device, const VlanOptions& options) noexcept
      : shard_(shard), device_(device), options_(options) {}
  Vlan(const Vlan&) = delete;
  Vlan& operator=(const Vlan&) = delete;

  /// Reads the device's capabilities, which must have started.
  [[nodiscard]] Task<Result<void, StartError>> start();

  // Net
  /// The device's; a switch port carries four bytes more for the tag, so the MTU stays.
  [[nodiscard]] const NetCapabilities& capabilities() const noexcept { return capabilities_; }
  [[nodiscard]] Vlan& queue(std::size_t) noexcept { return *this; }
  std::size_t poll(std::span<ReceivedFrame> frames) noexcept;
  std::size_t send(std::span<TransmitFrame> frames) noexcept;

  [[nodiscard]] Shard& shard() noexcept { return shard_; }
  [[nodiscard]] const Counters& counters() const noexcept { return counters_; }
  void visit_counters(CounterVisitor& visitor) const noexcept { visitor.counters("vlan", counters_of(counters_)); }

 private:
  [[nodiscard]] bool untag(ReceivedFrame& frame) noexcept;
  [[nodiscard]] bool tag(TransmitFrame& frame) const noexcept;
  static void take_back(TransmitFrame& frame) noexcept;

  Shard& shard_;
  NetPort device_;
  VlanOptions options_;
  NetCapabilities capabilities_;
  Counters counters_;
};

static_assert(Net<Vlan>);

}  // namespace mirage::device
