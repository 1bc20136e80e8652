// SPDX-License-Identifier: ISC
// Tables in memory: loading, recovery after a power cut, settling after a flush.
#include <new>

#include <mirage/device/tagged/core.hpp>

namespace mirage::device::tagged {

Core::Frame* Core::find(std::uint64_t group) noexcept {
  for (std::size_t i = 0; i < frame_count_; ++i) {
    if (frames_[i].group == group && !frames_[i].stale) return &frames_[i];
  }
  return nullptr;
}

/// Second chance; nothing when every frame is pinned.
Core::Frame* Core::victim() noexcept {
  for (std::size_t tries = 0; tries < 2 * frame_count_; ++tries) {
    Frame& frame = frames_[hand_++ % frame_count_];
    if (frame.pins != 0) continue;
    if (!std::exchange(frame.used, false)) return &frame;
  }
  return nullptr;
}

/// The group's table, pinned: drop() it.
Task<Result<Core::Frame*, BlockError>> Core::hold(std::uint64_t group) {
  while (true) {
    Frame* frame = find(group);
    if (frame == nullptr) {
      frame = victim();
      if (frame != nullptr) {
        *frame = {.group = group, .pins = 1, .loading = true};
        const BlockResult loaded = co_await load(*frame);
        frame->loading = false;
        frame->stale = !loaded;
        changed_.wake_all();
        if (loaded) co_return frame;
        drop(*frame);
        co_return Failure{loaded.error()};
      }
    } else if (!frame->loading) {
      ++frame->pins;
      frame->used = true;
      co_return frame;
    }
    co_await changed_.wait();
  }
}

void Core::drop(Frame& frame) noexcept {
  if (--frame.pins != 0) return;
  if (frame.stale) frame = {};
  if (!changed_.empty()) changed_.wake_all();
}

bool Core::holds(const Frame& frame, std::size_t unit, Bytes content) noexcept {
  if ((frame.damaged >> shape_.sector_of(unit) & 1) != 0) return false;
  std::array<std::byte, longest_tag> memory;
  const MutableBytes tag = MutableBytes{memory}.first(shape_.tag);
  scheme_.tag(frame.group * shape_.units_per_group() + unit, content, tag);
  const Table entries = table(frame);
  return Table::same(tag, entries.is(unit)) || Table::same(tag, entries.was(unit));
}

Task<BlockResult> Core::load(Frame& frame) {
  ++counters_.table_reads;
  MIRAGE_CO_CHECK(co_await disk_.read(sector_at(shape_.table(frame.group)), memory(frame)));
  for (std::size_t sector = 0; sector < table_sectors; ++sector) {
    if (scheme_.sound(frame.group, sector, table(frame).sector(sector))) continue;
    frame.damaged |= static_cast<std::uint8_t>(1U << sector);
    ++counters_.damaged_tables;
    shard().logger(scheme_.name()).warning("a table is damaged: of group {}, part {}", frame.group, sector);
  }
  for (std::size_t unit = 0; unit < units_of(frame.group) && !frame.unsettled; ++unit)
    frame.unsettled = !table(frame).settled(unit);
  if (!frame.unsettled) co_return BlockResult{};
  co_return co_await recover(frame);
}

bool Core::block_unsettled(Frame& frame, std::size_t block) noexcept {
  for (std::size_t unit = block * units_per_block; unit < (block + 1) * units_per_block; ++unit) {
    if ((frame.damaged >> shape_.sector_of(unit) & 1) == 0 && !table(frame).settled(unit)) return true;
  }
  return false;
}

/// The power went, or the process ended, between a write and the flush after it: what is there decides. From then on
/// there is one content again.
Task<BlockResult> Core::recover(Frame& frame) {
  const std::unique_ptr<std::byte[]> memory(new (std::nothrow) std::byte[block_size]);
  if (!memory) co_return Failure{BlockError::no_memory};
  const MutableBytes content{memory.get(), block_size};
  for (std::size_t block = 0; block < units_of(frame.group) / units_per_block; ++block) {
    if (!block_unsettled(frame, block)) continue;
    const std::uint64_t place = shape_.place(frame.group, block * units_per_block);
    MIRAGE_CO_CHECK(co_await disk_.read(sector_at(place), content));
    examine(frame, block, content);
  }
  frame.epoch = epoch_;
  if (geometry_.read_only || geometry_.durability == Durability::none) {
    std::size_t first = 0;
    std::size_t last = 0;
    (void)settle(frame, first, last);
    co_return BlockResult{};
  }
  // What was read may be in the device's cache only: first the flush, then a table that knows nothing else.
  if (poison_.check() && co_await sync()) (void)co_await save_settled(frame);
  co_return BlockResult{};
}

void Core::examine(Frame& frame, std::size_t block, Bytes content) noexcept {
  std::array<std::byte, longest_tag> memory;
  const MutableBytes tag = MutableBytes{memory}.first(shape_.tag);
  const Table entries = table(frame);
  for (std::size_t i = 0; i < units_per_block; ++i) {
    const std::size_t unit = block * units_per_block + i;
    if ((frame.damaged >> shape_.sector_of(unit) & 1) != 0 || entries.settled(unit)) continue;
    ++counters_.recovered;
    scheme_.tag(frame.group * shape_.units_per_group() + unit, content.subspan(i * unit_size, unit_size), tag);
    if (Table::same(tag, entries.was(unit))) entries.swap(unit);
  }
}

/// One content for every unit. True when something changed, from sector `first` to `last`.
bool Core::settle(Frame& frame, std::size_t& first, std::size_t& last) noexcept {
  const Table entries = table(frame);
  first = table_sectors;
  for (std::size_t unit = 0; unit < units_of(frame.group); ++unit) {
    const std::size_t sector = shape_.sector_of(unit);
    if ((frame.damaged >> sector & 1) != 0 || entries.settled(unit)) continue;
    entries.settle(unit);
    first = std::min(first, sector);
    last = sector;
  }
  frame.unsettled = false;
  if (first == table_sectors) return false;
  for (std::size_t sector = first; sector <= last; ++sector) {
    if ((frame.damaged >> sector & 1) == 0) scheme_.seal(frame.group, sector, entries.sector(sector));
  }
  return true;
}

Task<BlockResult> Core::save_settled(Frame& frame) {
  std::size_t first = 0;
  std::size_t last = 0;
  if (!settle(frame, first, last)) co_return BlockResult{};
  // Not flushed: until it has arrived, the disk's table allows more, not less.
  co_return co_await write_table(frame, first, last, false);
}

Task<BlockResult> Core::write_table(Frame& frame, std::size_t first, std::size_t last, bool durable) {
  ++counters_.table_writes;
  // Whole sectors of the device.
  const std::size_t step = geometry_.sector_size / unit_size;
  first = first / step * step;
  last = (last / step + 1) * step;
  const Bytes part = Bytes{memory(frame)}.subspan(first * unit_size, (last - first) * unit_size);
  const std::uint64_t sector = sector_at(shape_.table(frame.group) + first * unit_size);
  co_return note(durable ? co_await disk_.write_durable(sector, part) : co_await disk_.write(sector, part));
}

/// After a flush. Nobody else writes meanwhile.
Task<BlockResult> Core::settle_all() {
  for (std::size_t i = 0; i < frame_count_; ++i) {
    Frame& frame = frames_[i];
    if (frame.group == no_group || frame.loading || frame.stale || !frame.unsettled || frame.epoch > flushed_) continue;
    ++frame.pins;
    const BlockResult saved = co_await save_settled(frame);
    drop(frame);
    MIRAGE_CO_CHECK(saved);
  }
  co_return BlockResult{};
}

/// A flush of the disk, and the account of what it covers.
Task<BlockResult> Core::sync() {
  MIRAGE_CO_CHECK(poison_.check());
  const std::uint64_t ending = epoch_++;
  if (disk_.geometry().durability != Durability::none) MIRAGE_CO_CHECK(note(co_await disk_.flush()));
  flushed_ = std::max(flushed_, ending);
  co_return BlockResult{};
}

}  // namespace mirage::device::tagged
