// SPDX-License-Identifier: ISC
#include <algorithm>
#include <set>
#include <string>

#include <doctest/doctest.h>

#include <mirage/async/scope.hpp>
#include <mirage/device/power_cut/power_cut.hpp>
#include <mirage/module/check/block.hpp>
#include <mirage/module/check/virtual_environment.hpp>

using namespace mirage;
using device::CutExplorer;
using device::PowerCut;

namespace {

struct World {
  check::VirtualEnvironment environment;
  Shard shard{environment};
};

Task<bool> fill(Shard&, PowerCut& disk, std::uint64_t sector, std::size_t sectors, char c) {
  const std::string text(sectors * 512, c);
  co_return (co_await disk.write(sector, as_bytes(text))).has_value();
}

/// First characters of the sectors: the state of a small disk.
std::string state(Bytes image) {
  std::string out;
  for (std::size_t at = 0; at < image.size(); at += 512) {
    out += image[at] == std::byte{} ? '.' : static_cast<char>(image[at]);
  }
  return out;
}

std::set<std::string> images(CutExplorer& explorer) {
  std::set<std::string> found;
  for (std::size_t i = 0; i < explorer.variants(); ++i) {
    const std::string each = state(explorer.image(i).content());
    CHECK(explorer.is_new() == found.insert(each).second);
  }
  return found;
}

Task<bool> two_flushed_one_not(Shard& shard, PowerCut& disk) {
  bool good = co_await fill(shard, disk, 0, 1, 'a') && co_await fill(shard, disk, 1, 1, 'b');
  good = good && co_await disk.flush() && co_await fill(shard, disk, 0, 2, 'c');
  co_return good;
}

Task<void> flush_into(Shard&, PowerCut& disk, bool& done) { done = (co_await disk.flush()).has_value(); }

Task<bool> flush_while_writing(Shard& shard, PowerCut& disk) {
  bool done = false;
  Scope scope{shard};
  // The write is submitted before the flush and completes after it was submitted: it is not covered.
  auto write = [](Shard& on, PowerCut& to) -> Task<void> { (void)co_await fill(on, to, 0, 1, 'a'); };
  const bool spawned = scope.spawn(write(shard, disk)) && scope.spawn(flush_into(shard, disk, done));
  co_await scope.join();
  co_return spawned&& done&& co_await fill(shard, disk, 1, 1, 'b');
}

}  // namespace

TEST_CASE("power_cut: conforms") {
  World world;
  PowerCut disk{world.shard, 16};
  CHECK(run(world.shard, check::check_block(world.shard, disk)) == std::string_view{});
  device::CutImage image{world.shard, disk.content(), 512};
  CHECK(run(world.shard, check::check_block(world.shard, image)) == std::string_view{});
  image.undo();
  CHECK(std::ranges::equal(image.content(), disk.content()));
}

TEST_CASE("power_cut: the images at each cut") {
  World world;
  PowerCut disk{world.shard, 3};
  REQUIRE(run(world.shard, two_flushed_one_not(world.shard, disk)) == true);
  CutExplorer explorer{world.shard, disk};
  using Set = std::set<std::string>;
  REQUIRE(explorer.advance());  // the first write
  CHECK(images(explorer) == Set{"...", "a.."});
  REQUIRE(explorer.advance());  // the second
  CHECK(images(explorer) == Set{"...", "a..", ".b.", "ab."});
  REQUIRE(explorer.advance());  // the flush has not completed
  CHECK(images(explorer) == Set{"...", "a..", ".b.", "ab."});
  REQUIRE(explorer.advance());  // what is flushed stays; the third write of two sectors may be torn
  CHECK(images(explorer) == Set{"ab.", "cc.", "cb.", "ac."});
  CHECK_FALSE(explorer.advance());
}

TEST_CASE("power_cut: a flush does not cover a write that was under way") {
  World world;
  PowerCut disk{world.shard, 2};
  REQUIRE(run(world.shard, flush_while_writing(world.shard, disk)) == true);
  REQUIRE(disk.events() == 3);
  CutExplorer explorer{world.shard, disk};
  while (explorer.advance()) {
  }
  CutExplorer last{world.shard, disk};
  for (int i = 0; i < 3; ++i) REQUIRE(last.advance());
  CHECK(images(last) == std::set<std::string>{"..", "a.", ".b", "ab"});
}

TEST_CASE("power_cut: faults") {
  World world;
  PowerCut disk{world.shard, 4};
  const auto write = [&] { return run(world.shard, fill(world.shard, disk, 0, 1, 'x')) == true; };
  disk.set_faults({.write = 1});
  CHECK(write());
  CHECK_FALSE(write());
  CHECK(disk.struck());
  CHECK(write());
  disk.set_faults({.flush = 0});
  CHECK_FALSE(run(world.shard, disk.flush())->has_value());
  CHECK(run(world.shard, disk.flush())->has_value());
  disk.set_faults({.power_off = 1});
  CHECK(write());
  CHECK_FALSE(write());
  CHECK_FALSE(run(world.shard, disk.flush())->has_value());
  std::array<std::byte, 512> sector;
  CHECK_FALSE(run(world.shard, disk.read(0, sector))->has_value());
}
