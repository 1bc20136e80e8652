// SPDX-License-Identifier: ISC
// Many requests at a time, for a batch and for its commit, and which pages stay in memory when not all can.
#include <algorithm>
#include <random>
#include <string>
#include <vector>

#include <doctest/doctest.h>

#include <mirage/async/scope.hpp>
#include <mirage/async/sleep.hpp>
#include <mirage/device/ramdisk/ramdisk.hpp>
#include <mirage/module/check/virtual_environment.hpp>
#include <mirage/store/tree/tree.hpp>

using namespace mirage;

namespace {

/// A disk that answers later, and notes how many requests it has at a time.
class Queue {
 public:
  Queue(Shard& shard, std::uint64_t sectors, std::uint32_t depth) : memory_(shard, sectors) {
    REQUIRE(run(shard, memory_.start()).value());
    geometry_ = memory_.geometry();
    geometry_.queue_depth = depth;
  }
  [[nodiscard]] Shard& shard() noexcept { return memory_.shard(); }
  [[nodiscard]] const BlockGeometry& geometry() const noexcept { return geometry_; }
  Task<BlockResult> read(std::uint64_t sector, MutableBytes bytes) {
    most = std::max(most, ++under_way_);
    ++reads;
    co_await yield();
    --under_way_;
    if (broken) co_return Failure{BlockError::io};
    co_return co_await memory_.read(sector, bytes);
  }
  Task<BlockResult> write(std::uint64_t sector, Bytes bytes) {
    most_writes = std::max(most_writes, ++writing_);
    written += bytes.size() / store::tree::page_size;
    const std::size_t number = writes++;
    co_await yield();
    --writing_;
    if (number == broken_write) co_return Failure{BlockError::io};
    co_return co_await memory_.write(sector, bytes);
  }
  auto flush() { return memory_.flush(); }

  std::size_t most = 0;
  std::size_t reads = 0;
  std::size_t most_writes = 0;
  std::size_t writes = 0;
  std::size_t written = 0;  ///< pages
  std::size_t broken_write = ~std::size_t{0};
  bool broken = false;

