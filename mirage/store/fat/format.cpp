// SPDX-License-Identifier: ISC
#include <algorithm>
#include <bit>

#include <mirage/store/fat/format.hpp>

namespace mirage::store::fat {

namespace {

constexpr std::uint64_t mebibyte = 1 << 20;
constexpr std::uint32_t reserved32 = 32, info_at = 1, backup_at = 6;

Type type_for(std::uint64_t bytes) noexcept {
  return bytes < 16 * mebibyte ? Type::fat12 : bytes < 512 * mebibyte ? Type::fat16 : Type::fat32;
}

/// The smallest clusters with which the type can number them all; FAT32: the table of page 20.
std::uint32_t cluster_sectors_for(Type type, std::uint64_t bytes, std::uint32_t sector_size) noexcept {
  if (type == Type::fat32) {
    const std::uint64_t size = bytes <= 260 * mebibyte     ? 512
                               : bytes <= 8192 * mebibyte  ? 4096
                               : bytes <= 16384 * mebibyte ? 8192
                               : bytes <= 32768 * mebibyte ? 16384
                                                           : 32768;
    return static_cast<std::uint32_t>(std::max<std::uint64_t>(1, size / sector_size));
  }
  const std::uint64_t most = type == Type::fat12 ? 4000 : 65000;
  std::uint32_t count = 1;
  while (count < 128 && bytes / (std::uint64_t{count} * sector_size) > most) count *= 2;
  return count;
}

std::uint32_t table_bytes(Type type, std::uint64_t clusters) noexcept {
  const std::uint64_t entries = clusters + 2;
  return static_cast<std::uint32_t>(type == Type::fat12   ? entries + (entries + 1) / 2
                                    : type == Type::fat16 ? entries * 2
                                                          : entries * 4);
}

void put16(MutableBytes boot, std::size_t at, std::uint64_t value) noexcept {
  store_little(boot, at, static_cast<std::uint16_t>(value));
}

void emit_common(MutableBytes boot, const Layout& layout) noexcept {
  std::ranges::fill(boot, std::byte{0});
  constexpr std::array<std::uint8_t, 3> jump{0xeb, 0xfe, 0x90};  // a loop on the spot: nothing boots from here
  std::ranges::copy(std::as_bytes(std::span{jump}), boot.begin());
  std::ranges::copy(as_bytes("MIRAGE  "), boot.subspan(boot_at::oem).begin());
  put16(boot, boot_at::sector_size, layout.sector_size);
  boot[boot_at::cluster_sectors] = static_cast<std::byte>(layout.cluster_sectors);
  put16(boot, boot_at::reserved, layout.fat_start);
  boot[boot_at::fats] = static_cast<std::byte>(layout.fats);
  put16(boot, boot_at::root_entries, layout.root_entries);
  boot[boot_at::media] = std::byte{0xf8};
  put16(boot, boot_at::track, 32);
  put16(boot, boot_at::heads, 8);
  if (layout.sectors < 65536 && layout.type != Type::fat32) {
    put16(boot, boot_at::total16, layout.sectors);
  } else {
    store_little(boot, boot_at::total32, layout.sectors);
  }
  put16(boot, boot_at::signature, 0xaa55);
}

void emit_extended(MutableBytes boot, const Layout& layout, std::uint32_t id) noexcept {
  const bool is32 = layout.type == Type::fat32;
  if (is32) {
    store_little(boot, boot_at::fat_sectors32, layout.fat_sectors);
    store_little(boot, boot_at::root_cluster, layout.root_cluster);
    put16(boot, boot_at::info_sector, info_at);
    put16(boot, boot_at::backup_sector, backup_at);
  } else {
    put16(boot, boot_at::fat_sectors16, layout.fat_sectors);
  }
  const MutableBytes extended = boot.subspan(is32 ? boot_at::extended32 : boot_at::extended16);
  extended[0] = std::byte{0x80};  // drive
  extended[2] = std::byte{0x29};  // the three fields that follow are there
  store_little(extended, 3, id);
  std::ranges::copy(as_bytes("NO NAME    "), extended.subspan(7).begin());
  const std::string_view type = is32 ? "FAT32   " : layout.type == Type::fat16 ? "FAT16   " : "FAT12   ";
  std::ranges::copy(as_bytes(type), extended.subspan(18).begin());
}

/// The media byte and the end of a chain stand in the first two entries (page 18); the root's in the third of FAT32.
void emit_table_start(MutableBytes sector, Type type) noexcept {
  std::ranges::fill(sector, std::byte{0});
  if (type == Type::fat32) {
    store_little(sector, 0, std::uint32_t{0x0ffffff8});
    store_little(sector, 4, std::uint32_t{0x0fffffff});
    store_little(sector, 8, std::uint32_t{0x0fffffff});
  } else {
    store_little(sector, 0, std::uint16_t{0xfff8});
    sector[2] = std::byte{0xff};
    if (type == Type::fat16) sector[3] = std::byte{0xff};
  }
}

class Formatter {
 public:
  Formatter(Disk& disk, const Layout& layout, MutableBytes sectors) noexcept
      : disk_(disk), layout_(layout), sectors_(sectors) {}
  [[nodiscard]] Shard& shard() const noexcept { return disk_.shard(); }

  Task<Result<void, KvError>> run(Bytes boot) {
    auto done = co_await zeros(0, layout_.fat_start);
    if (done) done = co_await flush(disk_);
    if (done) done = co_await zeros(layout_.fat_start, end() - layout_.fat_start);
    const MutableBytes sector = sectors_.first(layout_.sector_size);
    emit_table_start(sector, layout_.type);
    for (std::uint32_t i = 0; done && i < layout_.fats; ++i) {
      done = co_await write(layout_.fat_start + i * layout_.fat_sectors, sector);
    }
    if (done && layout_.type == Type::fat32) done = co_await write_info(boot);
    if (done) done = co_await flush(disk_);
    if (done) done = co_await write(0, boot);
    if (done) done = co_await flush(disk_);
    co_return done;
  }

