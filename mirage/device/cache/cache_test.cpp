// SPDX-License-Identifier: ISC
#include <random>
#include <string>

#include <doctest/doctest.h>

#include <mirage/async/scope.hpp>
#include <mirage/device/cache/cache.hpp>
#include <mirage/device/power_cut/power_cut.hpp>
#include <mirage/device/ramdisk/ramdisk.hpp>
#include <mirage/module/check/block.hpp>
#include <mirage/module/check/virtual_environment.hpp>

using namespace mirage;
using device::Cache;
using device::PowerCut;

namespace {

struct World {
  check::VirtualEnvironment environment;
  Shard shard{environment};
};

/// 1 MiB below the least memory that a cache takes: 32 lines.
struct Rig {
  explicit Rig(std::uint32_t sector = 512) : below(world.shard, (std::uint64_t{1} << 20) / sector, sector) {
    REQUIRE(run(world.shard, disk.start())->has_value());
  }
  bool write(std::uint64_t sector, int value, std::size_t count = 1) {
    return run(world.shard, disk.write(sector, std::vector(count * 512, static_cast<std::byte>(value))))->has_value();
  }
  bool flush() { return run(world.shard, disk.flush())->has_value(); }
  /// -1: it cannot be read, or it is not one value throughout.
  int read(std::uint64_t sector, std::size_t count = 1) {
    std::vector<std::byte> bytes(count * 512);
    if (!run(world.shard, disk.read(sector, bytes)).value()) return -1;
    return std::ranges::count(bytes, bytes[0]) == std::ssize(bytes) ? std::to_integer<int>(bytes[0]) : -1;
  }
  World world;
  PowerCut below;
  Cache<PowerCut> disk{world.shard, below, 0};
};

/// A device with FUA that counts.
class Fua {
 public:
  explicit Fua(Shard& shard)
      : shard_(shard), geometry_{.sectors = 64, .durability = Durability::fua}, bytes_(64 * 512) {}
  [[nodiscard]] Shard& shard() const noexcept { return shard_; }
  [[nodiscard]] const BlockGeometry& geometry() const noexcept { return geometry_; }
  Ready<BlockResult> read(std::uint64_t sector, MutableBytes bytes) {
    std::copy_n(bytes_.begin() + static_cast<std::ptrdiff_t>(sector * 512), bytes.size(), bytes.begin());
    return Ready<BlockResult>{{}};
  }
  Ready<BlockResult> write(std::uint64_t sector, Bytes bytes) {
    std::ranges::copy(bytes, bytes_.begin() + static_cast<std::ptrdiff_t>(sector * 512));
    ++writes;
    return Ready<BlockResult>{{}};
  }
  Ready<BlockResult> write_durable(std::uint64_t sector, Bytes bytes) {
    ++durable;
    return write(sector, bytes);
  }
  Ready<BlockResult> flush() {
    ++flushes;
    return Ready<BlockResult>{{}};
  }
  unsigned writes = 0;
  unsigned durable = 0;
  unsigned flushes = 0;

 private:
  Shard& shard_;
  BlockGeometry geometry_;
  std::vector<std::byte> bytes_;
};

}  // namespace

