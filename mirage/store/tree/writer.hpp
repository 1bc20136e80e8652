// SPDX-License-Identifier: ISC
// One transaction at a time: changes go into copies of nodes in memory and into free pages on the disk; commit() makes
// them the state. Until then nothing on the disk refers to them.
#pragma once

#include <algorithm>

#include <mirage/store/tree/core.hpp>

namespace mirage::store::tree {

class Writer {
 public:
  using Outcome = Result<void, KvError>;
  explicit Writer(Core& core) noexcept : core_(core) {}
  [[nodiscard]] Shard& shard() noexcept { return core_.shard(); }

  void begin() noexcept;
  /// Whether something was changed since begin(): after an error only abort() helps then.
  [[nodiscard]] bool changed() noexcept { return core_.tree().changes() != 0; }
  [[nodiscard]] std::uint64_t changes() noexcept { return core_.tree().changes(); }
  /// Enough for one commit.
  [[nodiscard]] bool is_large() noexcept { return core_.tree().cache().dirty() > core_.tree().cache().frames() / 4; }
  Quick<Outcome> apply(const KvChange& change);
  /// How many changes read_ahead() is good for; 0: the device serves one request at a time.
  [[nodiscard]] std::size_t reach() noexcept;
  /// Loads the leaves that the changes will look at, many at once. An error: no memory for that.
  Task<Outcome> read_ahead(std::span<const KvChange> changes);
  /// A write or a flush failed: nobody knows what the device holds, no more commits.
  [[nodiscard]] bool has_failed() const noexcept { return failed_; }
  /// Writes, flushes, writes the superblock, flushes.
  Task<Outcome> commit();
  /// Writes: the next commit's superblock is for this, too.
  Task<Outcome> stage();
  /// Writes the superblock of `state` and flushes.
  Task<Outcome> write_superblock(const Superblock& state);
  void abort() noexcept;

 private:
  /// A value before it is changed.
  struct Old {
    bool exists = false;
    NameRecord record;  // without its content
  };
  [[nodiscard]] Step<Old> look_up(std::string_view key) noexcept;
  [[nodiscard]] Step<Old> look_at(std::string_view stored, Path& path) noexcept;
  [[nodiscard]] Step<bool> set_at_once(const KvChange& change) noexcept;
  Task<Outcome> apply_slowly(const KvChange& change);
  [[nodiscard]] Step<void> check_ancestors(std::string_view stored, const Path& path) noexcept;
  Task<Outcome> write_value(const KvChange& change);
  Task<Outcome> write_inline(const KvChange& change, const Old& old, std::uint64_t size);
  Task<Outcome> write_object(const KvChange& change, const Old& old, std::uint64_t size);
  Task<Outcome> write_range(const KvChange& change, const Old& old, std::uint64_t object);
  Task<Outcome> cut_object(std::uint64_t object, std::uint64_t old_size, std::uint64_t size);
  Task<Outcome> write_run(const KvChange& change, const Old& old, std::uint64_t object, std::uint64_t index,
                          std::uint32_t count);
  Task<Outcome> load_old_page(const KvChange& change, const Old& old, std::uint64_t index, MutableBytes page);
  /// What becomes of a run that is cleared as a whole: it is taken out, or its record will be written over.
  enum class Clear : std::uint8_t { erase, replace };
  Task<Outcome> clear_runs(std::uint64_t object, std::uint64_t from, std::uint64_t to, Clear clear = Clear::erase);
  [[nodiscard]] Step<bool> clear_one_run(std::uint64_t object, std::uint64_t from, std::uint64_t to,
                                         Clear clear) noexcept;
  [[nodiscard]] Step<void> put_run(const RunRecord& run, std::uint64_t from, std::uint64_t to) noexcept;
  Task<Outcome> put_name(std::string_view key, Bytes record);
  Task<Outcome> erase_name(std::string_view stored);
  Task<Outcome> remove(std::string_view key);
  Task<Outcome> remove_below(std::string_view key);
  Task<Outcome> rename(std::string_view from, std::string_view to);
  Task<Outcome> rename_value(std::string_view from, std::string_view to, const Old& old);
  Task<Outcome> rename_below(std::string_view from, std::string_view to);
  Task<Outcome> move_record(std::string_view from, std::string_view to);
  Task<Outcome> move_out_of_leaf(std::string_view to, Bytes content);
  Task<Outcome> place_run(std::uint64_t object, std::uint64_t index, std::uint32_t at, std::uint32_t count);
  /// What dirty nodes leave is for those of a step, and for what is read ahead.
  [[nodiscard]] bool must_spill() noexcept {
    const std::size_t frames = core_.tree().cache().frames();
    return core_.tree().cache().dirty() + std::max(frames / 4, std::min(frames / 2, Cache::minimum_frames)) >= frames;
  }
  Task<Outcome> spill();
  Task<Outcome> spill_if_needed();
  void publish(std::unique_ptr<View> view, bool is_committed) noexcept;
  [[nodiscard]] const Superblock& with_use() noexcept;
  Task<Outcome> write_nodes(Cache::Which which = Cache::Which::all);
  Task<Outcome> write_data();
  /// Nodes that several tasks write: those that nobody has taken yet, and what became of those that were.
  struct Job {
    std::span<const Cache::Index> frames;
    Outcome outcome;
  };
  Task<Outcome> write_runs(Job& job, std::size_t lane);
  Task<void> write_beside(Job& job, std::size_t lane);
  [[nodiscard]] std::uint64_t sector_of(std::uint32_t page) const noexcept {
    return std::uint64_t{page} * (page_size / core_.device().geometry().sector_size);
  }
  Task<Outcome> write_pages(std::uint32_t page, Bytes bytes);
  Task<Outcome> flush();
  Outcome note(const Result<void, BlockError>& result) noexcept;
  [[nodiscard]] std::size_t gather(std::span<const Cache::Index> frames, MutableBytes to) noexcept;

  /// Data in the staging buffer that waits for what comes to the pages behind it, to be one request.
  struct Waiting {
    std::uint32_t page = 0;
    std::uint32_t count = 0;
    std::uint32_t at = 0;  // in the buffer
    [[nodiscard]] std::uint32_t end() const noexcept { return at + count; }
  };

  Core& core_;
  bool failed_ = false;
  Waiting data_;
  Superblock next_;  // the state that the transaction makes
};

}  // namespace mirage::store::tree
