// SPDX-License-Identifier: ISC
// Simulated power cuts, for the tests of what must survive them.
//
// PowerCut is a disk in memory that records its writes and flushes, and fails what it is told to. CutExplorer goes
// through a record event by event; at each it makes the images that a disk may hold when the power goes there: of the
// writes that no completed flush covers all, none, each one lost, each one kept, and random subsets; each also with
// writes torn into units of 512 and 4096 bytes of which only some arrived. A CutImage is such an image, a Block whose
// changes can be taken back, so that recovery runs on it and the next image costs only what differs.
#pragma once

#include <array>
#include <cstdint>
#include <limits>
#include <vector>

#include <mirage/async/sleep.hpp>
#include <mirage/module/block.hpp>
#include <mirage/module/ready.hpp>

namespace mirage::device {

/// A write or a flush, in the order of their submission (a flush that failed is not in the record).
struct CutEvent {
  bool is_flush = false;
  bool is_durable = false;  ///< a write that is durable when it has completed (FUA)
  std::uint64_t sector = 0;
  std::size_t data = 0;  ///< where the written bytes stand in the record
  std::size_t size = 0;
  std::uint64_t submitted = 0;  ///< ticks: every submission and completion is one
  std::uint64_t completed = std::numeric_limits<std::uint64_t>::max();
};

class PowerCut {
 public:
  static constexpr std::uint64_t never_fails = std::numeric_limits<std::uint64_t>::max();
  /// Which operations fail with BlockError::io, counted from 0 since the start or the last set_faults().
  struct Faults {
    std::uint64_t write = never_fails;      ///< this one
    std::uint64_t flush = never_fails;      ///< this one; what it covered stays uncertain
    std::uint64_t power_off = never_fails;  ///< this write or flush and every operation after it, reads too
  };

  /// `queue_depth`: only what the geometry says; any number of operations may be under way.
  PowerCut(Shard& shard, std::uint64_t sectors, std::uint32_t sector_size = 512,
           Durability durability = Durability::flush, std::uint32_t queue_depth = 1);
  /// Starts from these bytes, a whole number of sectors.
  PowerCut(Shard& shard, Bytes image, std::uint32_t sector_size = 512);
  PowerCut(const PowerCut&) = delete;
  PowerCut& operator=(const PowerCut&) = delete;
  ~PowerCut();  // not in tests, which are not optimised: disks are large
  [[nodiscard]] Shard& shard() noexcept { return shard_; }

  [[nodiscard]] const BlockGeometry& geometry() const noexcept { return geometry_; }
  /// Every operation lets other tasks run before it completes.
  Task<Result<void, BlockError>> read(std::uint64_t sector, MutableBytes bytes);
  Task<Result<void, BlockError>> write(std::uint64_t sector, Bytes bytes);
  Task<Result<void, BlockError>> flush();
  /// Where the durability is fua.
  Task<Result<void, BlockError>> write_durable(std::uint64_t sector, Bytes bytes);

  /// read() and write() that let nobody else run.
  Result<void, BlockError> read_now(std::uint64_t sector, MutableBytes bytes);
  Result<void, BlockError> write_now(std::uint64_t sector, Bytes bytes);

  void set_faults(const Faults& faults) noexcept;
  /// Whether a fault has struck.
  [[nodiscard]] bool struck() const noexcept { return struck_; }
  /// Events so far: the number of the next one.
  [[nodiscard]] std::size_t events() const noexcept { return log_.size(); }
  [[nodiscard]] const std::vector<CutEvent>& log() const noexcept { return log_; }
  [[nodiscard]] Bytes data(const CutEvent& event) const noexcept {
    return Bytes{data_}.subspan(event.data, event.size);
  }
  /// What the disk held at first, and what it holds when everything arrives.
  [[nodiscard]] Bytes initial() const noexcept { return initial_; }
  [[nodiscard]] Bytes content() const noexcept { return disk_; }
  /// Changes a byte behind the user's back.
  void flip_bit(std::uint64_t bit) noexcept { disk_[bit / 8] ^= static_cast<std::byte>(1U << bit % 8); }

 private:
  Task<Result<void, BlockError>> record(std::uint64_t sector, Bytes bytes, bool durable);
  /// Takes a write into the record; its number there.
  Result<std::size_t, BlockError> submit(std::uint64_t sector, Bytes bytes, bool durable);
  [[nodiscard]] bool strikes(std::uint64_t count, std::uint64_t which) noexcept;
  Shard& shard_;
  BlockGeometry geometry_;
  std::vector<std::byte> initial_;
  std::vector<std::byte> disk_;
  std::vector<CutEvent> log_;
  std::vector<std::byte> data_;
  Faults faults_;
  std::uint64_t ticks_ = 0;
  std::uint64_t writes_ = 0;
  std::uint64_t flushes_ = 0;
  bool off_ = false;
  bool struck_ = false;
};

/// A PowerCut of which reads and writes complete at once, as a host's page cache takes them, but for one in `period`
/// (0: all do).
class CachedCut {
 public:
  class [[nodiscard]] Operation {
   public:
    Operation(CachedCut& disk, std::uint64_t sector, MutableBytes in) noexcept
        : disk_(disk), sector_(sector), in_(in) {}
    Operation(CachedCut& disk, std::uint64_t sector, Bytes out) noexcept
        : disk_(disk), is_write_(true), sector_(sector), out_(out) {}
    [[nodiscard]] bool await_ready() {
      waits_ = waits_ || disk_.comes_later();
      if (!waits_) perform();
      return !waits_;
    }
    template <class Promise>
    void await_suspend(std::coroutine_handle<Promise> handle) {
      perform();
      yield_.await_suspend(handle);
    }
    [[nodiscard]] Result<void, BlockError> await_resume() const noexcept { return result_; }

