// SPDX-License-Identifier: ISC
// Which pages are in use: a bitmap in memory, made from the tree when the store is opened and never on the disk, so
// that it cannot disagree with the tree after a crash. Pages that a commit gives up are kept in lists of runs until
// nobody can see them any more.
#pragma once

#include <cstdint>

#include <mirage/store/tree/format.hpp>
#include <mirage/store/tree/growable.hpp>

namespace mirage::store::tree {

struct Run {
  std::uint32_t first = 0;
  std::uint32_t count = 0;
};

/// Runs in the order they were added; neighbours are joined.
class RunList {
 public:
  [[nodiscard]] bool add(std::uint32_t first, std::uint32_t count = 1) noexcept;
  /// Appends the other's runs, which is empty afterwards. False: no memory, nothing changed.
  [[nodiscard]] bool take(RunList& other) noexcept;
  [[nodiscard]] const Growable<Run>& runs() const noexcept { return runs_; }
  void clear() noexcept { runs_.clear(); }

 private:
  Growable<Run> runs_;
};

class Space {
 public:
  /// All free but the superblocks. False: no memory for the bitmap.
  [[nodiscard]] bool reset(std::uint64_t pages) noexcept;
  [[nodiscard]] std::uint64_t pages() const noexcept { return pages_; }
  [[nodiscard]] std::uint64_t free_pages() const noexcept { return free_; }
  /// Nodes and data, and what is held back until it can be reused.
  [[nodiscard]] std::uint64_t used_pages() const noexcept { return pages_ - first_page - free_; }

  /// False when one of them is in use already, or no page of the store: a damaged tree.
  [[nodiscard]] bool mark_used(std::uint64_t first, std::uint64_t count) noexcept;
  /// Up to `count` free pages that follow each other, at least one; count 0 when none is left.
  [[nodiscard]] Run allocate(std::uint32_t count) noexcept;
  /// Free again, those that are free already too.
  void release(const Run& run) noexcept;
  void release(const RunList& list) noexcept;

 private:
  [[nodiscard]] bool is_used(std::uint64_t page) const noexcept { return (bits_[page / 64] >> page % 64 & 1) != 0; }
  void set_used(std::uint64_t page) noexcept { bits_[page / 64] |= std::uint64_t{1} << page % 64; }
  [[nodiscard]] std::uint64_t find_free(std::uint64_t from, std::uint64_t to) const noexcept;
  Growable<std::uint64_t> bits_;
  std::uint64_t pages_ = 0;
  std::uint64_t free_ = 0;
  std::uint64_t cursor_ = 0;  // where the search goes on: successive pages for what is written together
};

}  // namespace mirage::store::tree
