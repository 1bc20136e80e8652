// SPDX-License-Identifier: ISC
// A network device of an hvt guest: one hypercall per frame.
#pragma once

#include <mirage/async/task.hpp>
#include <mirage/module/start.hpp>
#include <mirage/target/solo5/frame_device.hpp>

namespace mirage::target::hvt {

class Net final : public solo5::FrameDevice {
 public:
  /// The device that the manifest declares under `name`.
  Net(Shard& shard, std::string_view name) noexcept : FrameDevice(shard), name_(name) {}

  Task<Result<void, StartError>> start();

 private:
  [[nodiscard]] Result<void, StartError> attach_device() noexcept;
  [[nodiscard]] long read(std::span<const solo5::Piece> pieces) noexcept override;
  [[nodiscard]] long write(std::span<const solo5::Piece> pieces) noexcept override;

  std::string_view name_;
  std::uint64_t handle_ = 0;
  bool vectors_ = false;
};

}  // namespace mirage::target::hvt
