// SPDX-License-Identifier: ISC
// What a PVH loader passes: xen/include/public/arch-x86/hvm/start_info.h. Input from outside: checked once, here.
#pragma once

#include <array>
#include <cstdint>
#include <optional>
#include <span>

#include <mirage/target/virtio/physical_memory.hpp>

namespace mirage::target::virtio {

/// A range of the memory map; `type` as in ACPI's address range types (1: usable memory).
struct MemoryRange {
  std::uint64_t begin = 0;
  std::uint64_t end = 0;
  std::uint32_t type = 0;
};

inline constexpr std::uint32_t usable_memory = 1;

struct StartInfo {
  static constexpr std::size_t maximum_ranges = 64;

  std::uint64_t command_line = 0;  ///< address of a NUL-terminated string, 0: none
  std::uint64_t rsdp = 0;          ///< ACPI's root pointer, 0: none
  std::array<MemoryRange, maximum_ranges> ranges{};
  std::size_t range_count = 0;

  [[nodiscard]] std::span<const MemoryRange> memory() const noexcept { return std::span(ranges).first(range_count); }
  /// The usable range that holds `address`, or nullptr.
  [[nodiscard]] const MemoryRange* usable_at(std::uint64_t address) const noexcept;
  /// True when [begin, end) touches no usable memory: a device may be there.
  [[nodiscard]] bool clear_of_memory(std::uint64_t begin, std::uint64_t end) const noexcept;
};

/// Parses hvm_start_info version 1 or later; nullopt for a wrong magic number, no memory map, or a map of more than
/// maximum_ranges entries. Empty ranges and ranges that wrap are left out.
[[nodiscard]] std::optional<StartInfo> parse_start_info(PhysicalMemory& memory, std::uint64_t address) noexcept;

}  // namespace mirage::target::virtio