 private:
  device::Ramdisk memory_;
  BlockGeometry geometry_;
  std::size_t under_way_ = 0;
  std::size_t writing_ = 0;
};

constexpr std::size_t values = 3'000;
const store::tree::Options small{.cache_bytes = 0, .allow_volatile = true, .format_blank = true};

std::string key_of(std::size_t i) { return "key" + std::to_string(100'000 + i); }

struct Cold {
  check::VirtualEnvironment environment;
  Shard shard{environment};
  Queue disk;
  std::optional<store::Tree<Queue>> tree;

  store::tree::Options options = small;

  explicit Cold(std::uint32_t depth, std::size_t cache = 0) : disk(shard, 16'384, depth) {
    options.cache_bytes = cache;
    open();
    REQUIRE(put(0, 1, values, std::string(500, 'a')).has_value());
    open();
    disk.most = disk.reads = disk.most_writes = disk.writes = disk.written = 0;
  }
  void open() {
    tree.emplace(shard, disk, options);
    REQUIRE(run(shard, tree->start()).value().has_value());
  }
  /// One batch.
  Result<void, KvError> put(std::size_t first, std::size_t step, std::size_t count, const std::string& value) {
    std::vector<std::string> keys;
    for (std::size_t i = 0; i < count; ++i) keys.push_back(key_of((first + i * step) % values));
    std::vector<KvChange> changes;
    for (const std::string& key : keys) changes.push_back({.key = key, .value = as_bytes(value)});
    return run(shard, tree->batch(changes)).value();
  }
  char get(std::size_t i) {
    const std::string key = key_of(i);
    auto quick = tree->get(key, 0, 1'000);
    const auto found = quick.is_ready() ? quick.take() : run(shard, result_of(shard, quick)).value();
    REQUIRE(found.has_value());
    return as_text(found->begin()->bytes()).front();
  }
  template <class T>
  static Task<T> result_of(Shard&, Quick<T>& quick) {
    co_return co_await quick;
  }
  void check() {
    store::tree::WalkReport report;
    REQUIRE(run(shard, tree->store().check(report)).value().has_value());
    CHECK(report.keys == values);
  }
};

}  // namespace

TEST_CASE("tree: a batch whose nodes are not in memory has many read at once") {
  Cold cold{32};
  // 400 leaves, of which the memory holds a third.
  REQUIRE(cold.put(7, 1'009, 200, std::string(500, 'b')).has_value());
  CHECK(cold.disk.most > 8);
  CHECK(cold.disk.most <= 16);
  CHECK(cold.tree->counters().ahead > 100);
  // Hardly any leaf twice.
  CHECK(cold.disk.reads < 300);
  for (std::size_t i = 0; i < 200; ++i) CHECK(cold.get((7 + i * 1'009) % values) == 'b');
  CHECK(cold.get(8) == 'a');
  cold.check();
}

TEST_CASE("tree: a disk that serves one request at a time is not asked for more, memory for nothing") {
  Cold one{1};
  REQUIRE(one.put(7, 1'009, 200, std::string(500, 'b')).has_value());
  CHECK(one.disk.most == 1);
  CHECK(one.tree->counters().ahead == 0);
  one.check();
  Cold warm{32};
  REQUIRE(warm.put(0, 1, 20, std::string(500, 'b')).has_value());
  const std::uint64_t ahead = warm.tree->counters().ahead;
  for (int i = 0; i < 3; ++i) REQUIRE(warm.put(0, 1, 20, std::string(500, 'c')).has_value());
  CHECK(warm.tree->counters().ahead == ahead);
}

TEST_CASE("tree: what cannot be read ahead is an error of the batch, and not the end") {
  Cold cold{32};
  cold.disk.broken = true;
  CHECK(cold.put(7, 1'009, 200, std::string(500, 'b')).error() == KvError::io);
  cold.disk.broken = false;
  CHECK(cold.get(7) == 'a');
  REQUIRE(cold.put(7, 1'009, 200, std::string(500, 'b')).has_value());
  CHECK(cold.get(7) == 'b');
  cold.check();
}

TEST_CASE("tree: a commit has several requests of nodes under way where the disk has a queue") {
  Cold cold{32, std::size_t{4} << 20};
  REQUIRE(cold.put(7, 13, 200, std::string(500, 'b')).has_value());
  CHECK(cold.disk.most_writes == 8);
  // Every node once, neighbours in one request; and two superblocks.
  CHECK(cold.disk.written < 220);
  CHECK(cold.disk.writes < 20);
  cold.check();
  cold.disk.most_writes = 0;
  REQUIRE(cold.put(7, 1, 1, std::string(500, 'c')).has_value());
  CHECK(cold.disk.most_writes == 1);
  Cold one{1, std::size_t{4} << 20};
  REQUIRE(one.put(7, 13, 200, std::string(500, 'b')).has_value());
  CHECK(one.disk.most_writes == 1);
}

TEST_CASE("tree: one of several requests of a commit that fails ends it when all have ended") {
  for (const std::size_t nth : {0UZ, 3UZ, 9UZ}) {
    Cold cold{32, std::size_t{4} << 20};
    cold.disk.broken_write = nth;
    CHECK(cold.put(7, 13, 200, std::string(500, 'b')).error() == KvError::io);
    CHECK(cold.tree->store().is_poisoned());
    CHECK(cold.get(7) == 'a');
    cold.disk.broken_write = ~std::size_t{0};
    cold.open();
    CHECK(cold.get(7) == 'a');
    cold.check();
  }
}

TEST_CASE("tree: of dirty nodes leaves can be written alone, if that is worth it") {
  store::tree::Cache cache;
  REQUIRE(cache.create(128));
  const auto make = [&cache](std::uint32_t page, std::uint8_t level) {
    cache.begin_step();
    const auto frame = cache.take();
    cache.insert(frame, page);
    cache.node(frame).reset(level, 1);
    REQUIRE(cache.set_dirty(frame));
  };
  for (std::uint32_t i = 0; i < 20; ++i) make(100 - i, i % 4 == 0 ? 1 : 0);
  const auto leaves = cache.sort_dirty(store::tree::Cache::Which::leaves);
  REQUIRE(leaves.size() == 15);
  for (std::size_t i = 0; i < 15; ++i) CHECK(cache.node(leaves[i]).level() == 0);
  for (std::size_t i = 1; i < 15; ++i) CHECK(cache.page(leaves[i - 1]) < cache.page(leaves[i]));
  cache.clear_dirty(15);
  CHECK(cache.dirty() == 5);
  make(50, 0);
  // Now nearly all of them are branches.
  const auto all = cache.sort_dirty(store::tree::Cache::Which::leaves);
  REQUIRE(all.size() == 6);
  CHECK(cache.page(all.front()) == 50);
  CHECK(cache.page(all.back()) == 100);
  cache.clear_dirty(6);
  CHECK(cache.dirty() == 0);
  CHECK(cache.sort_dirty(store::tree::Cache::Which::all).empty());
}

TEST_CASE("tree: branches stay in memory where leaves go round faster than branches are used") {
  store::tree::Cache cache;
  REQUIRE(cache.create(128));
  constexpr std::uint32_t branches = 60;
  std::size_t missed = 0;
  const auto use = [&](std::uint32_t page, std::uint8_t chances) {
    cache.begin_step();
    if (cache.find(page, chances) != store::tree::Cache::none) return;
    ++missed;
    const auto frame = cache.take();
    REQUIRE(frame != store::tree::Cache::none);
    cache.insert(frame, page);
    (void)cache.find(page, chances);
  };
  for (std::uint32_t i = 0; i < 5'000; ++i) {
    use(4 + i * 7 % branches, store::tree::Cache::branch_chances);
    use(1'000 + i, store::tree::Cache::leaf_chances);
  }
  CHECK(missed == branches + 5'000);
  // What is no longer used makes room.
  for (std::uint32_t i = 0; i < 2'000; ++i) use(10'000 + i, store::tree::Cache::leaf_chances);
  std::size_t left = 0;
  for (std::uint32_t i = 0; i < branches; ++i) left += cache.find(4 + i) != store::tree::Cache::none ? 1 : 0;
  CHECK(left == 0);
}

TEST_CASE("tree: of pages that are read in a circle larger than the memory, many stay") {
  check::VirtualEnvironment environment;
  Shard shard{environment};
  device::Ramdisk disk{shard, 16'384};
  REQUIRE(run(shard, disk.start()).value());
  store::Tree tree{shard, disk, small};
  REQUIRE(run(shard, tree.start()).value().has_value());
  constexpr std::size_t pages = 200;
  constexpr std::size_t page_size = store::tree::page_size;
  REQUIRE(run(shard, tree.set("v", as_bytes(std::string(pages * page_size, 'x')))).value());
  std::string page(page_size, '-');
  const auto circle = [&] {
    const std::uint64_t before = tree.counters().data_hits;
    for (std::size_t i = 0; i < pages; ++i) {
      auto read = tree.read_into("v", i * page_size, std::as_writable_bytes(std::span{page}));
      REQUIRE(read.is_ready());
      REQUIRE(read.take().has_value());
    }
    return tree.counters().data_hits - before;
  };
  (void)circle();
  for (int i = 0; i < 10; ++i) CHECK(circle() > 80);  // of 128 frames: none if each took the place of the oldest
}
