// SPDX-License-Identifier: ISC
// A file or a disk of the host as a Block, for `mirage store`.
#pragma once

#include <cstdint>
#include <string>
#include <utility>

#include <mirage/module/block.hpp>
#include <mirage/module/ready.hpp>

namespace mirage::cli {

/// Every operation ends at once. Flush is fdatasync(). Locked against others who do so.
class DiskFile {
 public:
  using Outcome = Ready<BlockResult>;
  enum class Mode : std::uint8_t { read, write };
  /// Throws plan::Error.
  DiskFile(const std::string& path, Mode mode);
  DiskFile(const DiskFile&) = delete;
  DiskFile& operator=(const DiskFile&) = delete;
  ~DiskFile();
  enum class Created : std::uint8_t { anew, grown, there_already };
  /// Makes the file, or grows one that is empty, to this many bytes: never shorter. Throws plan::Error.
  static Created create(const std::string& path, std::uint64_t bytes);
  /// Takes back what create() did, for a file that did not become a store.
  static void undo(const std::string& path, Created created) noexcept;

  [[nodiscard]] const BlockGeometry& geometry() const noexcept { return geometry_; }
  Outcome read(std::uint64_t sector, MutableBytes bytes) noexcept;
  Outcome write(std::uint64_t sector, Bytes bytes) noexcept;
  Outcome flush() noexcept;
  Outcome write_durable(std::uint64_t sector, Bytes bytes) noexcept;
  /// Why the last operation that failed did, an errno, which BlockError has no word for; 0: none has since this was
  /// last asked.
  [[nodiscard]] int take_failure() noexcept { return std::exchange(failure_, 0); }

 private:
  Outcome failed(int error) noexcept;
  Outcome put(std::uint64_t sector, Bytes bytes, int flags) noexcept;
  int descriptor_;
  int failure_ = 0;
  BlockGeometry geometry_;
};

}  // namespace mirage::cli