TEST_CASE("cache: conforms") {
  for (const std::uint32_t sector : {512U, 2048U, 4096U}) {
    Rig rig{sector};
    CHECK(run(rig.world.shard, check::check_block(rig.world.shard, rig.disk)) == std::string_view{});
  }
  World world;
  device::Ramdisk memory{world.shard, 1'003};
  REQUIRE(run(world.shard, memory.start())->has_value());
  Cache disk{world.shard, memory, 0};
  REQUIRE(run(world.shard, disk.start())->has_value());
  CHECK(run(world.shard, check::check_block(world.shard, disk)) == std::string_view{});
  PowerCut coarse{world.shard, 8, 8192};
  Cache refused{world.shard, coarse, 0};
  CHECK_FALSE(run(world.shard, refused.start())->has_value());
}

TEST_CASE("cache: writes stay in memory until a flush, which brings neighbours together and in order") {
  Rig rig;
  for (int i = 0; i < 50; ++i) REQUIRE(rig.write(8 + static_cast<std::uint64_t>(i % 10), i));
  REQUIRE(rig.write(100, 7));
  CHECK(rig.below.events() == 0);
  CHECK(rig.read(9) == 41);
  REQUIRE(rig.flush());
  REQUIRE(rig.below.events() == 3);
  CHECK(rig.below.log()[0].sector == 8);
  CHECK(rig.below.log()[0].size == 10 * 512);
  CHECK(rig.below.log()[1].sector == 100);
  CHECK(rig.below.log()[2].is_flush);
  REQUIRE(rig.flush());  // nothing is left to write
  CHECK(rig.below.events() == 4);
  CHECK(rig.disk.dirty_lines() == 0);
}

TEST_CASE("cache: memory is bounded, and holds no more than three quarters for the disk") {
  Rig rig;
  for (std::uint64_t i = 0; i < 200; ++i) {
    REQUIRE(rig.write(i * 8 + i % 8, static_cast<int>(i)));
    REQUIRE(rig.disk.dirty_lines() <= 24);
  }
  for (std::uint64_t i = 0; i < 200; ++i) REQUIRE(rig.read(i * 8 + i % 8) == static_cast<int>(i));
  CHECK(rig.disk.counters().disk_writes > 100);
}

TEST_CASE("cache: what was read is not read again, a reader in sequence finds more, large moves leave nothing") {
  Rig rig;
  CHECK(rig.read(801) == 0);
  CHECK(rig.read(807) == 0);  // of the same line
  CHECK(rig.disk.counters().disk_reads == 1);
  for (std::uint64_t sector = 1'000; sector < 1'200; ++sector) REQUIRE(rig.read(sector) == 0);
  CHECK(rig.disk.counters().disk_reads < 6);
  const auto before = rig.disk.counters();
  CHECK(rig.read(256, 256) == 0);
  CHECK(rig.read(256, 256) == 0);
  CHECK(rig.disk.counters().disk_reads == before.disk_reads + 2);
  REQUIRE(rig.write(300, 5));
  REQUIRE(rig.write(256, 6, 256));  // goes through, and over what had not
  CHECK(rig.read(256, 256) == 6);
  CHECK(rig.disk.dirty_lines() == 0);
  CHECK(rig.disk.counters().through == before.through + 1);
}

TEST_CASE("cache: a durable write passes through with what the device has for it") {
  World world;
  Fua below{world.shard};
  Cache disk{world.shard, below, 0};
  static_assert(FuaBlock<decltype(disk)>);
  REQUIRE(run(world.shard, disk.start())->has_value());
  std::vector<std::byte> bytes(512, std::byte{3});
  REQUIRE(run(world.shard, disk.write(5, bytes))->has_value());
  bytes.assign(512, std::byte{4});
  REQUIRE(run(world.shard, mirage::write_durable(disk, 5, bytes))->has_value());
  CHECK(below.durable == 1);
  CHECK(below.flushes == 0);
  std::vector<std::byte> back(512);
  REQUIRE(run(world.shard, disk.read(5, back))->has_value());
  CHECK(back == bytes);
  REQUIRE(run(world.shard, disk.flush())->has_value());
  CHECK(below.writes == 1);  // the older content does not follow
  CHECK(below.flushes == 1);
}

TEST_CASE("cache: after a failed write or flush nothing more is written, and everything is read") {
  for (const bool flush : {false, true}) {
    Rig rig;
    REQUIRE(rig.write(5, 1));
    rig.below.set_faults(flush ? PowerCut::Faults{.flush = 0} : PowerCut::Faults{.write = 0});
    CHECK_FALSE(rig.flush());
    const std::size_t events = rig.below.events();
    CHECK_FALSE(rig.write(6, 2));
    CHECK_FALSE(rig.flush());
    CHECK_FALSE(run(rig.world.shard, rig.disk.write_durable(6, std::vector(512, std::byte{})))->has_value());
    CHECK(rig.below.events() == events);
    for (std::uint64_t i = 100; i < 300; ++i) REQUIRE(rig.read(i * 6) == 0);
    CHECK(rig.read(5) == 1);
  }
}

namespace {

Task<void> some_work(Shard&, Cache<PowerCut>& disk, std::uint32_t seed, std::uint64_t first, bool& good) {
  // A stretch of its own, with neighbours in shared lines: 11 sectors are no whole lines.
  constexpr std::uint64_t mine = 11;
  std::mt19937 random{seed};
  std::array<std::byte, mine> is{};
  std::vector<std::byte> bytes(mine * 512);
  for (int i = 0; i < 60; ++i) {
    const std::uint64_t from = random() % mine;
    const std::uint64_t count = 1 + random() % (mine - from);
    const MutableBytes part = MutableBytes{bytes}.first(count * 512);
    const auto value = static_cast<std::byte>(random());
    switch (random() % 8) {
      case 0:
        good = good && co_await disk.flush();
        break;
      case 1:
      case 2:
      case 3:
      case 4:
        std::ranges::fill(part, value);
        good = good && (random() % 4 == 0 ? co_await disk.write_durable(first + from, part)
                                          : co_await disk.write(first + from, part));
        std::fill_n(is.begin() + static_cast<std::ptrdiff_t>(from), count, value);
        break;
      default:
        good = good && co_await disk.read(first + from, part);
        for (std::uint64_t k = 0; k < count; ++k)
          good = good && std::ranges::count(part.subspan(k * 512, 512), is[from + k]) == 512;
    }
  }
}

Task<bool> many_workers(Shard& shard, Cache<PowerCut>& disk, std::uint32_t seed) {
  bool good = true;
  Scope scope{shard};
  for (std::uint32_t i = 0; i < 60; ++i) good = scope.spawn(some_work(shard, disk, seed + i, i * 11, good)) && good;
  co_await scope.join();
  co_return good;
}

}  // namespace

namespace {

/// A disk with one sector that cannot be read.
struct Scratched {
  device::Ramdisk& below;
  std::uint64_t bad = 0;
  [[nodiscard]] Shard& shard() noexcept { return below.shard(); }
  [[nodiscard]] const BlockGeometry& geometry() const noexcept { return below.geometry(); }
  Ready<BlockResult> read(std::uint64_t sector, MutableBytes bytes) {
    if (bad >= sector && bad < sector + bytes.size() / 512) return Ready<BlockResult>{Failure{BlockError::io}};
    return below.read(sector, bytes);
  }
  auto write(std::uint64_t sector, Bytes bytes) { return below.write(sector, bytes); }
  auto flush() { return below.flush(); }
};

}  // namespace

TEST_CASE("cache: a sector that cannot be read hides none of its neighbours") {
  World world;
  device::Ramdisk memory{world.shard, 2'048};
  REQUIRE(run(world.shard, memory.start())->has_value());
  for (std::uint64_t i = 0; i < 256; ++i) {
    REQUIRE(memory.write(i, std::vector(512, static_cast<std::byte>(i))).await_resume());
  }
  for (const std::size_t count : {1U, 2U, 3U}) {
    Scratched scratched{memory, 100};
    Cache disk{world.shard, scratched, 0};
    REQUIRE(run(world.shard, disk.start())->has_value());
    for (std::uint64_t i = 0; i + count <= 256; i += count) {  // in sequence: it reads ahead
      std::vector<std::byte> bytes(count * 512);
      const bool covers = i <= 100 && 100 < i + count;
      REQUIRE(run(world.shard, disk.read(i, bytes))->has_value() == !covers);
      if (!covers) CHECK(bytes[count * 512 - 1] == static_cast<std::byte>(i + count - 1));
    }
    // What was written over is readable again.
    scratched.bad = ~std::uint64_t{0};
    std::vector<std::byte> bytes(512);
    CHECK(run(world.shard, disk.read(100, bytes))->has_value());
  }
}

TEST_CASE("cache: many at once, each finds what it wrote, in little memory") {
  Rig rig;
  CHECK(run(rig.world.shard, many_workers(rig.world.shard, rig.disk, 1)) == true);
  CHECK(rig.disk.counters().written > 500);
}

TEST_CASE("cache: a power cut leaves what was flushed, or what was written since") {
  Rig rig;
  constexpr std::uint64_t places = 6;
  const std::array<std::uint64_t, places> where{0, 1, 7, 8, 200, 201};
  using May = std::array<std::vector<int>, places>;
  May may;
  may.fill({0});
  std::vector<std::pair<std::size_t, May>> states{{0, may}};
  std::mt19937 random{7};
  for (int i = 1; i < 60; ++i) {
    const std::size_t place = random() % places;
    if (random() % 4 == 0) {
      REQUIRE(rig.flush());
      for (auto& each : may) each = {each.back()};
    } else {
      may[place].push_back(i);
      states.emplace_back(rig.below.events(), may);
      const std::vector bytes(512, static_cast<std::byte>(i));
      if (random() % 4 == 0) {
        REQUIRE(run(rig.world.shard, rig.disk.write_durable(where[place], bytes))->has_value());
        may[place] = {i};
      } else {
        REQUIRE(rig.write(where[place], i));
      }
    }
    states.emplace_back(rig.below.events(), may);
  }
  device::CutExplorer explorer{rig.world.shard, rig.below, 1, 4};
  std::size_t current = 0;
  std::size_t tried = 0;
  while (explorer.advance()) {
    while (current + 1 < states.size() && states[current + 1].first <= explorer.event()) ++current;
    for (std::size_t variant = 0; variant < explorer.variants(); ++variant) {
      const Bytes image = explorer.image(variant).content();
      for (std::size_t place = 0; place < places; ++place) {
        const Bytes sector = image.subspan(where[place] * 512, 512);
        REQUIRE(std::ranges::count(sector, sector[0]) == 512);
        REQUIRE(std::ranges::count(states[current].second[place], std::to_integer<int>(sector[0])) == 1);
      }
      ++tried;
    }
  }
  CHECK(tried > 100);
}
