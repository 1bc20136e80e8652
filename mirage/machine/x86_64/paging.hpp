// SPDX-License-Identifier: ISC
// Page tables of the guest's own: identity map, W^X, everything that is not mapped explicitly faults (the zero page,
// stack guards, the gaps between segments). Intel SDM volume 3, chapter 4 (four-level paging).
#pragma once

#include <cstddef>
#include <cstdint>
#include <span>

namespace mirage::machine {

inline constexpr std::size_t page_size = 4096;

[[nodiscard]] constexpr std::uintptr_t page_down(std::uintptr_t address) noexcept { return address & ~(page_size - 1); }
[[nodiscard]] constexpr std::uintptr_t page_up(std::uintptr_t address) noexcept {
  return page_down(address + page_size - 1);
}

/// There is no way to ask for writable and executable.
enum class Access : std::uint8_t { none, read, read_write, read_execute, device /* read-write, uncached */ };

/// Builds tables in memory that the target gives; never frees any. Usage in start-up code:
///
///     PageTables tables{pool};                              // pool: page aligned, RW, outlives the guest
///     bool good = tables.map_image();                       // the PT_LOAD segments with their flags, see image.hpp
///     good &= tables.map(heap_begin, heap_end, Access::read_write);
///     good &= tables.map(lapic, lapic + page_size, Access::device);
///     good &= tables.map(pool_begin, pool_end, Access::read); // nobody else writes to the tables
///     if (!good) ...                                        // the pool was too small
///     tables.activate();
class PageTables {
 public:
  /// `pool` is used as far as needed and need not be zeroed; its unaligned ends are ignored.
  explicit PageTables(std::span<std::byte> pool) noexcept;
  /// The tables that the processor uses now, to change them; `pool` is for tables that this takes.
  struct InForce {};
  PageTables(InForce, std::span<std::byte> pool) noexcept;
  PageTables(const PageTables&) = delete;
  PageTables& operator=(const PageTables&) = delete;

  /// Maps [begin, end) to itself: begin is rounded down, end up to pages. Later calls override earlier ones, splitting
  /// large pages where needed. False when the pool is exhausted or the range wraps or exceeds 47 bits. Uses 2 MiB
  /// pages where alignment permits. Access::none unmaps.
  /// After activate() the affected translations are flushed.
  [[nodiscard]] bool map(std::uintptr_t begin, std::uintptr_t end, Access access) noexcept;

  /// Maps every PT_LOAD segment of the running image by its flags (none, R, RW, RX; W+X is refused: false).
  [[nodiscard]] bool map_image() noexcept;

  /// Enables NX (EFER.NXE) and CR0.WP and loads CR3. From here on the map is in force.
  void activate() noexcept;

  /// More memory for tables, where map() has found none left; what is left of the earlier pool is forgotten.
  void add_pool(std::span<std::byte> pool) noexcept { take_pool(pool); }

  /// What the tables say about an address.
  [[nodiscard]] Access access_of(std::uintptr_t address) const noexcept;

  /// Pool bytes that suffice to map an image of `image_size` bytes and `memory_size` bytes of memory, both anywhere
  /// below 512 GiB, plus eight single device windows.
  [[nodiscard]] static constexpr std::size_t pool_size(std::size_t image_size, std::size_t memory_size) noexcept {
    constexpr std::size_t large_page = std::size_t{1} << 21;
    constexpr std::size_t huge_page = std::size_t{1} << 30;
    return (12 + image_size / large_page + memory_size / huge_page) * page_size;
  }
  [[nodiscard]] std::size_t tables_left() const noexcept { return left_; }
  [[nodiscard]] std::uintptr_t root() const noexcept { return reinterpret_cast<std::uintptr_t>(root_); }

 private:
  using Entry = std::uint64_t;
  void take_pool(std::span<std::byte> pool) noexcept;
  [[nodiscard]] Entry* take_table() noexcept;
  [[nodiscard]] Entry* table_below(Entry& entry, unsigned level) noexcept;
  /// `page`: what an entry has besides the address; 0 unmaps.
  [[nodiscard]] bool map_level(Entry* table, unsigned level, std::uintptr_t begin, std::uintptr_t end,
                               Entry page) noexcept;
  /// map_level() on tables in force: lifts write protection meanwhile, since the tables may be mapped read-only, and
  /// flushes.
  [[nodiscard]] bool map_active(std::uintptr_t begin, std::uintptr_t end, Entry page) noexcept;

  std::byte* next_ = nullptr;
  std::size_t left_ = 0;  ///< tables
  Entry* root_ = nullptr;
  bool active_ = false;
};

}  // namespace mirage::machine
