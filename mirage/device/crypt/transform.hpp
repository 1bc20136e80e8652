// SPDX-License-Identifier: ISC
// Encrypts what goes to a disk and decrypts what comes from it.
#pragma once

#include <mirage/device/crypt/cipher.hpp>
#include <mirage/module/block_port.hpp>

namespace mirage::device::crypt {

class Transform {
 public:
  /// Both outlive it.
  Transform(BlockPort& disk, const Xts& cipher) noexcept : disk_(disk), cipher_(cipher) {}
  [[nodiscard]] Shard& shard() const noexcept { return disk_.shard(); }
  /// `sectors` of the disk from `first` on, from now.
  void use(std::uint64_t first, std::uint64_t sectors) noexcept;

  [[nodiscard]] const BlockGeometry& geometry() const noexcept { return geometry_; }
  Task<BlockResult> read(std::uint64_t sector, MutableBytes bytes);
  Task<BlockResult> write(std::uint64_t sector, Bytes bytes) { return encrypt(sector, bytes, false); }
  Task<BlockResult> write_durable(std::uint64_t sector, Bytes bytes);
  Task<BlockResult> flush() { return disk_.flush(); }
  /// Encrypted zeros everywhere: neither what was there before nor what is not in use yet shows.
  Task<BlockResult> blank();

 private:
  /// Bytes that one write encrypts at a time.
  static constexpr std::size_t most_at_once = std::size_t{128} << 10;

  [[nodiscard]] std::uint64_t unit_at(std::uint64_t sector) const noexcept {
    return sector * (geometry_.sector_size / unit_size);
  }
  Task<BlockResult> encrypt(std::uint64_t sector, Bytes bytes, bool durable);

  BlockPort& disk_;
  const Xts& cipher_;
  std::uint64_t first_ = 0;
  BlockGeometry geometry_{.sectors = 0};
};

}  // namespace mirage::device::crypt
