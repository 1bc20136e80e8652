// SPDX-License-Identifier: ISC
// A network device of an spt guest: the tender's descriptor of a tap or of a packet socket, one frame per system call:
// readv(2) and writev(2) under our tender, read(2) and write(2) under a stock one.
#pragma once

#include <mirage/async/task.hpp>
#include <mirage/module/start.hpp>
#include <mirage/target/solo5/frame_device.hpp>

namespace mirage::target::spt {

class Net final : public solo5::FrameDevice {
 public:
  /// The device that the manifest declares under `name`.
  Net(Shard& shard, std::string_view name) noexcept : FrameDevice(shard), name_(name) {}

  Task<Result<void, StartError>> start();

 private:
  [[nodiscard]] Result<void, StartError> attach_device() noexcept;
  [[nodiscard]] long read(std::span<const solo5::Piece> pieces) noexcept override;
  [[nodiscard]] long write(std::span<const solo5::Piece> pieces) noexcept override;
  /// Ends the guest: the device is gone.
  [[noreturn]] void end() noexcept;

  std::string_view name_;
  int descriptor_ = -1;
};

}  // namespace mirage::target::spt
