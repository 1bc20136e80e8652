// SPDX-License-Identifier: ISC
// Shows what passes to a disk: one debug line per operation (source "trace": kind, sectors, outcome, time) and
// counters. A Block over a Block; put one on each side of a layer to see what the layer does.
#pragma once

#include <array>
#include <string_view>

#include <mirage/async/shard.hpp>
#include <mirage/base/counters.hpp>
#include <mirage/module/block.hpp>

namespace mirage::device {

template <Block B>
class BlockTrace {
 public:
  enum Kind : std::uint8_t { reading, writing, flushing, discarding, zeroing, kinds };
  struct Counters {
    std::uint64_t operations = 0;
    std::uint64_t sectors = 0;
    std::uint64_t failures = 0;
    Duration time{};     ///< from submission to completion, summed
    Duration longest{};  ///< of one
  };

  BlockTrace(Shard& shard, B& disk, std::string_view name) noexcept : shard_(shard), disk_(disk), name_(name) {}
  BlockTrace(const BlockTrace&) = delete;
  BlockTrace& operator=(const BlockTrace&) = delete;
  [[nodiscard]] Shard& shard() const noexcept { return shard_; }
  [[nodiscard]] const BlockGeometry& geometry() const noexcept { return disk_.geometry(); }
  [[nodiscard]] const Counters& counters(Kind kind) const noexcept { return counters_[kind]; }
  void visit_counters(CounterVisitor& visitor) const noexcept {
    constexpr std::array<std::string_view, kinds> parts{"block_read", "block_write", "block_flush", "block_discard",
                                                        "block_zero"};
    for (std::size_t kind = 0; kind < kinds; ++kind) {
      visitor.counters(parts[kind], counters_of<Counters, 2 * sizeof(Duration)>(counters_[kind]));
    }
  }

  Task<BlockResult> read(std::uint64_t sector, MutableBytes bytes) {
    const Time begin = now();
    co_return note(reading, sector, count_of(bytes.size()), begin, co_await disk_.read(sector, bytes));
  }
  Task<BlockResult> write(std::uint64_t sector, Bytes bytes) {
    const Time begin = now();
    co_return note(writing, sector, count_of(bytes.size()), begin, co_await disk_.write(sector, bytes));
  }
  Task<BlockResult> flush() {
    const Time begin = now();
    co_return note(flushing, 0, 0, begin, co_await disk_.flush());
  }
  Task<BlockResult> read_scatter(std::uint64_t sector, MutableBlockPieces pieces) {
    const Time begin = now();
    co_return note(reading, sector, total(pieces), begin, co_await mirage::read_scatter(disk_, sector, pieces));
  }
  Task<BlockResult> write_gather(std::uint64_t sector, BlockPieces pieces) {
    const Time begin = now();
    co_return note(writing, sector, total(pieces), begin, co_await mirage::write_gather(disk_, sector, pieces));
  }
  Task<BlockResult> discard(std::uint64_t sector, std::uint64_t count) {
    const Time begin = now();
    co_return note(discarding, sector, count, begin, co_await mirage::discard(disk_, sector, count));
  }
  Task<BlockResult> write_zeroes(std::uint64_t sector, std::uint64_t count)
    requires DiscardBlock<B>
  {
    const Time begin = now();
    co_return note(zeroing, sector, count, begin, co_await disk_.write_zeroes(sector, count));
  }
  Task<BlockResult> write_durable(std::uint64_t sector, Bytes bytes)
    requires FuaBlock<B>
  {
    const Time begin = now();
    co_return note(writing, sector, count_of(bytes.size()), begin, co_await disk_.write_durable(sector, bytes));
  }

 private:
  /// Not the turn's time: an operation that completes at once takes time, too.
  [[nodiscard]] Time now() noexcept { return shard_.environment().monotonic(); }
  [[nodiscard]] std::uint64_t count_of(std::size_t bytes) const noexcept { return bytes / geometry().sector_size; }
  template <class Piece>
  [[nodiscard]] std::uint64_t total(std::span<const Piece> pieces) const noexcept {
    std::uint64_t bytes = 0;
    for (const Piece& piece : pieces) bytes += piece.size();
    return bytes / geometry().sector_size;
  }
  BlockResult note(Kind kind, std::uint64_t sector, std::uint64_t count, Time begin, BlockResult outcome) noexcept {
    constexpr std::array<std::string_view, kinds> names{"read", "write", "flush", "discard", "zero"};
    const Duration took = now() - begin;
    Counters& counters = counters_[kind];
    ++counters.operations;
    counters.sectors += count;
    counters.failures += outcome ? 0 : 1;
    counters.time += took;
    counters.longest = std::max(counters.longest, took);
    shard_.logger("trace").debug("{}: {} {}+{}: {}, {} us", name_, names[kind], sector, count,
                                 outcome ? std::string_view{"done"} : to_string(outcome.error()),
                                 took / std::chrono::microseconds{1});
    return outcome;
  }

  Shard& shard_;
  B& disk_;
  std::string_view name_;
  std::array<Counters, kinds> counters_{};
};

}  // namespace mirage::device
