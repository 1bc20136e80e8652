// SPDX-License-Identifier: ISC
// For tests of what is built on Block: a disk in memory that flushes, takes its time, and fails when it is told to.
#pragma once

#include <algorithm>
#include <utility>
#include <vector>

#include <mirage/async/sleep.hpp>
#include <mirage/module/block.hpp>

namespace mirage::check {

class MemoryBlock {
 public:
  using Outcome = Result<void, BlockError>;
  MemoryBlock(Shard& shard, std::vector<std::byte> bytes, std::uint32_t sector_size = 512)
      : shape{.sector_size = sector_size,
              .sectors = bytes.size() / sector_size,
              .durability = Durability::flush,
              .read_only = false},
        content(std::move(bytes)),
        shard_(shard) {}
  [[nodiscard]] Shard& shard() noexcept { return shard_; }
  [[nodiscard]] const BlockGeometry& geometry() const noexcept { return shape; }

  Task<Outcome> read(std::uint64_t sector, MutableBytes bytes) {
    ++reads;
    if (delay != Duration{}) co_await sleep(delay);
    const auto range = check_range(shape, sector, bytes.size());
    if (range) std::copy_n(at(sector), bytes.size(), bytes.begin());
    co_return range;
  }
  /// With a delay, sector by sector: another operation may come in between.
  Task<Outcome> write(std::uint64_t sector, Bytes bytes) {
    ++writes;
    const bool fails = fail_from != 0 && writes >= fail_from;
    const auto range = check_range(shape, sector, bytes.size());
    if (!range || fails) co_return fails ? Outcome{Failure{BlockError::io}} : range;
    for (std::size_t done = 0; done < bytes.size(); done += shape.sector_size, ++sector) {
      if (delay != Duration{}) co_await sleep(delay);
      std::copy_n(bytes.begin() + static_cast<std::ptrdiff_t>(done), shape.sector_size, at(sector));
    }
    co_return range;
  }
  Task<Outcome> flush() {
    ++flushes;
    if (delay != Duration{}) co_await sleep(delay);
    co_return shape.durability == Durability::none ? Outcome{Failure{BlockError::unsupported}} : Outcome{};
  }

  BlockGeometry shape;
  std::vector<std::byte> content;
  Duration delay{};
  std::uint64_t fail_from = 0;  ///< the number of the write that fails, as do all after it; 0: none
  std::uint64_t reads = 0;
  std::uint64_t writes = 0;
  std::uint64_t flushes = 0;

 private:
  [[nodiscard]] std::vector<std::byte>::iterator at(std::uint64_t sector) noexcept {
    return content.begin() + static_cast<std::ptrdiff_t>(sector * shape.sector_size);
  }
  Shard& shard_;
};

}  // namespace mirage::check
