// SPDX-License-Identifier: ISC
// What a device lacks, supplied in software: checksums, TCP segmentation, gathering. A Net over a Net, to stand between
// a device and a stack, so that TCP and UDP always emit partial checksums and large segments. What the device can do
// passes straight through. On receive, offload metadata is checked against the frame before anyone relies on it.
// Segmentation: the meaning of struct virtio_net_hdr (VIRTIO 1.2 5.1.6.2); TCP over either IP version.
#pragma once

#include <array>
#include <cstdint>

#include <mirage/async/shard.hpp>
#include <mirage/base/counters.hpp>
#include <mirage/module/net.hpp>
#include <mirage/module/start.hpp>

namespace mirage::device {

class Offload {
 public:
  static constexpr bool nothing_to_end = true;  ///< see module/launch.hpp
  struct Counters {
    std::uint64_t checksums = 0;   ///< computed here
    std::uint64_t split = 0;       ///< large segments cut here,
    std::uint64_t segments = 0;    ///< and into how many
    std::uint64_t linearised = 0;  ///< frames copied into one buffer
    std::uint64_t copied_bytes = 0;
    std::uint64_t drop_malformed = 0;  ///< transmit: offload metadata that does not fit the frame
    std::uint64_t drop_no_memory = 0;
    std::uint64_t drop_bad_receive = 0;  ///< receive: likewise
  };

  /// `device` must outlive it.
  template <Net Device>
  Offload(Shard& shard, Device& device) noexcept : Offload(shard, NetPort{device}) {}
  Offload(Shard& shard, NetPort device) noexcept : shard_(shard), device_(device) {}
  Offload(const Offload&) = delete;
  Offload& operator=(const Offload&) = delete;

  /// Reads the device's capabilities, which must have started.
  [[nodiscard]] Task<Result<void, StartError>> start();

  // Net
  /// The device's, with everything added that is supplied here.
  [[nodiscard]] const NetCapabilities& capabilities() const noexcept { return capabilities_; }
  [[nodiscard]] Offload& queue(std::size_t) noexcept { return *this; }
  std::size_t poll(std::span<ReceivedFrame> frames) noexcept;
  std::size_t send(std::span<TransmitFrame> frames) noexcept;

  [[nodiscard]] Shard& shard() noexcept { return shard_; }
  [[nodiscard]] const Counters& counters() const noexcept { return counters_; }
  void visit_counters(CounterVisitor& visitor) const noexcept { visitor.counters("offload", counters_of(counters_)); }
  /// For a device whose start() was awaited elsewhere (tests).
  void adopt_capabilities() noexcept;

 private:
  static constexpr std::size_t batch = 16;  ///< segments made before they are offered to the device

  enum class Outcome : std::uint8_t { sent, device_full, dropped };
  /// A large segment in work; all offsets from the frame's start.
  struct Cut {
    std::size_t header = 0;     ///< bytes that each segment repeats
    std::size_t transport = 0;  ///< where the TCP header starts
    std::size_t payload = 0;    ///< bytes to distribute
    std::size_t segment = 0;    ///< bytes per segment
  };
  [[nodiscard]] bool splits(const TransmitFrame& frame) const noexcept;
  [[nodiscard]] bool adapt(TransmitFrame& frame) noexcept;
  [[nodiscard]] bool fill_checksum(TransmitFrame& frame) noexcept;
  [[nodiscard]] bool linearise(TransmitFrame& frame) noexcept;
  [[nodiscard]] Outcome send_split(const TransmitFrame& frame) noexcept;
  [[nodiscard]] static bool measure(const TransmitFrame& frame, Cut& cut) noexcept;
  [[nodiscard]] bool make_segment(const TransmitFrame& frame, const Cut& cut, std::size_t offset,
                                  TransmitFrame& out) noexcept;
  [[nodiscard]] bool take_payload(const TransmitFrame& frame, const Cut& cut, std::size_t offset, std::size_t size,
                                  TransmitFrame& out) noexcept;
  [[nodiscard]] bool acceptable(ReceivedFrame& frame) const noexcept;

  Shard& shard_;
  NetPort device_;
  NetCapabilities capabilities_;
  bool pass_through_ = false;
  std::size_t progress_ = 0;  ///< payload bytes already sent of the large segment at the head of the caller's queue
  std::array<TransmitFrame, batch> segments_;
  Counters counters_;
};

static_assert(Net<Offload>);

}  // namespace mirage::device
