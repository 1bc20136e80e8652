// SPDX-License-Identifier: ISC
#include <algorithm>
#include <bit>
#include <new>

#include <mirage/base/text.hpp>
#include <mirage/device/partition/table.hpp>
#include <mirage/wire/crc.hpp>

namespace mirage::device {

namespace {

// Boot sector.
constexpr std::size_t mbr_entries = 446;
constexpr std::size_t mbr_entry_size = 16;
constexpr std::size_t mbr_signature = 510;
constexpr std::uint8_t type_protective = 0xee;
constexpr unsigned logical_limit = 60;  // of a chain
// UEFI 2.10, table 5.5.
constexpr std::uint64_t gpt_signature = 0x5452415020494645;  // "EFI PART"
constexpr std::uint32_t gpt_revision = 0x00010000;
constexpr std::size_t gpt_header_size = 92;
constexpr std::uint32_t entry_limit = 4096;  // the customary table has 128
// Table 5.6.
constexpr std::size_t entry_first = 32;
constexpr std::size_t entry_last = 40;
constexpr std::size_t entry_name = 56;
constexpr std::size_t entry_name_units = 36;

using Found = Result<Extent, PartitionError>;

constexpr bool is_extended(std::uint8_t type) noexcept { return type == 0x05 || type == 0x0f || type == 0x85; }

bool within(const Extent& extent, std::uint64_t sectors) noexcept {
  return extent.count != 0 && extent.first < sectors && extent.count <= sectors - extent.first;
}

bool is_used(Bytes entry) noexcept {  // a type of zeroes: unused
  return std::ranges::any_of(entry.first(16), [](std::byte byte) { return byte != std::byte{0}; });
}

/// UTF-16LE against ASCII; a name with other characters matches nothing.
bool has_name(Bytes entry, std::string_view name) noexcept {
  if (name.empty() || name.size() > entry_name_units) return false;
  for (std::size_t i = 0; i < entry_name_units; ++i) {
    const auto unit = load_little<std::uint16_t>(entry, entry_name + 2 * i);
    if (i == name.size()) return unit == 0;
    if (unit >= 128 || unit != static_cast<unsigned char>(name[i])) return false;
  }
  return true;
}

/// Sectors of the source, one at a time, in memory of its own.
struct Reader {
  SectorSource& source;
  std::unique_ptr<std::byte[]> memory;
  [[nodiscard]] Shard& shard() const noexcept { return source.shard(); }
  [[nodiscard]] MutableBytes bytes() const noexcept { return {memory.get(), source.geometry().sector_size}; }
  Task<Result<void, PartitionError>> read(std::uint64_t sector) {
    const auto done = co_await source.read(sector, bytes());
    if (done) co_return Result<void, PartitionError>{};
    co_return Failure{done.error() == BlockError::no_memory ? PartitionError::no_memory : PartitionError::io};
  }
};

/// Goes over the used entries of a table whose header is sound: the checksum, then `which`, and that nothing else
/// claims sectors of it.
struct GptScan {
  std::uint32_t crc = 0;
  std::uint32_t matches = 0;
  bool bad = false;
  Extent found;
};

void look_at(GptScan& scan, const GptHeader& header, Bytes entry, std::uint32_t number, std::uint32_t wanted,
             std::string_view name) noexcept {
  if (!is_used(entry)) return;
  const auto first = load_little<std::uint64_t>(entry, entry_first);
  const auto last = load_little<std::uint64_t>(entry, entry_last);
  if (first < header.first_usable || last > header.last_usable || first > last) {
    scan.bad = true;
    return;
  }
  const Extent extent{first, last - first + 1};
  if (wanted != 0 ? number == wanted : has_name(entry, name)) {
    ++scan.matches;
    scan.found = extent;
  }
}

Task<Result<GptScan, PartitionError>> scan_table(Reader& reader, const GptHeader& header, std::string_view which) {
  const auto wanted = parse_unsigned<std::uint32_t>(which);
  GptScan scan;
  std::uint64_t left = std::uint64_t{header.entries} * header.entry_size;
  std::uint32_t number = 0;
  for (std::uint64_t sector = header.table; left != 0; ++sector) {
    MIRAGE_CO_CHECK(co_await reader.read(sector));
    const Bytes part = Bytes{reader.bytes()}.first(std::min<std::uint64_t>(left, reader.bytes().size()));
    scan.crc = wire::crc32(part, scan.crc);
    for (std::size_t at = 0; at < part.size(); at += header.entry_size)
      look_at(scan, header, part.subspan(at, header.entry_size), ++number, wanted.value_or(0), which);
    left -= part.size();
  }
  co_return scan;
}

/// Whether another entry claims sectors of `found`.
Task<Result<bool, PartitionError>> overlapped(Reader& reader, const GptHeader& header, Extent found) {
  unsigned overlaps = 0;
  std::uint64_t left = std::uint64_t{header.entries} * header.entry_size;
  for (std::uint64_t sector = header.table; left != 0; ++sector) {
    MIRAGE_CO_CHECK(co_await reader.read(sector));
    const Bytes part = Bytes{reader.bytes()}.first(std::min<std::uint64_t>(left, reader.bytes().size()));
    for (std::size_t at = 0; at < part.size(); at += header.entry_size) {
      const Bytes entry = part.subspan(at, header.entry_size);
      overlaps += is_used(entry) && load_little<std::uint64_t>(entry, entry_first) < found.first + found.count &&
                  load_little<std::uint64_t>(entry, entry_last) >= found.first;
    }
    left -= part.size();
  }
  co_return overlaps != 1;  // itself
}

/// From the header at sector `at`; `damaged` when it or its table is.
Task<Found> find_gpt(Reader& reader, std::uint64_t at, std::string_view which) {
  MIRAGE_CO_CHECK(co_await reader.read(at));
  const auto header = parse_gpt_header(reader.bytes(), at, reader.source.geometry());
  if (!header) co_return Failure{PartitionError::damaged};
  MIRAGE_CO_TRY(const GptScan scan, co_await scan_table(reader, *header, which));
  if (scan.crc != header->table_crc || scan.bad) co_return Failure{PartitionError::damaged};
  if (scan.matches != 1) co_return Failure{PartitionError::not_found};
  MIRAGE_CO_TRY(const bool claimed, co_await overlapped(reader, *header, scan.found));
  if (claimed) co_return Failure{PartitionError::damaged};
  co_return scan.found;
}

/// The logical partitions: a chain of boot sectors within the extended one, forwards only, each partition between its
/// own boot sector and the next one: so none overlaps another, or a table.
Task<Found> find_logical(Reader& reader, Extent extended, std::uint32_t number) {
  std::uint64_t at = extended.first;
  const std::uint64_t end = extended.first + extended.count;
  Found result = Failure{PartitionError::not_found};
  for (std::uint32_t current = 5; current < 5 + logical_limit; ++current) {
    MIRAGE_CO_CHECK(co_await reader.read(at));
    const auto entries = parse_mbr(reader.bytes());
    if (!entries) co_return Failure{PartitionError::damaged};
    const MbrEntry& data = (*entries)[0];
    const MbrEntry& link = (*entries)[1];
    const bool goes_on = is_extended(link.type);
    const std::uint64_t next = goes_on ? extended.first + link.extent.first : end;
    if (next <= at || (goes_on && next >= end)) co_return Failure{PartitionError::damaged};
    if (data.type != 0) {
      const Extent found{at + data.extent.first, data.extent.count};
      if (found.first <= at || !within(found, next)) co_return Failure{PartitionError::damaged};
      if (current == number) result = found;
    }
    if (!goes_on) break;
    at = next;
  }
  co_return result;
}

bool overlap(const Extent& a, const Extent& b) noexcept {
  return a.first < b.first + b.count && b.first < a.first + a.count;
}

/// Whether any two entries claim the same sectors.
bool overlaps(const std::array<MbrEntry, 4>& entries) noexcept {
  for (std::size_t i = 0; i < entries.size(); ++i) {
    for (std::size_t j = 0; j < i; ++j) {
      if (entries[i].type != 0 && entries[j].type != 0 && overlap(entries[i].extent, entries[j].extent)) return true;
    }
  }
  return false;
}

Task<Found> find_mbr(Reader& reader, const std::array<MbrEntry, 4>& entries, std::string_view which) {
  const auto number = parse_unsigned<std::uint32_t>(which);
  if (!number || *number == 0) co_return Failure{PartitionError::not_found};
  const std::uint64_t sectors = reader.source.geometry().sectors;
  const MbrEntry* chosen = nullptr;
  for (std::size_t i = 0; i < entries.size(); ++i) {
    const bool wanted = *number <= 4 ? i + 1 == *number && !is_extended(entries[i].type) : is_extended(entries[i].type);
    if (entries[i].type != 0 && wanted && chosen == nullptr) chosen = &entries[i];
  }
  if (chosen == nullptr) co_return Failure{PartitionError::not_found};
  if (chosen->extent.first == 0 || !within(chosen->extent, sectors)) co_return Failure{PartitionError::damaged};
  if (overlaps(entries)) co_return Failure{PartitionError::damaged};
  if (*number <= 4) co_return chosen->extent;
  co_return co_await find_logical(reader, chosen->extent, *number);
}

}  // namespace

std::string_view to_string(PartitionError error) noexcept {
  switch (error) {
    case PartitionError::no_table:
      return "the disk has no partition table";
    case PartitionError::damaged:
      return "the partition table is damaged";
    case PartitionError::not_found:
      return "there is no such partition";
    case PartitionError::unsupported:
      return "a partition table of a form that is not supported";
    case PartitionError::io:
      return "the partition table cannot be read";
    case PartitionError::no_memory:
      return "out of memory";
  }
  return "?";
}

std::optional<std::array<MbrEntry, 4>> parse_mbr(Bytes sector) noexcept {
  if (sector.size() < 512 || load_little<std::uint16_t>(sector, mbr_signature) != 0xaa55) return std::nullopt;
  std::array<MbrEntry, 4> entries;
  for (std::size_t i = 0; i < entries.size(); ++i) {
    const Bytes entry = sector.subspan(mbr_entries + i * mbr_entry_size, mbr_entry_size);
    entries[i] = {std::to_integer<std::uint8_t>(entry[4]),
                  {load_little<std::uint32_t>(entry, 8), load_little<std::uint32_t>(entry, 12)}};
  }
  return entries;
}

std::optional<GptHeader> parse_gpt_header(Bytes sector, std::uint64_t at, const BlockGeometry& geometry) noexcept {
  if (sector.size() < 512 || load_little<std::uint64_t>(sector, 0) != gpt_signature) return std::nullopt;
  const auto size = load_little<std::uint32_t>(sector, 12);
  if (load_little<std::uint32_t>(sector, 8) != gpt_revision || size < gpt_header_size || size > sector.size())
    return std::nullopt;
  // Its own checksum counts as zero.
  constexpr std::array<std::byte, 4> zero{};
  const std::uint32_t crc =
      wire::crc32(sector.subspan(20, size - 20), wire::crc32(zero, wire::crc32(sector.first(16))));
  if (crc != load_little<std::uint32_t>(sector, 16) || load_little<std::uint64_t>(sector, 24) != at)
    return std::nullopt;
  const GptHeader header{.first_usable = load_little<std::uint64_t>(sector, 40),
                         .last_usable = load_little<std::uint64_t>(sector, 48),
                         .table = load_little<std::uint64_t>(sector, 72),
                         .entries = load_little<std::uint32_t>(sector, 80),
                         .entry_size = load_little<std::uint32_t>(sector, 84),
                         .table_crc = load_little<std::uint32_t>(sector, 88)};
  // 128 times a power of two; one that straddles sectors nobody makes.
  if (header.entry_size < 128 || !std::has_single_bit(header.entry_size) || header.entry_size > geometry.sector_size)
    return std::nullopt;
  if (header.entries == 0 || header.entries > entry_limit) return std::nullopt;
  const std::uint64_t table_sectors =
      (std::uint64_t{header.entries} * header.entry_size + geometry.sector_size - 1) / geometry.sector_size;
  if (!within({header.table, table_sectors}, geometry.sectors)) return std::nullopt;
  const bool usable =
      header.first_usable >= 2 && header.first_usable <= header.last_usable && header.last_usable < geometry.sectors;
  // The table must not lie where partitions may.
  const bool apart = header.table + table_sectors <= header.first_usable || header.table > header.last_usable;
  return usable && apart && header.table >= 2 ? std::optional{header} : std::nullopt;
}

Task<Result<Extent, PartitionError>> find_partition(SectorSource& source, std::string_view which) {
  const BlockGeometry& geometry = source.geometry();
  if (geometry.sectors < 3) co_return Failure{PartitionError::no_table};
  Reader reader{source, std::unique_ptr<std::byte[]>(new (std::nothrow) std::byte[geometry.sector_size])};
  if (!reader.memory) co_return Failure{PartitionError::no_memory};
  MIRAGE_CO_CHECK(co_await reader.read(0));
  const auto entries = parse_mbr(reader.bytes());
  if (!entries) co_return Failure{PartitionError::no_table};
  const bool gpt = std::ranges::any_of(*entries, [](const MbrEntry& entry) { return entry.type == type_protective; });
  if (!gpt) co_return co_await find_mbr(reader, *entries, which);
  const Found first = co_await find_gpt(reader, 1, which);
  const bool is_unreadable = !first && first.error() == PartitionError::io;
  if (first || (!is_unreadable && first.error() != PartitionError::damaged)) co_return first;
  const Found second = co_await find_gpt(reader, geometry.sectors - 1, which);
  if (second) {
    source.shard()
        .logger("partition")
        .warning("the first partition table {}: using the second", is_unreadable ? "cannot be read" : "is damaged");
  }
  // That the second is damaged too may mean that there is none, as on a disk that has grown: what the first has counts.
  co_return !second && second.error() == PartitionError::damaged ? first : second;
}

}  // namespace mirage::device