   private:
    void perform() {
      result_ = is_write_ ? disk_.below_.write_now(sector_, out_) : disk_.below_.read_now(sector_, in_);
    }
    CachedCut& disk_;
    bool is_write_ = false;
    bool waits_ = false;
    std::uint64_t sector_;
    MutableBytes in_;
    Bytes out_;
    decltype(yield()) yield_ = yield();
    Result<void, BlockError> result_;
  };

  explicit CachedCut(PowerCut& below, unsigned period = 0) noexcept : below_(below), period_(period) {}
  CachedCut(const CachedCut&) = delete;
  CachedCut& operator=(const CachedCut&) = delete;
  [[nodiscard]] Shard& shard() noexcept { return below_.shard(); }
  [[nodiscard]] const BlockGeometry& geometry() const noexcept { return below_.geometry(); }
  Operation read(std::uint64_t sector, MutableBytes in) noexcept { return {*this, sector, in}; }
  Operation write(std::uint64_t sector, Bytes out) noexcept { return {*this, sector, out}; }
  Task<Result<void, BlockError>> flush() { return below_.flush(); }
  Task<Result<void, BlockError>> write_durable(std::uint64_t sector, Bytes out) {
    return below_.write_durable(sector, out);
  }

 private:
  [[nodiscard]] bool comes_later() noexcept { return period_ != 0 && ++asked_ % period_ == 0; }
  PowerCut& below_;
  unsigned period_;
  unsigned asked_ = 0;
};

/// A disk in memory whose changes are remembered until they are taken back or kept. Says that it flushes.
class CutImage {
 public:
  using Outcome = Ready<Result<void, BlockError>>;
  CutImage(Shard& shard, Bytes image, std::uint32_t sector_size, Durability durability = Durability::flush);
  CutImage(const CutImage&) = delete;
  CutImage& operator=(const CutImage&) = delete;
  ~CutImage();
  [[nodiscard]] Shard& shard() noexcept { return shard_; }

  [[nodiscard]] const BlockGeometry& geometry() const noexcept { return geometry_; }
  Outcome read(std::uint64_t sector, MutableBytes bytes) noexcept;
  Outcome write(std::uint64_t sector, Bytes bytes) noexcept;
  Outcome flush() noexcept;
  Outcome write_durable(std::uint64_t sector, Bytes bytes) noexcept { return write(sector, bytes); }

  /// Writes at any byte.
  void put(std::uint64_t offset, Bytes bytes);
  /// Back to the last keep().
  void undo() noexcept;
  void keep() noexcept;
  [[nodiscard]] Bytes content() const noexcept { return disk_; }

 private:
  struct Change {
    std::uint64_t offset;
    std::size_t data;
    std::size_t size;
  };
  Shard& shard_;
  BlockGeometry geometry_;
  std::vector<std::byte> disk_;
  std::vector<Change> changes_;
  std::vector<std::byte> old_;
};

class CutExplorer {
 public:
  /// The record must not grow meanwhile. `seed` decides the random subsets and tears.
  CutExplorer(Shard& shard, const PowerCut& record, std::uint64_t seed = 1, std::size_t subsets = 32);

  /// To the next event, false behind the last. The power goes while that event is under way.
  bool advance();
  /// Number of the event.
  [[nodiscard]] std::size_t event() const noexcept { return next_ - 1; }
  /// Images that are to be tried here.
  [[nodiscard]] std::size_t variants() const noexcept;
  /// The image; the one before is gone.
  [[nodiscard]] CutImage& image(std::size_t variant);
  /// Whether that image is another than those made at this event before: of few unflushed writes most variants are the
  /// same, and what was found of one holds for all. (Told by 128 bits of the bytes that these writes may have changed.)
  [[nodiscard]] bool is_new() const noexcept { return is_new_; }
  /// Such as "write 7 lost, torn at 4096"; for messages of tests.
  void describe(TextWriter& out, std::size_t variant) const noexcept;

 private:
  enum class Kind : std::uint8_t { none, all, lose_one, keep_one, subset };
  struct Choice {
    Kind kind = Kind::none;
    std::size_t which = 0;
    std::size_t unit = 0;  ///< of tearing, in bytes; 0: none
  };
  [[nodiscard]] Choice choice(std::size_t variant) const noexcept;
  [[nodiscard]] std::uint64_t random() noexcept;
  void apply(const CutEvent& event, std::size_t unit);
  void settle(const CutEvent& flush);
  void settle_durable(std::uint64_t now);
  using Signature = std::array<std::uint64_t, 2>;
  [[nodiscard]] Signature signature() const noexcept;
  const PowerCut& record_;
  CutImage image_;
  std::vector<CutEvent> pending_;
  std::size_t next_ = 0;
  std::uint64_t seed_;
  std::size_t subsets_;
  std::uint64_t state_ = 0;
  std::vector<Signature> seen_;  // at this event
  bool is_new_ = true;
};

}  // namespace mirage::device
