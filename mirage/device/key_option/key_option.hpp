// SPDX-License-Identifier: ISC
// A secret from the command line as a read-only disk of one sector, for devices that take theirs from a disk (crypt).
// For trials: whoever can list the host's processes or read what started the image can read the command line. A file
// that only its owner can read, attached as a disk, does not have that fault.
#pragma once

#include <array>

#include <mirage/module/block.hpp>
#include <mirage/module/ready.hpp>

namespace mirage::device {

class KeyOption {
 public:
  using Outcome = Ready<BlockResult>;
  static constexpr std::uint32_t sector_size = 512;

  /// `hex`: an even number of hexadecimal digits, 2 to 1024. The rest of the sector is zeros.
  KeyOption(Shard& shard, std::string_view hex) noexcept : shard_(shard), hex_(hex) {}
  KeyOption(const KeyOption&) = delete;
  KeyOption& operator=(const KeyOption&) = delete;
  [[nodiscard]] Shard& shard() noexcept { return shard_; }

  Task<Result<void, StartError>> start() {
    if (hex_.empty() || hex_.size() % 2 != 0 || hex_.size() > 2 * std::size_t{sector_size})
      co_return Failure{StartError{"key_option: wants pairs of hexadecimal digits, not {} of them", hex_.size()}};
    for (std::size_t i = 0; i < hex_.size(); ++i) {
      const int value = digit(hex_[i]);
      if (value < 0) co_return Failure{StartError{"key_option: character {} is no hexadecimal digit", i + 1}};
      content_[i / 2] = content_[i / 2] << 4 | static_cast<std::byte>(value);
    }
    co_return Result<void, StartError>{};
  }

  [[nodiscard]] const BlockGeometry& geometry() const noexcept { return geometry_; }
  Outcome read(std::uint64_t sector, MutableBytes bytes) noexcept {
    const BlockResult range = check_range(geometry_, sector, bytes.size());
    if (range) std::copy_n(content_.begin(), bytes.size(), bytes.begin());
    return Outcome{range};
  }
  Outcome write(std::uint64_t, Bytes) noexcept { return Outcome{Failure{BlockError::read_only}}; }
  Outcome flush() noexcept { return Outcome{Failure{BlockError::unsupported}}; }

 private:
  [[nodiscard]] static constexpr int digit(char c) noexcept {
    if (c >= '0' && c <= '9') return c - '0';
    const char lower = static_cast<char>(c | 0x20);
    return lower >= 'a' && lower <= 'f' ? lower - 'a' + 10 : -1;
  }

  Shard& shard_;
  std::string_view hex_;
  std::array<std::byte, sector_size> content_{};
  BlockGeometry geometry_{.sector_size = sector_size, .sectors = 1, .read_only = true};
};

}  // namespace mirage::device
