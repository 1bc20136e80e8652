// SPDX-License-Identifier: ISC
// Partition tables as they stand on a disk: MBR with logical partitions, and GPT (UEFI 2.10, section 5.3) with its
// checksums and its second copy. Read only, never repaired. The disk is hostile: whatever it says, what is found lies
// within it, and the work is bounded.
#pragma once

#include <array>
#include <cstdint>
#include <memory>
#include <optional>
#include <string_view>

#include <mirage/module/block.hpp>

namespace mirage::device {

/// Where a table is read from: one sector at a time.
class SectorSource {
 public:
  explicit SectorSource(Shard& shard) noexcept : shard_(shard) {}
  SectorSource(const SectorSource&) = delete;
  SectorSource& operator=(const SectorSource&) = delete;
  [[nodiscard]] Shard& shard() const noexcept { return shard_; }
  [[nodiscard]] virtual const BlockGeometry& geometry() const noexcept = 0;
  virtual Task<BlockResult> read(std::uint64_t sector, MutableBytes bytes) = 0;

 protected:
  ~SectorSource() = default;

 private:
  Shard& shard_;
};

struct Extent {
  std::uint64_t first = 0;
  std::uint64_t count = 0;
  bool operator==(const Extent&) const = default;
};

enum class PartitionError : std::uint8_t {
  no_table,   ///< neither MBR nor GPT
  damaged,    ///< a table that contradicts itself, its checksum or the disk
  not_found,  ///< no such partition
  unsupported,
  io,
  no_memory,
};
[[nodiscard]] std::string_view to_string(PartitionError error) noexcept;

/// One entry of an MBR: sectors relative to where the table stands.
struct MbrEntry {
  std::uint8_t type = 0;  ///< 0: unused
  Extent extent;
};
/// The four entries of a boot sector; nothing without its signature.
[[nodiscard]] std::optional<std::array<MbrEntry, 4>> parse_mbr(Bytes sector) noexcept;

/// A GPT header that is sound by itself and fits the disk.
struct GptHeader {
  std::uint64_t first_usable = 0;
  std::uint64_t last_usable = 0;
  std::uint64_t table = 0;  ///< sector of the entries
  std::uint32_t entries = 0;
  std::uint32_t entry_size = 0;
  std::uint32_t table_crc = 0;
};
/// `at`: the sector it was read from.
[[nodiscard]] std::optional<GptHeader> parse_gpt_header(Bytes sector, std::uint64_t at,
                                                        const BlockGeometry& geometry) noexcept;

/// Finds a partition: `which` is its number from 1 (logical ones of an MBR from 5), or with GPT its name.
/// `name` of the GPT entry is compared as text.
[[nodiscard]] Task<Result<Extent, PartitionError>> find_partition(SectorSource& source, std::string_view which);

}  // namespace mirage::device
