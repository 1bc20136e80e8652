// SPDX-License-Identifier: ISC
// The work of an encrypted disk without tags: crypt.hpp says what it is, header.hpp what its headers are.
#pragma once

#include <mirage/device/crypt/header.hpp>
#include <mirage/device/crypt/transform.hpp>

namespace mirage::device::crypt {

class Core final : tagged::Heading {
 public:
  explicit Core(BlockPort& disk) noexcept : Heading("crypt", format_version), disk_(disk), data_(disk, cipher_) {}
  [[nodiscard]] Shard& shard() const noexcept { return disk_.shard(); }
  /// True when the disk is open, false when it is blank.
  Task<Result<bool, StartError>> open(const Key& key);
  /// Writes all of the disk. Precondition: open() has found it blank.
  Task<Result<void, StartError>> format();
  [[nodiscard]] Transform& data() noexcept { return data_; }
  [[nodiscard]] const Transform& data() const noexcept { return data_; }

 private:
  [[nodiscard]] tagged::Found decode(Bytes block) const noexcept override { return crypt::decode(block); }
  [[nodiscard]] Result<void, StartError> use(Bytes block) noexcept override;
  [[nodiscard]] std::uint64_t sector_at(std::uint64_t block) const noexcept {
    return block * (block_size / disk_.geometry().sector_size);
  }

  BlockPort& disk_;
  Xts cipher_;
  Transform data_;
};

}  // namespace mirage::device::crypt
