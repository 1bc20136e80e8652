// SPDX-License-Identifier: ISC
// Power cuts of disks with tags, for the tests of each: what they may hold is old or new, and never an error.
//
// A `Kind` has a type World (or one derived from it), nine places `where`, and disk(world, below): the disk, created if
// it is blank, with the least memory.
#pragma once

#include <array>
#include <cstdlib>
#include <random>
#include <string>
#include <vector>

#include <doctest/doctest.h>

#include <mirage/async/scope.hpp>
#include <mirage/device/power_cut/power_cut.hpp>
#include <mirage/module/block.hpp>
#include <mirage/module/check/virtual_environment.hpp>

namespace mirage::disk_test {

using device::CutExplorer;
using device::PowerCut;

struct World {
  check::VirtualEnvironment environment;
  Shard shard{environment};
};

/// What it says when it does not start.
template <class D>
std::string start(Shard& shard, D& disk) {
  const auto started = run(shard, disk.start());
  return !started ? "not run" : *started ? "" : std::string{started->error().text()};
}

/// A sector of this number's content.
inline std::vector<std::byte> content(std::uint32_t seed, std::size_t size = 512) {
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

/// MIRAGE_CUT_FACTOR=10 looks longer.
inline std::uint32_t operations(std::uint32_t count) {
  const char* factor = std::getenv("MIRAGE_CUT_FACTOR");
  return factor == nullptr ? count : count * static_cast<std::uint32_t>(std::max(1, std::atoi(factor)));
}

inline constexpr std::size_t places = 9;

/// What each place may hold: what was last flushed, and what was written since.
struct Model {
  std::array<std::vector<std::uint32_t>, places> may{};
  Model() { may.fill({0}); }
};
/// What may be there from an event of the record on.
using Models = std::vector<std::pair<std::size_t, Model>>;

/// Writes and flushes.
template <class Kind>
Models work(typename Kind::World& world, PowerCut& below, std::uint32_t seed, std::uint32_t count, Model model = {}) {
  std::mt19937 random{seed};
  Models models;
  auto disk = Kind::disk(world, below);
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
    REQUIRE(write(world.shard, disk, Kind::where[place], next++));
  }
  return models;
}

template <class Kind, class D>
bool all_allowed(Shard& shard, D& disk, const Model& model) {
  for (std::size_t place = 0; place < places; ++place) {
    if (!is_one_of(shard, disk, Kind::where[place], model.may[place])) return false;
  }
  return true;
}

/// Tries images of every cut.
template <class Kind>
std::size_t explore(typename Kind::World& world, const PowerCut& below, const Models& models, std::size_t step) {
  CutExplorer explorer{world.shard, below, 1, 4};
  std::size_t tried = 0;
  std::size_t current = 0;
  while (explorer.advance()) {
    if (explorer.event() < models.front().first) continue;  // it is being formatted
    while (current + 1 < models.size() && models[current + 1].first <= explorer.event()) ++current;
    for (std::size_t variant = 0; variant < explorer.variants(); variant += step) {
      device::CutImage& image = explorer.image(variant);
      auto disk = Kind::disk(world, image);
      REQUIRE(start(world.shard, disk) == "");
      REQUIRE(all_allowed<Kind>(world.shard, disk, models[current].second));
      // What was recovered is settled: a second look finds the same.
      auto again = Kind::disk(world, image);
      REQUIRE(start(world.shard, again) == "");
      REQUIRE(all_allowed<Kind>(world.shard, again, models[current].second));
      REQUIRE(again.counters().recovered == 0);
      ++tried;
    }
  }
  return tried;
}

/// Zeros where the headers would be, and somebody's elsewhere: refused, and nothing is written.
template <class Kind>
void refuse_foreign(std::uint64_t sectors) {
  typename Kind::World world;
  for (const std::uint64_t place : {std::uint64_t{8}, std::uint64_t{9}, sectors / 2, sectors - 9}) {
    std::vector<std::byte> image(sectors * 512);
    image[place * 512] = std::byte{1};
    PowerCut below{world.shard, image};
    auto made = Kind::disk(world, below);
    CHECK(start(world.shard, made).find("holds something else: left as it is") != std::string::npos);
    CHECK(below.events() == 0);
  }
}

/// A cut while it is formatted leaves a blank disk or an empty one.
template <class Kind>
void cut_format(std::uint64_t sectors) {
  typename Kind::World world;
  PowerCut below{world.shard, sectors};
  auto made = Kind::disk(world, below);
  REQUIRE(start(world.shard, made) == "");
  CutExplorer explorer{world.shard, below, 1, 4};
  while (explorer.advance()) {
    for (std::size_t variant = 0; variant < explorer.variants(); ++variant) {
      auto disk = Kind::disk(world, explorer.image(variant));
      REQUIRE(start(world.shard, disk) == "");
      REQUIRE(is_one_of(world.shard, disk, 3, {0}));
    }
  }
}

/// A power cut leaves old or new content, and no error. Tries one of `step` images.
template <class Kind>
void cut(std::uint64_t sectors, std::size_t step = 1) {
  typename Kind::World world;
  PowerCut below{world.shard, sectors};
  const Models models = work<Kind>(world, below, 1, operations(8));
  CHECK(explore<Kind>(world, below, models, step) > 100 / step);
}

/// What is there now is old enough to be durable: the image is what the medium holds.
template <class Kind>
Model found(typename Kind::World& world, Bytes image, Model may) {
  PowerCut medium{world.shard, image};
  for (std::size_t place = 0; place < places; ++place) {
    auto reader = Kind::disk(world, medium);
    REQUIRE(start(world.shard, reader) == "");
    std::erase_if(may.may[place],
                  [&](std::uint32_t seed) { return !is_one_of(world.shard, reader, Kind::where[place], {seed}); });
    REQUIRE(may.may[place].size() == 1);
  }
  return may;
}

/// Cuts again, after a cut, while it recovers and goes on.
template <class Kind>
void cut_again(std::uint64_t sectors) {
  std::mt19937 random{3};
  for (std::uint32_t life = 2; life < 2 + operations(1); ++life) {
    typename Kind::World world;
    PowerCut below{world.shard, sectors};
    const Models models = work<Kind>(world, below, life, 12);
    CutExplorer explorer{world.shard, below, life, 4};
    const std::size_t at = models.front().first + random() % (below.events() - models.front().first);
    while (explorer.advance() && explorer.event() < at) {
    }
    std::size_t current = 0;
    while (current + 1 < models.size() && models[current + 1].first <= explorer.event()) ++current;
    const device::CutImage& image = explorer.image(random() % explorer.variants());
    const Model now = found<Kind>(world, image.content(), models[current].second);
    PowerCut again{world.shard, image.content()};
    const Models later = work<Kind>(world, again, life + 20, 8, now);
    CHECK(explore<Kind>(world, again, later, 2) > 50);
  }
}

}  // namespace mirage::disk_test
