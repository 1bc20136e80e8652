// SPDX-License-Identifier: ISC
// For the fuzzers of disks with headers and tags: the disk below, and what must hold of the one above whatever stands
// there.
#pragma once

#include <algorithm>
#include <cstdlib>
#include <cstring>
#include <vector>

#include <mirage/async/scope.hpp>
#include <mirage/device/tagged/layout.hpp>
#include <mirage/module/block.hpp>
#include <mirage/module/check/virtual_environment.hpp>

namespace mirage::disk_fuzz {

/// Nobody may even ask for what lies outside of it, or write over a header: nothing is formatted here.
class Disk {
 public:
  using Outcome = Ready<BlockResult>;
  Disk(Shard& shard, std::vector<std::byte> bytes) : shard_(shard), bytes_(std::move(bytes)) {
    geometry_.sectors = bytes_.size() / 512;
  }
  [[nodiscard]] Shard& shard() const noexcept { return shard_; }
  [[nodiscard]] const BlockGeometry& geometry() const noexcept { return geometry_; }
  Outcome read(std::uint64_t sector, MutableBytes to) {
    if (!check_range(geometry_, sector, to.size())) std::abort();
    std::memcpy(to.data(), &bytes_[sector * 512], to.size());
    return Outcome{BlockResult{}};
  }
  Outcome write(std::uint64_t sector, Bytes bytes) {
    if (sector < 8 || !check_range(geometry_, sector, bytes.size())) std::abort();
    std::memcpy(&bytes_[sector * 512], bytes.data(), bytes.size());
    return Outcome{BlockResult{}};
  }
  Outcome flush() { return Outcome{BlockResult{}}; }

 private:
  Shard& shard_;
  std::vector<std::byte> bytes_;
  BlockGeometry geometry_{.durability = Durability::flush};
};

/// How an input becomes a disk: a byte of Mend bits, a byte for the tags of the first table, then what the disk begins
/// with.
struct Input {
  std::uint8_t mend = 0;
  std::uint8_t tags = 0;
  std::vector<std::byte> disk;

  Input(const std::uint8_t* data, std::size_t size) {
    if (size > 0) mend = data[0];
    if (size > 1) tags = data[1];
    const std::size_t rest = size > 2 ? size - 2 : 0;
    disk.resize(std::clamp<std::size_t>((rest / tagged_block + 1) * tagged_block, 4 * tagged_block, 16 * tagged_block));
    if (rest != 0) std::memcpy(disk.data(), data + 2, std::min(rest, disk.size()));
  }
  [[nodiscard]] MutableBytes first() { return MutableBytes{disk}.first(tagged_block); }
  [[nodiscard]] MutableBytes last() { return MutableBytes{disk}.last(tagged_block); }
  static constexpr std::size_t tagged_block = device::tagged::block_size;
};
enum Mend : std::uint8_t { first_header = 1, copy_header = 2, last_header = 4, tables = 8 };

/// Puts the first group's tags right for its first units, as two bits of `tags` say by turns (0: left, 1: what the unit
/// holds, 2: what it may hold, 3: both), and all seals. Precondition: the scheme uses this disk's header.
inline void mend_tables(const device::tagged::Scheme& scheme, std::vector<std::byte>& disk, std::uint8_t tags) {
  namespace tagged = device::tagged;
  const tagged::Shape& shape = scheme.shape();
  const tagged::Table table{shape, MutableBytes{disk}.subspan(tagged::block_size, tagged::block_size)};
  for (std::size_t unit = 0; unit < 16 && unit < shape.units_per_group(); ++unit) {
    const std::size_t place = shape.place(0, unit);
    if (place + tagged::unit_size > disk.size()) break;
    const Bytes content = Bytes{disk}.subspan(place, tagged::unit_size);
    const unsigned which = tags >> (unit % 4 * 2) & 3U;
    if ((which & 1) != 0) scheme.tag(unit, content, table.is(unit));
    if ((which & 2) != 0) scheme.tag(unit, content, table.was(unit));
  }
  for (std::size_t sector = 0; sector < tagged::table_sectors; ++sector) scheme.seal(0, sector, table.sector(sector));
}

template <class D>
bool read(Shard& shard, D& disk, std::uint64_t sector, MutableBytes to) {
  const auto done = run(shard, disk.read(sector, to));
  if (!done) std::abort();
  return done->has_value();
}

/// Reads and writes here and there: what was taken is read back, now and by `again`, the same disk opened anew.
template <class D>
void use(Shard& shard, D& disk, D& again, bool must_read) {
  const auto started = run(shard, disk.start());
  if (!started) std::abort();
  if (!*started) return;
  std::vector<std::byte> room(512);
  const std::uint64_t sectors = disk.geometry().sectors;
  for (std::uint64_t i = 0; i < sectors; i += 1 + sectors / 16) {
    if (!read(shard, disk, i, room) && must_read) std::abort();
  }
  const std::vector<std::byte> mine(1024, std::byte{0x5a});
  std::vector<std::uint64_t> taken;
  for (const std::uint64_t at : {std::uint64_t{0}, std::uint64_t{5}, sectors < 2 ? 0 : sectors - 2}) {
    if (at + 2 > sectors) continue;
    const auto done = run(shard, disk.write(at, mine));
    if (!done || (!*done && must_read)) std::abort();
    if (*done) taken.push_back(at);
  }
  const auto flushed = run(shard, disk.flush());
  if (!flushed) std::abort();
  if (!*flushed) return;
  const auto restarted = run(shard, again.start());
  if (!restarted || !*restarted) std::abort();
  for (const std::uint64_t at : taken) {
    for (D* one : {&disk, &again}) {
      std::vector<std::byte> back(1024);
      if (!read(shard, *one, at, back) || back != mine) std::abort();
    }
  }
}

}  // namespace mirage::disk_fuzz
