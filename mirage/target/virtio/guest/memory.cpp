// SPDX-License-Identifier: ISC
#include <cstdlib>

#include <mirage/base/checked.hpp>
#include <mirage/target/virtio/guest/state.hpp>

namespace mirage::target::virtio {

namespace {

constexpr std::uint64_t boot_map_end = std::uint64_t{1} << 30;

/// Pages of [begin, end) that are not mapped yet become readable; what is mapped keeps its access.
bool make_readable(std::uintptr_t begin, std::uintptr_t end) noexcept {
  machine::PageTables& tables = *state.page_tables;
  for (std::uintptr_t at = machine::page_down(begin); at < end; at += machine::page_size) {
    if (tables.access_of(at) != machine::Access::none) continue;
    if (!tables.map(at, at + machine::page_size, machine::Access::read)) return false;
  }
  return true;
}

/// The first pool is for few devices; behind bridges each has windows of its own. Fails while there is no heap.
bool map_with_more_tables(std::uintptr_t first, std::uintptr_t last) noexcept {
  constexpr std::size_t pool_size = 8 * machine::page_size;
  auto* const memory = static_cast<std::byte*>(std::aligned_alloc(machine::page_size, pool_size));
  if (memory == nullptr) return false;
  state.page_tables->add_pool({memory, pool_size});
  const auto pool = reinterpret_cast<std::uintptr_t>(memory);
  return state.page_tables->map(pool, pool + pool_size, machine::Access::read) &&
         state.page_tables->map(first, last, machine::Access::device);
}

}  // namespace

Bytes MachineMemory::view(std::uint64_t address, std::size_t size) noexcept {
  const auto end = checked_add<std::uint64_t>(address, size);
  if (address == 0 || !end || size == 0) return {};
  if (!state.page_tables) {
    // QEMU's memory map lies in page zero, which is mapped only now.
    if (*end > boot_map_end) return {};
  } else if (address < machine::page_size || !make_readable(address, *end)) {
    return {};
  }
  return {reinterpret_cast<const std::byte*>(address), size};
}

bool map_device(std::uint64_t address, std::uint64_t size) noexcept {
  const auto end = checked_add(address, size);
  if (size == 0 || !end || !state.page_tables) return false;
  // Whole pages are mapped: none of them may hold memory.
  const std::uint64_t first = machine::page_down(address);
  const std::uint64_t last = machine::page_up(*end);
  if (first < machine::page_size || last < *end || !state.start_info.clear_of_memory(first, last)) return false;
  // Several devices may share a page, and mapping flushes the translations.
  bool mapped = true;
  for (std::uint64_t page = first; page < last && mapped; page += machine::page_size) {
    mapped = state.page_tables->access_of(page) == machine::Access::device;
  }
  return mapped || state.page_tables->map(first, last, machine::Access::device) || map_with_more_tables(first, last);
}

}  // namespace mirage::target::virtio
