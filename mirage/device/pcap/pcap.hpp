// SPDX-License-Identifier: ISC
// Records every frame that passes through a device, in the classic capture format with nanoseconds (magic 0xa1b23c4d,
// link type Ethernet) that tcpdump and Wireshark read. A Net over a Net. Large segments and partial checksums are
// recorded as they pass, as on a Linux interface with offloads.
#pragma once

#include <array>
#include <cstdint>

#include <mirage/async/shard.hpp>
#include <mirage/module/net.hpp>

namespace mirage::device {

/// Where the capture goes, in order: memory, a buffer before a file (capture.hpp).
class CaptureSink {
 public:
  /// Whether `size` bytes, which come next, have room; otherwise they do not come.
  [[nodiscard]] virtual bool begin(std::size_t /*size*/) noexcept { return true; }
  virtual void write(Bytes bytes) noexcept = 0;

 protected:
  ~CaptureSink() = default;
};

class Pcap {
 public:
  /// Bytes of a frame that are recorded at most.
  static constexpr std::uint32_t snapshot_length = 262'144;

  /// `device` and `sink` must outlive it. Writes the file's header at once.
  template <Net Device>
  Pcap(Shard& shard, Device& device, CaptureSink& sink) noexcept : Pcap(shard, NetPort{device}, sink) {}
  Pcap(Shard& shard, NetPort device, CaptureSink& sink) noexcept;
  Pcap(const Pcap&) = delete;
  Pcap& operator=(const Pcap&) = delete;

  [[nodiscard]] const NetCapabilities& capabilities() const noexcept { return device_.capabilities(); }
  [[nodiscard]] Pcap& queue(std::size_t) noexcept { return *this; }
  std::size_t poll(std::span<ReceivedFrame> frames) noexcept;
  std::size_t send(std::span<TransmitFrame> frames) noexcept;
  [[nodiscard]] Shard& shard() const noexcept { return shard_; }
  /// Frames that the sink has taken.
  [[nodiscard]] std::uint64_t recorded() const noexcept { return recorded_; }

 private:
  [[nodiscard]] bool begin_record(std::size_t size) noexcept;
  void record(Bytes front, const SliceList& rest) noexcept;

  Shard& shard_;
  NetPort device_;
  CaptureSink& sink_;
  Duration wall_offset_;  ///< from the shard's time to wall time: a capture's times never go back
  std::uint64_t recorded_ = 0;
  std::array<std::byte, frame_capacity> header_;  ///< of the frame being sent
};

static_assert(Net<Pcap>);

}  // namespace mirage::device
