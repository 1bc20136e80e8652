// SPDX-License-Identifier: ISC
// A network device that moves one Ethernet frame per call of its tender: what spt's and hvt's have in common. The
// target supplies the two calls. Under our tenders a call takes several pieces of memory and frames carry a
// virtio_net_hdr with checksum and segmentation offloads (up to 64 KiB a call); under stock tenders it is one piece and
// plain frames.
#pragma once

#include <array>

#include <mirage/async/shard.hpp>
#include <mirage/base/counters.hpp>
#include <mirage/module/net.hpp>
#include <mirage/module/vnet_header.hpp>
#include <mirage/target/solo5/manifest.hpp>

namespace mirage::target::solo5 {

/// A piece of memory in a call; spt's readv(2) and hvt's vectors have this layout.
struct Piece {
  const void* base;
  std::size_t size;
};
static_assert(sizeof(Piece) == 16);

/// Most pieces that a call takes.
inline constexpr std::size_t piece_limit = SliceList::capacity + 2;

class FrameDevice {
 public:
  static constexpr bool nothing_to_end = true;  ///< see module/launch.hpp
  /// What the device dropped, and why.
  struct Statistics {
    std::uint64_t received = 0;
    std::uint64_t sent = 0;
    std::uint64_t no_buffer = 0;    ///< received, but the pool was exhausted
    std::uint64_t bad_offload = 0;  ///< received with an offload header that does not fit the frame
    std::uint64_t too_large = 0;    ///< to send, larger than maximum_frame
    std::uint64_t refused = 0;      ///< to send, refused by the host (interface down ...)
  };

  FrameDevice(const FrameDevice&) = delete;
  FrameDevice& operator=(const FrameDevice&) = delete;

  [[nodiscard]] const NetCapabilities& capabilities() const noexcept { return capabilities_; }
  [[nodiscard]] FrameDevice& queue(std::size_t) noexcept { return *this; }
  [[nodiscard]] const Statistics& statistics() const noexcept { return statistics_; }
  void visit_counters(CounterVisitor& visitor) const noexcept {
    visitor.counters("frame_device", counters_of(statistics_));
  }
  [[nodiscard]] Shard& shard() const noexcept { return shard_; }

  std::size_t poll(std::span<ReceivedFrame> frames) noexcept;
  std::size_t send(std::span<TransmitFrame> frames) noexcept;

 protected:
  /// Results of a call that are no byte count.
  static constexpr long would_block = -1;  ///< nothing there, or no room: offer it again later
  static constexpr long refused = -2;      ///< the frame is lost

  explicit FrameDevice(Shard& shard) noexcept : shard_(shard), retry_([](Timer&) noexcept {}) {}
  ~FrameDevice() = default;

  /// Sets the capabilities up. `scatter`: calls take several pieces, else exactly one. `vnet` (needs scatter): frames
  /// carry a virtio_net_hdr. `segment_udp` (needs vnet): the host segments and coalesces UDP, too. False when there is
  /// no memory for the first buffers.
  [[nodiscard]] bool attach(const NetProperties& properties, bool scatter, bool vnet,
                            bool segment_udp = false) noexcept;

  /// Receives one frame into the pieces, in order: its size, would_block.
  [[nodiscard]] virtual long read(std::span<const Piece> pieces) noexcept = 0;
  /// Sends one frame: its size, would_block, refused.
  [[nodiscard]] virtual long write(std::span<const Piece> pieces) noexcept = 0;

 private:
  enum class Outcome : std::uint8_t { done, dropped, again };

  [[nodiscard]] bool refill() noexcept;
  [[nodiscard]] long receive_bytes() noexcept;
  [[nodiscard]] Outcome receive(ReceivedFrame& frame) noexcept;
  [[nodiscard]] Outcome deliver(ReceivedFrame& frame, std::size_t size) noexcept;
  [[nodiscard]] Outcome transmit(TransmitFrame& frame) noexcept;
  [[nodiscard]] long write_gathered(TransmitFrame& frame) noexcept;
  [[nodiscard]] long write_pieces(Bytes front, const TransmitFrame& frame) noexcept;
  [[nodiscard]] long write_copied(TransmitFrame& frame) noexcept;

  Shard& shard_;
  bool vnet_ = false;
  bool scatter_ = false;
  bool whole_ = false;          // the last read was one into rest_
  bool expects_small_ = false;  // the last frame was small
  NetCapabilities capabilities_;
  Statistics statistics_;
  MutableSlice first_;  // the next frame goes here ...
  MutableSlice rest_;   // ... and what is longer here, or all of it
  std::array<std::byte, VnetHeader::legacy_size> received_header_{};
  std::size_t budget_ = 1;        // frames that the next poll looks for
  std::size_t found_ = 0;         // frames of the last poll
  std::uint8_t expectation_ = 1;  // that there are more behind those; 0: none
  std::uint8_t passed_ = 0;       // polls that did not look therefore
  Timer retry_;                   // wakes the loop when the host's queue was full
};

static_assert(mirage::Net<FrameDevice>);

}  // namespace mirage::target::solo5
