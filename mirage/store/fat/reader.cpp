// SPDX-License-Identifier: ISC
#include <algorithm>

#include <mirage/store/fat/listing.hpp>
#include <mirage/store/fat/reader.hpp>

namespace mirage::store {

using fat::entry_size;
using fat::Found;
using fat::Name;
using fat::Place;
using fat::Type;

Task<Result<void, StartError>> FatReaderCore::open() {
  const BlockGeometry& geometry_of_disk = disk.geometry();
  if (geometry_of_disk.bytes() < fat::boot_at::signature + 2) {
    co_return Failure{StartError{"fat: {}", to_string(fat::LayoutError::signature)}};
  }
  const auto boot = co_await read_range(disk, 0, fat::boot_at::signature + 2);
  if (!boot) co_return Failure{StartError{"fat: the boot sector cannot be read: {}", boot.error()}};
  const auto parsed = fat::Layout::parse((*boot)[0].bytes(), geometry_of_disk.sector_size, geometry_of_disk.bytes());
  if (!parsed) co_return Failure{StartError{"fat: {}", to_string(parsed.error())}};
  layout = *parsed;
  if (!cache.create(layout.sector_size)) co_return Failure{StartError::no_memory};
  if (layout.info_sector != 0) {
    const auto info = co_await load(layout.info_sector);
    if (!info) co_return Failure{StartError{"fat: sector {} cannot be read: {}", layout.info_sector, info.error()}};
    const auto parsed_info = fat::parse_info((*info)->bytes, layout);
    has_info = parsed_info.has_value();
    if (parsed_info) hint = *parsed_info;
  }
  shard().logger("fat").info("{}, {} clusters of {} bytes", to_string(layout.type), layout.clusters,
                             layout.cluster_size());
  co_return Result<void, StartError>{};
}

Task<Result<FatReaderCore::Slot*, KvError>> FatReaderCore::load(std::uint32_t sector) {
  if (Slot* known = cache.find(sector)) co_return known;
  Slot& slot = cache.victim();
  const std::uint32_t factor = layout.sector_size / disk.geometry().sector_size;
  const auto read = co_await disk.read(std::uint64_t{sector} * factor, slot.bytes);
  if (!read) co_return Failure{as_kv_error(read.error())};
  slot.sector = sector;
  co_return &slot;
}

std::optional<std::uint32_t> FatReaderCore::peek(std::uint32_t cluster) noexcept {
  const std::uint64_t offset = layout.entry_offset(cluster);
  const auto sector = static_cast<std::uint32_t>(layout.active_fat_start() + offset / layout.sector_size);
  const auto at = static_cast<std::size_t>(offset % layout.sector_size);
  const Slot* slot = cache.find(sector);
  if (slot == nullptr) return std::nullopt;
  if (layout.type == Type::fat16) return load_little<std::uint16_t>(slot->bytes, at);
  if (layout.type == Type::fat32) return load_little<std::uint32_t>(slot->bytes, at) & 0x0fffffff;  // page 16
  const auto low = std::to_integer<std::uint32_t>(slot->bytes[at]);
  if (at + 1 == layout.sector_size) {  // the entry's second byte is in the next sector
    slot = cache.find(sector + 1);
    if (slot == nullptr) return std::nullopt;
  }
  const auto high = std::to_integer<std::uint32_t>(slot->bytes[(at + 1) % layout.sector_size]);
  const std::uint32_t both = high << 8 | low;
  return cluster % 2 != 0 ? both >> 4 : both & 0xfff;
}

Task<Result<std::uint32_t, KvError>> FatReaderCore::table_entry(std::uint32_t cluster) {
  if (const auto known = peek(cluster)) co_return *known;
  const std::uint64_t offset = layout.entry_offset(cluster);
  const std::uint64_t last = offset + (layout.type == Type::fat12 ? 1 : 0);
  for (std::uint64_t at = offset / layout.sector_size; at <= last / layout.sector_size; ++at) {
    const auto loaded = co_await load(static_cast<std::uint32_t>(layout.active_fat_start() + at));
    if (!loaded) co_return Failure{loaded.error()};
  }
  co_return *peek(cluster);  // the second load does not evict what the first has just used
}

Result<std::uint32_t, KvError> FatReaderCore::as_next(std::uint32_t entry) const noexcept {
  const std::uint32_t end = layout.type == Type::fat12   ? 0xff8
                            : layout.type == Type::fat16 ? 0xfff8
                                                         : 0x0ffffff8;  // page 18
  if (entry >= end) return no_cluster;
  if (!layout.valid(entry)) return Failure{KvError::corrupt};
  return entry;
}

Task<Result<std::uint32_t, KvError>> FatReaderCore::next(std::uint32_t cluster) {
  const auto known = peek(cluster);
  const auto entry = known ? Result<std::uint32_t, KvError>{*known} : co_await table_entry(cluster);
  if (!entry) co_return entry;
  co_return as_next(*entry);
}

void FatReaderCore::remember(const Position& position) noexcept {
  const auto known = std::ranges::find(positions, position.first, &Position::first);
  if (known != positions.end()) {
    *known = position;
  } else {
    positions[oldest_position++ % positions.size()] = position;
  }
}

Task<Result<std::uint32_t, KvError>> FatReaderCore::seek(std::uint32_t first, std::uint32_t number) {
  if (!layout.valid(first) || number >= layout.clusters) co_return Failure{KvError::corrupt};
  Position at{.first = first, .number = 0, .cluster = first};
  const auto known = std::ranges::find(positions, first, &Position::first);
  if (known != positions.end() && known->number <= number) at = *known;
  while (at.number < number) {
    const auto entry = peek(at.cluster);
    const auto following = entry ? as_next(*entry) : co_await next(at.cluster);
    if (!following) co_return Failure{following.error()};
    if (*following == no_cluster) co_return Failure{KvError::corrupt};  // the chain is shorter than it should be
    at.cluster = *following;
    ++at.number;
  }
  remember(at);
  co_return at.cluster;
}

FatReaderCore::Step FatReaderCore::visit(Bytes sector, std::uint32_t number, std::uint32_t& index,
                                         fat::LongName& long_name, fat::Visitor& visitor) const noexcept {
  for (std::size_t at = 0; at < sector.size(); at += entry_size, ++index) {
    const Bytes bytes = sector.subspan(at, entry_size);
    if (bytes[0] == fat::end_mark) {
      visitor.end(index, number, true);
      return Step::stop;
    }
    visitor.slot(index, number, bytes[0] == fat::deleted_mark);
    if (bytes[0] == fat::deleted_mark) {
      long_name.reset();
    } else if (fat::is_long(bytes)) {
      long_name.take(bytes, index);
    } else {
      Found found{.entry = fat::Entry::parse(bytes, layout.type), .first = index, .index = index, .sector = number};
      const bool whole = long_name.belongs_to(found.entry.name);
      if (whole) found.first = long_name.first();
      const bool shown = !found.entry.is_volume() && found.entry.name[0] != '.';
      if (shown && visitor.entry(found, whole ? long_name.name() : fat::name_of(found.entry.name, found.entry.lower))) {
        return Step::stop;
      }
      long_name.reset();
    }
  }
  return Step::go_on;
}

Task<Result<void, KvError>> FatReaderCore::scan(std::uint32_t directory, fat::Visitor& visitor) {
  fat::LongName long_name;
  std::uint32_t index = 0;
  std::uint32_t cluster = directory == 0 ? layout.root_cluster : directory;
  const bool fixed = cluster == 0;  // the root of FAT12 and FAT16
  const std::uint32_t in_row = fixed ? layout.data_start - layout.root_start : layout.cluster_sectors;
  std::uint32_t sector = fixed ? layout.root_start : layout.sector_of(cluster);
  while (true) {
    if (!fixed) {
      const auto known = peek(cluster);
      const auto own = known ? Result<std::uint32_t, KvError>{*known} : co_await table_entry(cluster);
      if (!own) co_return Failure{own.error()};
      // The table calls it free: what is written next would be put over it.
      if (*own == 0) co_return Failure{KvError::corrupt};
    }
    for (std::uint32_t i = 0; i < in_row; ++i, ++sector) {
      const auto slot = co_await load(sector);
      if (!slot) co_return Failure{slot.error()};
      if (visit((*slot)->bytes, sector, index, long_name, visitor) == Step::stop) co_return Result<void, KvError>{};
    }
    if (fixed) break;
    const auto following = co_await next(cluster);
    if (!following) co_return Failure{following.error()};
    cluster = *following;
    if (cluster == no_cluster) break;
    if (index >= maximum_entries) co_return Failure{KvError::corrupt};  // a loop, or no directory
    sector = layout.sector_of(cluster);
  }
  visitor.end(index, 0, false);
  co_return Result<void, KvError>{};
}

Task<Result<std::uint32_t, KvError>> FatReaderCore::sector_of_entry(std::uint32_t directory, std::uint32_t index) {
  const std::uint32_t sector = index / (layout.sector_size / static_cast<std::uint32_t>(entry_size));
  const std::uint32_t cluster = directory == 0 ? layout.root_cluster : directory;
  if (cluster == 0) co_return layout.root_start + sector;
  const auto at = co_await seek(cluster, sector / layout.cluster_sectors);
  if (!at) co_return at;
  co_return layout.sector_of(*at) + sector % layout.cluster_sectors;
}

namespace {

class Finder final : public fat::Visitor {
 public:
  explicit Finder(const Name& name) noexcept : name_(name) {}
  bool entry(const Found& at, const Name& name) noexcept override {
    if (!Name::same(name, name_)) return false;
    found = at;
    return true;
  }
  std::optional<Found> found;

