// SPDX-License-Identifier: ISC
// Makes an empty FAT volume of a whole block device. What was there is lost.
#pragma once

#include <mirage/store/disk.hpp>
#include <mirage/store/fat/layout.hpp>

namespace mirage::store::fat {

struct FormatOptions {
  std::optional<Type> type;           ///< by the size when there is none
  std::uint32_t cluster_sectors = 0;  ///< by the size when 0
  std::uint32_t id = 0;               ///< of the volume
};

enum class FormatError : std::uint8_t { too_small, too_large, cluster_size };
[[nodiscard]] std::string_view to_string(FormatError error) noexcept;

/// The boot sector of such a volume, of which Layout::parse() makes the layout.
[[nodiscard]] Result<Layout, FormatError> plan_format(MutableBytes boot, std::uint32_t sector_size, std::uint64_t bytes,
                                                      const FormatOptions& options) noexcept;

/// The boot sector comes last, and the old one is the first to go: an interrupted format leaves no volume.
Task<Result<Layout, StartError>> format(Disk& disk, const FormatOptions& options);

}  // namespace mirage::store::fat
