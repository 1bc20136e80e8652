// SPDX-License-Identifier: ISC
// A disk that fails: errors, torn writes, flushes that do nothing, flipped bits, latency, all decided by a seed. A
// Block over a Block, for tests of what is above it. What a power cut leaves behind is device/power_cut's work.
#pragma once

#include <algorithm>

#include <mirage/async/sleep.hpp>
#include <mirage/base/counters.hpp>
#include <mirage/module/block.hpp>

namespace mirage::device {

/// Probabilities per operation, in parts per million.
struct BlockFaultOptions {
  std::uint64_t seed = 1;
  std::uint32_t read_error = 0;
  std::uint32_t write_error = 0;  ///< nothing is written
  std::uint32_t torn_write = 0;   ///< an error, and some of the sectors are written
  std::uint32_t flush_error = 0;  ///< nothing is flushed
  std::uint32_t lost_flush = 0;   ///< success, and nothing is flushed
  std::uint32_t bit_rot = 0;      ///< one bit of what is read is wrong
  Duration latency{};             ///< of every operation
};

template <Block B>
class BlockFault {
 public:
  struct Counters {
    std::uint64_t errors = 0;
    std::uint64_t torn = 0;
    std::uint64_t lost_flushes = 0;
    std::uint64_t flipped = 0;
  };

  BlockFault(Shard& shard, B& disk, const BlockFaultOptions& options) noexcept
      : shard_(shard), disk_(disk), options_(options), state_(options.seed) {}
  BlockFault(const BlockFault&) = delete;
  BlockFault& operator=(const BlockFault&) = delete;
  [[nodiscard]] Shard& shard() const noexcept { return shard_; }
  [[nodiscard]] const BlockGeometry& geometry() const noexcept { return disk_.geometry(); }
  [[nodiscard]] const Counters& counters() const noexcept { return counters_; }
  void visit_counters(CounterVisitor& visitor) const noexcept {
    visitor.counters("block_fault", counters_of(counters_));
  }
  /// For what comes from now on; the seed's sequence goes on.
  void set_options(const BlockFaultOptions& options) noexcept { options_ = options; }

  Task<BlockResult> read(std::uint64_t sector, MutableBytes bytes) {
    MIRAGE_CO_CHECK(co_await begin(options_.read_error));
    MIRAGE_CO_CHECK(co_await disk_.read(sector, bytes));
    if (!bytes.empty() && chance(options_.bit_rot)) {
      const std::uint64_t bit = random() % (bytes.size() * 8);
      bytes[bit / 8] ^= static_cast<std::byte>(1U << bit % 8);
      ++counters_.flipped;
    }
    co_return BlockResult{};
  }
  Task<BlockResult> write(std::uint64_t sector, Bytes bytes) {
    MIRAGE_CO_CHECK(check_range(geometry(), sector, bytes.size()));
    MIRAGE_CO_CHECK(co_await begin(options_.write_error));
    if (!chance(options_.torn_write)) co_return co_await disk_.write(sector, bytes);
    ++counters_.torn;
    const std::size_t size = geometry().sector_size;
    for (std::size_t at = 0; at < bytes.size(); at += size) {
      if (random() % 2 == 0) MIRAGE_CO_CHECK(co_await disk_.write(sector + at / size, bytes.subspan(at, size)));
    }
    co_return Failure{BlockError::io};
  }
  Task<BlockResult> flush() {
    if (geometry().durability == Durability::none) co_return Failure{BlockError::unsupported};
    MIRAGE_CO_CHECK(co_await begin(options_.flush_error));
    if (!chance(options_.lost_flush)) co_return co_await disk_.flush();
    ++counters_.lost_flushes;
    co_return BlockResult{};
  }

 private:
  /// splitmix64
  [[nodiscard]] std::uint64_t random() noexcept {
    std::uint64_t value = state_ += 0x9e3779b97f4a7c15;
    value = (value ^ value >> 30) * 0xbf58476d1ce4e5b9;
    value = (value ^ value >> 27) * 0x94d049bb133111eb;
    return value ^ value >> 31;
  }
  [[nodiscard]] bool chance(std::uint32_t parts_per_million) noexcept {
    return parts_per_million != 0 && random() % 1'000'000 < parts_per_million;
  }
  Task<BlockResult> begin(std::uint32_t error) {
    if (options_.latency > Duration{} && co_await sleep(options_.latency) == WaitStatus::cancelled)
      co_return Failure{BlockError::cancelled};  // nothing has been moved
    if (!chance(error)) co_return BlockResult{};
    ++counters_.errors;
    co_return Failure{BlockError::io};
  }

  Shard& shard_;
  B& disk_;
  BlockFaultOptions options_;
  std::uint64_t state_;
  Counters counters_;
};

}  // namespace mirage::device
