// SPDX-License-Identifier: ISC
#include <algorithm>
#include <array>
#include <span>
#include <string>
#include <vector>

#include <doctest/doctest.h>

#include <mirage/async/scope.hpp>
#include <mirage/device/power_cut/power_cut.hpp>
#include <mirage/module/check/file.hpp>
#include <mirage/module/check/virtual_environment.hpp>
#include <mirage/store/fat/check.hpp>
#include <mirage/store/fat/fat.hpp>
#include <mirage/store/fat/format.hpp>
#include <mirage/store/mem/mem.hpp>
#include <mirage/store/tree/tree.hpp>
#include <mirage/store/value_file/value_file.hpp>

using namespace mirage;
using device::PowerCut;

namespace {

using TreeFiles = store::ValueFiles<store::Tree<PowerCut>>;
static_assert(JournaledFile<TreeFiles>);
static_assert(FileBatch<TreeFiles::Part>);
using FatFiles = store::ValueFiles<store::Fat<PowerCut>>;
static_assert(JournaledFile<FatFiles>);
static_assert(!FileBatch<FatFiles::Part>);

struct World {
  check::VirtualEnvironment environment;
  Shard shard{environment};
  World() { shard.log().set_default(LogLevel::quiet); }
  template <class T>
  T operator()(Task<T> task) {
    auto value = run(shard, std::move(task));
    REQUIRE(value.has_value());
    return *std::move(value);
  }
  template <class T>
  T operator()(Quick<T> quick) {
    return (*this)(finish(shard, std::move(quick)));
  }
  template <class T>
  static Task<T> finish(Shard&, Quick<T> quick) {
    co_return co_await quick;
  }
};

/// A tree store with two files.
template <class D>
struct Opened {
  store::Tree<D> tree;
  store::ValueFiles<store::Tree<D>> files;
  std::string error;
  Opened(World& world, D& disk, bool format = false)
      : tree(world.shard, disk, {.cache_bytes = 0, .format_blank = format}), files(world.shard, tree, "pair") {
    auto started = world(tree.start());
    if (started) started = world(files.start());
    if (!started) error = started.error().text();
  }
  /// Empty, or what is wrong with the store.
  std::string check(World& world) {
    store::tree::WalkReport report;
    return world(tree.store().check(report)) ? "" : std::string{report.problem};
  }
};

/// A FAT volume of clusters of one sector with two files.
template <class D>
struct OpenedFat {
  D& under;
  store::Fat<D> fat;
  store::ValueFiles<store::Fat<D>> files;
  std::string error;
  OpenedFat(World& world, D& disk, bool format = false)
      : under(disk), fat(world.shard, disk, false), files(world.shard, fat, "pair") {
    if (format) {
      store::DiskOf<D> all{world.shard, disk};
      const auto type = disk.geometry().sectors <= 4'096 ? store::fat::Type::fat12 : store::fat::Type::fat16;
      REQUIRE(world(store::fat::format(all, {.type = type, .cluster_sectors = 1})));
    }
    auto started = world(fat.start());
    if (started) started = world(files.start());
    if (!started) error = started.error().text();
  }
  std::string check(World& world) {
    store::FatCheck<D> check{world.shard, under};
    REQUIRE(world(check.start()));
    const auto report = world(check.check());
    return report && !report->damaged() ? "" : "damaged";
  }
};

using State = std::array<std::string, 2>;

// Bytes are strings here: a vector's loops, which are not optimised in tests, would take most of their time.
std::string filled(std::size_t size, int with) { return std::string(size, static_cast<char>(with)); }

template <class F>
std::string content(World& world, F& file) {
  std::string bytes(file.size(), '\0');
  REQUIRE(world(file.read_at(0, std::as_writable_bytes(std::span{bytes}))) == bytes.size());
  return bytes;
}

/// Writes over and behind what is there.
void overlay(std::string& model, std::size_t offset, const std::string& bytes) {
  model.resize(std::max(model.size(), offset + bytes.size()));
  model.replace(offset, bytes.size(), bytes);
}

template <class Files>
void conforms(World& world, Files& files) {
  CHECK(world(check::check_file(world.shard, files.data())) == "");
  CHECK(world(check::check_file(world.shard, files.journal())) == "");
  if constexpr (FileBatch<typename Files::Part>) CHECK(world(check::check_batch(world.shard, files.data())) == "");
}

}  // namespace

