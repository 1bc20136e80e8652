// SPDX-License-Identifier: ISC
// Pages of large values: what stays in memory, and what reaches the disk.
#include <string>

#include <doctest/doctest.h>

#include <mirage/async/scope.hpp>
#include <mirage/device/power_cut/power_cut.hpp>
#include <mirage/device/ramdisk/ramdisk.hpp>
#include <mirage/module/check/virtual_environment.hpp>
#include <mirage/store/tree/tree.hpp>

using namespace mirage;

namespace {

constexpr std::size_t page_size = store::tree::page_size;

std::string page_of(char with) { return std::string(page_size, with); }

/// A store with the value "v": a page of each of the letters a to j.
template <class D>
struct World {
  check::VirtualEnvironment environment;
  Shard shard{environment};
  D disk;
  store::Tree<D> tree{shard, disk, {.allow_volatile = true, .format_blank = true}};

  explicit World(std::uint64_t sectors) : disk(shard, sectors) {
    if constexpr (requires { disk.start(); }) REQUIRE(run(shard, disk.start()).value());
    REQUIRE(run(shard, tree.start()).value());
    std::string value;
    for (char c = 'a'; c <= 'j'; ++c) value += page_of(c);
    REQUIRE(run(shard, tree.set("v", as_bytes(value))).value());
  }
  template <class K>
  static Task<Result<std::size_t, KvError>> read_into(Shard&, K& store, std::uint64_t offset, std::string& in) {
    co_return co_await store.read_into("v", offset, std::as_writable_bytes(std::span{in}));
  }
  /// The page's first letter, when it has no other; else '?'.
  char read(std::size_t index) {
    std::string page(page_size, '-');
    const auto count = run(shard, read_into(shard, tree, index * page_size, page)).value();
    return count == page_size && page == page_of(page[0]) ? page[0] : '?';
  }
  void write(std::size_t index, char with) {
    REQUIRE(run(shard, tree.set_partial("v", index * page_size, as_bytes(page_of(with)))).value());
  }
  [[nodiscard]] std::uint64_t hits() const { return tree.counters().data_hits; }
};

template <class D>
void reads_once(std::uint64_t sectors) {
  World<D> world{sectors};
  CHECK(world.read(3) == 'd');
  CHECK(world.hits() == 0);
  CHECK(world.read(3) == 'd');
  CHECK(world.read(3) == 'd');
  CHECK(world.hits() == 2);
  // Other pages take the place of old ones, on the disk too: never their content.
  for (int round = 0; round < 40; ++round) {
    for (std::size_t index = 0; index < 10; ++index) {
      const char with = static_cast<char>('a' + (static_cast<std::size_t>(round) + index) % 26);
      world.write(index, with);
      CHECK(world.read(index) == with);
      CHECK(world.read(index) == with);
    }
  }
}

}  // namespace

TEST_CASE("tree: a page that was read stays in memory until it is another") {
  SUBCASE("from a disk that answers at once") { reads_once<device::Ramdisk>(2'048); }
  SUBCASE("from a disk that answers later") { reads_once<device::PowerCut>(2'048); }
}

TEST_CASE("tree: pages that are read do not crowd out nodes that are in use") {
  World<device::Ramdisk> world{16'384};
  const std::string large(4 << 20, 'x');  // more than the cache
  REQUIRE(run(world.shard, world.tree.set("v", as_bytes(large))).value());
  for (std::size_t index = 0; index < 1'024; ++index) CHECK(world.read(index) == 'x');
  CHECK(world.tree.counters().node_reads == 0);
}
