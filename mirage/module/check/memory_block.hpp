// SPDX-License-Identifier: ISC
// For tests of what is built on Block: a disk in memory that flushes, takes its time, and fails when it is told to.
#pragma once

#include <cstring>
#include <memory>

#include <mirage/async/sleep.hpp>
#include <mirage/module/block.hpp>

namespace mirage::check {

class MemoryBlock {
 public:
  using Outcome = Result<void, BlockError>;
  /// Zeros.
  MemoryBlock(Shard& shard, std::size_t size, std::uint32_t sector_size = 512)
      : shape{.sector_size = sector_size,
              .sectors = size / sector_size,
              .durability = Durability::flush,
              .read_only = false},
        shard_(shard),
        memory_(new std::byte[shape.bytes()]()) {}
  MemoryBlock(Shard& shard, Bytes image, std::uint32_t sector_size = 512)
      : MemoryBlock(shard, image.size(), sector_size) {
    std::memcpy(memory_.get(), image.data(), shape.bytes());
  }
  [[nodiscard]] Shard& shard() noexcept { return shard_; }
  [[nodiscard]] const BlockGeometry& geometry() const noexcept { return shape; }

  Task<Outcome> read(std::uint64_t sector, MutableBytes bytes) {
    ++reads;
    if (delay != Duration{}) co_await sleep(delay);
    const auto range = check_range(shape, sector, bytes.size());
    if (range && !bytes.empty()) std::memcpy(bytes.data(), at(sector), bytes.size());
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
      std::memcpy(at(sector), bytes.data() + done, shape.sector_size);
    }
    co_return range;
  }
  Task<Outcome> flush() {
    ++flushes;
    if (delay != Duration{}) co_await sleep(delay);
    co_return shape.durability == Durability::none ? Outcome{Failure{BlockError::unsupported}} : Outcome{};
  }

  [[nodiscard]] MutableBytes content() noexcept { return {memory_.get(), shape.bytes()}; }

  BlockGeometry shape;
  Duration delay{};
  std::uint64_t fail_from = 0;  ///< the number of the write that fails, as do all after it; 0: none
  std::uint64_t reads = 0;
  std::uint64_t writes = 0;
  std::uint64_t flushes = 0;

 private:
  [[nodiscard]] std::byte* at(std::uint64_t sector) noexcept { return memory_.get() + sector * shape.sector_size; }
  Shard& shard_;
  std::unique_ptr<std::byte[]> memory_;
};

}  // namespace mirage::check
