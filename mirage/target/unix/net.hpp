// SPDX-License-Identifier: ISC
// A network device of a process: a tap of the host, or a packet socket (one end of a pair; mirage-usernet has the
// other), one frame per system call. Taps carry a virtio_net_hdr: checksums and segmentation are left to the host.
#pragma once

#include <string_view>

#include <mirage/async/task.hpp>
#include <mirage/module/start.hpp>
#include <mirage/target/solo5/frame_device.hpp>
#include <mirage/target/unix/environment.hpp>

namespace mirage::target::posix {

class Net final : public solo5::FrameDevice {
 public:
  enum class Use : std::uint8_t { alone, shared };
  /// The device attached as `name` (see attachment.hpp).
  Net(Shard& shard, std::string_view name, Use use = Use::alone) noexcept
      : FrameDevice(shard), name_(name), use_(use) {}
  ~Net();

  Task<Result<void, StartError>> start();

 private:
  [[nodiscard]] Result<void, StartError> open() noexcept;
  [[nodiscard]] long read(std::span<const solo5::Piece> pieces) noexcept override;
  [[nodiscard]] long write(std::span<const solo5::Piece> pieces) noexcept override;
  /// Ends the process: the other end is gone.
  [[noreturn]] void end() noexcept;

  std::string_view name_;
  Use use_;
  int descriptor_ = -1;
};

}  // namespace mirage::target::posix
