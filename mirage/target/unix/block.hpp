// SPDX-License-Identifier: ISC
// A block device of a process: a file or block device of the host, by pread(2), pwrite(2) and fdatasync(2), complete
// when they return. A file that cannot be written is a read-only device; one process at a time uses it (flock(2)).
#pragma once

#include <string_view>

#include <mirage/async/shard.hpp>
#include <mirage/async/task.hpp>
#include <mirage/module/block.hpp>
#include <mirage/module/ready.hpp>
#include <mirage/module/start.hpp>

namespace mirage::target::posix {

class Block {
 public:
  using Done = Ready<Result<void, BlockError>>;

  /// The device attached as `name` (see attachment.hpp).
  Block(Shard& shard, std::string_view name) noexcept : shard_(shard), name_(name) {}
  Block(const Block&) = delete;
  Block& operator=(const Block&) = delete;
  ~Block();

  Task<Result<void, StartError>> start();

  [[nodiscard]] const BlockGeometry& geometry() const noexcept { return geometry_; }
  Done read(std::uint64_t sector, MutableBytes bytes) noexcept;
  Done write(std::uint64_t sector, Bytes bytes) noexcept;
  Done flush() noexcept;
  [[nodiscard]] Shard& shard() const noexcept { return shard_; }

 private:
  [[nodiscard]] Result<void, StartError> open() noexcept;
  [[nodiscard]] Result<void, StartError> open_file(const char* path) noexcept;

  Shard& shard_;
  std::string_view name_;
  int descriptor_ = -1;
  BlockGeometry geometry_{.durability = Durability::flush};
};

}  // namespace mirage::target::posix
