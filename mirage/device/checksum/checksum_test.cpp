// SPDX-License-Identifier: ISC
#include <cstdlib>
#include <random>
#include <string>

#include <doctest/doctest.h>

#include <mirage/async/scope.hpp>
#include <mirage/device/checksum/checksum.hpp>
#include <mirage/device/power_cut/power_cut.hpp>
#include <mirage/device/ramdisk/ramdisk.hpp>
#include <mirage/module/check/block.hpp>
#include <mirage/module/check/virtual_environment.hpp>
#include <mirage/wire/crc.hpp>

using namespace mirage;
using device::Checksum;
using device::CutExplorer;
using device::PowerCut;

namespace {

struct World {
  check::VirtualEnvironment environment;
  Shard shard{environment};
};

template <class B>
std::string start(Shard& shard, Checksum<B>& disk) {
  const auto started = run(shard, disk.start());
  return !started ? "not run" : *started ? "" : std::string{started->error().text()};
}

/// A sector of this number's content.
std::vector<std::byte> content(std::uint32_t seed, std::size_t size = 512) {
  std::vector<std::byte> bytes(size);
  for (std::size_t i = 0; i < size; ++i) bytes[i] = static_cast<std::byte>(seed * 31 + i * 7 + i / 256);
  for (std::size_t at = 0; seed != 0 && at < size; at += 512)
    store_little(MutableBytes{bytes}, at, seed + static_cast<std::uint32_t>(at));
  if (seed == 0) std::ranges::fill(bytes, std::byte{});
  return bytes;
}

template <class D>
BlockResult write(Shard& shard, D& disk, std::uint64_t sector, std::uint32_t seed, std::size_t size = 512) {
  return *run(shard, disk.write(sector, content(seed, size)));
}

/// Whether the sector can be read, and holds one of these.
template <class D>
bool is_one_of(Shard& shard, D& disk, std::uint64_t sector, const std::vector<std::uint32_t>& seeds) {
  std::vector<std::byte> bytes(512);
  if (!run(shard, disk.read(sector, bytes)).value()) return false;
  return std::ranges::any_of(seeds, [&](std::uint32_t seed) { return bytes == content(seed); });
}

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
  using device::checksum::Layout;
  CHECK(Layout{.blocks = 4}.data_blocks() == 1);
  CHECK(Layout{.blocks = 66}.data_blocks() == 63);
  CHECK(Layout{.blocks = 67}.data_blocks() == 63);
  CHECK(Layout{.blocks = 68}.data_blocks() == 64);
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

namespace {

/// MIRAGE_CUT_FACTOR=10 looks longer.
std::uint32_t operations(std::uint32_t count) {
  const char* factor = std::getenv("MIRAGE_CUT_FACTOR");
  return factor == nullptr ? count : count * static_cast<std::uint32_t>(std::max(1, std::atoi(factor)));
}

constexpr std::uint64_t places = 9;
constexpr std::array<std::uint64_t, places> where{0, 1, 62, 63, 64, 300, 503, 504, 505};

/// What each place may hold: what was last flushed, and what was written since.
struct Model {
  std::array<std::vector<std::uint32_t>, places> may{};
  Model() { may.fill({0}); }
};

/// Writes and flushes; `models[n]` is what may be there from event n of the record on.
void work(World& world, PowerCut& below, std::uint32_t seed, std::uint32_t count, Model model,
          std::vector<std::pair<std::size_t, Model>>& models) {
  std::mt19937 random{seed};
  Checksum disk{world.shard, below, {.create = true}};
  REQUIRE(start(world.shard, disk) == "");
  std::uint32_t next = seed * 1'000 + 1;
  models.emplace_back(below.events(), model);
  for (std::uint32_t i = 0; i < count; ++i) {
    if (random() % 3 == 0) {
      REQUIRE(run(world.shard, disk.flush())->has_value());
      for (auto& may : model.may) may = {may.back()};
      models.emplace_back(below.events(), model);
      continue;
    }
    const std::size_t place = random() % places;
    model.may[place].push_back(next);
    models.emplace_back(below.events(), model);
    REQUIRE(write(world.shard, disk, where[place], next++));
  }
}

bool all_allowed(Shard& shard, Checksum<device::CutImage>& disk, const Model& model) {
  for (std::size_t place = 0; place < places; ++place) {
    if (!is_one_of(shard, disk, where[place], model.may[place])) return false;
  }
  return true;
}

/// Tries images of every cut.
std::size_t explore(World& world, const PowerCut& below, const std::vector<std::pair<std::size_t, Model>>& models,
                    std::size_t variant_step) {
  CutExplorer explorer{world.shard, below, 1, 4};
  std::size_t tried = 0;
  std::size_t current = 0;
  while (explorer.advance()) {
    if (explorer.event() < models.front().first) continue;  // it is being formatted
    while (current + 1 < models.size() && models[current + 1].first <= explorer.event()) ++current;
    for (std::size_t variant = 0; variant < explorer.variants(); variant += variant_step) {
      device::CutImage& image = explorer.image(variant);
      Checksum disk{world.shard, image, {.create = true, .tables = 0}};
      REQUIRE(start(world.shard, disk) == "");
      REQUIRE(all_allowed(world.shard, disk, models[current].second));
      // What was recovered is settled: a second look finds the same.
      Checksum again{world.shard, image, {.tables = 0}};
      REQUIRE(start(world.shard, again) == "");
      REQUIRE(all_allowed(world.shard, again, models[current].second));
      REQUIRE(again.counters().recovered == 0);
      ++tried;
    }
  }
  return tried;
}

}  // namespace

TEST_CASE("checksum: a cut while it is formatted leaves a blank disk or an empty one") {
  World world;
  PowerCut below{world.shard, 4 * 8};
  Checksum made{world.shard, below, {.create = true}};
  REQUIRE(start(world.shard, made) == "");
  CutExplorer explorer{world.shard, below, 1, 4};
  while (explorer.advance()) {
    for (std::size_t variant = 0; variant < explorer.variants(); ++variant) {
      Checksum disk{world.shard, explorer.image(variant), {.create = true}};
      REQUIRE(start(world.shard, disk) == "");
      REQUIRE(is_one_of(world.shard, disk, 3, {0}));
    }
  }
}

TEST_CASE("checksum: a power cut leaves old or new content, and no error") {
  World world;
  PowerCut below{world.shard, one_group + 16};
  std::vector<std::pair<std::size_t, Model>> models;
  work(world, below, 1, operations(8), {}, models);
  CHECK(explore(world, below, models, 1) > 100);
}

TEST_CASE("checksum: cuts again, after a cut, while it recovers and goes on") {
  std::mt19937 random{3};
  for (std::uint32_t life = 2; life < 2 + operations(1); ++life) {
    World world;
    PowerCut below{world.shard, one_group + 16};
    std::vector<std::pair<std::size_t, Model>> models;
    work(world, below, life, 12, {}, models);
    CutExplorer explorer{world.shard, below, life, 4};
    const std::size_t at = models.front().first + random() % (below.events() - models.front().first);
    while (explorer.advance() && explorer.event() < at) {
    }
    std::size_t current = 0;
    while (current + 1 < models.size() && models[current + 1].first <= explorer.event()) ++current;
    const device::CutImage& image = explorer.image(random() % explorer.variants());
    PowerCut second{world.shard, image.content()};
    // What is there now is old enough to be durable: the image is what the medium holds.
    Model now;
    for (std::size_t place = 0; place < places; ++place) {
      Checksum reader{world.shard, second, {}};
      REQUIRE(start(world.shard, reader) == "");
      std::erase_if(models[current].second.may[place],
                    [&](std::uint32_t seed) { return !is_one_of(world.shard, reader, where[place], {seed}); });
      now.may[place] = models[current].second.may[place];
      REQUIRE(now.may[place].size() == 1);
    }
    PowerCut third{world.shard, image.content()};
    std::vector<std::pair<std::size_t, Model>> later;
    work(world, third, life + 20, 8, now, later);
    CHECK(explore(world, third, later, 2) > 50);
  }
}
