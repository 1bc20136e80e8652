// SPDX-License-Identifier: ISC
#include <mirage/base/checked.hpp>
#include <mirage/target/virtio/start_info.hpp>

namespace mirage::target::virtio {

namespace {

constexpr std::uint32_t start_info_magic = 0x336e'c578;
// Offsets in hvm_start_info.
constexpr std::size_t at_magic = 0;
constexpr std::size_t at_version = 4;
constexpr std::size_t at_command_line = 24;
constexpr std::size_t at_rsdp = 32;
constexpr std::size_t at_map = 40;
constexpr std::size_t at_map_entries = 48;
constexpr std::size_t start_info_size = 56;
// Offsets in hvm_memmap_table_entry.
constexpr std::size_t at_base = 0;
constexpr std::size_t at_size = 8;
constexpr std::size_t at_type = 16;
constexpr std::size_t entry_size = 24;

bool add_range(StartInfo& info, Bytes entry) noexcept {
  const auto base = load_little<std::uint64_t>(entry, at_base);
  const auto end = checked_add(base, load_little<std::uint64_t>(entry, at_size));
  if (!end || *end == base) return true;
  if (info.range_count == StartInfo::maximum_ranges) return false;
  info.ranges[info.range_count++] = {base, *end, load_little<std::uint32_t>(entry, at_type)};
  return true;
}

}  // namespace

const MemoryRange* StartInfo::usable_at(std::uint64_t address) const noexcept {
  for (const MemoryRange& range : memory()) {
    if (range.type == usable_memory && address >= range.begin && address < range.end) return &range;
  }
  return nullptr;
}

bool StartInfo::clear_of_memory(std::uint64_t begin, std::uint64_t end) const noexcept {
  for (const MemoryRange& range : memory()) {
    if (range.type == usable_memory && begin < range.end && end > range.begin) return false;
  }
  return true;
}

std::optional<StartInfo> parse_start_info(PhysicalMemory& memory, std::uint64_t address) noexcept {
  const Bytes header = memory.view(address, start_info_size);
  if (header.empty() || load_little<std::uint32_t>(header, at_magic) != start_info_magic) return std::nullopt;
  if (load_little<std::uint32_t>(header, at_version) < 1) return std::nullopt;
  StartInfo info;
  info.command_line = load_little<std::uint64_t>(header, at_command_line);
  info.rsdp = load_little<std::uint64_t>(header, at_rsdp);
  const auto count = load_little<std::uint32_t>(header, at_map_entries);
  if (count == 0 || count > 4 * StartInfo::maximum_ranges) return std::nullopt;
  const Bytes map = memory.view(load_little<std::uint64_t>(header, at_map), count * entry_size);
  if (map.empty()) return std::nullopt;
  for (std::size_t i = 0; i < count; ++i) {
    if (!add_range(info, map.subspan(i * entry_size, entry_size))) return std::nullopt;
  }
  return info;
}

}  // namespace mirage::target::virtio