 private:
  const Name& name_;
};

}  // namespace

Task<Result<std::optional<Found>, KvError>> FatReaderCore::find(std::uint32_t directory, const Name& name) {
  Finder finder{name};
  const auto scanned = co_await scan(directory, finder);
  if (!scanned) co_return Failure{scanned.error()};
  co_return finder.found;
}

Result<std::uint32_t, KvError> FatReaderCore::directory_of(const fat::Entry& entry) const noexcept {
  if (!layout.valid(entry.cluster)) return Failure{KvError::corrupt};
  return entry.cluster;
}

Task<Result<Place, KvError>> FatReaderCore::walk(std::string_view key) {
  Place place{.parent = 0, .part = {}, .rest = key, .name = {}, .found = {}};
  while (true) {
    const std::size_t slash = place.rest.find('/');
    place.part = place.rest.substr(0, slash);
    place.rest = slash == std::string_view::npos ? std::string_view{} : place.rest.substr(slash + 1);
    place.name = Name::from_key(place.part);
    if (!place.name) co_return place;
    const auto found = co_await find(place.parent, *place.name);
    if (!found) co_return Failure{found.error()};
    place.found = *found;
    if (place.rest.empty() || !place.found) co_return place;
    if (!place.found->entry.is_directory()) co_return Failure{KvError::not_a_directory};
    const auto below = directory_of(place.found->entry);
    if (!below) co_return Failure{below.error()};
    place.parent = *below;
  }
}

Task<Result<Found, KvError>> FatReaderCore::value(std::string_view key) {
  if (!valid_key(key)) co_return Failure{KvError::invalid_key};
  if (key.empty()) co_return Failure{KvError::not_a_value};
  const auto place = co_await walk(key);
  // Below a value there is nothing.
  if (!place) co_return Failure{place.error() == KvError::not_a_directory ? KvError::not_found : place.error()};
  if (!place->found) co_return Failure{KvError::not_found};
  if (place->found->entry.is_directory()) co_return Failure{KvError::not_a_value};
  co_return *place->found;
}

Task<Result<KvInfo, KvError>> FatReaderCore::info(std::string_view key) {
  const auto turn = co_await turns.take();
  if (!turn) co_return Failure{turn.error()};
  const auto found = co_await value(key);
  if (!found) co_return Failure{found.error()};
  KvInfo info;
  info.size = found->entry.size;
  info.last_modified = found->entry.stamp.wall();
  co_return info;
}

Task<Result<FatReaderCore::Extent, KvError>> FatReaderCore::extent(const fat::Entry& entry, std::uint64_t offset,
                                                                   std::uint64_t length) {
  const std::uint32_t unit = layout.cluster_size();
  auto number = static_cast<std::uint32_t>(offset / unit);
  const auto first = co_await seek(entry.cluster, number);
  if (!first) co_return Failure{first.error()};
  const std::uint64_t wanted = std::min({length, entry.size - offset, largest_read});
  std::uint64_t reach = unit - offset % unit;
  for (std::uint32_t cluster = *first; reach < wanted; reach += unit) {
    const auto following = co_await next(cluster);
    if (!following) co_return Failure{following.error()};
    if (*following == no_cluster) co_return Failure{KvError::corrupt};
    if (*following != cluster + 1) break;
    remember({.first = entry.cluster, .number = ++number, .cluster = ++cluster});
  }
  const std::uint64_t start = std::uint64_t{layout.sector_of(*first)} * layout.sector_size + offset % unit;
  co_return Extent{.offset = start, .size = std::min(wanted, reach)};
}

Task<Result<SliceList, KvError>> FatReaderCore::get(std::string_view key, std::uint64_t offset, std::uint64_t length) {
  std::optional<Turn> turn;
  if (auto taken = co_await turns.take()) {
    turn.emplace(std::move(*taken));
  } else {
    co_return Failure{taken.error()};
  }
  const auto found = co_await value(key);
  if (!found) co_return Failure{found.error()};
  const std::uint32_t size = found->entry.size;
  if (offset >= size && (offset != 0 || size != 0)) co_return Failure{KvError::out_of_range};
  if (size == 0 || length == 0) co_return SliceList{};
  const auto where = co_await extent(found->entry, offset, length);
  if (!where) co_return Failure{where.error()};
  if (!changes) turn.reset();
  co_return co_await read_range(disk, where->offset, where->size);
}

Task<Result<KvKind, KvError>> FatReaderCore::exists(std::string_view key) {
  if (!valid_key(key)) co_return Failure{KvError::invalid_key};
  if (key.empty()) co_return KvKind::directory;
  const auto turn = co_await turns.take();
  if (!turn) co_return Failure{turn.error()};
  const auto place = co_await walk(key);
  if (!place) {
    if (place.error() == KvError::not_a_directory) co_return KvKind::absent;
    co_return Failure{place.error()};
  }
  if (!place->found) co_return KvKind::absent;
  co_return place->found->entry.is_directory() ? KvKind::directory : KvKind::value;
}

Task<Result<KvPage, KvError>> FatReaderCore::list(std::string_view directory, std::string_view after,
                                                  std::size_t maximum) {
  if (!valid_key(directory)) co_return Failure{KvError::invalid_key};
  const auto turn = co_await turns.take();
  if (!turn) co_return Failure{turn.error()};
  if (directory.empty()) co_return co_await list_directory(0, after, maximum);
  const auto place = co_await walk(directory);
  if (!place) co_return Failure{place.error() == KvError::not_a_directory ? KvError::not_found : place.error()};
  if (!place->found) co_return Failure{KvError::not_found};
  if (!place->found->entry.is_directory()) co_return Failure{KvError::not_a_directory};
  const auto below = directory_of(place->found->entry);
  if (!below) co_return Failure{below.error()};
  co_return co_await list_directory(*below, after, maximum);
}

Task<Result<KvPage, KvError>> FatReaderCore::list_directory(std::uint32_t directory, std::string_view after,
                                                            std::size_t maximum) {
  fat::Listing listing{shard().buffers(), after, maximum};
  KvPage page{shard().buffers()};
  if (!listing || !page) co_return Failure{KvError::no_memory};
  const auto scanned = co_await scan(directory, listing);
  if (!scanned) co_return Failure{scanned.error()};
  listing.fill(page);
  co_return page;
}

}  // namespace mirage::store
