// SPDX-License-Identifier: ISC
#include <algorithm>
#include <new>

#include <mirage/store/fat/check.hpp>

namespace mirage::store {

using fat::Found;
using fat::Name;

namespace {

/// The next entries behind a number: a directory is gone through in as many scans as that takes.
class Batch final : public fat::Visitor {
 public:
  explicit Batch(std::uint32_t after) noexcept : after_(after) {}
  bool entry(const Found& found, const Name&) noexcept override {
    if (found.index < after_) return false;
    entries[count++] = found;
    return count == entries.size();
  }
  std::array<Found, 32> entries;
  std::size_t count = 0;

 private:
  std::uint32_t after_;
};

}  // namespace

bool FatCheckCore::mark(std::uint32_t cluster) noexcept {
  std::uint8_t& bits = owned_[(cluster - 2) / 8];
  const auto bit = static_cast<std::uint8_t>(1U << (cluster - 2) % 8);
  if ((bits & bit) != 0) return false;
  bits |= bit;
  ++report_.used_clusters;
  return true;
}

Task<Result<bool, KvError>> FatCheckCore::claim(std::uint32_t first, std::optional<std::uint64_t> size) {
  const std::uint64_t unit = layout.cluster_size();
  const std::uint64_t wanted = size ? (*size + unit - 1) / unit : 1;
  std::uint64_t count = 0;
  std::uint32_t cluster = first;
  while (cluster != no_cluster) {
    if (!layout.valid(cluster)) break;
    if (!mark(cluster)) {
      ++report_.cross_linked;
      co_return false;
    }
    ++count;
    const auto following = co_await next(cluster);
    if (!following && following.error() != KvError::corrupt) co_return Failure{following.error()};
    if (!following) break;
    cluster = *following;
  }
  const bool broken = cluster != no_cluster || count < wanted;
  report_.broken_chains += broken ? 1 : 0;
  if (size && count > wanted) report_.surplus_clusters += count - wanted;
  co_return !broken;
}

/// Goes on behind entry `after`; stops at the first directory, which is then `below`, or at the end.
Task<Result<void, KvError>> FatCheckCore::check_directory(std::uint32_t directory, std::uint32_t& after,
                                                          std::uint32_t& below) {
  while (true) {
    Batch batch{after};
    const auto scanned = co_await scan(directory, batch);
    if (!scanned && scanned.error() != KvError::corrupt) co_return scanned;
    if (!scanned) ++report_.unreadable;
    for (std::size_t i = 0; i < batch.count; ++i) {
      const Found& found = batch.entries[i];
      after = found.index + 1;
      const bool is_directory = found.entry.is_directory();
      ++(is_directory ? report_.directories : report_.values);
      const auto whole = co_await claim(found.entry.cluster,
                                        is_directory ? std::nullopt : std::optional<std::uint64_t>{found.entry.size});
      if (!whole) co_return Failure{whole.error()};
      if (!is_directory || !*whole) continue;
      below = found.entry.cluster;
      co_return Result<void, KvError>{};
    }
    if (!scanned || batch.count < batch.entries.size()) co_return Result<void, KvError>{};
  }
}

Task<Result<void, KvError>> FatCheckCore::check_table() {
  std::uint32_t free = 0;
  for (std::uint32_t cluster = 2; layout.valid(cluster); ++cluster) {
    const auto known = peek(cluster);
    const auto entry = known ? Result<std::uint32_t, KvError>{*known} : co_await table_entry(cluster);
    if (!entry) co_return Failure{entry.error()};
    const std::uint32_t bad = layout.type == fat::Type::fat12   ? 0xff7
                              : layout.type == fat::Type::fat16 ? 0xfff7
                                                                : 0x0ffffff7;
    if (*entry == 0) ++free;
    const bool owned = (owned_[(cluster - 2) / 8] >> (cluster - 2) % 8 & 1) != 0;
    if (*entry != 0 && *entry != bad && !owned) ++report_.lost_clusters;
  }
  report_.free_count_wrong = has_info && hint.free && *hint.free != free;
  co_return co_await compare_tables();
}

Task<Result<void, KvError>> FatCheckCore::compare_tables() {
  if (!layout.mirrored) co_return Result<void, KvError>{};
  const std::uint64_t unit = layout.sector_size;
  for (std::uint32_t copy = 1; copy < layout.fats; ++copy) {
    for (std::uint32_t i = 0; i < layout.fat_sectors; ++i) {
      const std::uint64_t sector = std::uint64_t{layout.fat_start} + i;
      const auto first = co_await read_range(disk, sector * unit, unit);
      const auto other = co_await read_range(disk, (sector + std::uint64_t{copy} * layout.fat_sectors) * unit, unit);
      if (!first || !other) co_return Failure{first ? other.error() : first.error()};
      if (!std::ranges::equal((*first)[0].bytes(), (*other)[0].bytes())) ++report_.differing_sectors;
    }
  }
  co_return Result<void, KvError>{};
}

Task<Result<FatReport, KvError>> FatCheckCore::check() {
  struct Level {
    std::uint32_t directory, after;
  };
  const auto turn = co_await turns.take();
  if (!turn) co_return Failure{turn.error()};
  report_ = {};
  owned_.reset(new (std::nothrow) std::uint8_t[layout.clusters / 8 + 1]());
  const std::unique_ptr<Level[]> levels{new (std::nothrow) Level[maximum_depth]()};
  if (!owned_ || !levels) co_return Failure{KvError::no_memory};
  if (layout.root_cluster != 0) {
    const auto root = co_await claim(layout.root_cluster, std::nullopt);
    if (!root) co_return Failure{root.error()};
  }
  for (std::size_t depth = 1; depth != 0;) {
    Level& level = levels[depth - 1];
    std::uint32_t below = 0;
    const auto done = co_await check_directory(level.directory, level.after, below);
    if (!done) co_return Failure{done.error()};
    if (below == 0) {
      --depth;
    } else if (depth == maximum_depth) {
      ++report_.unreadable;
    } else {
      levels[depth++] = {.directory = below, .after = 0};
    }
  }
  const auto table = co_await check_table();
  if (!table) co_return Failure{table.error()};
  co_return report_;
}

}  // namespace mirage::store
