// SPDX-License-Identifier: ISC
#include <string>

#include <doctest/doctest.h>

#include <mirage/async/scope.hpp>
#include <mirage/device/checksum/checksum.hpp>
#include <mirage/device/power_cut/power_cut.hpp>
#include <mirage/device/ramdisk/ramdisk.hpp>
#include <mirage/device/tagged/disk_test.hpp>
#include <mirage/module/check/block.hpp>
#include <mirage/wire/crc.hpp>

using namespace mirage;
using device::Checksum;
using device::PowerCut;
using disk_test::content;
using disk_test::is_one_of;
using disk_test::start;
using disk_test::World;
using disk_test::write;

namespace {

/// For the cuts: at every edge of a table's sectors and of a group.
struct Kind {
  using World = disk_test::World;
  static constexpr std::array<std::uint64_t, disk_test::places> where{0, 1, 62, 63, 64, 300, 503, 504, 505};
  template <class B>
  static Checksum<B> disk(World& world, B& below) {
    return Checksum<B>{world.shard, below, {.create = true, .tables = 0}};
  }
};

constexpr std::uint64_t one_group = 66 * 8;  // 63 blocks of data

}  // namespace

TEST_CASE("checksum: the polynomial, zeros, and places") {
  std::vector<std::byte> bytes = content(5, 1'001);
  for (const std::size_t size : {0UZ, 1UZ, 7UZ, 8UZ, 9UZ, 512UZ, 1'001UZ}) {
    CHECK(device::checksum::crc32c(Bytes{bytes}.first(size)) == wire::crc32c(Bytes{bytes}.first(size)));
    CHECK(device::checksum::crc32c(Bytes{bytes}.first(size), 77) == wire::crc32c(Bytes{bytes}.first(size), 77));
  }
  const Bytes unit = Bytes{bytes}.first(512);
  using device::checksum::sum_of;
  CHECK(sum_of(1, 2, unit) != sum_of(1, 3, unit));
  CHECK(sum_of(1, 2, unit) != sum_of(2, 2, unit));
  CHECK(sum_of(1, 2, content(0)) == 0);
  using device::checksum::table_shape;
  CHECK(table_shape.data_blocks(4) == 1);
  CHECK(table_shape.data_blocks(66) == 63);
  CHECK(table_shape.data_blocks(67) == 63);
  CHECK(table_shape.data_blocks(68) == 64);
}

TEST_CASE("checksum: conforms") {
  for (const std::uint32_t sector : {512U, 4096U}) {
    World world;
    PowerCut below{world.shard, 70 * 4096 / sector, sector};
    Checksum disk{world.shard, below, {.create = true}};
    REQUIRE(start(world.shard, disk) == "");
    CHECK(disk.geometry().bytes() == 66 * 4096);
    CHECK(run(world.shard, check::check_block(world.shard, disk)) == std::string_view{});
    CHECK(disk.counters().corrupt == 0);
  }
  World world;
  device::Ramdisk memory{world.shard, one_group};
  REQUIRE(run(world.shard, memory.start())->has_value());
  Checksum refused{world.shard, memory, {.create = true}};
  CHECK(start(world.shard, refused).starts_with("checksum: this block device cannot flush"));
  Checksum disk{world.shard, memory, {.create = true, .allow_volatile = true}};
  REQUIRE(start(world.shard, disk) == "");
  CHECK(run(world.shard, check::check_block(world.shard, disk)) == std::string_view{});
}

TEST_CASE("checksum: what is no such disk is refused and left as it is") {
  World world;
  PowerCut blank{world.shard, one_group};
  Checksum one{world.shard, blank, {}};
  CHECK(start(world.shard, one).starts_with("checksum: the disk is blank"));
  const std::vector<std::byte> noise(one_group * 512, std::byte{0x55});
  PowerCut foreign{world.shard, noise};
  Checksum two{world.shard, foreign, {.create = true}};
  CHECK(start(world.shard, two).starts_with("checksum: the disk holds something else"));
  CHECK(foreign.events() == 0);
  PowerCut small{world.shard, 24};
  Checksum three{world.shard, small, {.create = true}};
  CHECK(start(world.shard, three).starts_with("checksum: disks of at least"));
  PowerCut whole{world.shard, one_group};
  Checksum four{world.shard, whole, {.create = true}};
  REQUIRE(start(world.shard, four) == "");
  PowerCut cut{world.shard, whole.content().first(whole.content().size() / 2)};
  Checksum five{world.shard, cut, {.create = true}};
  CHECK(start(world.shard, five).starts_with("checksum: the disk is truncated"));
}

TEST_CASE("checksum: every flipped bit is an error or changes nothing") {
  World world;
  PowerCut below{world.shard, 4 * 8};
  std::uint32_t good = 0;
  {
    Checksum disk{world.shard, below, {.create = true}};
    REQUIRE(start(world.shard, disk) == "");
    // Written, overwritten and never written; the second content differs from the first by one bit.
    for (std::uint64_t sector = 0; sector < 5; ++sector) REQUIRE(write(world.shard, disk, sector, 9));
    REQUIRE(run(world.shard, disk.flush())->has_value());
    for (std::uint64_t sector = 2; sector < 4; ++sector) {
      std::vector<std::byte> bytes = content(9);
      bytes[0] ^= std::byte{1};
      REQUIRE(run(world.shard, disk.write(sector, bytes))->has_value());
    }
    REQUIRE(run(world.shard, disk.flush())->has_value());
  }
  std::vector<std::byte> all(4096);
  std::vector<std::byte> found(4096);
  Checksum disk{world.shard, below, {}};
  REQUIRE(start(world.shard, disk) == "");
  REQUIRE(run(world.shard, disk.read(0, all))->has_value());
  // Data: the open disk finds it.
  const std::uint64_t data = 2 * 4096 * 8;
  for (std::uint64_t bit = data; bit < data + 4096 * 8; ++bit) {
    below.flip_bit(bit);
    CHECK_FALSE(run(world.shard, disk.read((bit - data) / 4096, MutableBytes{found}.first(512)))->has_value());
    below.flip_bit(bit);
  }
  // A table or a header: whoever opens it. Every bit of what is in use, samples of the zeros behind it.
  for (std::uint64_t bit = 0; bit < 4 * 4096 * 8; bit += bit % (4096 * 8) < 640 ? 1 : 61) {
    if (bit >= data && bit < data + 4096 * 8) continue;
    below.flip_bit(bit);
    Checksum opened{world.shard, below, {.tables = 0}};
    if (start(world.shard, opened) == "" && run(world.shard, opened.read(0, found)).value()) {
      REQUIRE(found == all);
      ++good;
    }
    below.flip_bit(bit);
  }
  CHECK(good > 500);  // headers
  CHECK(disk.counters().corrupt >= 4096 * 8);
}

TEST_CASE("checksum: a damaged table costs its sectors only, one header nothing") {
  World world;
  PowerCut below{world.shard, one_group};
  {
    Checksum disk{world.shard, below, {.create = true}};
    REQUIRE(start(world.shard, disk) == "");
    for (const std::uint64_t sector : {0U, 62U, 63U}) REQUIRE(write(world.shard, disk, sector, 3));
    REQUIRE(run(world.shard, disk.flush())->has_value());
  }
  below.flip_bit(8 * (4096 + 100));
  below.flip_bit(8 * 20);
  Checksum disk{world.shard, below, {}};
  REQUIRE(start(world.shard, disk) == "");
  CHECK(world.environment.console.find("one of the two headers is damaged") != std::string::npos);
  CHECK_FALSE(is_one_of(world.shard, disk, 0, {3}));
  CHECK_FALSE(is_one_of(world.shard, disk, 62, {3}));
  CHECK(is_one_of(world.shard, disk, 63, {3}));
  CHECK_FALSE(write(world.shard, disk, 5, 4));
  CHECK(write(world.shard, disk, 64, 4));
  CHECK(disk.counters().damaged_tables == 1);
  below.flip_bit(8 * ((one_group - 8) * 512 + 20));
  Checksum neither{world.shard, below, {}};
  CHECK(start(world.shard, neither).starts_with("checksum: both headers are damaged"));
}

namespace {

Task<void> write_one(Shard&, Checksum<PowerCut>& disk, std::uint64_t sector, Bytes bytes, unsigned& failed) {
  if (!co_await disk.write(sector, bytes)) ++failed;
}
Task<void> read_one(Shard&, Checksum<PowerCut>& disk, std::uint64_t sector, MutableBytes bytes, unsigned& failed) {
  if (!co_await disk.read(sector, bytes)) ++failed;
}
Task<unsigned> write_many(Shard& shard, Checksum<PowerCut>& disk, std::uint64_t step, Bytes bytes, bool and_read) {
  unsigned failed = 0;
  std::vector<std::byte> in(16 * 512);
  Scope scope{shard};
  for (std::uint64_t i = 0; i < 16; ++i) {
    if (!scope.spawn(write_one(shard, disk, i * step, bytes.subspan(i * 512, 512), failed))) ++failed;
    if (!and_read) continue;
    if (!scope.spawn(read_one(shard, disk, i * step, MutableBytes{in}.subspan(i * 512, 512), failed))) ++failed;
  }
  (void)co_await disk.flush();
  co_await scope.join();
  co_return failed;
}

}  // namespace

TEST_CASE("checksum: what the last table says of units beyond the disk is not looked at") {
  World world;
  PowerCut below{world.shard, 10 * 8};  // 7 blocks of data
  {
    Checksum disk{world.shard, below, {.create = true}};
    REQUIRE(start(world.shard, disk) == "");
    REQUIRE(write(world.shard, disk, 55, 1));
    REQUIRE(run(world.shard, disk.flush())->has_value());
  }
  device::checksum::Scheme scheme;
  REQUIRE(scheme.use(below.content().first(4096)));
  std::vector<std::byte> block(below.content().begin() + 4096, below.content().begin() + 8192);
  const device::tagged::Table table{scheme.shape(), block};
  for (const std::size_t unit : {56UZ, 100UZ, 503UZ}) table.is(unit)[0] ^= std::byte{1};
  for (std::size_t sector = 0; sector < 8; ++sector) scheme.seal(0, sector, table.sector(sector));
  REQUIRE(run(world.shard, below.write(8, block))->has_value());
  Checksum disk{world.shard, below, {}};
  REQUIRE(start(world.shard, disk) == "");
  CHECK(is_one_of(world.shard, disk, 55, {1}));
  CHECK(disk.counters().recovered == 0);
}

TEST_CASE("checksum: writes that come together share the flush of their tables") {
  World world;
  PowerCut below{world.shard, 40 * one_group};
  Checksum disk{world.shard, below, {.create = true}};
  REQUIRE(start(world.shard, disk) == "");
  const auto before = disk.counters();
  CHECK(run(world.shard, write_many(world.shard, disk, 1, content(1, 16 * 512), false)) == 0U);
  // The first leads alone, the others follow together.
  CHECK(disk.counters().batches - before.batches == 2);
  CHECK(disk.counters().barriers - before.barriers <= 3);
  // Overlapping, in many groups, and read meanwhile: never an error.
  for (std::uint32_t seed = 2; seed < 4; ++seed) {
    for (const std::uint64_t step : {0U, 1U, 504U})
      REQUIRE(run(world.shard, write_many(world.shard, disk, step, content(seed, 16 * 512), true)) == 0U);
  }
  // More groups than tables are held.
  for (std::uint64_t group = 0; group < 40; ++group) REQUIRE(write(world.shard, disk, group * 504 + 5, 99));
  for (std::uint64_t group = 0; group < 40; ++group) REQUIRE(is_one_of(world.shard, disk, group * 504 + 5, {99}));
  // Longer than a batch may be.
  std::vector<std::byte> large = content(7, 19 * 504 * 512);
  REQUIRE(run(world.shard, disk.write(100, large))->has_value());
  std::vector<std::byte> back(large.size());
  REQUIRE(run(world.shard, disk.read(100, back))->has_value());
  CHECK(back == large);
  CHECK(disk.counters().corrupt == 0);
}

TEST_CASE("checksum: after a failed write or flush nothing more is written, and reading goes on") {
  for (const std::uint64_t nth : {0U, 1U, 2U, 3U}) {
    for (const bool flush : {false, true}) {
      World world;
      PowerCut below{world.shard, one_group};
      Checksum disk{world.shard, below, {.create = true}};
      REQUIRE(start(world.shard, disk) == "");
      REQUIRE(write(world.shard, disk, 1, 1));
      REQUIRE(run(world.shard, disk.flush())->has_value());
      below.set_faults(flush ? PowerCut::Faults{.flush = nth} : PowerCut::Faults{.write = nth});
      for (std::uint32_t i = 2; i < 6 && !below.struck(); ++i) {
        (void)write(world.shard, disk, 1, i);
        if (!below.struck()) (void)run(world.shard, disk.flush());
      }
      REQUIRE(below.struck());
      const std::size_t events = below.events();
      CHECK_FALSE(write(world.shard, disk, 2, 1));
      CHECK_FALSE(run(world.shard, disk.flush())->has_value());
      CHECK(below.events() == events);
      CHECK(is_one_of(world.shard, disk, 1, {1, 2, 3, 4, 5}));
      Checksum again{world.shard, below, {}};
      REQUIRE(start(world.shard, again) == "");
      CHECK(is_one_of(world.shard, again, 1, {1, 2, 3, 4, 5}));
    }
  }
}

TEST_CASE("checksum: the disk of somebody else is not made one") { disk_test::refuse_foreign<Kind>(4 * 8); }

TEST_CASE("checksum: a cut while it is formatted leaves a blank disk or an empty one") {
  disk_test::cut_format<Kind>(4 * 8);
}

TEST_CASE("checksum: a power cut leaves old or new content, and no error") { disk_test::cut<Kind>(one_group + 16); }

TEST_CASE("checksum: cuts again, after a cut, while it recovers and goes on") {
  disk_test::cut_again<Kind>(one_group + 16);
}
