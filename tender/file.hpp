// SPDX-License-Identifier: ISC
#pragma once

#include <cstddef>
#include <cstdint>
#include <span>
#include <utility>

#include <tender/error.hpp>

namespace mirage::tender {

/// An owned file descriptor; -1 when empty.
class File {
 public:
  File() = default;
  explicit File(int descriptor) : descriptor_{descriptor} {}
  File(File&& other) noexcept : descriptor_{other.release()} {}
  File& operator=(File&& other) noexcept {
    std::swap(descriptor_, other.descriptor_);
    return *this;
  }
  ~File();

  [[nodiscard]] int get() const { return descriptor_; }
  /// Gives up ownership.
  int release() { return std::exchange(descriptor_, -1); }
  [[nodiscard]] explicit operator bool() const { return descriptor_ >= 0; }

  /// Opens `path` (NUL-terminated) with open(2)'s `flags`, O_CLOEXEC added. The error names the path.
  static Result<File> open(const char* path, int flags);

 private:
  int descriptor_ = -1;
};

/// Fills `out` from `offset`; an end of file before that is an error ("truncated").
Result<> read_exactly(int descriptor, std::span<std::byte> out, std::uint64_t offset);

}  // namespace mirage::tender
