// SPDX-License-Identifier: ISC
// What a checksummed disk looks like: a header in its first block of 4096 bytes and again in its last, between them
// groups of 64 blocks, each a table and 63 blocks of data.
//
// A unit is 512 bytes, what a power cut writes whole or not at all. Each sector of 512 bytes of a table has a checksum
// of its own and two entries for each of 63 units: the checksum of what the unit holds, and that of what it may still
// hold. A table's sector of zeros says that its units are zeros. Little endian.
#pragma once

#include <array>
#include <cstdint>
#include <optional>

#include <mirage/base/bytes.hpp>
#include <mirage/module/block.hpp>

namespace mirage::device::checksum {

inline constexpr std::size_t unit_size = 512;
inline constexpr std::size_t block_size = 4096;
inline constexpr std::size_t table_sectors = block_size / unit_size;
inline constexpr std::size_t units_per_sector = 63;
inline constexpr std::size_t units_per_group = table_sectors * units_per_sector;
inline constexpr std::uint64_t group_blocks = 64;

/// CRC-32C (RFC 3720, section 12.1) with tables of 8 KiB, eight bytes a step. `before`: of the bytes that precede.
[[nodiscard]] std::uint32_t crc32c(Bytes bytes, std::uint32_t before = 0) noexcept;

/// The checksum of a unit at its place on this disk; 0 for zeros, whatever the place, and for nothing else.
[[nodiscard]] std::uint32_t sum_of(std::uint64_t id, std::uint64_t unit, Bytes content) noexcept;

struct Header {
  std::uint64_t id = 0;      ///< random, of this format
  std::uint64_t blocks = 0;  ///< of the disk, headers included
};
enum class Finding : std::uint8_t { good, blank, foreign, other_version, damaged };
struct Found {
  Finding finding = Finding::foreign;
  Header header;
};
inline constexpr std::uint32_t format_version = 1;
/// Precondition: `block` has block_size bytes, both times.
void encode(const Header& header, MutableBytes block) noexcept;
[[nodiscard]] Found decode(Bytes block) noexcept;

/// Where things are.
struct Layout {
  std::uint64_t blocks = 0;
  std::uint32_t sector = unit_size;

  [[nodiscard]] constexpr std::uint64_t data_blocks() const noexcept {
    const std::uint64_t between = blocks - 2;
    const std::uint64_t rest = between % group_blocks;
    return between / group_blocks * (group_blocks - 1) + (rest == 0 ? 0 : rest - 1);
  }
  /// The first byte of a group's table; its data follow.
  [[nodiscard]] static constexpr std::uint64_t table(std::uint64_t group) noexcept {
    return (1 + group * group_blocks) * block_size;
  }
  /// `unit`: within the group.
  [[nodiscard]] static constexpr std::uint64_t place(std::uint64_t group, std::size_t unit) noexcept {
    return table(group) + block_size + unit * unit_size;
  }
};
/// Nothing when the disk is too small (four blocks), or has sectors larger than a block.
[[nodiscard]] std::optional<Layout> layout_of(const BlockGeometry& geometry) noexcept;

/// A table in memory.
class Table {
 public:
  explicit Table(MutableBytes block) noexcept : block_(block) {}
  /// What the unit holds.
  [[nodiscard]] std::uint32_t is(std::size_t unit) const noexcept {
    return load_little<std::uint32_t>(block_, at(unit));
  }
  /// What it may hold, too, because what is() says is not durable yet; else the same.
  [[nodiscard]] std::uint32_t was(std::size_t unit) const noexcept {
    return load_little<std::uint32_t>(block_, at(unit) + 4);
  }
  void set(std::size_t unit, std::uint32_t is, std::uint32_t was) noexcept {
    store_little(block_, at(unit), is);
    store_little(block_, at(unit) + 4, was);
  }
  /// Writes the checksum of a sector (0 to 7), and tests it.
  void seal(std::uint64_t id, std::uint64_t group, std::size_t sector) noexcept;
  [[nodiscard]] bool sound(std::uint64_t id, std::uint64_t group, std::size_t sector) const noexcept;
  [[nodiscard]] static constexpr std::size_t sector_of(std::size_t unit) noexcept { return unit / units_per_sector; }

 private:
  [[nodiscard]] static constexpr std::size_t at(std::size_t unit) noexcept {
    return unit / units_per_sector * unit_size + 8 + unit % units_per_sector * 8;
  }
  MutableBytes block_;
};

}  // namespace mirage::device::checksum
