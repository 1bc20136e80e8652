// SPDX-License-Identifier: ISC
// A block device of an spt guest: pread64(2) and pwrite64(2) on the tender's descriptor, complete when they return.
// Under our tender a request of many sectors is one call (up to 1 MiB) and flush() is fdatasync(2); under a stock
// tender every sector is a call of its own and durability is "none".
#pragma once

#include <mirage/async/shard.hpp>
#include <mirage/async/task.hpp>
#include <mirage/module/block.hpp>
#include <mirage/module/ready.hpp>
#include <mirage/module/start.hpp>

namespace mirage::target::spt {

class Block {
 public:
  using Done = Ready<Result<void, BlockError>>;

  /// The device that the manifest declares under `name`.
  Block(Shard& shard, std::string_view name) noexcept : shard_(shard), name_(name) {}
  Block(const Block&) = delete;
  Block& operator=(const Block&) = delete;

  Task<Result<void, StartError>> start();

  [[nodiscard]] const BlockGeometry& geometry() const noexcept { return geometry_; }
  Done read(std::uint64_t sector, MutableBytes bytes) noexcept;
  Done write(std::uint64_t sector, Bytes bytes) noexcept;
  Done flush() noexcept;
  [[nodiscard]] Shard& shard() const noexcept { return shard_; }

 private:
  [[nodiscard]] Result<void, StartError> attach() noexcept;
  /// Moves [offset, offset + size) of the device by as few calls as are allowed; `memory` is not written for writes.
  Result<void, BlockError> transfer(bool to_device, std::uint64_t sector, std::byte* memory, std::size_t size) noexcept;

  Shard& shard_;
  std::string_view name_;
  int descriptor_ = -1;
  std::size_t request_limit_ = 0;  // bytes of one call
  BlockGeometry geometry_;
};

}  // namespace mirage::target::spt
