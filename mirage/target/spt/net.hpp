// SPDX-License-Identifier: ISC
// A network device of an spt guest: the tender's descriptor of a tap or of a packet socket, one frame per system call.
// Under our tender frames carry a virtio_net_hdr with checksum and segmentation offloads (up to 64 KiB a call) and
// are gathered and split by readv(2) and writev(2); under a stock tender it is read(2) and write(2) of plain frames.
#pragma once

#include <mirage/async/shard.hpp>
#include <mirage/async/task.hpp>
#include <mirage/module/net.hpp>
#include <mirage/module/start.hpp>

namespace mirage::target::spt {

class Net {
 public:
  /// What the device dropped, and why.
  struct Statistics {
    std::uint64_t received = 0;
    std::uint64_t sent = 0;
    std::uint64_t no_buffer = 0;    ///< received, but the pool was exhausted
    std::uint64_t bad_offload = 0;  ///< received with an offload header that does not fit the frame
    std::uint64_t too_large = 0;    ///< to send, larger than maximum_frame
    std::uint64_t refused = 0;      ///< to send, refused by the host (interface down ...)
  };

  /// The device that the manifest declares under `name`.
  Net(Shard& shard, std::string_view name) noexcept : shard_(shard), name_(name), retry_([](Timer&) noexcept {}) {}
  Net(const Net&) = delete;
  Net& operator=(const Net&) = delete;

  Task<Result<void, StartError>> start();

  [[nodiscard]] const NetCapabilities& capabilities() const noexcept { return capabilities_; }
  [[nodiscard]] Net& queue(std::size_t) noexcept { return *this; }
  [[nodiscard]] const Statistics& statistics() const noexcept { return statistics_; }
  [[nodiscard]] Shard& shard() const noexcept { return shard_; }

  std::size_t poll(std::span<ReceivedFrame> frames) noexcept;
  std::size_t send(std::span<TransmitFrame> frames) noexcept;

 private:
  [[nodiscard]] Result<void, StartError> attach() noexcept;
  enum class Outcome : std::uint8_t { done, dropped, again };

  /// Ends the guest: the device is gone.
  [[noreturn]] void end() noexcept;
  [[nodiscard]] bool refill() noexcept;
  [[nodiscard]] long receive_bytes() noexcept;
  [[nodiscard]] Outcome receive(ReceivedFrame& frame) noexcept;
  [[nodiscard]] Outcome transmit(TransmitFrame& frame) noexcept;
  [[nodiscard]] long write_gathered(TransmitFrame& frame) noexcept;
  [[nodiscard]] long write_copied(TransmitFrame& frame) noexcept;

  /// struct virtio_net_hdr without num_buffers (VIRTIO 1.2 section 5.1.6), in the host's byte order.
  struct VnetHeader {
    std::uint8_t flags;
    std::uint8_t segmentation;
    std::uint16_t header_length;
    std::uint16_t segment_size;
    std::uint16_t checksum_start;
    std::uint16_t checksum_offset;
  };
  static_assert(sizeof(VnetHeader) == 10);
  [[nodiscard]] static VnetHeader make_header(const Offload& offload) noexcept;
  [[nodiscard]] static bool read_header(const VnetHeader& header, std::size_t frame_size, Offload& offload) noexcept;

  Shard& shard_;
  std::string_view name_;
  int descriptor_ = -1;
  bool vnet_ = false;
  bool scatter_ = false;
  NetCapabilities capabilities_;
  Statistics statistics_;
  MutableSlice first_;  // the next frame goes here ...
  MutableSlice rest_;   // ... and what is longer here
  VnetHeader received_header_{};
  Timer retry_;  // wakes the loop when the host's queue was full
};

}  // namespace mirage::target::spt
