// SPDX-License-Identifier: ISC
// Opening, formatting, reading.
#include <new>

#include <mirage/device/tagged/core.hpp>

namespace mirage::device::tagged {

Task<Result<bool, StartError>> Core::open() {
  geometry_ = disk_.geometry();
  frames_.reset(new (std::nothrow) Frame[frame_count_]);
  memory_.reset(new (std::nothrow) std::byte[frame_count_ * block_size]);
  if (!frames_ || !memory_) co_return Failure{StartError::no_memory};
  MIRAGE_CO_TRY(const std::uint64_t said, co_await read_headers(disk_, scheme_));
  if (said != 0) size(said);
  co_return said != 0;
}

void Core::size(std::uint64_t blocks) noexcept {
  geometry_.sectors = shape_.data_blocks(blocks) * block_size / geometry_.sector_size;
  geometry_.discard = geometry_.write_zeroes = false;
  if (geometry_.durability == Durability::fua) geometry_.durability = Durability::flush;
}

Task<Result<void, StartError>> Core::format() {
  const auto made = make_header();
  if (!made) co_return made;
  co_return co_await write_headers(disk_, scheme_, {memory_.get(), block_size});
}

Result<void, StartError> Core::make_header() noexcept {
  if (!shard().seed_random()) return Failure{StartError{"{}: no entropy to format a blank disk with", scheme_.name()}};
  MIRAGE_CHECK(scheme_.make(shard().random(), blocks(), {memory_.get(), block_size}));
  size(blocks());
  return {};
}

Task<Result<void, StartError>> Core::format(const Blank& blank) {
  const auto made = make_header();
  if (!made) co_return made;
  const std::size_t size = shape_.group_blocks() * block_size;
  const std::unique_ptr<std::byte[]> memory(new (std::nothrow) std::byte[size]);
  if (!memory) co_return Failure{StartError::no_memory};
  BlockResult written = co_await write_begun(disk_);
  for (std::uint64_t group = 0; written && group * shape_.units_per_group() * unit_size < geometry_.bytes(); ++group)
    written = co_await fill_group(group, blank, {memory.get(), size});
  if (!written) co_return Failure{StartError{"{}: the disk cannot be formatted: {}", scheme_.name(), written.error()}};
  co_return co_await write_headers(disk_, scheme_, {memory_.get(), block_size});
}

/// A group as it is at first, in `memory`, written; the last one may be shorter.
Task<BlockResult> Core::fill_group(std::uint64_t group, const Blank& blank, MutableBytes memory) {
  const std::uint64_t first = group * shape_.units_per_group();
  const std::size_t units = units_of(group);
  const MutableBytes block = memory.first(block_size);
  std::ranges::fill(block, std::byte{});
  const Table entries{shape_, block};
  for (std::size_t unit = 0; unit < units; ++unit) {
    const MutableBytes content = memory.subspan(block_size + unit * unit_size, unit_size);
    blank.fill(first + unit, content);
    scheme_.tag(first + unit, content, entries.is(unit));
    entries.settle(unit);
  }
  for (std::size_t sector = 0; sector < table_sectors; ++sector) scheme_.seal(group, sector, entries.sector(sector));
  co_return co_await disk_.write(sector_at(shape_.table(group)), memory.first(block_size + units * unit_size));
}

Task<BlockResult> Core::read(std::uint64_t sector, MutableBytes bytes) {
  MIRAGE_CO_CHECK(check_range(geometry_, sector, bytes.size()));
  std::uint64_t unit = sector * (geometry_.sector_size / unit_size);
  while (!bytes.empty()) {
    const std::size_t left = (shape_.units_per_group() - unit % shape_.units_per_group()) * unit_size;
    const std::size_t size = std::min(bytes.size(), left);
    MIRAGE_CO_CHECK(co_await read_piece(unit, bytes.first(size)));
    unit += size / unit_size;
    bytes = bytes.subspan(size);
  }
  co_return BlockResult{};
}

/// Within one group.
Task<BlockResult> Core::read_piece(std::uint64_t unit, MutableBytes bytes) {
  std::size_t wrong = 0;
  MIRAGE_CO_CHECK(co_await fetch(unit, bytes, wrong));
  if (wrong == 0) co_return BlockResult{};
  // Writes beside it may have changed both: a second look while there are none.
  while (busy_) co_await changed_.wait();
  busy_ = true;
  const BlockResult again = co_await fetch(unit, bytes, wrong);
  busy_ = false;
  changed_.wake_all();
  if (!again || wrong == 0) co_return again;
  counters_.corrupt += wrong;
  shard()
      .logger(scheme_.name())
      .warning("{} of {} sectors from {} on are corrupt", wrong, bytes.size() / unit_size, unit);
  co_return Failure{BlockError::io};
}

Task<BlockResult> Core::fetch(std::uint64_t unit, MutableBytes bytes, std::size_t& wrong) {
  const std::uint64_t group = unit / shape_.units_per_group();
  const auto first = static_cast<std::size_t>(unit % shape_.units_per_group());
  MIRAGE_CO_CHECK(co_await disk_.read(sector_at(shape_.place(group, first)), bytes));
  MIRAGE_CO_TRY(Frame* const frame, co_await hold(group));
  wrong = 0;
  for (std::size_t i = 0; i * unit_size < bytes.size(); ++i) {
    if (!holds(*frame, first + i, Bytes{bytes}.subspan(i * unit_size, unit_size))) ++wrong;
  }
  drop(*frame);
  co_return BlockResult{};
}

}  // namespace mirage::device::tagged
