// SPDX-License-Identifier: ISC
// A cable between two network interfaces of one shard. For several stacks in one image, and for tests. With offload a
// frame crosses as it was made: nothing is copied, no checksum is computed, nothing is cut; without, each frame is
// copied once, as devices do.
#pragma once

#include <array>
#include <cstdint>
#include <memory>

#include <mirage/async/shard.hpp>
#include <mirage/module/net.hpp>

namespace mirage::device {

struct VnetOptions {
  std::uint16_t mtu = 1500;
  bool offload = true;        ///< gathering, checksums and segmentation are left to the receiver
  std::uint16_t queue = 256;  ///< frames in flight each way; more are refused
};

class Vnet {
 public:
  /// One end; a Net whose only queue it is itself.
  class End {
   public:
    [[nodiscard]] const NetCapabilities& capabilities() const noexcept { return capabilities_; }
    [[nodiscard]] End& queue(std::size_t) noexcept { return *this; }
    std::size_t poll(std::span<ReceivedFrame> frames) noexcept;
    std::size_t send(std::span<TransmitFrame> frames) noexcept;
    [[nodiscard]] std::uint64_t dropped() const noexcept { return dropped_; }

   private:
    friend class Vnet;
    [[nodiscard]] bool put(TransmitFrame&& frame) noexcept;
    [[nodiscard]] bool copy(const TransmitFrame& frame, ReceivedFrame& out) noexcept;
    [[nodiscard]] bool convert(TransmitFrame&& frame, ReceivedFrame& out) noexcept;
    Vnet* wire_ = nullptr;
    End* peer_ = nullptr;
    NetCapabilities capabilities_;
    std::unique_ptr<ReceivedFrame[]> inbox_;  // taken when the first frame arrives
    std::size_t first_ = 0;
    std::size_t count_ = 0;
    std::uint64_t dropped_ = 0;  ///< too long, or no memory
  };

  Vnet(Shard& shard, const VnetOptions& options) noexcept;
  Vnet(const Vnet&) = delete;
  Vnet& operator=(const Vnet&) = delete;

  [[nodiscard]] End& left() noexcept { return ends_[0]; }
  [[nodiscard]] End& right() noexcept { return ends_[1]; }

 private:
  Shard& shard_;
  VnetOptions options_;
  Timer wake_;  // a frame sent at the end of a turn must be received in a next one
  std::array<End, 2> ends_;
};

static_assert(Net<Vnet::End>);

}  // namespace mirage::device
