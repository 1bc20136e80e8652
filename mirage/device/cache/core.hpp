// SPDX-License-Identifier: ISC
// The work of a cached disk: cache.hpp says what it is.
//
// Lines of 4096 bytes, found by number, with a bit for each sector that is known and for each that the disk does not
// have yet. Hits never wait. What changes the disk takes turns: write-back, flush, and the writes that go through. So a
// sector is never on its way to the disk twice, and what is on its way stays in its line.
#pragma once

#include <array>
#include <memory>

#include <mirage/base/counters.hpp>
#include <mirage/module/block_port.hpp>
#include <mirage/module/block_turn.hpp>

namespace mirage::device::cache {

struct Counters {
  std::uint64_t hits = 0;    ///< sectors that were read from memory
  std::uint64_t misses = 0;  ///< sectors that were read from the disk because somebody asked for them
  std::uint64_t ahead = 0;   ///< sectors that nobody had asked for yet
  std::uint64_t disk_reads = 0;
  std::uint64_t disk_writes = 0;
  std::uint64_t written = 0;  ///< sectors written back
  std::uint64_t through = 0;  ///< writes that did not stay: large ones, durable ones
};

class Core {
 public:
  static constexpr std::size_t line_size = 4096;
  static constexpr std::size_t minimum_lines = 32;
  /// Longer writes go to the disk at once, longer reads leave nothing behind.
  static constexpr std::size_t large = std::size_t{64} << 10;
  static constexpr std::uint64_t lines_ahead = 8;

  Core(BlockPort& disk, std::size_t bytes) noexcept
      : disk_(disk), count_(static_cast<Index>(std::clamp(bytes / line_size, minimum_lines, most_lines))) {}
  [[nodiscard]] Shard& shard() const noexcept { return disk_.shard(); }
  [[nodiscard]] Result<void, StartError> start() noexcept;

  [[nodiscard]] const BlockGeometry& geometry() const noexcept { return geometry_; }
  [[nodiscard]] const Counters& counters() const noexcept { return counters_; }
  /// Lines that hold what the disk does not have.
  [[nodiscard]] std::size_t dirty_lines() const noexcept { return held_; }
  Task<BlockResult> read(std::uint64_t sector, MutableBytes bytes);
  Task<BlockResult> write(std::uint64_t sector, Bytes bytes);
  Task<BlockResult> write_durable(std::uint64_t sector, Bytes bytes);
  Task<BlockResult> flush();

 private:
  using Index = std::uint32_t;
  static constexpr Index none = ~Index{0};
  static constexpr std::uint64_t nowhere = ~std::uint64_t{0};
  static constexpr std::size_t most_lines = std::size_t{1} << 24;
  struct Line {
    std::uint64_t number = nowhere;
    Index next = none;         ///< in its bucket
    std::uint8_t known = 0;    ///< a bit for each sector
    std::uint8_t dirty = 0;    ///< not on the disk
    std::uint8_t writing = 0;  ///< on the way there
    bool used = false;         ///< second chance
    [[nodiscard]] bool held() const noexcept { return (dirty | writing) != 0; }
  };
  /// Where a write-back has arrived, in the sorted order of dirty lines.
  struct Cursor {
    Index line = 0;
    unsigned sector = 0;
  };
  /// Calls `visit(number, first, count, bytes)` for the part of the range in each line.
  template <class Span, class Visit>
  void each_line(std::uint64_t sector, Span bytes, Visit visit) const;

  [[nodiscard]] std::byte* data(const Line& line, unsigned sector) noexcept {
    return memory_.get() + static_cast<std::size_t>(&line - lines_.get()) * line_size + sector * geometry_.sector_size;
  }
  [[nodiscard]] static std::uint8_t bits(unsigned first, unsigned count) noexcept {
    return static_cast<std::uint8_t>(((1U << count) - 1) << first);
  }
  [[nodiscard]] Index& bucket(std::uint64_t number) noexcept {
    return buckets_[static_cast<std::size_t>(number * 0x9e3779b97f4a7c15 >> 32) & (bucket_count_ - 1)];
  }
  [[nodiscard]] std::uint64_t& change(std::uint64_t number) noexcept { return changes_[number % changes_.size()]; }
  void note_change(std::uint64_t number) noexcept { change(number) = ++sequence_; }

  [[nodiscard]] Line* find(std::uint64_t number) noexcept;
  [[nodiscard]] Line* take(std::uint64_t number) noexcept;
  void unlink(Line& line) noexcept;
  [[nodiscard]] std::size_t read_known(std::uint64_t sector, MutableBytes bytes) noexcept;
  [[nodiscard]] std::size_t unknown(std::uint64_t sector, std::size_t sectors) noexcept;
  Task<BlockResult> fetch(std::uint64_t sector, MutableBytes bytes);
  void keep(std::uint64_t sector, Bytes bytes, std::uint64_t ticket) noexcept;
  /// False when there is no line for it.
  [[nodiscard]] bool put(std::uint64_t number, unsigned first, Bytes bytes) noexcept;
  Task<BlockResult> put_all(std::uint64_t sector, Bytes bytes);
  Task<BlockResult> make_room(std::size_t most);
  Task<BlockResult> write_back();
  [[nodiscard]] Index sort_dirty() noexcept;
  [[nodiscard]] std::size_t gather(Cursor& cursor, Index end, std::uint64_t& sector) noexcept;
  void arrived(Index first, Index last, bool good) noexcept;
  Task<BlockResult> through(std::uint64_t sector, Bytes bytes, bool durable);
  void refresh(std::uint64_t sector, Bytes bytes, bool newest) noexcept;
  [[nodiscard]] BlockResult check_write(std::uint64_t sector, std::size_t bytes) const noexcept;
  /// A lack of memory is none of the disk's failures.
  BlockResult note(BlockResult outcome) noexcept {
    if (!outcome && outcome.error() != BlockError::no_memory) (void)poison_.note(outcome);
    return outcome;
  }
  Task<BlockResult> enter();
  void leave() noexcept {
    busy_ = false;
    waiters_.wake_all();
  }

  BlockPort& disk_;
  Index count_;
  BlockGeometry geometry_{.sectors = 0};
  Counters counters_;
  Poison poison_;
  unsigned per_line_ = 8;  ///< sectors
  std::unique_ptr<Line[]> lines_;
  std::unique_ptr<std::byte[]> memory_;
  std::unique_ptr<std::byte[]> staging_;  ///< what is on its way to the disk
  std::unique_ptr<Index[]> buckets_;
  std::unique_ptr<Index[]> order_;
  std::size_t bucket_count_ = 0;
  std::size_t held_ = 0;
  std::size_t hand_ = 0;
  std::uint64_t last_end_ = 0;  ///< of the newest read: what begins there goes on
  /// When a line was last written or given up: what a read brings that began before is not kept.
  std::uint64_t sequence_ = 0;
  std::array<std::uint64_t, 256> changes_{};
  bool busy_ = false;
  BlockWaiters waiters_;
};

}  // namespace mirage::device::cache
