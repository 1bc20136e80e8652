// SPDX-License-Identifier: ISC
// Where a FAT volume keeps what: the BIOS parameter block of its first sector, and the FSInfo sector of FAT32.
// Source: Microsoft Extensible Firmware Initiative FAT32 File System Specification, version 1.03 (2000), "fatgen103";
// the numbers at the checks are its pages. No I/O.
#pragma once

#include <cstdint>
#include <optional>
#include <string_view>

#include <mirage/base/bytes.hpp>
#include <mirage/base/result.hpp>

namespace mirage::store::fat {

enum class Type : std::uint8_t { fat12, fat16, fat32 };
[[nodiscard]] std::string_view to_string(Type type) noexcept;

/// Octets of the boot sector (pages 9-12).
namespace boot_at {
inline constexpr std::size_t jump = 0, oem = 3, sector_size = 11, cluster_sectors = 13, reserved = 14, fats = 16,
                             root_entries = 17, total16 = 19, media = 21, fat_sectors16 = 22, track = 24, heads = 26,
                             hidden = 28, total32 = 32;
inline constexpr std::size_t fat_sectors32 = 36, flags32 = 40, version32 = 42, root_cluster = 44, info_sector = 48,
                             backup_sector = 50;
/// drive, reserved, signature, id, label, type follow each other; where depends on the type
inline constexpr std::size_t extended16 = 36, extended32 = 64, signature = 510;
}  // namespace boot_at

enum class LayoutError : std::uint8_t {
  signature,       ///< no boot sector
  partitioned,     ///< a partition table
  sector_size,     ///< of no power of two from 512 to 4096
  device_sectors,  ///< sectors smaller than the device's
  cluster_size,
  reserved,
  fats,
  media,
  root,      ///< a root directory that does not fit its type
  size,      ///< no room for what it says it has
  cut_off,   ///< the volume is larger than the disk
  fat_size,  ///< the table does not cover the clusters
  version,
};
[[nodiscard]] std::string_view to_string(LayoutError error) noexcept;

/// Sector numbers count the volume's sectors, from its first.
struct Layout {
  Type type = Type::fat12;
  std::uint32_t sector_size = 512;
  std::uint32_t cluster_sectors = 1;
  std::uint32_t fat_start = 1;  ///< of the first table
  std::uint32_t fat_sectors = 0;
  std::uint32_t fats = 2;
  std::uint32_t active_fat = 0;  ///< the one that is read
  bool mirrored = true;          ///< all tables are written
  std::uint32_t root_start = 0;  ///< FAT12 and FAT16
  std::uint32_t root_entries = 0;
  std::uint32_t root_cluster = 0;  ///< FAT32, else 0
  std::uint32_t data_start = 0;
  std::uint32_t clusters = 0;     ///< numbers 2 to clusters + 1
  std::uint32_t sectors = 0;      ///< of the whole volume
  std::uint32_t info_sector = 0;  ///< FAT32; 0: none

  /// Checks every field. `boot` is the first sector of a disk of `disk_bytes` in sectors of `disk_sector` bytes.
  [[nodiscard]] static Result<Layout, LayoutError> parse(Bytes boot, std::uint32_t disk_sector,
                                                         std::uint64_t disk_bytes) noexcept;

  [[nodiscard]] std::uint32_t cluster_size() const noexcept { return sector_size * cluster_sectors; }
  [[nodiscard]] bool valid(std::uint32_t cluster) const noexcept { return cluster >= 2 && cluster - 2 < clusters; }
  /// Precondition: valid(cluster).
  [[nodiscard]] std::uint32_t sector_of(std::uint32_t cluster) const noexcept {
    return data_start + (cluster - 2) * cluster_sectors;
  }
  /// Byte offset of the cluster's entry in a table (page 14 ff.); FAT12: of its first byte.
  [[nodiscard]] std::uint64_t entry_offset(std::uint32_t cluster) const noexcept {
    if (type == Type::fat12) return cluster + cluster / 2;
    return std::uint64_t{cluster} * (type == Type::fat16 ? 2 : 4);
  }
  /// Whether a sector holds the first table that is in use.
  [[nodiscard]] bool in_fat(std::uint32_t sector) const noexcept { return sector - active_fat_start() < fat_sectors; }
  [[nodiscard]] std::uint32_t active_fat_start() const noexcept { return fat_start + active_fat * fat_sectors; }
};

/// Free clusters and where to look for them; both are hints (page 21).
struct FreeHint {
  std::optional<std::uint32_t> free;
  std::uint32_t next = 2;
};
/// nullopt: no FSInfo sector. Numbers that cannot be are left out.
[[nodiscard]] std::optional<FreeHint> parse_info(Bytes sector, const Layout& layout) noexcept;
void emit_info(MutableBytes sector, const FreeHint& hint) noexcept;

}  // namespace mirage::store::fat
