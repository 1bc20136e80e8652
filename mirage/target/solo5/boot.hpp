// SPDX-License-Identifier: ISC
// How spt and hvt guests read what their tender says.
#pragma once

#include <algorithm>
#include <cstddef>
#include <cstdint>
#include <cstring>
#include <span>
#include <string_view>

#include <mirage/target/solo5/manifest.hpp>
#include <mirage/target/solo5/negotiation.hpp>

namespace mirage::target::solo5 {

/// Every entry of the manifest at that address, the reserved first one included: a device's index is its handle.
[[nodiscard]] inline std::span<const ManifestEntry> entries_of(const void* manifest) noexcept {
  const auto* header = static_cast<const ManifestHeader*>(manifest);
  return {reinterpret_cast<const ManifestEntry*>(header + 1), header->entries};
}

/// The attached device of that name and type, or nullptr.
[[nodiscard]] inline const ManifestEntry* find_attached(std::span<const ManifestEntry> entries, std::string_view name,
                                                        DeviceType type) noexcept {
  for (const ManifestEntry& entry : entries) {
    if (entry.is(type) && entry.attached != 0 && entry.name_view() == name) return &entry;
  }
  return nullptr;
}

/// Fills `out` from the tender's seed, which comes in two halves, each for one use: it is wiped then. False when there
/// is none (left), or when it is too short.
[[nodiscard]] inline bool take_seed(Extension* extension, std::span<std::byte> out) noexcept {
  constexpr std::size_t half = seed_size / 2;
  if (extension == nullptr || out.size() > half) return false;
  for (const std::size_t start : {std::size_t{0}, half}) {
    const auto seed = std::span(extension->seed).subspan(start, half);
    if (std::ranges::all_of(seed, [](std::uint8_t byte) noexcept { return byte == 0; })) continue;
    std::memcpy(out.data(), seed.data(), out.size());
    std::ranges::fill(seed, std::uint8_t{0});
    return true;
  }
  return false;
}

}  // namespace mirage::target::solo5
