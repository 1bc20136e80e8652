// SPDX-License-Identifier: ISC
// A disk with a tag for every unit, beside the data: layout.hpp says what is on it. device/checksum and device/crypt
// are such disks, each with a Scheme.
//
// A write goes in two steps. First the tables: the new tags beside the ones that are there, made durable. Then the
// data. So whatever a power cut leaves of a unit, old or new, one of its two entries is its tag. After a flush
// both entries become the new one: from then on old content is an error, too.
//
// Writes that come while others are under way are the next batch: they share the flush of the tables.
#pragma once

#include <algorithm>
#include <memory>

#include <mirage/base/counters.hpp>
#include <mirage/base/list.hpp>
#include <mirage/device/tagged/layout.hpp>
#include <mirage/module/block_port.hpp>
#include <mirage/module/block_turn.hpp>

namespace mirage::device::tagged {

struct Counters {
  std::uint64_t corrupt = 0;         ///< reads of what has another tag than it must
  std::uint64_t damaged_tables = 0;  ///< sectors of tables that were found damaged
  std::uint64_t table_reads = 0;
  std::uint64_t table_writes = 0;
  std::uint64_t barriers = 0;   ///< flushes that nobody asked for: tables before data
  std::uint64_t batches = 0;    ///< of writes
  std::uint64_t recovered = 0;  ///< units that a power cut left with two possible contents
};

/// What a new disk holds.
class Blank {
 public:
  virtual void fill(std::uint64_t unit, MutableBytes content) const noexcept = 0;

 protected:
  ~Blank() = default;
};

class Core {
 public:
  /// Tables in memory: 4 KiB each.
  static constexpr std::size_t minimum_frames = 32;

  Core(BlockPort& disk, Scheme& scheme, std::size_t frames) noexcept
      : disk_(disk), scheme_(scheme), shape_(scheme.shape()), frame_count_(std::max(frames, minimum_frames)) {}
  [[nodiscard]] Shard& shard() const noexcept { return disk_.shard(); }
  /// True when the disk is open, false when it is blank.
  Task<Result<bool, StartError>> open();
  /// Writes the headers. Precondition: open() has found the disk blank, and all of it is zeros.
  Task<Result<void, StartError>> format();
  /// The same for a scheme to which zeros are not sound: between the headers everything is written, units of `blank`.
  Task<Result<void, StartError>> format(const Blank& blank);

  [[nodiscard]] const BlockGeometry& geometry() const noexcept { return geometry_; }
  [[nodiscard]] const Counters& counters() const noexcept { return counters_; }
  Task<BlockResult> read(std::uint64_t sector, MutableBytes bytes);
  Task<BlockResult> write(std::uint64_t sector, Bytes bytes);
  Task<BlockResult> flush();

 private:
  static constexpr std::uint64_t no_group = ~std::uint64_t{0};
  static constexpr std::size_t most_pieces = 16;  ///< in a batch
  static constexpr std::size_t most_groups = 8;   ///< in one write of it

  /// A table in memory. While it is pinned it stays.
  struct Frame {
    std::uint64_t group = no_group;
    std::uint64_t epoch = 0;  ///< of the last write of data: durable when that many flushes have been made
    unsigned pins = 0;
    std::uint8_t damaged = 0;  ///< a bit for each sector
    bool loading = false;
    bool stale = false;      ///< not what the disk says: to be forgotten
    bool unsettled = false;  ///< some unit has two entries that differ
    bool used = false;       ///< second chance
  };
  /// What one write has in one group.
  struct Piece {
    Frame* frame = nullptr;
    std::size_t unit = 0;
    Bytes bytes;
    BlockResult result;
    [[nodiscard]] std::size_t count() const noexcept { return bytes.size() / unit_size; }
  };
  struct Write : ListNode<> {
    std::uint64_t unit = 0;
    Bytes bytes;
    bool done = false;
    BlockResult result;
    [[nodiscard]] std::uint64_t end() const noexcept { return unit + bytes.size() / unit_size; }
    [[nodiscard]] std::size_t groups(const Shape& shape) const noexcept {
      return static_cast<std::size_t>((end() - 1) / shape.units_per_group() - unit / shape.units_per_group() + 1);
    }
  };

