// SPDX-License-Identifier: ISC
// A block device of an spt guest: pread64(2) and pwrite64(2) on the tender's descriptor, complete when they return.
// Under our tender a request of many sectors is one call (up to 1 MiB), flush() is fdatasync(2) and discard()
// fallocate(2); under a stock tender every sector is a call of its own and durability is "none".
#pragma once

#include <mirage/target/solo5/block_device.hpp>

namespace mirage::target::spt {

class Block final : public solo5::BlockDevice {
 public:
  /// The device that the manifest declares under `name`.
  Block(Shard& shard, std::string_view name) noexcept : solo5::BlockDevice(shard), name_(name) {}

  Task<Result<void, StartError>> start();

 private:
  [[nodiscard]] Result<void, StartError> attach() noexcept;
  [[nodiscard]] bool move(bool to_device, std::uint64_t offset, std::byte* memory, std::size_t size) noexcept override;
  [[nodiscard]] bool flush_host() noexcept override;
  [[nodiscard]] BlockResult punch(std::uint64_t offset, std::uint64_t size) noexcept override;

  std::string_view name_;
  int descriptor_ = -1;
};

}  // namespace mirage::target::spt
