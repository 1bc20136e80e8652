// SPDX-License-Identifier: ISC
// A disk in memory, zeroed at start; gone when the image ends.
#pragma once

#include <algorithm>
#include <cstdlib>
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
    geometry_ = {.sector_size = sector_size,
                 .sectors = sectors_,
                 .discard = true,
                 .write_zeroes = true,
                 .maximum_transfer = sectors_ * sector_size};
    co_return Result<void, StartError>{};
  }

  [[nodiscard]] const BlockGeometry& geometry() const noexcept { return geometry_; }

  Outcome read(std::uint64_t sector, MutableBytes bytes) noexcept { return read_scatter(sector, {&bytes, 1}); }
  Outcome write(std::uint64_t sector, Bytes bytes) noexcept { return write_gather(sector, {&bytes, 1}); }
  Outcome read_scatter(std::uint64_t sector, MutableBlockPieces pieces) noexcept {
    const auto range = check_pieces(geometry_, sector, pieces);
    if (!range) return Outcome{range};
    const std::byte* from = at(sector);
    for (const MutableBytes piece : pieces) {
      std::copy_n(from, piece.size(), piece.data());
      from += piece.size();
    }
    return Outcome{range};
  }
  Outcome write_gather(std::uint64_t sector, BlockPieces pieces) noexcept {
    const auto range = check_pieces(geometry_, sector, pieces);
    if (!range) return Outcome{range};
    std::byte* to = at(sector);
    for (const Bytes piece : pieces) to = std::copy_n(piece.data(), piece.size(), to);
    return Outcome{range};
  }
  Outcome discard(std::uint64_t sector, std::uint64_t count) noexcept { return write_zeroes(sector, count); }
  Outcome write_zeroes(std::uint64_t sector, std::uint64_t count) noexcept {
    const auto range = check_sectors(geometry_, sector, count);
    if (range) std::fill_n(at(sector), count * sector_size, std::byte{0});
    return Outcome{range};
  }
  Outcome flush() noexcept { return Outcome{Failure{BlockError::unsupported}}; }

 private:
  struct Free {
    void operator()(std::byte* memory) const noexcept { std::free(memory); }
  };
  [[nodiscard]] std::byte* at(std::uint64_t sector) const noexcept { return memory_.get() + sector * sector_size; }

  Shard& shard_;
  std::uint64_t sectors_;
  std::unique_ptr<std::byte[], Free> memory_;
  BlockGeometry geometry_;
};

}  // namespace mirage::device
