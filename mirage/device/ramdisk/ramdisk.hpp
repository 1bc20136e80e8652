// SPDX-License-Identifier: ISC
// A disk in memory, zeroed at start; gone when the image ends.
#pragma once

#include <cstdlib>
#include <cstring>
#include <memory>

#include <mirage/module/block.hpp>
#include <mirage/module/ready.hpp>

namespace mirage::device {

class Ramdisk {
 public:
  using Outcome = Ready<Result<void, BlockError>>;
  static constexpr std::uint32_t sector_size = 512;

  Ramdisk(Shard& shard, std::uint64_t sectors) noexcept : shard_(shard), sectors_(sectors) {}
  [[nodiscard]] Shard& shard() noexcept { return shard_; }

  Task<Result<void, StartError>> start() {
    // calloc leaves fresh pages untouched, so an unused ramdisk costs no memory under a tender.
    void* memory = sectors_ <= SIZE_MAX / sector_size ? std::calloc(sectors_, sector_size) : nullptr;
    if (memory == nullptr && sectors_ != 0) {
      co_return Failure{StartError{"no memory for a ramdisk of {} sectors of {} bytes", sectors_, sector_size}};
    }
    memory_.reset(static_cast<std::byte*>(memory));
    geometry_ = {.sector_size = sector_size, .sectors = sectors_, .durability = Durability::none, .read_only = false};
    co_return Result<void, StartError>{};
  }

  [[nodiscard]] const BlockGeometry& geometry() const noexcept { return geometry_; }

  Outcome read(std::uint64_t sector, MutableBytes bytes) noexcept {
    const auto range = check_range(geometry_, sector, bytes.size());
    if (range && !bytes.empty()) std::memcpy(bytes.data(), memory_.get() + sector * sector_size, bytes.size());
    return Outcome{range};
  }
  Outcome write(std::uint64_t sector, Bytes bytes) noexcept {
    const auto range = check_range(geometry_, sector, bytes.size());
    if (range && !bytes.empty()) std::memcpy(memory_.get() + sector * sector_size, bytes.data(), bytes.size());
    return Outcome{range};
  }
  Outcome flush() noexcept { return Outcome{Failure{BlockError::unsupported}}; }

 private:
  struct Free {
    void operator()(std::byte* memory) const noexcept { std::free(memory); }
  };
  Shard& shard_;
  std::uint64_t sectors_;
  std::unique_ptr<std::byte[], Free> memory_;
  BlockGeometry geometry_;
};

}  // namespace mirage::device
