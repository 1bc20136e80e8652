// SPDX-License-Identifier: ISC
// Pages of large values: what stays in memory, and what reaches the disk.
#include <algorithm>
#include <array>
#include <string>
#include <vector>

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

TEST_CASE("tree: where a value's pages lie is remembered until it changes, and of one value only") {
  World<device::Ramdisk> world{2'048};
  std::string model = "abcdefghij";
  const auto check_all = [&] {
    std::string found;
    for (std::size_t index = 0; index < model.size(); ++index) found += world.read(index);
    CHECK(found == model);
  };
  check_all();
  for (std::size_t step = 0; step < 60; ++step) {
    const std::size_t index = step * 7 % model.size();
    model[index] = static_cast<char>('k' + step % 16);
    world.write(index, model[index]);
    check_all();
    if (step % 5 == 0) {  // another one of the same shape, which is given away for it
      std::string other;
      for (const char c : model) other += page_of(static_cast<char>(c - 32));
      REQUIRE(run(world.shard, world.tree.set("w", as_bytes(other))).value());
      REQUIRE(run(world.shard, world.tree.rename("w", "v")).value());
      for (char& c : model) c = static_cast<char>(c - 32);
      check_all();
      std::string back;
      for (char& c : model) back += page_of(c = static_cast<char>(c + 32));
      REQUIRE(run(world.shard, world.tree.remove("v")).value());
      REQUIRE(run(world.shard, world.tree.set("v", as_bytes(back))).value());
      check_all();
    }
  }
}

TEST_CASE("tree: pages that are read do not crowd out nodes that are in use") {
  World<device::Ramdisk> world{16'384};
  const std::string large(4 << 20, 'x');  // more than the cache
  REQUIRE(run(world.shard, world.tree.set("v", as_bytes(large))).value());
  for (std::size_t index = 0; index < 1'024; ++index) CHECK(world.read(index) == 'x');
  CHECK(world.tree.counters().node_reads == 0);
}

TEST_CASE("tree: pages here and there of a value, in one batch, are few requests") {
  World<device::Ramdisk> world{16'384};
  REQUIRE(run(world.shard, world.tree.set("v", as_bytes(std::string(256 * page_size, 'x')))).value());
  const std::string page = page_of('y');
  std::vector<KvChange> changes;
  for (std::size_t i = 0; i < 64; ++i)
    changes.push_back(
        {.kind = KvChange::Kind::set_partial, .key = "v", .value = as_bytes(page), .offset = 3 * i * page_size});
  const std::uint64_t before = world.tree.counters().writes;
  REQUIRE(run(world.shard, world.tree.batch(changes)).value());
  // 64 pages by 16, what is left of the first of them where free space ended, nodes, superblocks.
  CHECK(world.tree.counters().writes - before <= 4 + 1 + 2 + 1);
  for (std::size_t i = 0; i < 192; ++i) CHECK(world.read(i) == (i % 3 == 0 ? 'y' : 'x'));
  // A page that this transaction has written and changes again, in part.
  changes.resize(1);
  changes.push_back({.kind = KvChange::Kind::set_partial, .key = "v", .value = as_bytes("zz"), .offset = 0});
  REQUIRE(run(world.shard, world.tree.batch(changes)).value());
  CHECK(world.read(0) == '?');
  world.write(0, 'z');
  CHECK(world.read(0) == 'z');
}

namespace {

struct Staging : World<device::PowerCut> {
  Staging() : World<device::PowerCut>{2'048} {}
  void stage(std::size_t index, char with) {
    const std::string page = page_of(with);
    const KvChange change{
        .kind = KvChange::Kind::set_partial, .key = "v", .value = as_bytes(page), .offset = index * page_size};
    REQUIRE(run(shard, tree.stage({&change, 1})).value());
  }
  void commit() { REQUIRE(run(shard, tree.batch({})).value()); }
  [[nodiscard]] std::uint64_t flushes() const { return tree.counters().flushes; }
  [[nodiscard]] std::uint64_t used() { return tree.store().core().tree().space().used_pages(); }
  /// What a store that is opened now finds.
  char committed(std::size_t index) { return found_on(disk.content(), index); }
  char found_on(Bytes image, std::size_t index) {
    device::PowerCut copy{shard, image};
    store::Tree later{shard, copy};
    REQUIRE(run(shard, later.start()).value());
    store::tree::WalkReport report;
    REQUIRE(run(shard, later.store().check(report)).value());
    std::string page(page_size, '-');
    REQUIRE(run(shard, read_into(shard, later, index * page_size, page)).value() == page_size);
    return page[0];
  }
};

}  // namespace

TEST_CASE("tree: what is staged is seen at once, costs no flush, and is durable with the next batch") {
  Staging world;
  const std::uint64_t used = world.used();
  const std::uint64_t flushes = world.flushes();
  for (char c = 'k'; c <= 'z'; ++c) {
    world.stage(3, c);
    CHECK(world.read(3) == c);
    CHECK(world.read(4) == 'e');
  }
  CHECK(world.flushes() == flushes);
  CHECK(world.committed(3) == 'd');
  CHECK(world.used() > used + 16);
  SUBCASE("an empty one") { world.commit(); }
  SUBCASE("another change") { world.write(5, 'f'); }
  CHECK(world.flushes() == flushes + 2);
  CHECK(world.committed(3) == 'z');
  CHECK(world.committed(4) == 'e');
  CHECK(world.used() == used);
  // Nothing is left to do.
  world.commit();
  CHECK(world.flushes() == flushes + 2);
}

TEST_CASE("tree: a commit never writes over the superblocks of the one before, however many stages lie between") {
  for (int stages = 0; stages < 4; ++stages) {
    Staging world;
    world.write(3, 'y');
    for (int i = 0; i < stages; ++i) world.stage(3, 'x');
    world.write(3, 'z');
    CHECK(world.committed(3) == 'z');
    std::vector<std::byte> image(world.disk.content().begin(), world.disk.content().end());
    const auto generation = [&image](std::uint32_t slot) {
      const Bytes page = Bytes{image}.subspan(slot * page_size, page_size);
      return store::tree::decode_superblock(page, slot).superblock.generation;
    };
    const std::size_t newer = generation(0) > generation(2) ? 0 : 2;
    std::fill_n(image.begin() + static_cast<std::ptrdiff_t>(newer * page_size), 2 * page_size, std::byte{});
    CHECK(world.found_on(image, 3) == 'y');
  }
}

// Such numbers are forged. If they began at 0 again, what is new would look old.
TEST_CASE("tree: a store that has come to the last number is full, and what was acknowledged stays") {
  using store::tree::decode_superblock, store::tree::last_number, store::tree::Superblock;
  using store::tree::SuperblockState;
  const auto kind_of = [](Shard&, auto& tree, std::string key) -> Task<KvKind> {
    co_return (co_await tree.exists(key)).value();
  };
  for (const bool is_commit : {true, false}) {
    Staging world;
    std::vector<std::byte> image(world.disk.content().begin(), world.disk.content().end());
    Superblock newest;
    for (std::uint32_t slot = 0; slot < store::tree::first_page; ++slot) {
      const auto [state, each] = decode_superblock(Bytes{image}.subspan(slot * page_size, page_size), slot);
      REQUIRE(state == SuperblockState::good);
      if (each.generation > newest.generation) newest = each;
    }
    (is_commit ? newest.generation : newest.next_object) = last_number - 3;
    const auto slot = static_cast<std::uint32_t>(2 * (newest.generation % 2));
    for (std::uint32_t i = slot; i < slot + 2; ++i)
      newest.encode(MutableBytes{image}.subspan(i * page_size, page_size), i);
    device::PowerCut disk{world.shard, image};
    unsigned kept = 0;
    for (unsigned i = 0; i < 8; ++i) {
      store::Tree tree{world.shard, disk};
      REQUIRE(run(world.shard, tree.start()).value());
      const std::string key = "new" + std::to_string(i);
      const auto done = run(world.shard, tree.set(key, as_bytes(page_of('n')))).value();
      if (done) ++kept;
      if (!done) CHECK(done.error() == KvError::no_space);
      for (unsigned k = 0; k <= i; ++k) {
        const auto kind = run(world.shard, kind_of(world.shard, tree, "new" + std::to_string(k)));
        CHECK(kind == (k < kept ? KvKind::value : KvKind::absent));
      }
    }
    CHECK(kept > 0);
    CHECK(kept < 4);
  }
}

TEST_CASE("tree: a snapshot of what is staged stays what it is") {
  Staging world;
  world.stage(3, 'x');
  {
    auto snapshot = run(world.shard, world.tree.snapshot()).value();
    REQUIRE(snapshot.has_value());
    world.stage(3, 'y');
    world.commit();
    world.write(3, 'z');
    const auto old = run(world.shard,
                         [](Shard&, auto& in) -> Task<Result<SliceList, KvError>> {
                           co_return co_await in.get("v", 3 * page_size, 1);
                         }(world.shard, *snapshot))
                         .value();
    REQUIRE(old.has_value());
    CHECK((*old->begin()).text() == "x");
  }
  CHECK(world.read(3) == 'z');
}

TEST_CASE("tree: staging goes on for ever: with little room left it is a commit") {
  Staging world;
  for (int i = 0; i < 400; ++i) world.stage(static_cast<std::size_t>(i % 10), static_cast<char>('a' + i % 26));
  CHECK(world.tree.counters().commits < 10);
  CHECK(world.tree.counters().stages > 390);
}

TEST_CASE("tree: what stages hold is no reason to refuse what there is room for") {
  Staging world;
  for (int i = 0; i < 3; ++i) {
    const std::string value(50 * page_size, 'w');
    const KvChange change{.kind = KvChange::Kind::set, .key = "w", .value = as_bytes(value)};
    REQUIRE(run(world.shard, world.tree.stage({&change, 1})).value());
  }
  REQUIRE(world.tree.store().core().is_ahead());
  REQUIRE(run(world.shard, world.tree.set("x", as_bytes(std::string(100 * page_size, 'x')))).value());
  // What there is none for in any case.
  const auto refused = run(world.shard, world.tree.set("y", as_bytes(std::string(200 * page_size, 'y')))).value();
  CHECK(!refused);
  CHECK(world.committed(3) == 'd');
}

TEST_CASE("tree: the list of what stages hold is bounded") {
  World<device::Ramdisk> world{131'072};
  REQUIRE(run(world.shard, world.tree.set("v", as_bytes(std::string(256 * page_size, 'x')))).value());
  const std::string page = page_of('y');
  std::vector<KvChange> changes;
  for (std::size_t i = 0; i < 128; ++i)
    changes.push_back(
        {.kind = KvChange::Kind::set_partial, .key = "v", .value = as_bytes(page), .offset = 2 * i * page_size});
  const std::uint64_t commits = world.tree.counters().commits;
  // In turns up and down: no page that is given up stands behind the one before.
  for (int i = 0; i < 40; ++i) {
    REQUIRE(run(world.shard, world.tree.stage(changes)).value());
    std::ranges::reverse(changes);
  }
  CHECK(world.tree.counters().commits == commits + 1);
}

namespace {

/// A disk that there is no memory to ask for one of its writes.
struct Refusing : device::PowerCut {
  using PowerCut::PowerCut;
  std::uint64_t refused = PowerCut::never_fails;
  std::uint64_t count = 0;
  Task<Result<void, BlockError>> write(std::uint64_t sector, Bytes bytes) {
    if (count++ == refused) co_return Failure{BlockError::no_memory};
    co_return co_await PowerCut::write(sector, bytes);
  }
};

/// Three changes at a time: the first leads, the others share the commit after its own.
template <class D>
std::array<bool, 3> change_together(World<D>& world, const std::array<KvChange, 3>& changes) {
  std::array<bool, 3> done{};
  const auto one = [](Shard&, auto& tree, const KvChange& change, bool& is_done) -> Task<void> {
    is_done = (co_await tree.batch({&change, 1})).has_value();
  };
  const auto all = [&](Shard& shard) -> Task<bool> {
    Scope scope{shard};
    for (std::size_t i = 0; i < 3; ++i) (void)scope.spawn(one(shard, world.tree, changes[i], done[i]));
    co_await scope.join();
    co_return true;
  };
  REQUIRE(run(world.shard, all(world.shard)) == true);
  return done;
}

bool is_sound(auto& world) {
  store::tree::WalkReport report;
  return run(world.shard, world.tree.store().check(report)).value().has_value();
}

}  // namespace

TEST_CASE("tree: no memory for the write of one change's pages loses none of another's") {
  const std::string five(5 * page_size, 'y');
  for (std::uint64_t refused = 0; refused < 10; ++refused) {
    World<Refusing> world{2'048};
    REQUIRE(run(world.shard, world.tree.set("w", as_bytes(std::string(16 * page_size, 'x')))).value());
    const std::string sixteen(16 * page_size, 'z');
    world.disk.refused = world.disk.count + refused;
    const auto done = change_together(
        world, {KvChange{.kind = KvChange::Kind::set, .key = "k", .value = as_bytes("v")},
                KvChange{.kind = KvChange::Kind::set_partial, .key = "v", .value = as_bytes(five), .offset = 0},
                KvChange{.kind = KvChange::Kind::set_partial, .key = "w", .value = as_bytes(sixteen), .offset = 0}});
    for (std::size_t i = 0; i < 5; ++i) CHECK(world.read(i) == (done[1] ? 'y' : static_cast<char>('a' + i)));
    if (!world.tree.store().is_poisoned()) CHECK(is_sound(world));
  }
}

TEST_CASE("tree: a value that there is no room for is not counted") {
  const std::string page = page_of('x');
  int refused = 0;
  // Among these is one after which no page is left.
  for (std::size_t pages = 58; pages < 76; ++pages) {
    World<device::PowerCut> world{2'048};
    REQUIRE(run(world.shard, world.tree.set("w", as_bytes(std::string(150 * page_size, 'w')))).value());
    const std::string value(pages * page_size, 'y');
    const auto done =
        change_together(world, {KvChange{.kind = KvChange::Kind::set, .key = "k", .value = as_bytes("0")},
                                KvChange{.kind = KvChange::Kind::set, .key = "l", .value = as_bytes(value)},
                                KvChange{.kind = KvChange::Kind::set, .key = "x", .value = as_bytes(page)}});
    refused += done[1] && !done[2] ? 1 : 0;
    CHECK(is_sound(world));
  }
  CHECK(refused > 0);
}
