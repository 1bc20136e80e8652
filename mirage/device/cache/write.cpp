// SPDX-License-Identifier: ISC
// Writing: into lines, back to the disk, through.
#include <algorithm>
#include <bit>
#include <cstring>

#include <mirage/device/cache/core.hpp>

namespace mirage::device::cache {

template <class Span, class Visit>
void Core::each_line(std::uint64_t sector, Span bytes, Visit visit) const {
  while (!bytes.empty()) {
    const auto first = static_cast<unsigned>(sector % per_line_);
    const auto left = std::min<std::size_t>(bytes.size() / geometry_.sector_size, per_line_ - first);
    visit(sector / per_line_, first, bytes.first(left * geometry_.sector_size));
    bytes = bytes.subspan(left * geometry_.sector_size);
    sector += left;
  }
}

BlockResult Core::check_write(std::uint64_t sector, std::size_t bytes) const noexcept {
  if (geometry_.read_only) return Failure{BlockError::read_only};
  MIRAGE_CHECK(check_range(geometry_, sector, bytes));
  return poison_.check();
}

/// The turn of those who change the disk: leave() when done.
Task<BlockResult> Core::enter() {
  while (busy_) co_await waiters_.wait();
  MIRAGE_CO_CHECK(poison_.check());
  busy_ = true;
  co_return BlockResult{};
}

Task<BlockResult> Core::write(std::uint64_t sector, Bytes bytes) {
  MIRAGE_CO_CHECK(check_write(sector, bytes.size()));
  if (bytes.size() >= large) co_return co_await through(sector, bytes, false);
  MIRAGE_CO_CHECK(co_await put_all(sector, bytes));
  if (held_ > count_ - count_ / 4) co_return co_await make_room(count_ / 2);
  co_return BlockResult{};
}

Task<BlockResult> Core::put_all(std::uint64_t sector, Bytes bytes) {
  while (!bytes.empty()) {
    const auto first = static_cast<unsigned>(sector % per_line_);
    const auto count = std::min<std::size_t>(bytes.size() / geometry_.sector_size, per_line_ - first);
    const std::size_t size = count * geometry_.sector_size;
    while (!put(sector / per_line_, first, bytes.first(size))) MIRAGE_CO_CHECK(co_await make_room(count_ / 2));
    bytes = bytes.subspan(size);
    sector += count;
  }
  co_return BlockResult{};
}

bool Core::put(std::uint64_t number, unsigned first, Bytes bytes) noexcept {
  Line* line = find(number);
  if (line == nullptr) line = take(number);
  if (line == nullptr) return false;
  std::memcpy(data(*line, first), bytes.data(), bytes.size());
  const std::uint8_t mask = bits(first, static_cast<unsigned>(bytes.size() / geometry_.sector_size));
  if (!line->held()) ++held_;
  line->known |= mask;
  line->dirty |= mask;
  note_change(number);
  return true;
}

/// Until at most `most` lines hold what the disk does not have.
Task<BlockResult> Core::make_room(std::size_t most) {
  MIRAGE_CO_CHECK(co_await enter());
  const BlockResult done = held_ > most ? co_await write_back() : BlockResult{};
  leave();
  co_return done;
}

Core::Index Core::sort_dirty() noexcept {
  Index count = 0;
  for (Index i = 0; i < count_; ++i) {
    if (lines_[i].dirty != 0) order_[count++] = i;
  }
  std::sort(order_.get(), order_.get() + count,
            [this](Index a, Index b) noexcept { return lines_[a].number < lines_[b].number; });
  return count;
}

/// Everything that is dirty now, neighbours in one request. Precondition: the turn is ours.
Task<BlockResult> Core::write_back() {
  const Index end = sort_dirty();
  for (Cursor cursor; cursor.line < end;) {
    const Index first = cursor.line;
    std::uint64_t sector = 0;
    const std::size_t size = gather(cursor, end, sector);
    if (size == 0) continue;
    ++counters_.disk_writes;
    counters_.written += size / geometry_.sector_size;
    const BlockResult written = note(co_await disk_.write(sector, Bytes{staging_.get(), size}));
    arrived(first, std::min(cursor.line, end - 1), written.has_value());
    MIRAGE_CO_CHECK(written);
  }
  co_return BlockResult{};
}

/// Copies the next dirty sectors that follow each other, at most what the staging memory holds; how many bytes. Lines
/// can change meanwhile: they do not wait for the disk.
std::size_t Core::gather(Cursor& cursor, Index end, std::uint64_t& sector) noexcept {
  const std::size_t size = geometry_.sector_size;
  std::size_t bytes = 0;
  for (; cursor.line < end; ++cursor.line, cursor.sector = 0) {
    Line& line = lines_[order_[cursor.line]];
    for (; cursor.sector < per_line_; ++cursor.sector) {
      const std::uint64_t at = line.number * per_line_ + cursor.sector;
      const std::uint8_t bit = bits(cursor.sector, 1);
      if (bytes != 0 && (bytes == large || (line.dirty & bit) == 0 || at != sector + bytes / size)) return bytes;
      if ((line.dirty & bit) == 0) continue;
      if (bytes == 0) sector = at;
      std::memcpy(staging_.get() + bytes, data(line, cursor.sector), size);
      bytes += size;
      line.dirty ^= bit;
      line.writing |= bit;
    }
  }
  return bytes;
}

void Core::arrived(Index first, Index last, bool good) noexcept {
  for (Index i = first; i <= last; ++i) {
    Line& line = lines_[order_[i]];
    if (line.writing == 0) continue;
    if (!good) line.dirty |= line.writing;  // the only copy, for readers
    line.writing = 0;
    if (!line.held()) --held_;
  }
}

/// To the disk at once; lines that are there have it, too.
Task<BlockResult> Core::through(std::uint64_t sector, Bytes bytes, bool durable) {
  MIRAGE_CO_CHECK(co_await enter());
  ++counters_.through;
  ++counters_.disk_writes;
  refresh(sector, bytes, true);
  const BlockResult written =
      note(durable ? co_await disk_.write_durable(sector, bytes) : co_await disk_.write(sector, bytes));
  // A read meanwhile may have kept what was there before.
  refresh(sector, bytes, false);
  leave();
  co_return written;
}

/// `newest`: also over what a line holds for the disk, which then needs it no more.
void Core::refresh(std::uint64_t sector, Bytes bytes, bool newest) noexcept {
  each_line(sector, bytes, [&](std::uint64_t number, unsigned first, Bytes part) noexcept {
    note_change(number);
    Line* const line = find(number);
    if (line == nullptr) return;
    const std::size_t size = geometry_.sector_size;
    for (unsigned i = 0; i * size < part.size(); ++i) {
      const std::uint8_t bit = bits(first + i, 1);
      if ((line->dirty & bit) != 0 && !newest) continue;
      std::memcpy(data(*line, first + i), part.data() + i * size, size);
      line->known |= bit;
      if ((line->dirty & bit) == 0) continue;
      line->dirty ^= bit;
      if (!line->held()) --held_;
    }
  });
}

Task<BlockResult> Core::write_durable(std::uint64_t sector, Bytes bytes) {
  if (geometry_.durability == Durability::none) co_return Failure{BlockError::unsupported};
  MIRAGE_CO_CHECK(check_write(sector, bytes.size()));
  co_return co_await through(sector, bytes, true);
}

Task<BlockResult> Core::flush() {
  if (geometry_.durability == Durability::none) co_return Failure{BlockError::unsupported};
  MIRAGE_CO_CHECK(co_await enter());
  BlockResult done = co_await write_back();
  if (done) done = note(co_await disk_.flush());
  leave();
  co_return done;
}

}  // namespace mirage::device::cache