  void size(std::uint64_t blocks) noexcept;
  [[nodiscard]] Result<void, StartError> make_header() noexcept;
  Task<BlockResult> fill_group(std::uint64_t group, const Blank& blank, MutableBytes memory);
  [[nodiscard]] std::uint64_t blocks() const noexcept { return disk_.geometry().bytes() / block_size; }
  [[nodiscard]] MutableBytes memory(const Frame& frame) noexcept {
    return {memory_.get() + static_cast<std::size_t>(&frame - frames_.get()) * block_size, block_size};
  }
  [[nodiscard]] Table table(const Frame& frame) noexcept { return Table{shape_, memory(frame)}; }
  [[nodiscard]] std::uint64_t sector_at(std::uint64_t byte) const noexcept { return byte / geometry_.sector_size; }

  /// Of a group: the last one of the disk may be shorter, whatever its table says of what lies beyond.
  [[nodiscard]] std::size_t units_of(std::uint64_t group) const noexcept {
    const std::uint64_t left = geometry_.bytes() / unit_size - group * shape_.units_per_group();
    return static_cast<std::size_t>(std::min<std::uint64_t>(left, shape_.units_per_group()));
  }

  // tables.cpp
  Task<Result<Frame*, BlockError>> hold(std::uint64_t group);
  [[nodiscard]] Frame* find(std::uint64_t group) noexcept;
  [[nodiscard]] Frame* victim() noexcept;
  void drop(Frame& frame) noexcept;
  Task<BlockResult> load(Frame& frame);
  Task<BlockResult> recover(Frame& frame);
  [[nodiscard]] bool block_unsettled(Frame& frame, std::size_t block) noexcept;
  [[nodiscard]] bool settle(Frame& frame, std::size_t& first, std::size_t& last) noexcept;
  void examine(Frame& frame, std::size_t block, Bytes content) noexcept;
  Task<BlockResult> save_settled(Frame& frame);
  Task<BlockResult> write_table(Frame& frame, std::size_t first, std::size_t last, bool durable);
  Task<BlockResult> settle_all();
  [[nodiscard]] bool holds(const Frame& frame, std::size_t unit, Bytes content) noexcept;
  Task<BlockResult> sync();

  // core.cpp
  Task<BlockResult> read_piece(std::uint64_t unit, MutableBytes bytes);
  Task<BlockResult> fetch(std::uint64_t unit, MutableBytes bytes, std::size_t& wrong);

  // write.cpp
  Task<BlockResult> submit(std::uint64_t unit, Bytes bytes);
  Task<BlockResult> lead();
  void take_batch(List<Write>& batch) noexcept;
  Task<BlockResult> prepare(Write& write);
  Task<BlockResult> commit();
  [[nodiscard]] bool must_wait(const Piece& piece) noexcept;
  void stage(Piece& piece) noexcept;
  Task<BlockResult> move(Piece& piece, bool tables, bool durable);
  Task<void> move_into(Piece& piece, bool tables);
  Task<BlockResult> move_all(bool tables);
  void finish_batch(List<Write>& batch, const BlockResult& result) noexcept;
  /// Keeps a failure of the device: nothing is written any more. A lack of memory is none of the device's.
  BlockResult note(BlockResult outcome) noexcept {
    if (!outcome && outcome.error() != BlockError::no_memory) (void)poison_.note(outcome);
    return outcome;
  }

  BlockPort& disk_;
  Scheme& scheme_;
  const Shape& shape_;
  std::size_t frame_count_;
  BlockGeometry geometry_{.sectors = 0};
  Counters counters_;
  Poison poison_;
  std::unique_ptr<Frame[]> frames_;
  std::unique_ptr<std::byte[]> memory_;
  std::size_t hand_ = 0;
  std::uint64_t epoch_ = 1;    ///< writes that complete now are covered by the flush that ends it
  std::uint64_t flushed_ = 0;  ///< what was written in this epoch and before is durable
  bool busy_ = false;          ///< a batch, a settling or a second look is under way
  BlockWaiters changed_;       ///< busy_, a frame's state, or the queue
  List<Write> queue_;
  std::array<Piece, most_pieces> pieces_;
  std::size_t piece_count_ = 0;
};

}  // namespace mirage::device::tagged