TEST_CASE("value files: files, and batches") {
  World world;
  SUBCASE("in memory") {
    store::Mem mem{world.shard, std::size_t{16} << 20};
    store::ValueFiles files{world.shard, mem, "a/name"};
    REQUIRE(world(files.start()));
    conforms(world, files);
    CHECK(world([](Shard&, auto& in) -> Task<KvKind> { co_return (co_await in.exists("a/name/data")).value(); }(
                                         world.shard, mem)) == KvKind::value);
  }
  SUBCASE("in a tree") {
    PowerCut disk{world.shard, 8'192};
    Opened opened{world, disk, true};
    REQUIRE(opened.error == "");
    conforms(world, opened.files);
  }
  SUBCASE("in a FAT volume") {
    for (const std::uint32_t sectors : {2'048U, 8'192U}) {  // FAT12, FAT16
      PowerCut disk{world.shard, sectors};
      OpenedFat opened{world, disk, true};
      REQUIRE(opened.error == "");
      conforms(world, opened.files);
      CHECK(opened.check(world) == "");
      CHECK(world(opened.files.data().write_at(std::uint64_t{1} << 32, as_bytes("x"))).error() == FileError::no_space);
    }
  }
  SUBCASE("names that cannot be") {
    store::Mem mem{world.shard, std::size_t{1} << 20};
    for (const std::string& name : {std::string{"a//b"}, std::string{".."}, std::string(101, 'x')}) {
      store::ValueFiles files{world.shard, mem, name};
      CHECK_FALSE(world(files.start()));
    }
  }
}

TEST_CASE("value files: what does not fit into memory goes to the disk without a flush, and sync() brings two") {
  World world;
  PowerCut disk{world.shard, 12'288};
  Opened opened{world, disk, true};
  REQUIRE(opened.error == "");
  const std::uint64_t flushes = opened.tree.counters().flushes;
  std::string model;
  for (int i = 0; i < 34; ++i) {
    const std::string piece = filled(65'536, 'a' + i % 26);
    REQUIRE(world(opened.files.data().write_at(model.size(), as_bytes(piece))));
    model += piece;
  }
  CHECK(opened.files.counters().early >= 2);
  CHECK(opened.tree.counters().flushes == flushes);
  CHECK(content(world, opened.files.data()) == model);
  REQUIRE(world(opened.files.data().sync()));
  CHECK(opened.tree.counters().flushes == flushes + 2);
  PowerCut copy{world.shard, disk.content()};
  Opened later{world, copy};
  REQUIRE(later.error == "");
  CHECK(content(world, later.files.data()) == model);
  // With nothing that waits, too: what was staged needs them.
  REQUIRE(world(opened.files.data().write_at(0, as_bytes(filled(1 << 20, 'z')))));
  REQUIRE(world(opened.files.data().write_at(1 << 20, as_bytes(filled(4'096, 'z')))));
  REQUIRE(world(opened.files.data().truncate(1 << 20)));
  REQUIRE(world(opened.files.data().sync()));
  CHECK(opened.tree.counters().flushes == flushes + 4);
}

namespace {

template <template <class> class Place>
void change_at_random() {
  World world;
  PowerCut disk{world.shard, 16'384};
  std::array<std::string, 2> models;
  std::uint64_t state = 88172645463325252;
  const auto random = [&state](std::uint64_t below) {
    state ^= state << 13;
    state ^= state >> 7;
    state ^= state << 17;
    return state % below;
  };
  for (int life = 0; life < 4; ++life) {
    Place<PowerCut> opened{world, disk, life == 0};
    REQUIRE(opened.error == "");
    for (int i = 0; i < 60; ++i) {
      const bool is_data = random(2) == 0;
      auto& file = is_data ? opened.files.data() : opened.files.journal();
      auto& model = models[is_data ? 0 : 1];
      const auto bytes = filled(random(4) == 0 ? random(300'000) : random(9'000), i + 1);
      const std::uint64_t offset = random(2) == 0 ? model.size() : random(400'000);
      switch (random(6)) {
        case 0:
          REQUIRE(world(file.truncate(offset)));
          model.resize(offset);
          break;
        case 1:
          REQUIRE(world(file.sync()));
          break;
        case 2: {
          if constexpr (!FileBatch<std::remove_cvref_t<decltype(file)>>)
            break;
          else {
            const std::array changes{FileChange{offset, as_bytes(bytes)}};
            overlay(model, offset, bytes);
            model.resize(model.size() - model.size() / 3);
            REQUIRE(world(file.batch(changes, model.size())));
            break;
          }
        }
        default:
          REQUIRE(world(file.write_at(offset, as_bytes(bytes))));
          if (!bytes.empty()) overlay(model, offset, bytes);
      }
      REQUIRE(file.size() == model.size());
      if (i % 7 == 0) REQUIRE(content(world, file) == model);
    }
    REQUIRE(content(world, opened.files.data()) == models[0]);
    REQUIRE(world(opened.files.data().sync()));
    REQUIRE(content(world, opened.files.journal()) == models[1]);
    CHECK(opened.check(world) == "");
  }
}

}  // namespace

TEST_CASE("value files: many random changes against the same in memory, also across starts") {
  change_at_random<Opened>();
  change_at_random<OpenedFat>();
}

TEST_CASE("value files: what is too much to wait goes to the store before it is asked for") {
  World world;
  PowerCut disk{world.shard, 16'384};
  Opened opened{world, disk, true};
  REQUIRE(opened.error == "");
  const std::string part = filled(100'000, 7);
  for (std::uint64_t at = 0; at < 1'500'000; at += part.size()) {
    REQUIRE(world(opened.files.data().write_at(at, as_bytes(part))));
  }
  CHECK(opened.files.counters().early == 1);
  CHECK(content(world, opened.files.data()) == filled(1'500'000, 7));
}

TEST_CASE("value files: a power cut leaves both files as they were after some write, and what was synced") {
  World world;
  PowerCut disk{world.shard, 8'192};
  std::vector<State> states;                                 // after each write
  std::vector<std::pair<std::size_t, std::size_t>> durable;  // from this event on: at least this state
  {
    Opened opened{world, disk, true};
    REQUIRE(opened.error == "");
    states.push_back({});
    durable.emplace_back(disk.events(), 0);
    for (int i = 0; i < 40; ++i) {
      State next = states.back();
      auto& model = next[static_cast<std::size_t>(i % 2)];
      auto& file = i % 2 == 0 ? opened.files.data() : opened.files.journal();
      // Now and then more than fits, so that some of it is committed early.
      const auto bytes = filled(i % 3 == 1 ? 400'000 : 3'000, i + 1);
      const std::size_t offset = i % 8 == 5 ? 100 : model.size() % 250'000;
      if (i % 10 == 9) {
        model.resize(model.size() / 2);
        REQUIRE(world(file.truncate(model.size())));
      } else {
        overlay(model, offset, bytes);
        REQUIRE(world(file.write_at(offset, as_bytes(bytes))));
      }
      states.push_back(std::move(next));
      if (i % 12 != 11) continue;
      REQUIRE(world(opened.files.data().sync()));  // either of them
      durable.emplace_back(disk.events(), states.size() - 1);
    }
    CHECK(opened.files.counters().early > 0);
  }
  device::CutExplorer explorer{world.shard, disk, 3, 6};
  std::size_t images = 0;
  while (explorer.advance()) {
    if (explorer.event() < durable.front().first) continue;
    std::size_t least = 0;
    for (const auto& [event, state] : durable) {
      if (event <= explorer.event()) least = state;
    }
    for (std::size_t variant = explorer.event() % 7; variant < explorer.variants(); variant += 7) {
      World after;
      Opened opened{after, explorer.image(variant)};
      REQUIRE(opened.error == "");
      const State found{content(after, opened.files.data()), content(after, opened.files.journal())};
      const auto first = states.begin() + static_cast<std::ptrdiff_t>(least);
      REQUIRE(std::find(first, states.end(), found) != states.end());
      ++images;
    }
  }
  CHECK(images > 100);
}

namespace {

/// Writes, cuts and syncs of two files in a FAT volume, and what they were after each.
struct Written {
  std::vector<State> states{1};
  std::vector<std::size_t> events{0};                        ///< when the state began to be
  std::vector<std::pair<std::size_t, std::size_t>> durable;  ///< from this event on: at least this state
};

Written write_pair(World& world, PowerCut& disk) {
  Written written;
  OpenedFat opened{world, disk, true};
  REQUIRE(opened.error == "");
  written.durable.emplace_back(disk.events(), 0);
  for (int i = 0; i < 40; ++i) {
    State next = written.states.back();
    auto& model = next[static_cast<std::size_t>(i % 2)];
    auto& file = i % 2 == 0 ? opened.files.data() : opened.files.journal();
    written.events.push_back(disk.events());
    if (i % 10 == 9) {
      model.resize(model.size() / 3);
      REQUIRE(world(file.truncate(model.size())));
    } else {
      const auto bytes = filled(i % 6 == 1 ? 50'000 : 3'000, i + 1);
      const std::size_t offset = i % 8 == 5 ? 100 : i % 8 == 6 ? model.size() + 10'000 : model.size() % 60'000;
      overlay(model, offset, bytes);
      REQUIRE(world(file.write_at(offset, as_bytes(bytes))));
    }
    written.states.push_back(std::move(next));
    if (i % 4 != 3) continue;
    REQUIRE(world(file.sync()));
    written.durable.emplace_back(disk.events(), written.states.size() - 1);
  }
  return written;
}

/// Empty when the size is that of one of the states, and each byte is that of one, or a zero where some had none.
std::string compare(const std::string& found, std::span<const State> states, std::size_t part) {
  const auto has_size = [&](const State& state) { return state[part].size() == found.size(); };
  if (std::ranges::none_of(states, has_size)) return "a size that was never there";
  if (std::ranges::any_of(states, [&](const State& state) { return state[part] == found; })) return "";
  for (std::size_t at = 0; at < found.size(); ++at) {
    const auto fits = [&](const State& state) {
      return at < state[part].size() ? state[part][at] == found[at] : found[at] == 0;
    };
    if (std::ranges::none_of(states, fits)) return "a byte that was never there";
  }
  return "";
}

}  // namespace

TEST_CASE("value files: a power cut in a FAT volume leaves what was synced, and of later writes any part") {
  World world;
  PowerCut disk{world.shard, 1'200};
  const Written written = write_pair(world, disk);
  device::CutExplorer explorer{world.shard, disk, 3, 6};
  std::size_t images = 0;
  while (explorer.advance()) {
    if (explorer.event() < written.durable.front().first) continue;
    std::size_t least = 0;
    for (const auto& [event, state] : written.durable) {
      if (event <= explorer.event()) least = state;
    }
    const auto later = std::ranges::upper_bound(written.events, explorer.event());
    const auto end = static_cast<std::size_t>(later - written.events.begin());
    const auto states = std::span{written.states}.subspan(least, std::max(end, least + 1) - least);
    for (std::size_t variant = explorer.event() % 61; variant < explorer.variants(); variant += 61) {
      auto& image = explorer.image(variant);
      if (!explorer.is_new()) continue;
      World after;
      OpenedFat opened{after, image};
      REQUIRE(opened.error == "");
      CHECK(compare(content(after, opened.files.data()), states, 0) == "");
      CHECK(compare(content(after, opened.files.journal()), states, 1) == "");
      REQUIRE(opened.check(after) == "");
      ++images;
    }
  }
  CHECK(images > 100);
}

TEST_CASE(
    "value files: a power cut while a file in a FAT volume is cut leaves no chain that leads into free clusters") {
  World world;
  PowerCut disk{world.shard, 1'200};
  std::size_t begin = 0;
  const std::string before = filled(204'800, 1);  // 400 clusters, of which a sector of the table has 341
  {
    OpenedFat opened{world, disk, true};
    REQUIRE(opened.error == "");
    REQUIRE(world(opened.files.data().write_at(0, as_bytes(before))));
    REQUIRE(world(opened.files.data().sync()));
    begin = disk.events();
    for (const std::uint64_t size : {50'000U, 0U}) {
      REQUIRE(world(opened.files.data().truncate(size)));
      REQUIRE(world(opened.files.data().sync()));
    }
  }
  device::CutExplorer explorer{world.shard, disk, 3, 2};
  std::size_t images = 0;
  while (explorer.advance()) {
    for (std::size_t variant = 0; explorer.event() >= begin && variant < explorer.variants(); ++variant) {
      auto& image = explorer.image(variant);
      if (!explorer.is_new()) continue;
      World after;
      OpenedFat opened{after, image};
      REQUIRE(opened.error == "");
      REQUIRE(opened.check(after) == "");
      const std::string found = content(after, opened.files.data());
      CHECK((found == before || found == before.substr(0, 50'000) || found.empty()));
      ++images;
    }
  }
  CHECK(images > 10);
}

TEST_CASE("value files: in a FAT volume that is full, too, there is a way out") {
  World world;
  PowerCut disk{world.shard, 1'024};
  OpenedFat opened{world, disk, true};
  REQUIRE(opened.error == "");
  auto& data = opened.files.data();
  REQUIRE(world(data.write_at(0, as_bytes(filled(1'000, 1)))));
  REQUIRE(world(data.sync()));
  REQUIRE(world(data.write_at(1'000, as_bytes(filled(600'000, 2)))));
  CHECK(world(data.sync()).error() == FileError::no_space);
  REQUIRE(world(data.truncate(2'000)));
  REQUIRE(world(data.sync()));
  CHECK(content(world, data) == filled(1'000, 1) + filled(1'000, 2));
  CHECK(opened.check(world) == "");
}

TEST_CASE("value files: when the store is full nothing is half written, and there is a way out") {
  World world;
  PowerCut disk{world.shard, 1'024};
  Opened opened{world, disk, true};
  REQUIRE(opened.error == "");
  auto& data = opened.files.data();
  REQUIRE(world(data.write_at(0, as_bytes(filled(1'000, 1)))));
  REQUIRE(world(data.sync()));
  const auto large = filled(600'000, 2);
  const std::array changes{FileChange{500, as_bytes(large)}};
  const auto full = world(data.batch(changes, 700'000));
  REQUIRE_FALSE(full);
  CHECK(full.error() == FileError::no_space);
  CHECK(content(world, data) == filled(1'000, 1));
  REQUIRE(world(data.write_at(1'000, as_bytes(large))));
  CHECK(world(data.sync()).error() == FileError::no_space);
  REQUIRE(world(data.truncate(2'000)));
  REQUIRE(world(data.sync()));
  CHECK(data.size() == 2'000);
}

namespace {

template <template <class> class Place>
void fail() {
  World world;
  PowerCut disk{world.shard, 4'096};
  Place<PowerCut> opened{world, disk, true};
  REQUIRE(opened.error == "");
  REQUIRE(world(opened.files.data().write_at(0, as_bytes(filled(5'000, 1)))));
  disk.set_faults(PowerCut::Faults{.flush = 0});
  CHECK(world(opened.files.data().sync()).error() == FileError::io);
  const std::size_t events = disk.events();
  CHECK(world(opened.files.journal().write_at(0, as_bytes(filled(5'000, 1)))).error() == FileError::io);
  CHECK(world(opened.files.data().truncate(0)).error() == FileError::io);
  CHECK(world(opened.files.data().sync()).error() == FileError::io);
  CHECK(disk.events() == events);
}

}  // namespace

TEST_CASE("value files: after a failure of the device nothing more is written") {
  fail<Opened>();
  fail<OpenedFat>();
}