 private:
  /// Behind the root directory.
  [[nodiscard]] std::uint32_t end() const noexcept {
    return layout_.data_start + (layout_.type == Type::fat32 ? layout_.cluster_sectors : 0);
  }
  Task<Result<void, KvError>> write_info(Bytes boot) {
    const MutableBytes sector = sectors_.first(layout_.sector_size);
    std::ranges::fill(sector, std::byte{0});
    emit_info(sector, {.free = layout_.clusters - 1, .next = layout_.valid(3) ? 3U : 2U});
    auto done = co_await write(info_at, sector);
    if (done) done = co_await write(backup_at + info_at, sector);
    if (done) done = co_await write(backup_at, boot);
    co_return done;
  }
  Task<Result<void, KvError>> zeros(std::uint32_t first, std::uint32_t count) {
    std::ranges::fill(sectors_, std::byte{0});
    const auto most = static_cast<std::uint32_t>(sectors_.size() / layout_.sector_size);
    for (std::uint32_t at = 0; at < count;) {
      const std::uint32_t part = std::min(count - at, most);
      const auto done = co_await write(first + at, sectors_.first(std::size_t{part} * layout_.sector_size));
      if (!done) co_return done;
      at += part;
    }
    co_return Result<void, KvError>{};
  }
  Task<Result<void, KvError>> write(std::uint32_t sector, Bytes bytes) {
    const std::uint64_t factor = layout_.sector_size / disk_.geometry().sector_size;
    const auto done = co_await disk_.write(sector * factor, bytes);
    if (!done) co_return Failure{as_kv_error(done.error())};
    co_return Result<void, KvError>{};
  }
  Disk& disk_;
  const Layout& layout_;
  MutableBytes sectors_;
};

}  // namespace

std::string_view to_string(FormatError error) noexcept {
  switch (error) {
    case FormatError::too_small:
      return "the disk is too small for this type of FAT";
    case FormatError::too_large:
      return "the disk is too large for this type of FAT or size of clusters";
    case FormatError::cluster_size:
      return "the number of sectors per cluster must be a power of two up to 128";
  }
  return "?";
}

Result<Layout, FormatError> plan_format(MutableBytes boot, std::uint32_t sector_size, std::uint64_t bytes,
                                        const FormatOptions& options) noexcept {
  Layout layout;
  layout.type = options.type.value_or(type_for(bytes));
  layout.sector_size = sector_size;
  const bool is32 = layout.type == Type::fat32;
  if (bytes / sector_size > 0xffffffff || sector_size > 4096) return Failure{FormatError::too_large};
  layout.sectors = static_cast<std::uint32_t>(bytes / sector_size);
  layout.cluster_sectors =
      options.cluster_sectors != 0 ? options.cluster_sectors : cluster_sectors_for(layout.type, bytes, sector_size);
  if (!std::has_single_bit(layout.cluster_sectors) || layout.cluster_sectors > 128) {
    return Failure{FormatError::cluster_size};
  }
  layout.fat_start = is32 ? reserved32 : 1;
  layout.root_entries = is32 ? 0 : 512;
  layout.root_cluster = is32 ? 2 : 0;
  const std::uint64_t fixed = layout.fat_start + layout.root_entries * 32 / sector_size;
  for (layout.fat_sectors = 1;;) {
    const std::uint64_t used = fixed + std::uint64_t{2} * layout.fat_sectors;
    if (used + layout.cluster_sectors > layout.sectors) return Failure{FormatError::too_small};
    const std::uint64_t clusters = (layout.sectors - used) / layout.cluster_sectors;
    const std::uint32_t needed = (table_bytes(layout.type, clusters) + sector_size - 1) / sector_size;
    if (needed <= layout.fat_sectors) break;
    layout.fat_sectors = needed;
  }
  emit_common(boot, layout);
  emit_extended(boot, layout, options.id);
  const auto parsed = Layout::parse(boot, sector_size, bytes);
  // The number of clusters decides what others take it for (page 14).
  if (!parsed || (!is32 && parsed->type != layout.type)) {
    return Failure{layout.type == Type::fat16 && parsed && parsed->type == Type::fat12 ? FormatError::too_small
                                                                                       : FormatError::too_large};
  }
  if (is32 && parsed->clusters < 65525 && !options.type) return Failure{FormatError::too_small};
  return *parsed;
}

Task<Result<Layout, StartError>> format(Disk& disk, const FormatOptions& options) {
  if (disk.geometry().read_only) co_return Failure{StartError{"fat: the disk is read-only"}};
  const std::uint32_t sector_size = disk.geometry().sector_size;
  MutableSlice boot = disk.shard().buffers().allocate_sparing(sector_size, 0);
  MutableSlice sectors = disk.shard().buffers().allocate_sparing(largest_read, 0);
  if (!boot || !sectors) co_return Failure{StartError::no_memory};
  const auto layout = plan_format(boot.grow_back(sector_size), sector_size, disk.geometry().bytes(), options);
  if (!layout) co_return Failure{StartError{"fat: {}", to_string(layout.error())}};
  Formatter formatter{disk, *layout, sectors.grow_back(static_cast<std::uint32_t>(largest_read))};
  const auto done = co_await formatter.run(boot.bytes());
  if (!done) co_return Failure{StartError{"fat: writing failed: {}", done.error()}};
  co_return *layout;
}

}  // namespace mirage::store::fat
