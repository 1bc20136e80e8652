// SPDX-License-Identifier: ISC
// The writing store's clusters and sectors.
#include <algorithm>

#include <mirage/store/fat/fat.hpp>

namespace mirage::store {

using fat::Type;

Task<Result<FatCore::Slot*, KvError>> FatCore::load_changed(std::uint32_t sector) {
  if (!cache.may_change()) {
    const auto written = co_await write_changes();
    if (!written) co_return Failure{written.error()};
  }
  const auto slot = co_await load(sector);
  if (slot) cache.mark(**slot);
  co_return slot;
}

Task<FatCore::Done> FatCore::put(std::uint32_t cluster, std::uint32_t value) {
  const std::uint64_t offset = layout.entry_offset(cluster);
  const auto sector = static_cast<std::uint32_t>(layout.active_fat_start() + offset / layout.sector_size);
  const auto at = static_cast<std::size_t>(offset % layout.sector_size);
  auto slot = co_await load_changed(sector);
  if (!slot) co_return Failure{slot.error()};
  const MutableBytes bytes = (*slot)->bytes;
  if (layout.type == Type::fat16) {
    store_little(bytes, at, static_cast<std::uint16_t>(value));
  } else if (layout.type == Type::fat32) {
    // The upper four bits are not ours (page 16).
    store_little(bytes, at, (load_little<std::uint32_t>(bytes, at) & 0xf0000000) | value);
  } else {
    const bool odd = cluster % 2 != 0;
    const std::byte low = bytes[at];
    bytes[at] =
        odd ? (low & std::byte{0x0f}) | static_cast<std::byte>(value << 4 & 0xf0) : static_cast<std::byte>(value);
    MutableBytes second = bytes;
    if (at + 1 == layout.sector_size) {
      slot = co_await load_changed(sector + 1);
      if (!slot) co_return Failure{slot.error()};
      second = (*slot)->bytes;
    }
    std::byte& high = second[(at + 1) % layout.sector_size];
    high =
        odd ? static_cast<std::byte>(value >> 4) : (high & std::byte{0xf0}) | static_cast<std::byte>(value >> 8 & 0x0f);
  }
  co_return Done{};
}

Task<FatCore::Cluster> FatCore::allocate(std::uint32_t count) {
  std::uint32_t first = no_cluster;
  std::uint32_t last = no_cluster;
  std::uint32_t got = 0;
  std::uint32_t cluster = hint.next;
  for (std::uint32_t seen = 0; seen < layout.clusters && got < count; ++seen) {
    const std::uint32_t at = cluster;
    cluster = layout.valid(cluster + 1) ? cluster + 1 : 2;
    const auto known = peek(at);
    const auto entry = known ? Cluster{*known} : co_await table_entry(at);
    if (!entry) co_return entry;
    if (*entry != 0) continue;
    // What a cut may tear apart.
    const bool crosses = layout.type == Type::fat12 && layout.entry_offset(at) % fat::unit_size + 1 == fat::unit_size;
    if (crosses) continue;
    auto done = co_await put(at, end_of_chain());
    if (done && last != no_cluster) done = co_await put(last, at);
    if (!done) co_return Failure{done.error()};
    if (first == no_cluster) first = at;
    last = at;
    ++got;
  }
  counted_ = true;
  if (hint.free) hint.free = *hint.free - std::min(*hint.free, got);
  if (got == count) {
    hint.next = cluster;
    co_return first;
  }
  const auto released = co_await release(first);
  co_return Failure{released ? KvError::no_space : released.error()};
}

Task<FatCore::Done> FatCore::release(std::uint32_t first) {
  forget_positions();
  counted_ = true;
  std::uint32_t cluster = first;
  while (layout.valid(cluster)) {
    const auto entry = co_await table_entry(cluster);
    if (!entry) co_return Failure{entry.error()};
    if (*entry == 0) break;  // a loop ends where it began
    const auto done = co_await put(cluster, 0);
    if (!done) co_return done;
    if (hint.free) hint.free = std::min(*hint.free + 1, layout.clusters);
    cluster = as_next(*entry).value_or(no_cluster);
  }
  co_return Done{};
}

Task<FatCore::Done> FatCore::write_range(std::uint32_t first, std::uint64_t offset, Bytes bytes, bool fresh) {
  const std::uint32_t unit = layout.cluster_size();
  while (!bytes.empty()) {
    auto number = static_cast<std::uint32_t>(offset / unit);
    const auto start = co_await seek(first, number);
    if (!start) co_return Failure{start.error()};
    std::uint64_t reach = unit - offset % unit;
    for (std::uint32_t cluster = *start; reach < bytes.size(); reach += unit, ++cluster) {
      const auto following = co_await next(cluster);
      if (!following) co_return Failure{following.error()};
      if (*following != cluster + 1) break;
    }
    const Bytes part = bytes.first(static_cast<std::size_t>(std::min<std::uint64_t>(reach, bytes.size())));
    const std::uint64_t where = std::uint64_t{layout.sector_of(*start)} * layout.sector_size + offset % unit;
    for (std::size_t done = 0; done < part.size();) {
      const auto written = co_await write_run(where + done, part.subspan(done), fresh);
      if (!written) co_return Failure{written.error()};
      done += *written;
    }
    offset += part.size();
    bytes = bytes.subspan(part.size());
  }
  co_return Done{};
}

/// Whole sectors as they lie in the caller's memory, else one sector with what is around the bytes in it.
Task<Result<std::size_t, KvError>> FatCore::write_run(std::uint64_t where, Bytes bytes, bool fresh) {
  const std::uint32_t unit = disk.geometry().sector_size;
  const auto inside = static_cast<std::size_t>(where % unit);
  if (inside == 0 && bytes.size() >= unit) {
    const std::size_t whole = bytes.size() / unit * unit;
    const auto done = co_await write_disk(where / unit, bytes.first(whole));
    if (!done) co_return Failure{done.error()};
    co_return whole;
  }
  MutableSlice buffer = shard().buffers().allocate_sparing(unit, 0);
  if (!buffer) co_return Failure{KvError::no_memory};
  const MutableBytes sector = buffer.grow_back(unit);
  std::ranges::fill(sector, std::byte{0});
  if (!fresh || inside != 0) {
    const auto read = co_await disk.read(where / unit, sector);
    if (!read) co_return Failure{as_kv_error(read.error())};
  }
  const std::size_t count = std::min(bytes.size(), unit - inside);
  std::ranges::copy(bytes.first(count), sector.subspan(inside).begin());
  const auto done = co_await write_disk(where / unit, sector);
  if (!done) co_return Failure{done.error()};
  co_return count;
}

Task<FatCore::Done> FatCore::write_zeros(std::uint32_t cluster) {
  MutableSlice buffer = shard().buffers().allocate_sparing(layout.sector_size, 0);
  if (!buffer) co_return Failure{KvError::no_memory};
  const MutableBytes sector = buffer.grow_back(layout.sector_size);
  std::ranges::fill(sector, std::byte{0});
  const std::uint64_t factor = layout.sector_size / disk.geometry().sector_size;
  for (std::uint32_t i = 0; i < layout.cluster_sectors; ++i) {
    // What the cache has of a former use is not what is there now.
    if (Slot* slot = cache.find(layout.sector_of(cluster) + i)) {
      cache.clean(*slot);
      slot->sector = Slot::none;
    }
    const auto done = co_await write_disk((layout.sector_of(cluster) + i) * factor, sector);
    if (!done) co_return done;
  }
  co_return Done{};
}

Task<FatCore::Done> FatCore::write_disk(std::uint64_t sector_of_disk, Bytes bytes) {
  const auto written = co_await disk.write(sector_of_disk, bytes);
  if (written) co_return Done{};
  co_return note(Failure{as_kv_error(written.error())});
}

/// A lack of memory to ask for something is none of the disk's failures. What it leaves on the disk is what a power cut
/// at that place leaves, and settle() forgets what memory has beyond that: so an operation may end anywhere.
FatCore::Done FatCore::note(Done done) noexcept {
  failed_ = failed_ || (!done && done.error() != KvError::no_memory);
  return done;
}

Task<FatCore::Done> FatCore::write_slot(Slot& slot) {
  const std::uint64_t factor = layout.sector_size / disk.geometry().sector_size;
  if (!layout.in_fat(slot.sector) || !layout.mirrored) co_return co_await write_disk(slot.sector * factor, slot.bytes);
  // All tables, the one that is read first (page 17).
  for (std::uint32_t i = 0; i < layout.fats; ++i) {
    const auto done = co_await write_disk((slot.sector + std::uint64_t{i} * layout.fat_sectors) * factor, slot.bytes);
    if (!done) co_return done;
  }
  co_return Done{};
}

Task<FatCore::Done> FatCore::write_changes() {
  for (Slot& slot : cache.slots()) {
    if (!slot.dirty) continue;
    const auto done = co_await write_slot(slot);
    if (!done) co_return done;
    cache.clean(slot);
  }
  co_return Done{};
}

Task<FatCore::Done> FatCore::commit() {
  const auto done = co_await write_changes();
  if (!done) co_return done;
  co_return note(co_await flush(disk));
}

}  // namespace mirage::store
