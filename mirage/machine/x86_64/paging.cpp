// SPDX-License-Identifier: ISC
#include <cstring>

#include <mirage/machine/x86_64/paging.hpp>

namespace mirage::machine {

namespace {

constexpr std::uint64_t present = 1U << 0;
constexpr std::uint64_t writable = 1U << 1;
constexpr std::uint64_t write_through = 1U << 3;
constexpr std::uint64_t cache_disable = 1U << 4;
constexpr std::uint64_t large = 1U << 7;  // level 2: a page, not a table
constexpr std::uint64_t no_execute = std::uint64_t{1} << 63;
constexpr std::uint64_t address_mask = 0x000f'ffff'ffff'f000;
constexpr std::size_t entries = 512;
constexpr unsigned top_level = 4;
constexpr std::uintptr_t address_limit = std::uintptr_t{1} << 47;

constexpr std::uint64_t bits_of(Access access) {
  switch (access) {
    case Access::none:
      return 0;
    case Access::read:
      return present | no_execute;
    case Access::read_write:
      return present | writable | no_execute;
    case Access::read_execute:
      return present;
    case Access::device:
      return present | writable | no_execute | cache_disable | write_through;
  }
  return 0;
}

/// Bytes that one entry of a table of this level covers.
constexpr std::uintptr_t span_of(unsigned level) { return std::uintptr_t{1} << (12 + 9 * (level - 1)); }
constexpr std::size_t index_of(std::uintptr_t address, unsigned level) {
  return (address >> (12 + 9 * (level - 1))) & (entries - 1);
}

}  // namespace

void PageTables::take_pool(std::span<std::byte> pool) noexcept {
  const auto begin = reinterpret_cast<std::uintptr_t>(pool.data());
  const std::uintptr_t first = page_up(begin);
  const std::uintptr_t end = page_down(begin + pool.size());
  if (first < end) {
    next_ = pool.data() + (first - begin);
    left_ = (end - first) / page_size;
  }
}

PageTables::PageTables(std::span<std::byte> pool) noexcept {
  take_pool(pool);
  root_ = take_table();
}

PageTables::Entry* PageTables::take_table() noexcept {
  if (left_ == 0) return nullptr;
  auto* table = reinterpret_cast<Entry*>(next_);
  next_ += page_size;
  --left_;
  std::memset(table, 0, page_size);
  return table;
}

PageTables::Entry* PageTables::table_below(Entry& entry, unsigned level) noexcept {
  if ((entry & present) != 0 && (entry & large) == 0) {
    return reinterpret_cast<Entry*>(static_cast<std::uintptr_t>(entry & address_mask));
  }
  Entry* table = take_table();
  if (table == nullptr) return nullptr;
  if ((entry & present) != 0) {
    // Split a large page: the same access in smaller pieces.
    const std::uint64_t keep = entry & ~address_mask & ~(level == 2 ? large : 0);
    const std::uint64_t base = entry & address_mask;
    for (std::size_t i = 0; i < entries; ++i) table[i] = (base + i * span_of(level - 1)) | keep;
  }
  // A table's own entry permits everything; the last level decides.
  entry = reinterpret_cast<std::uintptr_t>(table) | present | writable;
  return table;
}

bool PageTables::map_level(Entry* table, unsigned level, std::uintptr_t begin, std::uintptr_t end,
                           Entry page) noexcept {
  const std::uintptr_t span = span_of(level);
  for (std::uintptr_t at = begin; at < end;) {
    Entry& entry = table[index_of(at, level)];
    const std::uintptr_t next = (at & ~(span - 1)) + span;
    const std::uintptr_t stop = next < end ? next : end;
    const bool whole = at % span == 0 && stop == next;
    const bool table_here = (entry & present) != 0 && level > 1 && (entry & large) == 0;
    if (whole && level <= 2 && !table_here) {
      entry = page == 0 ? 0 : (at | page | (level > 1 ? large : 0));
    } else if (page != 0 || (entry & present) != 0) {
      Entry* below = table_below(entry, level);
      if (below == nullptr || !map_level(below, level - 1, at, stop, page)) return false;
    }
    at = stop;
  }
  return true;
}

bool PageTables::map(std::uintptr_t begin, std::uintptr_t end, Access access) noexcept {
  if (root_ == nullptr || begin > end || end > address_limit) return false;
  begin = page_down(begin);
  end = page_up(end);
  const Entry page = bits_of(access);
  return active_ ? map_active(begin, end, page) : map_level(root_, top_level, begin, end, page);
}

Access PageTables::access_of(std::uintptr_t address) const noexcept {
  if (root_ == nullptr || address >= address_limit) return Access::none;
  const Entry* table = root_;
  for (unsigned level = top_level;; --level) {
    const Entry entry = table[index_of(address, level)];
    if ((entry & present) == 0) return Access::none;
    if (level == 1 || (entry & large) != 0) {
      if ((entry & no_execute) == 0) return Access::read_execute;
      if ((entry & cache_disable) != 0) return Access::device;
      return (entry & writable) != 0 ? Access::read_write : Access::read;
    }
    table = reinterpret_cast<const Entry*>(static_cast<std::uintptr_t>(entry & address_mask));
  }
}

}  // namespace mirage::machine
