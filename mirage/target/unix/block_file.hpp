// SPDX-License-Identifier: ISC
// The file or block device of the host behind a Block: opened, locked, measured.
#pragma once

#include <string_view>

#include <mirage/module/block.hpp>

namespace mirage::target::posix {

class BlockFile {
 public:
  BlockFile() noexcept = default;
  BlockFile(const BlockFile&) = delete;
  BlockFile& operator=(const BlockFile&) = delete;
  ~BlockFile();

  /// Opens what is attached as `name` and fills in `geometry`. A file that cannot be written is a read-only device; one
  /// process at a time uses a file (flock(2)), many may read it.
  [[nodiscard]] Result<void, StartError> open(std::string_view name, BlockGeometry& geometry) noexcept;
  [[nodiscard]] int descriptor() const noexcept { return descriptor_; }
  /// O_DIRECT: the host's page cache is passed by.
  [[nodiscard]] bool direct() const noexcept { return direct_; }

 private:
  [[nodiscard]] Result<void, StartError> open_path(const char* path, BlockGeometry& geometry) noexcept;
  [[nodiscard]] Result<void, StartError> measure(const char* path, bool size_given, BlockGeometry& geometry) noexcept;
  [[nodiscard]] Result<void, StartError> align(BlockGeometry& geometry) const noexcept;
  void probe(BlockGeometry& geometry) const noexcept;

  int descriptor_ = -1;
  bool direct_ = false;
};

}  // namespace mirage::target::posix
