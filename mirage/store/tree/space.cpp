// SPDX-License-Identifier: ISC
#include <bit>

#include <mirage/store/tree/space.hpp>

namespace mirage::store::tree {

bool RunList::add(std::uint32_t first, std::uint32_t count) noexcept {
  if (!runs_.empty() && runs_.back().first + runs_.back().count == first) {
    runs_.back().count += count;
    return true;
  }
  return runs_.push_back({first, count});
}

bool RunList::take(RunList& other) noexcept {
  if (runs_.empty()) {
    std::swap(runs_, other.runs_);
    return true;
  }
  if (!runs_.reserve(runs_.size() + other.runs_.size())) return false;
  for (const Run& run : other.runs_) (void)runs_.push_back(run);
  other.clear();
  return true;
}

bool Space::reset(std::uint64_t pages) noexcept {
  if (!bits_.assign((pages + 63) / 64, 0)) return false;
  pages_ = free_ = pages;
  cursor_ = first_page;
  for (std::uint64_t page = 0; page < first_page; ++page) set_used(page);
  free_ -= first_page;
  return true;
}

bool Space::mark_used(std::uint64_t first, std::uint64_t count) noexcept {
  if (first < first_page || first > pages_ || count > pages_ - first) return false;
  for (std::uint64_t page = first; page < first + count; ++page) {
    if (is_used(page)) return false;
    set_used(page);
    --free_;
  }
  return true;
}

/// The first free page in [from, to); `to` when there is none.
std::uint64_t Space::find_free(std::uint64_t from, std::uint64_t to) const noexcept {
  for (std::uint64_t page = from; page < to;) {
    const std::uint64_t free_bits = ~bits_[page / 64] >> page % 64;
    if (free_bits != 0) return std::min(page + static_cast<std::uint64_t>(std::countr_zero(free_bits)), to);
    page = (page / 64 + 1) * 64;
  }
  return to;
}

Run Space::allocate(std::uint32_t count) noexcept {
  std::uint64_t page = find_free(cursor_, pages_);
  if (page == pages_) page = find_free(first_page, std::min(cursor_, pages_));
  if (page == pages_ || is_used(page)) return {};
  Run run{static_cast<std::uint32_t>(page), 0};
  while (run.count < count && page < pages_ && !is_used(page)) {
    set_used(page++);
    --free_;
    ++run.count;
  }
  cursor_ = page;
  return run;
}

void Space::release(const Run& run) noexcept {
  for (std::uint64_t page = run.first; page < std::uint64_t{run.first} + run.count; ++page) {
    free_ += is_used(page) ? 1 : 0;
    bits_[page / 64] &= ~(std::uint64_t{1} << page % 64);
  }
}

void Space::release(const RunList& list) noexcept {
  for (const Run& run : list.runs()) release(run);
}

}  // namespace mirage::store::tree
