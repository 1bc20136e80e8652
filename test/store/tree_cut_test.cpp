// SPDX-License-Identifier: ISC
// The tree store under power cuts. A workload of 1000 operations runs once on a disk that records its writes and
// flushes. Then, at every event, every image that a cut there may leave is opened, checked, and compared with what had
// been acknowledged: all of that is there, and each operation under way is there as a whole or not at all.
//
// All of it: MIRAGE_CUT_STRIDE=1 store_tree_cut_test (minutes, without sanitizers). CTest takes every 127th event.
#include <cstdlib>
#include <functional>
#include <map>
#include <random>
#include <set>
#include <span>
#include <string>
#include <vector>

#include <doctest/doctest.h>

#include <mirage/async/scope.hpp>
#include <mirage/device/power_cut/power_cut.hpp>
#include <mirage/module/check/virtual_environment.hpp>
#include <mirage/store/tree/tree.hpp>

#include "content.hpp"

using namespace mirage;
using device::CutExplorer;
using device::CutImage;
using device::PowerCut;
using store::tree::WalkReport;

namespace {

constexpr int workload_operations = 1'000;
constexpr std::uint64_t disk_sectors = 2'048;  // 1 MiB

using Model = test::Content;

/// An operation under way at some time, and the state that it makes of the one before.
struct Applied {
  std::vector<std::pair<std::string, std::string>> sets;  ///< "" removes: no value here is empty
  std::size_t first_event = 0;
  std::size_t acknowledged = ~std::size_t{0};  ///< events that had been submitted then
};

/// Operations that ran at the same time, on different keys.
using Round = std::vector<Applied>;

struct World {
  check::VirtualEnvironment environment;
  Shard shard{environment};
};

template <class D>
std::string start(Shard& shard, store::Tree<D>& tree) {
  const auto started = run(shard, tree.start());
  return !started ? "no memory" : *started ? "" : std::string{started->error().text()};
}

std::string random_value(std::mt19937& random) {
  const std::size_t sizes[] = {5, 60, 300, 1'400, 5'000, 9'000};
  return std::string(sizes[random() % 6] + random() % 20, static_cast<char>('a' + random() % 26));
}

/// Some change: of one value, or a batch.
Applied random_operation(std::mt19937& random, std::set<std::string>& taken) {
  Applied operation;
  const std::size_t count = random() % 8 == 0 ? 4 : 1;
  while (operation.sets.size() < count) {
    const std::string key = (random() % 2 == 0 ? "d/k" : "k") + std::to_string(random() % 24);
    if (!taken.insert(key).second) continue;
    operation.sets.emplace_back(key, random() % 4 == 0 ? "" : random_value(random));
  }
  return operation;
}

/// Of an operation on what `model` holds.
std::vector<KvChange> changes_of(const Applied& operation, const Model& model) {
  std::vector<KvChange> changes;
  for (const auto& [key, value] : operation.sets) {
    if (!value.empty()) changes.push_back({.kind = KvChange::Kind::set, .key = key, .value = as_bytes(value)});
    if (value.empty() && model.contains(key)) changes.push_back({.kind = KvChange::Kind::remove, .key = key});
  }
  return changes;
}

Task<void> perform(Shard&, store::Tree<PowerCut>& tree, PowerCut& disk, Applied& operation, const Model& model) {
  const auto changes = changes_of(operation, model);
  operation.first_event = disk.events();
  const auto done = co_await tree.batch(changes);
  if (done) operation.acknowledged = disk.events();
}

void apply(Model& model, const Applied& operation) {
  for (const auto& [key, value] : operation.sets) {
    if (value.empty()) {
      model.erase(key);
    } else {
      model[key] = value;
    }
  }
}

struct Record {
  World world;
  PowerCut disk;
  std::vector<Round> rounds;
  explicit Record(Durability durability = Durability::flush, std::uint32_t queue_depth = 1,
                  std::uint64_t sectors = disk_sectors)
      : disk(world.shard, sectors, 512, durability, queue_depth) {}
  explicit Record(Bytes image) : disk(world.shard, image) {}
};

Task<bool> run_round(Shard& shard, store::Tree<PowerCut>& tree, PowerCut& disk, Round& round, const Model& model) {
  Scope scope{shard};
  bool spawned = true;
  for (Applied& each : round) spawned = spawned && scope.spawn(perform(shard, tree, disk, each, model));
  co_await scope.join();
  co_return spawned;
}

/// The workload, until `operations` are done or one fails.
void work(Record& record, int operations, std::uint32_t seed, Model& model) {
  std::mt19937 random{seed};
  store::Tree tree{record.world.shard, record.disk};
  REQUIRE(start(record.world.shard, tree) == "");
  for (int done = 0; done < operations;) {
    Round round;
    std::set<std::string> taken;
    const std::size_t width = random() % 4 == 0 ? 4 : 1;
    while (round.size() < width) round.push_back(random_operation(random, taken));
    REQUIRE(run(record.world.shard, run_round(record.world.shard, tree, record.disk, round, model)) == true);
    bool all = true;
    for (const Applied& each : round) {
      all = all && each.acknowledged != ~std::size_t{0};
      if (all) apply(model, each);
    }
    done += static_cast<int>(width);
    record.rounds.push_back(std::move(round));
    if (!all) return;
  }
}

void format(Record& record) {
  store::Tree tree{record.world.shard, record.disk};
  REQUIRE(run(record.world.shard, tree.store().format({1, 2}, false)).value().has_value());
}

/// Whether `found` is `before` with some of the operations, each whole, and with all of those that are acknowledged.
bool is_allowed(const Model& found, const Model& before, const Round& round, std::size_t events) {
  for (std::size_t choice = 0; choice < std::size_t{1} << round.size(); ++choice) {
    Model model = before;
    bool has_acknowledged = true;
    for (std::size_t i = 0; i < round.size(); ++i) {
      if ((choice >> i & 1) != 0) apply(model, round[i]);
      has_acknowledged = has_acknowledged && ((choice >> i & 1) != 0 || round[i].acknowledged > events);
    }
    if (has_acknowledged && model == found) return true;
  }
  return false;
}

/// Opens and checks the image: empty, or what is wrong.
template <class D>
std::string examine(Shard& shard, D& image, Model& found) {
  store::Tree tree{shard, image, {.cache_bytes = 0}};
  if (const std::string broken = start(shard, tree); !broken.empty()) return broken;
  WalkReport report;
  const auto checked = run(shard, tree.store().check(report));
  if (!checked || !*checked) return "checker: " + std::string{report.problem};
  if (run(shard, test::read_all(shard, tree, "", found)) != true) return "a value cannot be read";
  return found.size() == report.keys ? "" : "a value is not listed";
}

std::size_t stride_of(const char* variable, std::size_t otherwise) {
  const char* text = std::getenv(variable);
  return text == nullptr ? otherwise : static_cast<std::size_t>(std::max(1, std::atoi(text)));
}

std::string failure(const CutExplorer& explorer, std::size_t variant, const std::string& what) {
  Text<160> where;
  explorer.describe(where.writer(), variant);
  return std::string{where.view()} + ": " + what;
}

/// Which operations an event belongs to.
struct History {
  const std::vector<Round>& rounds;
  std::size_t index = 0;
  Model before;
  std::map<std::size_t, Model> found = {};  ///< by those who opened it again, at the first round of each
  void advance(std::size_t event) {
    // A round is over when the next one has begun.
    while (index + 1 < rounds.size() && rounds[index + 1].front().first_event <= event) {
      for (const Applied& each : rounds[index]) apply(before, each);
      if (const auto start = found.find(++index); start != found.end()) before = start->second;
    }
  }
};

}  // namespace

namespace {

/// Writes that were submitted while another was under way.
std::size_t overlapping(const PowerCut& disk) {
  std::size_t count = 0;
  for (std::size_t i = 1; i < disk.log().size(); ++i) {
    const bool are_writes = !disk.log()[i].is_flush && !disk.log()[i - 1].is_flush;
    count += are_writes && disk.log()[i].submitted < disk.log()[i - 1].completed ? 1 : 0;
  }
  return count;
}

/// A workload of `operations`, cut at every `stride`th event.
void cut_everywhere(Durability durability, int operations, std::size_t stride, std::uint32_t queue_depth = 1) {
  Record record{durability, queue_depth};
  format(record);
  const std::size_t formatted = record.disk.events();
  Model model;
  work(record, operations, 11, model);
  REQUIRE(record.disk.events() > 2 * formatted);
  CHECK(overlapping(record.disk) >= (queue_depth > 1 ? static_cast<std::size_t>(operations) / 20 : 0));
  CHECK((queue_depth > 1 || overlapping(record.disk) == 0));
  CutExplorer explorer{record.world.shard, record.disk};
  History history{.rounds = record.rounds, .before = {}};
  std::size_t cuts = 0;
  std::size_t images = 0;
  std::size_t opened = 0;
  while (explorer.advance()) {
    if (explorer.event() < formatted || (explorer.event() - formatted) % stride != 0) continue;
    history.advance(explorer.event());
    ++cuts;
    for (std::size_t variant = 0; variant < explorer.variants(); ++variant) {
      ++images;
      CutImage& image = explorer.image(variant);
      if (!explorer.is_new()) continue;
      ++opened;
      World world;
      Model found;
      std::string broken = examine(world.shard, image, found);
      if (broken.empty() && !is_allowed(found, history.before, record.rounds[history.index], explorer.event()))
        broken = "not a state that may be";
      REQUIRE_MESSAGE(broken.empty(), failure(explorer, variant, broken));
    }
  }
  MESSAGE(record.disk.events() << " events, " << cuts << " cuts, " << images << " images, " << opened
                               << " of them different");
  CHECK(images > 10 * cuts);
  CHECK(opened > 2 * cuts);
}

}  // namespace

TEST_CASE("tree: power cut at every event of a workload") {
  cut_everywhere(Durability::flush, workload_operations, stride_of("MIRAGE_CUT_STRIDE", 127));
}

TEST_CASE("tree: the same where superblocks are durable by themselves") {
  cut_everywhere(Durability::fua, workload_operations / 4, stride_of("MIRAGE_CUT_STRIDE", 61));
}

TEST_CASE("tree: the same where nodes are written several at a time") {
  cut_everywhere(Durability::flush, workload_operations / 4, stride_of("MIRAGE_CUT_STRIDE", 61), 8);
}

TEST_CASE("tree: a cut while it is formatted leaves what was there or an empty store") {
  Record old;
  format(old);
  Model values;
  work(old, 20, 3, values);
  REQUIRE(!values.empty());
  for (const bool is_blank : {true, false}) {
    Record record;
    Record over{old.disk.content()};
    Record& each = is_blank ? record : over;
    store::Tree made{each.world.shard, each.disk};
    REQUIRE(run(each.world.shard, made.store().format({3, 4}, true)).value().has_value());
    CutExplorer explorer{each.world.shard, each.disk};
    std::size_t stores = 0;
    while (explorer.advance()) {
      for (std::size_t variant = 0; variant < explorer.variants(); ++variant) {
        World world;
        Model found;
        const std::string broken = examine(world.shard, explorer.image(variant), found);
        if (is_blank && broken.starts_with("tree: the device is blank")) continue;
        REQUIRE_MESSAGE(broken.empty(), failure(explorer, variant, broken));
        // Of an old store that was to be overwritten: its newest state or the one before, whole.
        REQUIRE((found.empty() || !is_blank));
        stores += found.empty() ? 1 : 0;
      }
    }
    CHECK(stores > 0);
  }
}

TEST_CASE("tree: power cuts again, while work goes on after a recovery") {
  const std::size_t rounds = 4'000 / (100 * stride_of("MIRAGE_CUT_STRIDE", 16)) + 1;
  std::mt19937 random{5};
  for (std::size_t i = 0; i < rounds; ++i) {
    Record first;
    format(first);
    Model model;
    work(first, 40, static_cast<std::uint32_t>(random()), model);
    // Some image of some cut is the disk of the second life, which is cut in its first commits.
    CutExplorer explorer{first.world.shard, first.disk};
    const std::size_t at = 1 + random() % (first.disk.events() - 1);
    while (explorer.advance() && explorer.event() < at) {
    }
    if (explorer.event() < 2) continue;  // not formatted yet
    const CutImage& image = explorer.image(random() % explorer.variants());
    Record second{image.content()};
    Model start_state;
    REQUIRE(examine(second.world.shard, second.disk, start_state) == "");
    Model after = start_state;
    work(second, 4, static_cast<std::uint32_t>(random()), after);
    CutExplorer again{second.world.shard, second.disk};
    History history{.rounds = second.rounds, .before = start_state};
    while (again.advance()) {
      history.advance(again.event());
      for (std::size_t variant = 0; variant < again.variants(); variant += 3) {
        World world;
        Model found;
        std::string broken = examine(world.shard, again.image(variant), found);
        if (broken.empty() && !is_allowed(found, history.before, second.rounds[history.index], again.event()))
          broken = "not a state that may be";
        REQUIRE_MESSAGE(broken.empty(), failure(again, variant, broken));
      }
    }
  }
}

namespace {

/// Processes that are killed at some write or flush, one after the other on the same disk: what each has written stays
/// in the host's cache, and the next one finds it there. What they found.
std::map<std::size_t, Model> live_and_die(Record& record, std::mt19937& random) {
  std::map<std::size_t, Model> found;
  Model model;
  for (int life = 0; life < 4; ++life) {
    if (life != 0) {
      Record now{record.disk.content()};
      Model there;
      REQUIRE(examine(now.world.shard, now.disk, there) == "");
      REQUIRE(is_allowed(there, model, record.rounds.back(), record.disk.events()));
      found[record.rounds.size()] = model = there;
    }
    // The first is the flush of the one that opens it.
    record.disk.set_faults({.power_off = 1 + random() % 12});
    work(record, 40, static_cast<std::uint32_t>(random()), model);
    REQUIRE(record.disk.struck());
    record.disk.set_faults({});
  }
  return found;
}

}  // namespace

TEST_CASE("tree: killed again and again, opened with what was not flushed, then a power cut") {
  const std::size_t repeats = 160 / stride_of("MIRAGE_CUT_STRIDE", 16);
  std::mt19937 random{29};
  std::size_t opened = 0;
  for (std::size_t i = 0; i < repeats; ++i) {
    Record record;
    format(record);
    const std::size_t formatted = record.disk.events();
    const auto found = live_and_die(record, random);
    CutExplorer explorer{record.world.shard, record.disk, i};
    History history{.rounds = record.rounds, .before = {}, .found = found};
    while (explorer.advance()) {
      if (explorer.event() < formatted) continue;
      history.advance(explorer.event());
      for (std::size_t variant = 0; variant < explorer.variants(); ++variant) {
        CutImage& image = explorer.image(variant);
        if (!explorer.is_new()) continue;
        ++opened;
        World world;
        Model left;
        std::string broken = examine(world.shard, image, left);
        if (broken.empty() && !is_allowed(left, history.before, record.rounds[history.index], explorer.event()))
          broken = "not a state that may be";
        REQUIRE_MESSAGE(broken.empty(), failure(explorer, variant, broken));
      }
    }
  }
  MESSAGE(repeats << " disks, " << opened << " different images");
}

TEST_CASE("tree: a power cut among staged changes leaves a state of their order, none before the last batch") {
  Record record;
  format(record);
  const std::size_t formatted = record.disk.events();
  struct State {
    Model model;
    std::size_t durable = ~std::size_t{0};  ///< events that had been submitted when it was acknowledged as such
  };
  std::vector<State> states(1);
  states[0].durable = formatted;
  store::Tree tree{record.world.shard, record.disk};
  REQUIRE(start(record.world.shard, tree) == "");
  std::mt19937 random{17};
  for (int i = 0; i < 60; ++i) {
    std::set<std::string> taken;
    State next{.model = states.back().model};
    const Applied operation = random_operation(random, taken);
    apply(next.model, operation);
    const bool is_durable = random() % 6 == 0;
    const auto changes = changes_of(operation, states.back().model);
    REQUIRE(run(record.world.shard, is_durable ? tree.batch(changes) : tree.stage(changes)).value());
    if (is_durable) next.durable = record.disk.events();
    states.push_back(std::move(next));
  }
  CHECK(tree.counters().stages > 30);
  const std::size_t stride = stride_of("MIRAGE_CUT_STRIDE", 9);
  CutExplorer explorer{record.world.shard, record.disk};
  while (explorer.advance()) {
    if (explorer.event() < formatted || (explorer.event() - formatted) % stride != 0) continue;
    std::size_t first = 0;
    for (std::size_t i = 0; i < states.size(); ++i) first = states[i].durable <= explorer.event() ? i : first;
    for (std::size_t variant = 0; variant < explorer.variants(); ++variant) {
      CutImage& image = explorer.image(variant);
      if (!explorer.is_new()) continue;
      World world;
      Model found;
      std::string broken = examine(world.shard, image, found);
      const auto is_it = [&found](const State& state) { return state.model == found; };
      if (broken.empty() && std::ranges::none_of(std::span{states}.subspan(first), is_it))
        broken = "not a state that may be";
      REQUIRE_MESSAGE(broken.empty(), failure(explorer, variant, broken));
    }
  }
}

namespace {

/// Some 1100 changes of 2500 values, which are in 200 leaves.
Applied large_operation(std::mt19937& random, const Model& model, char letter) {
  Applied operation;
  std::set<std::string> taken;
  for (int n = 0; n < 1'500; ++n) {
    const std::string key = "k" + std::to_string(1'000 + random() % 2'500);
    if (!taken.insert(key).second) continue;
    const bool removes = model.contains(key) && random() % 8 == 0;
    operation.sets.emplace_back(key, removes ? "" : std::string(280 + random() % 20, letter));
  }
  return operation;
}

}  // namespace

TEST_CASE("tree: a power cut in batches larger than the memory leaves each whole or not at all") {
  Record record{Durability::flush, 8, 8'192};
  format(record);
  const std::size_t formatted = record.disk.events();
  // 256 nodes, of which 128 may wait for the commit.
  store::Tree tree{record.world.shard, record.disk, {.cache_bytes = std::size_t{1} << 20}};
  REQUIRE(start(record.world.shard, tree) == "");
  std::mt19937 random{23};
  std::vector<Model> states(1);
  std::vector<std::size_t> acknowledged{formatted};
  for (int i = 0; i < 5; ++i) {
    const Applied operation = large_operation(random, states.back(), static_cast<char>('a' + i));
    const auto changes = changes_of(operation, states.back());
    REQUIRE(run(record.world.shard, tree.batch(changes)).value());
    states.push_back(states.back());
    apply(states.back(), operation);
    acknowledged.push_back(record.disk.events());
  }
  CHECK(tree.counters().pages_written > 1'000);
  CHECK(tree.counters().ahead > 1'000);
  // Two hundred writes are under way: of the images of a cut a sample, too, even when all is asked for.
  const std::size_t stride = stride_of("MIRAGE_CUT_STRIDE", 61) == 1 ? 11 : 61;
  CutExplorer explorer{record.world.shard, record.disk};
  std::size_t opened = 0;
  while (explorer.advance()) {
    if (explorer.event() < formatted || (explorer.event() - formatted) % stride != 0) continue;
    std::size_t last = 0;
    while (last + 1 < states.size() && acknowledged[last + 1] <= explorer.event()) ++last;
    for (std::size_t variant = 0; variant < explorer.variants(); variant += stride) {
      CutImage& image = explorer.image(variant);
      if (!explorer.is_new()) continue;
      ++opened;
      World world;
      Model found;
      std::string broken = examine(world.shard, image, found);
      if (broken.empty() && found != states[last] && (last + 1 == states.size() || found != states[last + 1]))
        broken = "not a state that may be";
      REQUIRE_MESSAGE(broken.empty(), failure(explorer, variant, broken));
    }
  }
  MESSAGE(record.disk.events() << " events, " << opened << " different images");
}

TEST_CASE("tree: a failed write or flush at any place, then opened anew") {
  const std::size_t stride = stride_of("MIRAGE_CUT_STRIDE", 13);
  for (std::size_t nth = 0; nth < 120; nth += stride) {
    for (const int kind : {0, 1, 2}) {
      Record record{Durability::flush, kind == 2 ? 8U : 1U};
      format(record);
      Model model;
      // Not the flush of the one that opens it.
      record.disk.set_faults(kind == 0 ? PowerCut::Faults{.flush = 1 + nth} : PowerCut::Faults{.write = nth});
      work(record, 100, static_cast<std::uint32_t>(nth), model);
      if (!record.disk.struck()) continue;
      Model found;
      CHECK(examine(record.world.shard, record.disk, found) == "");
      CHECK(is_allowed(found, model, record.rounds.back(), record.disk.events()));
    }
  }
}
