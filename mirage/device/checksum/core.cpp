// SPDX-License-Identifier: ISC
// Opening, formatting, reading.
#include <new>

#include <mirage/device/checksum/core.hpp>

namespace mirage::device::checksum {

Result<void, StartError> Core::check_device() noexcept {
  const BlockGeometry& geometry = disk_.geometry();
  if (!layout_of(geometry)) {
    return Failure{StartError{"checksum: disks of at least 16 KiB with sectors of at most 4096 bytes are supported"}};
  }
  frames_.reset(new (std::nothrow) Frame[frame_count_]);
  memory_.reset(new (std::nothrow) std::byte[std::max<std::size_t>(frame_count_ * block_size, 2 * block_size)]);
  if (!frames_ || !memory_) return Failure{StartError::no_memory};
  return {};
}

Task<Result<bool, StartError>> Core::open() {
  MIRAGE_CO_CHECK(check_device());
  const std::uint64_t blocks = layout_of(disk_.geometry())->blocks;
  const MutableBytes first{memory_.get(), block_size};
  const MutableBytes last{memory_.get() + block_size, block_size};
  geometry_ = disk_.geometry();
  const auto one = co_await disk_.read(0, first);
  const auto two = co_await disk_.read(sector_at((blocks - 1) * block_size), last);
  if (!one && !two) co_return Failure{StartError{"checksum: the headers cannot be read: {}", one.error()}};
  const Found begin = one ? decode(first) : Found{Finding::damaged, {}};
  const Found end = two ? decode(last) : Found{Finding::damaged, {}};
  if (begin.finding == Finding::blank && end.finding == Finding::blank) co_return false;
  MIRAGE_CO_CHECK(accept(begin, end));
  co_return true;
}

Result<void, StartError> Core::accept(const Found& first, const Found& last) {
  for (const Found& each : {first, last}) {
    if (each.finding == Finding::other_version)
      return Failure{StartError{"checksum: the disk is of another version than {}", format_version}};
  }
  const bool either = first.finding == Finding::good || last.finding == Finding::good;
  if (!either && first.finding != Finding::damaged && last.finding != Finding::damaged)
    return Failure{StartError{"checksum: the disk holds something else: left as it is"}};
  if (!either) return Failure{StartError{"checksum: both headers are damaged"}};
  header_ = first.finding == Finding::good ? first.header : last.header;
  Layout layout = *layout_of(geometry_);
  if (header_.blocks > layout.blocks || header_.blocks < 4)
    return Failure{StartError{"checksum: the disk is truncated: {} of {} bytes", layout.blocks * block_size,
                              header_.blocks * block_size}};
  // A disk that has grown has its second header in the middle.
  if (header_.blocks == layout.blocks && first.finding != last.finding)
    shard().logger("checksum").warning("one of the two headers is damaged");
  layout.blocks = header_.blocks;
  geometry_.sectors = layout.data_blocks() * block_size / geometry_.sector_size;
  geometry_.discard = geometry_.write_zeroes = false;
  if (geometry_.durability == Durability::fua) geometry_.durability = Durability::flush;
  return {};
}

Task<Result<void, StartError>> Core::format() {
  if (!shard().seed_random()) co_return Failure{StartError{"checksum: no entropy to format a blank disk with"}};
  Header header{.id = 0, .blocks = layout_of(disk_.geometry())->blocks};
  shard().random().fill(std::as_writable_bytes(std::span{&header.id, 1}));
  const MutableBytes block{memory_.get(), block_size};
  encode(header, block);
  // The zeros are durable first: a header never stands before old content.
  BlockResult done = co_await sync();
  for (const std::uint64_t at : {header.blocks - 1, std::uint64_t{0}}) {
    if (done) done = co_await disk_.write(sector_at(at * block_size), block);
  }
  if (done) done = co_await sync();
  if (!done) co_return Failure{StartError{"checksum: the disk cannot be formatted: {}", done.error()}};
  co_return accept({Finding::good, header}, {Finding::good, header});
}

Task<BlockResult> Core::read(std::uint64_t sector, MutableBytes bytes) {
  MIRAGE_CO_CHECK(check_range(geometry_, sector, bytes.size()));
  std::uint64_t unit = sector * (geometry_.sector_size / unit_size);
  while (!bytes.empty()) {
    const std::size_t left = (units_per_group - unit % units_per_group) * unit_size;
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
  shard().logger("checksum").warning("{} of {} sectors from {} on are corrupt", wrong, bytes.size() / unit_size, unit);
  co_return Failure{BlockError::io};
}

Task<BlockResult> Core::fetch(std::uint64_t unit, MutableBytes bytes, std::size_t& wrong) {
  const std::uint64_t group = unit / units_per_group;
  const auto first = static_cast<std::size_t>(unit % units_per_group);
  MIRAGE_CO_CHECK(co_await disk_.read(sector_at(Layout::place(group, first)), bytes));
  MIRAGE_CO_TRY(Frame* const frame, co_await hold(group));
  wrong = 0;
  for (std::size_t i = 0; i * unit_size < bytes.size(); ++i) {
    if (!holds(*frame, first + i, Bytes{bytes}.subspan(i * unit_size, unit_size))) ++wrong;
  }
  drop(*frame);
  co_return BlockResult{};
}

}  // namespace mirage::device::checksum
