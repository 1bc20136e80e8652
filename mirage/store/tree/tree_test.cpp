// SPDX-License-Identifier: ISC
#include <map>
#include <random>
#include <string>

#include <doctest/doctest.h>

#include <mirage/async/scope.hpp>
#include <mirage/device/power_cut/power_cut.hpp>
#include <mirage/device/ramdisk/ramdisk.hpp>
#include <mirage/module/check/kv.hpp>
#include <mirage/module/check/virtual_environment.hpp>
#include <mirage/store/tree/tree.hpp>

using namespace mirage;
using device::CutImage;
using device::PowerCut;
using Disk = PowerCut;
using store::tree::Id;
using store::tree::Options;
using store::tree::WalkReport;
using TreeStore = store::Tree<Disk>;
using Model = std::map<std::string, std::string>;

static_assert(KvStore<TreeStore>);

namespace {

struct World {
  check::VirtualEnvironment environment;
  Shard shard{environment};
};

std::string text_of(const Result<void, StartError>& result) { return result ? "" : std::string{result.error().text()}; }

template <class D>
std::string format(Shard& shard, D& disk, bool force = false, Id id = {1, 2}) {
  store::Tree<D> tree{shard, disk, {.allow_volatile = true}};
  return text_of(run(shard, tree.store().format(id, force)).value());
}

template <class D>
std::string open(Shard& shard, store::Tree<D>& tree) {
  return text_of(run(shard, tree.start()).value());
}

/// Empty, or what the checker says.
template <class D>
std::string check_all(Shard& shard, store::Tree<D>& tree, WalkReport& report) {
  const auto checked = run(shard, tree.store().check(report)).value();
  if (!report.problem.empty()) return std::string{report.problem};
  return checked ? "" : std::string{to_string(checked.error())};
}

template <class D>
std::string check_all(Shard& shard, store::Tree<D>& tree) {
  WalkReport report;
  return check_all(shard, tree, report);
}

template <KvRo K>
Task<bool> read_whole(Shard&, K& store, std::string_view key, std::string& out) {
  out.clear();
  const auto info = co_await store.info(key);
  if (!info) co_return false;
  while (out.size() < info->size) {
    const auto part = co_await store.get(key, out.size(), info->size);
    if (!part || part->empty()) co_return false;
    for (const Slice& slice : *part) out += slice.text();
  }
  co_return true;
}

template <KvRo K>
std::string difference(Shard& shard, K& store, const Model& model) {
  for (const auto& [key, value] : model) {
    std::string found;
    if (run(shard, read_whole(shard, store, key, found)) != true) return key + " is not there";
    if (found != value) return key + " has another value";
  }
  return "";
}

std::string value_of(std::mt19937& random) {
  const std::size_t sizes[] = {0, 10, 100, 900, 1500, 5'000, 9'000, 40'000};
  const std::size_t size = sizes[random() % 8] + random() % 50;
  std::string value(size, '\0');
  for (char& c : value) c = static_cast<char>('a' + random() % 26);
  return value;
}

std::string key_of(std::mt19937& random) {
  std::string key = "k" + std::to_string(random() % 60);
  if (random() % 3 == 0) key = "d" + std::to_string(random() % 4) + "/" + key;
  if (random() % 8 == 0) key += std::string(random() % 700, 'x');
  return key;
}

/// One random change of store and model, which must agree on whether it can be.
template <KvStore K>
bool change(Shard& shard, K& store, Model& model, std::mt19937& random) {
  const std::string key = key_of(random);
  const std::string value = value_of(random);
  const auto found = model.find(key);
  switch (random() % 6) {
    case 0:
      return run(shard, store.remove(key)).value().has_value() == (model.erase(key) == 1);
    case 1: {
      const std::size_t offset = found == model.end() ? 0 : random() % (found->second.size() + 1);
      const auto done = run(shard, store.set_partial(key, offset, as_bytes(value))).value();
      std::string& now = model[key];
      now.resize(std::max(now.size(), offset + value.size()));
      now.replace(offset, value.size(), value);
      return done.has_value();
    }
    case 2: {
      const std::size_t size = random() % 50'000;
      const KvChange resize[] = {{.kind = KvChange::Kind::resize, .key = key, .offset = size}};
      model[key].resize(size);
      return run(shard, store.batch(resize)).value().has_value();
    }
    case 3: {
      const std::string to = key_of(random);
      const auto done = run(shard, store.rename(key, to)).value();
      if (found == model.end()) return !done.has_value();
      std::string moved = found->second;
      model.erase(found);
      model[to] = moved;
      return done.has_value();
    }
    default:
      model[key] = value;
      return run(shard, store.set(key, as_bytes(value))).value().has_value();
  }
}

}  // namespace

TEST_CASE("tree: conforms") {
  World world;
  Disk disk{world.shard, 4096};
  REQUIRE(format(world.shard, disk) == "");
  TreeStore tree{world.shard, disk};
  REQUIRE(open(world.shard, tree) == "");
  CHECK(run(world.shard, check::check_kv_rw(world.shard, tree)) == std::string_view{});
  CHECK(run(world.shard, check::check_kv_batch(world.shard, tree)) == std::string_view{});
  CHECK(run(world.shard, check::check_kv_snapshot(world.shard, tree)) == std::string_view{});
  CHECK(check_all(world.shard, tree) == "");
  CHECK(tree.store().core().state().used == 0);
  CHECK(tree.store().core().tree().space().used_pages() == 0);
}

TEST_CASE("tree: random changes, opened again and again, with little memory") {
  World world;
  Disk disk{world.shard, 40'000};
  REQUIRE(format(world.shard, disk) == "");
  Model model;
  std::mt19937 random{7};
  for (int round = 0; round < 4; ++round) {
    TreeStore tree{world.shard, disk, {.cache_bytes = 0}};
    REQUIRE(open(world.shard, tree) == "");
    CHECK(difference(world.shard, tree, model) == "");
    for (int i = 0; i < 40; ++i) REQUIRE(change(world.shard, tree, model, random));
    WalkReport report;
    CHECK(check_all(world.shard, tree, report) == "");
    CHECK(report.keys == model.size());
    CHECK(report.used() == tree.store().core().tree().space().used_pages());
  }
}

TEST_CASE("tree: many keys, in order and at random, and gone again") {
  World world;
  Disk disk{world.shard, 60'000};
  REQUIRE(format(world.shard, disk) == "");
  TreeStore tree{world.shard, disk, {.cache_bytes = 0}};
  REQUIRE(open(world.shard, tree) == "");
  const auto batch = [&](auto name, int from, int to) {
    std::vector<std::string> keys;
    std::vector<KvChange> changes;
    for (int i = from; i < to; ++i) keys.push_back(name(i));
    for (const std::string& key : keys) changes.push_back({.key = key, .value = as_bytes(key)});
    return run(world.shard, tree.batch(changes)).value().has_value();
  };
  const auto in_order = [](int i) { return "a/" + std::to_string(100'000 + i); };
  const auto at_random = [](int i) { return "b/" + std::to_string(static_cast<unsigned>(i) * 2654435761U); };
  for (int i = 0; i < 1'200; i += 300) REQUIRE(batch(in_order, i, i + 300));
  REQUIRE(batch(at_random, 0, 1'200));
  CHECK(check_all(world.shard, tree) == "");
  CHECK(tree.store().core().state().keys == 2'400);
  CHECK(run(world.shard, check::count_entries(world.shard, tree, "a", 1'000)) == std::size_t{1'200});
  for (int i = 0; i < 1'200; i += 17) {
    const std::string key = at_random(i);
    REQUIRE(run(world.shard, tree.remove(key)).value().has_value());
  }
  CHECK(check_all(world.shard, tree) == "");
  REQUIRE(run(world.shard, tree.rename("a", "c/d")).value().has_value());
  CHECK(check_all(world.shard, tree) == "");
  REQUIRE(run(world.shard, tree.remove("b")).value().has_value());
  CHECK(check_all(world.shard, tree) == "");
  REQUIRE(run(world.shard, tree.remove("")).value().has_value());
  CHECK(check_all(world.shard, tree) == "");
  CHECK(tree.store().core().state().used == 0);
}

namespace {
Task<Result<void, KvError>> get_root(Shard&, TreeStore& tree) {
  const auto got = co_await tree.get("", 0, 10);
  if (!got) co_return Failure{got.error()};
  co_return Result<void, KvError>{};
}
}  // namespace

TEST_CASE("tree: the root is no value, of an empty store neither") {
  World world;
  Disk disk{world.shard, 4096};
  REQUIRE(format(world.shard, disk) == "");
  TreeStore tree{world.shard, disk};
  REQUIRE(open(world.shard, tree) == "");
  const Result<void, KvError> no_value{Failure{KvError::not_a_value}};
  CHECK(run(world.shard, get_root(world.shard, tree)) == no_value);
  REQUIRE(run(world.shard, tree.set("a", as_bytes("1"))).value().has_value());
  CHECK(run(world.shard, get_root(world.shard, tree)) == no_value);
}

TEST_CASE("tree: a page of a listing may need more nodes than one step has tries") {
  World world;
  Disk disk{world.shard, 60'000};
  REQUIRE(format(world.shard, disk) == "");
  constexpr int directories = 160;
  {
    TreeStore tree{world.shard, disk};
    REQUIRE(open(world.shard, tree) == "");
    // Keys that differ at their ends only: three or four of them to a node, a directory has nodes of all levels.
    const std::string middle(900, 'x');
    std::vector<std::string> keys;
    for (int i = 0; i < directories; ++i) {
      for (int k = 10; k < 40; ++k) keys.push_back("d" + std::to_string(1'000 + i) + "/" + middle + std::to_string(k));
    }
    std::vector<KvChange> changes;
    for (const std::string& key : keys) changes.push_back({.key = key, .value = as_bytes("v")});
    REQUIRE(run(world.shard, tree.batch(changes)).value().has_value());
  }
  TreeStore tree{world.shard, disk, {.cache_bytes = 0}};
  REQUIRE(open(world.shard, tree) == "");
  const std::uint64_t before = tree.counters().node_reads;
  const auto page = run(world.shard, tree.list("", "", 1'000)).value();
  REQUIRE(page.has_value());
  CHECK(page->size() > 100);  // what fits
  CHECK(page->more());
  CHECK(tree.counters().node_reads - before > 256);
}

namespace {

/// Sequences of puts from anywhere, among them removals and, seldom, a name that is a directory's: that one is refused,
/// and with it the batch. `grow`: what the model says it will be.
struct Sequences {
  std::vector<std::string> keys;
  std::vector<KvChange> changes;
  Model after;
  bool is_refused = false;

  Sequences(const Model& model, std::mt19937& random) : after(model) {
    keys.reserve(1'000);
    while (keys.size() < 600) add_one(random);
  }

 private:
  static std::string name(std::size_t number) {
    return "d" + std::to_string(1'000 + number / 10) + "/k" + std::to_string(number % 10);
  }
  void add_one(std::mt19937& random) {
    const std::size_t first = random() % 4'000;
    for (std::size_t i = 0; i < random() % 40; ++i) {
      const std::string& key = keys.emplace_back(name(first + i * 3));
      const std::string_view value = std::string_view{key}.substr(random() % key.size());
      changes.push_back({.key = key, .value = as_bytes(value)});
      after[key] = value;
    }
    if (!after.empty() && random() % 4 == 0) {
      const auto found = std::next(after.begin(), static_cast<std::ptrdiff_t>(random() % after.size()));
      changes.push_back({.kind = KvChange::Kind::remove, .key = keys.emplace_back(found->first)});
      after.erase(found);
    }
    if (!after.empty() && random() % 60 == 0) {
      const auto found = std::next(after.begin(), static_cast<std::ptrdiff_t>(random() % after.size()));
      const std::string& key = keys.emplace_back(found->first.substr(0, found->first.find('/')));
      changes.push_back({.key = key, .value = as_bytes(key)});
      is_refused = true;
    }
  }
};

}  // namespace

TEST_CASE("tree: sequences of puts from anywhere, among others' keys and removals") {
  for (const std::size_t cache : {std::size_t{0}, std::size_t{4} << 20}) {
    World world;
    Disk disk{world.shard, 60'000};
    REQUIRE(format(world.shard, disk) == "");
    TreeStore tree{world.shard, disk, {.cache_bytes = cache}};
    REQUIRE(open(world.shard, tree) == "");
    Model model;
    std::mt19937 random{11};
    int refused = 0;
    for (int round = 0; round < 40; ++round) {
      const Sequences next{model, random};
      REQUIRE(run(world.shard, tree.batch(next.changes)).value().has_value() == !next.is_refused);
      if (!next.is_refused) model = next.after;
      refused += next.is_refused ? 1 : 0;
    }
    CHECK(refused > 5);
    CHECK(refused < 35);
    CHECK(difference(world.shard, tree, model) == "");
    WalkReport report;
    CHECK(check_all(world.shard, tree, report) == "");
    CHECK(report.keys == model.size());
    CHECK(report.used() == tree.store().core().tree().space().used_pages());
  }
}

namespace {
Task<void> set_into(Shard&, TreeStore& tree, std::string key, int& done) {
  done += co_await tree.set(key, as_bytes(key)) ? 1 : 0;
}
}  // namespace

TEST_CASE("tree: concurrent changes share commits") {
  World world;
  Disk disk{world.shard, 4096};
  REQUIRE(format(world.shard, disk) == "");
  TreeStore tree{world.shard, disk};
  REQUIRE(open(world.shard, tree) == "");
  int done = 0;
  const auto all = [&](Shard& shard) -> Task<bool> {
    Scope scope{shard};
    for (int i = 0; i < 64; ++i) (void)scope.spawn(set_into(shard, tree, "k" + std::to_string(i), done));
    // Two that cannot be, in the middle: the others are done without them.
    (void)scope.spawn(set_into(shard, tree, "k1/below", done));
    (void)scope.spawn(set_into(shard, tree, "a/../b", done));
    for (int i = 64; i < 128; ++i) (void)scope.spawn(set_into(shard, tree, "k" + std::to_string(i), done));
    co_await scope.join();
    co_return true;
  };
  REQUIRE(run(world.shard, all(world.shard)) == true);
  CHECK(done == 128);
  CHECK(tree.store().counters().commits <= 3);
  CHECK(tree.store().counters().flushes == 2 * tree.store().counters().commits);
  CHECK(check_all(world.shard, tree) == "");
}

TEST_CASE("tree: a snapshot holds its pages, and gives them back") {
  World world;
  Disk disk{world.shard, 4096};
  REQUIRE(format(world.shard, disk) == "");
  TreeStore tree{world.shard, disk};
  REQUIRE(open(world.shard, tree) == "");
  const std::string large(100'000, 'x');
  const std::string other(100'000, 'y');
  REQUIRE(run(world.shard, tree.set("v", as_bytes(large))).value().has_value());
  const auto used = [&] { return tree.store().core().tree().space().used_pages(); };
  const std::uint64_t before = used();
  {
    auto first = run(world.shard, tree.snapshot()).value();
    REQUIRE(first.has_value());
    REQUIRE(run(world.shard, tree.set("v", as_bytes(other))).value().has_value());
    auto second = run(world.shard, tree.snapshot()).value();
    for (int i = 0; i < 10; ++i) REQUIRE(run(world.shard, tree.set("w", as_bytes("small"))).value().has_value());
    CHECK(difference(world.shard, *first, {{"v", large}}) == "");
    CHECK(difference(world.shard, *second, {{"v", other}}) == "");
    CHECK(used() >= 2 * before);
    {
      const auto gone = std::move(first);
    }
    CHECK(difference(world.shard, *second, {{"v", other}}) == "");
    CHECK(used() < 2 * before);
  }
  CHECK(used() == before);
  CHECK(check_all(world.shard, tree) == "");
}

TEST_CASE("tree: a full device refuses, keeps what it has, and can be emptied") {
  World world;
  Disk disk{world.shard, 1024};
  REQUIRE(format(world.shard, disk) == "");
  Model model;
  {
    TreeStore tree{world.shard, disk};
    REQUIRE(open(world.shard, tree) == "");
    std::mt19937 random{3};
    int refused = 0;
    for (int i = 0; i < 200; ++i) {
      const std::string key = "k" + std::to_string(i);
      const std::string value = value_of(random);
      const auto done = run(world.shard, tree.set(key, as_bytes(value))).value();
      if (done) model[key] = value;
      if (!done) CHECK(done.error() == KvError::no_space);
      refused += done ? 0 : 1;
    }
    CHECK(refused > 50);
    CHECK(check_all(world.shard, tree) == "");
  }
  TreeStore tree{world.shard, disk};
  REQUIRE(open(world.shard, tree) == "");
  CHECK(difference(world.shard, tree, model) == "");
  for (const auto& [key, value] : model) REQUIRE(run(world.shard, tree.remove(key)).value().has_value());
  CHECK(check_all(world.shard, tree) == "");
  CHECK(tree.store().core().state().used == 0);
}

TEST_CASE("tree: a failed write or flush poisons it") {
  World world;
  for (const PowerCut::Faults& faults : {PowerCut::Faults{.write = 0}, PowerCut::Faults{.write = 1},
                                         PowerCut::Faults{.flush = 0}, PowerCut::Faults{.flush = 1}}) {
    Disk disk{world.shard, 4096};
    REQUIRE(format(world.shard, disk) == "");
    TreeStore tree{world.shard, disk};
    REQUIRE(open(world.shard, tree) == "");
    REQUIRE(run(world.shard, tree.set("a", as_bytes("1"))).value().has_value());
    disk.set_faults(faults);
    CHECK(run(world.shard, tree.set("b", as_bytes("2"))).value() == Result<void, KvError>{Failure{KvError::io}});
    CHECK(disk.struck());
    CHECK(tree.store().is_poisoned());
    CHECK(run(world.shard, tree.set("c", as_bytes("3"))).value() == Result<void, KvError>{Failure{KvError::io}});
    CHECK(difference(world.shard, tree, {{"a", "1"}}) == "");
    TreeStore again{world.shard, disk};
    REQUIRE(open(world.shard, again) == "");
    CHECK(difference(world.shard, again, {{"a", "1"}}) == "");
    CHECK(check_all(world.shard, again) == "");
  }
}

TEST_CASE("tree: what an earlier life left unflushed is made durable first, or nothing is opened") {
  World world;
  Disk disk{world.shard, 4096};
  REQUIRE(format(world.shard, disk) == "");
  const std::size_t formatted = disk.events();
  {
    TreeStore tree{world.shard, disk};
    REQUIRE(open(world.shard, tree) == "");
    REQUIRE(disk.events() == formatted + 1);
    CHECK(disk.log().back().is_flush);
  }
  disk.set_faults({.flush = 0});
  TreeStore tree{world.shard, disk};
  CHECK(open(world.shard, tree) == "tree: the device: input/output error");
  CHECK(!tree.store().is_open());
}

TEST_CASE("tree: what is no store is refused with its name") {
  World world;
  Disk disk{world.shard, 4096};
  const auto opened = [&](auto& from) {
    store::Tree tree{world.shard, from};
    return open(world.shard, tree);
  };
  CHECK(opened(disk) == "tree: the device is blank: make a store on it with: mirage store format FILE");
  REQUIRE(format(world.shard, disk) == "");
  CHECK(format(world.shard, disk) == "tree: the device is not blank: nothing was written");
  CHECK(opened(disk) == "");
  CHECK(format(world.shard, disk, true, {3, 4}) == "");
  CHECK(opened(disk) == "");
  Disk half{world.shard, disk.content().first(disk.content().size() / 2)};
  CHECK(opened(half) == "tree: the device is truncated: 1048576 of the store's 2097152 bytes");
  Disk tiny{world.shard, disk.content().first(8192)};
  CHECK(opened(tiny) == "tree: the device has 8192 bytes, a store needs 65536");
  std::vector<std::byte> foreign(2 << 20, std::byte{'x'});
  Disk other{world.shard, foreign};
  CHECK(opened(other) == "tree: the device holds something else, no tree store");
  CHECK(format(world.shard, other) == "tree: the device is not blank: nothing was written");
  // Zeros where a store's superblocks are, and somebody's elsewhere.
  std::ranges::fill(foreign, std::byte{});
  for (const std::size_t place : {std::size_t{32768}, std::size_t{65600}, foreign.size() - 512}) {
    foreign[place] = std::byte{1};
    Disk hidden{world.shard, foreign};
    CHECK(format(world.shard, hidden) == "tree: the device is not blank: nothing was written");
    store::Tree blank{world.shard, hidden, {.format_blank = true}};
    CHECK(open(world.shard, blank) == "tree: the device is not blank: nothing was written");
    CHECK(hidden.events() == 0);
    foreign[place] = std::byte{};
  }
  for (const std::uint64_t page : {std::uint64_t{2}, std::uint64_t{3}}) disk.flip_bit(page * 4096 * 8 + 45 * 8);
  CHECK(opened(disk) == "tree: all superblocks are damaged");
  Disk weak{world.shard, 4096, 512, Durability::none};
  CHECK(opened(weak) ==
        "tree: the device cannot flush, a crash may lose acknowledged data: the key allow-volatile accepts that");
}

TEST_CASE("tree: a blank device is formatted when that is asked for, and a volatile one served") {
  World world;
  Disk disk{world.shard, 4096, 512, Durability::none};
  store::Tree tree{world.shard, disk, {.allow_volatile = true, .format_blank = true}};
  REQUIRE(open(world.shard, tree) == "");
  CHECK(run(world.shard, tree.set("a", as_bytes("1"))).value().has_value());
  store::Tree again{world.shard, disk, {.allow_volatile = true, .format_blank = true}};
  REQUIRE(open(world.shard, again) == "");
  CHECK(difference(world.shard, again, {{"a", "1"}}) == "");
}

TEST_CASE("tree: an old page in a new one's place is detected") {
  World world;
  Disk disk{world.shard, 4096};
  REQUIRE(format(world.shard, disk) == "");
  std::vector<std::byte> old;
  for (const std::string_view value : {"1", "2"}) {
    REQUIRE(format(world.shard, disk, true, {5, 6}) == "");
    TreeStore tree{world.shard, disk};
    REQUIRE(open(world.shard, tree) == "");
    REQUIRE(run(world.shard, tree.set("a", as_bytes(value))).value().has_value());
    if (old.empty()) old.assign(disk.content().begin(), disk.content().end());
  }
  CutImage mixed{world.shard, disk.content(), 512};
  const std::size_t page = store::tree::first_page * store::tree::page_size;
  mixed.put(page, Bytes{old}.subspan(page, store::tree::page_size));
  store::Tree confused{world.shard, mixed};
  CHECK(open(world.shard, confused) == "tree: corrupt store: a node does not match its checksum (page 4)");
}
