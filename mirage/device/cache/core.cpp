// SPDX-License-Identifier: ISC
// Lines and reading.
#include <algorithm>
#include <bit>
#include <cstring>
#include <new>

#include <mirage/device/cache/core.hpp>

namespace mirage::device::cache {

Result<void, StartError> Core::start() noexcept {
  geometry_ = disk_.geometry();
  geometry_.discard = geometry_.write_zeroes = false;
  geometry_.alignment = 1;
  if (geometry_.sector_size > line_size)
    return Failure{
        StartError{"cache: sectors of {} bytes: at most {} are supported", geometry_.sector_size, line_size}};
  per_line_ = static_cast<unsigned>(line_size / geometry_.sector_size);
  bucket_count_ = std::bit_ceil(std::size_t{count_});
  lines_.reset(new (std::nothrow) Line[count_]);
  memory_.reset(new (std::nothrow) std::byte[count_ * line_size]);
  staging_.reset(new (std::nothrow) std::byte[large]);
  buckets_.reset(new (std::nothrow) Index[bucket_count_]);
  order_.reset(new (std::nothrow) Index[count_]);
  if (!lines_ || !memory_ || !staging_ || !buckets_ || !order_) return Failure{StartError::no_memory};
  std::fill_n(buckets_.get(), bucket_count_, none);
  return {};
}

Core::Line* Core::find(std::uint64_t number) noexcept {
  for (Index i = bucket(number); i != none; i = lines_[i].next) {
    if (lines_[i].number != number) continue;
    lines_[i].used = true;
    return &lines_[i];
  }
  return nullptr;
}

void Core::unlink(Line& line) noexcept {
  const auto index = static_cast<Index>(&line - lines_.get());
  Index* place = &bucket(line.number);
  while (*place != index) place = &lines_[*place].next;
  *place = line.next;
}

/// A line for the number, which has none; nothing when all hold what the disk does not have.
Core::Line* Core::take(std::uint64_t number) noexcept {
  for (std::size_t tries = 0; tries < 2 * std::size_t{count_}; ++tries) {
    Line& line = lines_[hand_++ % count_];
    if (line.held() || std::exchange(line.used, false)) continue;
    if (line.number != nowhere) {
      note_change(line.number);
      unlink(line);
    }
    Index& head = bucket(number);
    line = {.number = number, .next = head, .used = true};
    head = static_cast<Index>(&line - lines_.get());
    return &line;
  }
  return nullptr;
}

/// Copies sectors as long as they are known; how many bytes.
std::size_t Core::read_known(std::uint64_t sector, MutableBytes bytes) noexcept {
  const std::size_t size = geometry_.sector_size;
  std::size_t done = 0;
  for (; done < bytes.size(); done += size, ++sector) {
    Line* const line = find(sector / per_line_);
    const auto within = static_cast<unsigned>(sector % per_line_);
    if (line == nullptr || (line->known & bits(within, 1)) == 0) break;
    std::memcpy(bytes.data() + done, data(*line, within), size);
  }
  counters_.hits += done / size;
  return done;
}

/// How many sectors from here on are not known.
std::size_t Core::unknown(std::uint64_t sector, std::size_t sectors) noexcept {
  std::size_t count = 0;
  for (; count < sectors; ++count, ++sector) {
    const Line* const line = find(sector / per_line_);
    if (line != nullptr && (line->known & bits(static_cast<unsigned>(sector % per_line_), 1)) != 0) break;
  }
  return count;
}

Task<BlockResult> Core::read(std::uint64_t sector, MutableBytes bytes) {
  MIRAGE_CO_CHECK(check_range(geometry_, sector, bytes.size()));
  while (!bytes.empty()) {
    const std::size_t known = read_known(sector, bytes);
    bytes = bytes.subspan(known);
    sector += known / geometry_.sector_size;
    if (bytes.empty()) break;
    const std::size_t count = unknown(sector, bytes.size() / geometry_.sector_size);
    const std::size_t size = count * geometry_.sector_size;
    MIRAGE_CO_CHECK(co_await fetch(sector, bytes.first(size)));
    counters_.misses += count;
    bytes = bytes.subspan(size);
    sector += count;
  }
  last_end_ = sector;
  co_return BlockResult{};
}

/// Whole lines, and more when a reader goes on where it was; straight into the reader's memory when it is much.
Task<BlockResult> Core::fetch(std::uint64_t sector, MutableBytes bytes) {
  const std::uint64_t end = sector + bytes.size() / geometry_.sector_size;
  const std::uint64_t from = sector / per_line_ * per_line_;
  const std::uint64_t ahead = sector == last_end_ ? lines_ahead * per_line_ : 0;
  const std::uint64_t to = std::min((end + per_line_ - 1) / per_line_ * per_line_ + ahead, geometry_.sectors);
  const std::uint64_t ticket = sequence_;
  const std::size_t size = static_cast<std::size_t>(to - from) * geometry_.sector_size;
  MutableSlice buffer;
  if (size <= large) buffer = shard().buffers().allocate_sparing(static_cast<std::uint32_t>(size), 0);
  if (buffer) {
    const MutableBytes all = buffer.grow_back(static_cast<std::uint32_t>(size));
    ++counters_.disk_reads;
    const BlockResult done = co_await disk_.read(from, all);
    if (done) {
      counters_.ahead += (to - from) - (end - sector);
      std::ranges::copy(all.subspan(static_cast<std::size_t>(sector - from) * geometry_.sector_size, bytes.size()),
                        bytes.begin());
      keep(from, all, ticket);
    }
    // What cannot be read may be a sector that nobody has asked for: then that is no matter.
    if (done || size == bytes.size()) co_return done;
  }
  ++counters_.disk_reads;
  MIRAGE_CO_CHECK(co_await disk_.read(sector, bytes));
  if (bytes.size() < large) keep(sector, bytes, ticket);
  co_return BlockResult{};
}

/// What the disk held at `ticket`: for lines that nobody has changed since, and sectors that are not known.
void Core::keep(std::uint64_t sector, Bytes bytes, std::uint64_t ticket) noexcept {
  const std::size_t size = geometry_.sector_size;
  for (std::size_t at = 0; at < bytes.size(); at += size, ++sector) {
    const std::uint64_t number = sector / per_line_;
    if (change(number) > ticket) continue;
    Line* line = find(number);
    if (line == nullptr) line = take(number);
    if (line == nullptr) return;
    const auto within = static_cast<unsigned>(sector % per_line_);
    if ((line->known & bits(within, 1)) != 0) continue;
    std::memcpy(data(*line, within), bytes.data() + at, size);
    line->known |= bits(within, 1);
  }
}

}  // namespace mirage::device::cache
