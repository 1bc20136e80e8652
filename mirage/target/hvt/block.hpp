// SPDX-License-Identifier: ISC
// A block device of an hvt guest: one hypercall per request of any length, complete when it returns. flush() works
// under our tender; under a stock one durability is "none".
#pragma once

#include <mirage/async/shard.hpp>
#include <mirage/async/task.hpp>
#include <mirage/module/block.hpp>
#include <mirage/module/ready.hpp>
#include <mirage/module/start.hpp>

namespace mirage::target::hvt {

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
  /// `memory` is not written when `to_device`.
  [[nodiscard]] Done transfer(bool to_device, std::uint64_t sector, const std::byte* memory, std::size_t size) noexcept;

  Shard& shard_;
  std::string_view name_;
  std::uint64_t handle_ = 0;
  BlockGeometry geometry_;
};

}  // namespace mirage::target::hvt
