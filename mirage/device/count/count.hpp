// SPDX-License-Identifier: ISC
// Counts the frames that pass a network interface, each direction by itself: what there is, to whom, how large and of
// which protocol. A Net over a Net that looks at 18 bytes of a frame and changes nothing.
//
// Frames are those that device and stack exchange: where segments are cut or joined by the device, a large one counts
// once. `bytes` are without the frame check sequence, as Linux counts them; the classes of size are those of RFC 2819
// (etherStatsPkts64Octets and the like), which includes its four bytes.
#pragma once

#include <array>
#include <cstdint>
#include <span>

#include <mirage/async/shard.hpp>
#include <mirage/base/counters.hpp>
#include <mirage/module/net.hpp>

namespace mirage::device {

class Count {
 public:
  struct Counters {
    std::uint64_t frames = 0;
    std::uint64_t bytes = 0;
    std::uint64_t unicast = 0;
    std::uint64_t multicast = 0;
    std::uint64_t broadcast = 0;
    std::uint64_t size_64 = 0;  ///< or less
    std::uint64_t size_65_to_127 = 0;
    std::uint64_t size_128_to_255 = 0;
    std::uint64_t size_256_to_511 = 0;
    std::uint64_t size_512_to_1023 = 0;
    std::uint64_t size_1024_to_1518 = 0;
    std::uint64_t size_above_1518 = 0;
    std::uint64_t ipv4 = 0;  ///< protocols also behind a VLAN tag
    std::uint64_t ipv6 = 0;
    std::uint64_t arp = 0;
    std::uint64_t other = 0;
    std::uint64_t tagged = 0;     ///< with a VLAN tag
    std::uint64_t truncated = 0;  ///< too short for an Ethernet header: neither destination nor protocol
  };

  /// `device` must outlive it.
  template <Net Device>
  Count(Shard& shard, Device& device) noexcept : Count(shard, NetPort{device}) {}
  Count(Shard& shard, NetPort device) noexcept : shard_(shard), device_(device) {}
  Count(const Count&) = delete;
  Count& operator=(const Count&) = delete;

  [[nodiscard]] const NetCapabilities& capabilities() const noexcept { return device_.capabilities(); }
  [[nodiscard]] Count& queue(std::size_t) noexcept { return *this; }
  std::size_t poll(std::span<ReceivedFrame> frames) noexcept;
  std::size_t send(std::span<TransmitFrame> frames) noexcept;
  [[nodiscard]] Shard& shard() const noexcept { return shard_; }

  [[nodiscard]] const Counters& received() const noexcept { return received_; }
  [[nodiscard]] const Counters& sent() const noexcept { return sent_; }
  void visit_counters(CounterVisitor& visitor) const noexcept {
    visitor.counters("wire_in", counters_of(received_));
    visitor.counters("wire_out", counters_of(sent_));
  }

 private:
  Shard& shard_;
  NetPort device_;
  Counters received_;
  Counters sent_;
};

static_assert(Net<Count>);

}  // namespace mirage::device
