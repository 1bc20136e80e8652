// SPDX-License-Identifier: ISC
// Goes through a whole tree in the order of its keys: to learn which pages are in use (open), or to look at every byte
// (check).
#pragma once

#include <mirage/store/tree/core.hpp>

namespace mirage::store::tree {

/// What a walk found.
struct WalkReport {
  std::uint64_t keys = 0;     ///< values; only of a full walk
  std::uint64_t objects = 0;  ///< large values; only of a full walk
  std::uint64_t nodes = 0;
  std::uint64_t data_pages = 0;
  std::uint32_t bad_page = 0;  ///< where it ended, 0: nowhere in particular
  std::string_view problem;    ///< empty: none
  [[nodiscard]] std::uint64_t used() const noexcept { return nodes + data_pages; }
};

class Walk {
 public:
  /// Fills `space`. A full walk reads leaves and data, too, with the staging buffer; otherwise
  /// only nodes that name pages are read.
  Walk(Core& core, const Superblock& state, Space& space, bool full) noexcept
      : core_(core), state_(state), space_(space), full_(full) {}
  [[nodiscard]] Shard& shard() noexcept { return core_.shard(); }
  /// An error: the device's, or no_memory. What is wrong with the tree stands in the report.
  Task<Result<void, KvError>> run(WalkReport& report);

 private:
  struct Level {
    Ref ref;
    std::size_t index = 0;
    std::size_t count = 0;
  };
  Task<Result<void, KvError>> enter(WalkReport& report, Ref ref);
  Task<Result<void, KvError>> visit_leaf(WalkReport& report);
  Task<Result<void, KvError>> visit_cell(WalkReport& report, std::size_t index);
  Task<Result<void, KvError>> visit_run(WalkReport& report, RunRecord run);
  Task<Result<void, KvError>> count_runs(WalkReport& report, NameRecord record);
  [[nodiscard]] Step<void> step_down(WalkReport& report, Ref& child) noexcept;
  [[nodiscard]] Step<void> check_key(WalkReport& report, std::string_view key, bool is_separator) noexcept;
  [[nodiscard]] Step<void> take_cell(WalkReport& report, std::size_t index, RunRecord& run, NameRecord& name) noexcept;
  [[nodiscard]] bool mark(WalkReport& report, std::uint64_t first, std::uint64_t count) noexcept;
  static Step<void> complain(WalkReport& report, std::string_view problem, std::uint32_t page) noexcept;
  [[nodiscard]] Level& top() noexcept { return levels_[depth_ - 1]; }
  [[nodiscard]] std::uint8_t level_of(std::size_t depth) const noexcept {
    return static_cast<std::uint8_t>(state_.root.levels - 1 - depth);
  }

  Core& core_;
  const Superblock& state_;
  Space& space_;
  bool full_;
  std::array<Level, Path::maximum> levels_;
  std::size_t depth_ = 0;
  StoredKey previous_;
  bool may_equal_ = true;         // the next key may be the previous one: that was a separator, or nothing
  std::uint64_t object_ = 0;      // whose runs come now
  std::uint64_t object_end_ = 0;  // page behind its last run so far
  std::uint64_t runs_seen_ = 0;   // a sum over all runs, and the same over those that names account for
  std::uint64_t runs_named_ = 0;
  std::array<std::byte, 8 * RunRecord::maximum_pages> sums_;
};

}  // namespace mirage::store::tree
