// SPDX-License-Identifier: ISC
#include <bit>

#include <mirage/store/fat/layout.hpp>

namespace mirage::store::fat {

namespace {

std::uint32_t load8(Bytes bytes, std::size_t at) noexcept { return std::to_integer<std::uint32_t>(bytes[at]); }
std::uint32_t load16(Bytes bytes, std::size_t at) noexcept { return load_little<std::uint16_t>(bytes, at); }
std::uint32_t load32(Bytes bytes, std::size_t at) noexcept { return load_little<std::uint32_t>(bytes, at); }

/// A partition table has entries of 16 bytes from octet 446, each with a state of 0 or 0x80 and a type.
bool looks_partitioned(Bytes boot) noexcept {
  bool any = false;
  for (std::size_t at = 446; at < 510; at += 16) {
    const std::uint32_t state = load8(boot, at);
    if (state != 0 && state != 0x80) return false;
    any = any || (load8(boot, at + 4) != 0 && load32(boot, at + 12) != 0);
  }
  return any;
}

Result<void, LayoutError> check_units(Bytes boot, std::uint32_t disk_sector) noexcept {
  if (load16(boot, boot_at::signature) != 0xaa55) return Failure{LayoutError::signature};
  const std::uint32_t size = load16(boot, boot_at::sector_size);
  if (!std::has_single_bit(size) || size < 512 || size > 4096) {
    return Failure{looks_partitioned(boot) ? LayoutError::partitioned : LayoutError::sector_size};
  }
  if (size < disk_sector) return Failure{LayoutError::device_sectors};
  const std::uint32_t per_cluster = load8(boot, boot_at::cluster_sectors);
  if (!std::has_single_bit(per_cluster)) return Failure{LayoutError::cluster_size};
  if (load16(boot, boot_at::reserved) == 0) return Failure{LayoutError::reserved};
  if (load8(boot, boot_at::fats) == 0) return Failure{LayoutError::fats};
  const std::uint32_t media = load8(boot, boot_at::media);
  if (media != 0xf0 && media < 0xf8) return Failure{LayoutError::media};
  return {};
}

/// Fields that only FAT32 has (page 11).
Result<void, LayoutError> parse_fat32(Bytes boot, Layout& layout) noexcept {
  layout.type = Type::fat32;
  layout.fat_sectors = load32(boot, boot_at::fat_sectors32);
  layout.root_cluster = load32(boot, boot_at::root_cluster);
  if (load16(boot, boot_at::version32) != 0) return Failure{LayoutError::version};
  const std::uint32_t flags = load16(boot, boot_at::flags32);
  if ((flags & 0x80) != 0) {  // one table is in use
    layout.mirrored = false;
    layout.active_fat = flags & 0x0f;
    if (layout.active_fat >= layout.fats) return Failure{LayoutError::fats};
  }
  const std::uint32_t info = load16(boot, boot_at::info_sector);
  layout.info_sector = info != 0 && info < layout.fat_start ? info : 0;
  return {};
}

/// The regions follow each other: reserved, tables, root directory, clusters (page 7).
Result<void, LayoutError> place_regions(Layout& layout) noexcept {
  if (layout.fat_sectors == 0) return Failure{LayoutError::fat_size};
  const std::uint64_t root = layout.fat_start + std::uint64_t{layout.fats} * layout.fat_sectors;
  const std::uint32_t root_sectors = (layout.root_entries * 32 + layout.sector_size - 1) / layout.sector_size;
  const std::uint64_t data = root + root_sectors;
  if (data >= layout.sectors) return Failure{LayoutError::size};
  layout.root_start = static_cast<std::uint32_t>(root);
  layout.data_start = static_cast<std::uint32_t>(data);
  layout.clusters = (layout.sectors - layout.data_start) / layout.cluster_sectors;
  return layout.clusters == 0 ? Result<void, LayoutError>{Failure{LayoutError::size}} : Result<void, LayoutError>{};
}

Result<void, LayoutError> check_table(const Layout& layout) noexcept {
  if (layout.type == Type::fat16 && layout.clusters >= 65525) return Failure{LayoutError::size};
  if (layout.type == Type::fat32 && layout.clusters >= 0x0ffffff5) return Failure{LayoutError::size};
  const std::uint32_t last = layout.clusters + 1;
  const std::uint64_t needed = layout.entry_offset(last) + (layout.type == Type::fat32 ? 4 : 2);
  if (needed > std::uint64_t{layout.fat_sectors} * layout.sector_size) return Failure{LayoutError::fat_size};
  if (layout.type == Type::fat32 && !layout.valid(layout.root_cluster)) return Failure{LayoutError::root};
  return {};
}

constexpr std::uint32_t lead_signature = 0x41615252, second_signature = 0x61417272, trail_signature = 0xaa550000;
constexpr std::size_t info_second = 484, info_free = 488, info_next = 492, info_trail = 508;
constexpr std::uint32_t unknown = 0xffffffff;

}  // namespace

std::string_view to_string(Type type) noexcept {
  return type == Type::fat12 ? "FAT12" : type == Type::fat16 ? "FAT16" : "FAT32";
}

std::string_view to_string(LayoutError error) noexcept {
  switch (error) {
    case LayoutError::signature:
      return "there is no FAT volume on the disk (no boot sector)";
    case LayoutError::partitioned:
      return "the disk has a partition table: use the partition's device";
    case LayoutError::sector_size:
      return "there is no FAT volume on the disk (bad sector size)";
    case LayoutError::device_sectors:
      return "the volume's sectors are smaller than the disk's";
    case LayoutError::cluster_size:
      return "bad number of sectors per cluster";
    case LayoutError::reserved:
      return "no reserved sectors";
    case LayoutError::fats:
      return "bad number of tables";
    case LayoutError::media:
      return "there is no FAT volume on the disk (bad media byte)";
    case LayoutError::root:
      return "bad root directory";
    case LayoutError::size:
      return "bad number of sectors or clusters";
    case LayoutError::cut_off:
      return "the volume is larger than the disk: the image is cut off";
    case LayoutError::fat_size:
      return "the table does not cover all clusters";
    case LayoutError::version:
      return "unknown version of FAT32";
  }
  return "?";
}

Result<Layout, LayoutError> Layout::parse(Bytes boot, std::uint32_t disk_sector, std::uint64_t disk_bytes) noexcept {
  MIRAGE_CHECK(check_units(boot, disk_sector));
  Layout layout;
  layout.sector_size = load16(boot, boot_at::sector_size);
  layout.cluster_sectors = load8(boot, boot_at::cluster_sectors);
  layout.fat_start = load16(boot, boot_at::reserved);
  layout.fats = load8(boot, boot_at::fats);
  layout.root_entries = load16(boot, boot_at::root_entries);
  layout.fat_sectors = load16(boot, boot_at::fat_sectors16);
  const std::uint32_t total16 = load16(boot, boot_at::total16);
  layout.sectors = total16 != 0 ? total16 : load32(boot, boot_at::total32);
  if (std::uint64_t{layout.sectors} * layout.sector_size > disk_bytes) return Failure{LayoutError::cut_off};
  // By the book the number of clusters alone decides (page 14); small volumes that mkfs.fat was told to make FAT32, and
  // every driver's practice, go by this field.
  const bool is32 = layout.fat_sectors == 0;
  if (is32) MIRAGE_CHECK(parse_fat32(boot, layout));
  const std::uint32_t per_sector = layout.sector_size / 32;
  if (is32 ? layout.root_entries != 0 : layout.root_entries == 0 || layout.root_entries % per_sector != 0) {
    return Failure{LayoutError::root};
  }
  MIRAGE_CHECK(place_regions(layout));
  if (!is32) layout.type = layout.clusters < 4085 ? Type::fat12 : Type::fat16;
  MIRAGE_CHECK(check_table(layout));
  return layout;
}

std::optional<FreeHint> parse_info(Bytes sector, const Layout& layout) noexcept {
  if (load32(sector, 0) != lead_signature || load32(sector, info_second) != second_signature ||
      load32(sector, info_trail) != trail_signature) {
    return std::nullopt;
  }
  FreeHint hint;
  if (const auto free = load32(sector, info_free); free <= layout.clusters) hint.free = free;
  if (const auto next = load32(sector, info_next); layout.valid(next)) hint.next = next;
  return hint;
}

void emit_info(MutableBytes sector, const FreeHint& hint) noexcept {
  store_little(sector, 0, lead_signature);
  store_little(sector, info_second, second_signature);
  store_little(sector, info_free, hint.free.value_or(unknown));
  store_little(sector, info_next, hint.next);
  store_little(sector, info_trail, trail_signature);
}

}  // namespace mirage::store::fat
