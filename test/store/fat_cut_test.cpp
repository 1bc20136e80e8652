// SPDX-License-Identifier: ISC
// Power cuts at every write and flush of a workload: what fat.hpp promises holds in every image that may be left.
//
// Of the workload of 1000 operations this takes a sample; MIRAGE_CUT_STRIDE=1 in the environment takes all of it.
#include <algorithm>
#include <cstdlib>
#include <map>
#include <random>
#include <set>
#include <string>
#include <vector>

#include <doctest/doctest.h>

#include <mirage/async/scope.hpp>
#include <mirage/device/power_cut/power_cut.hpp>
#include <mirage/module/check/virtual_environment.hpp>
#include <mirage/store/fat/check.hpp>
#include <mirage/store/fat/fat.hpp>
#include <mirage/store/fat/format.hpp>

using namespace mirage;

namespace {

using Values = std::map<std::string, std::string>;

/// After an operation: the number of events so far, the values, and what was renamed by it.
struct Instant {
  std::size_t events;
  Values values;
  std::string from{}, to{};
  bool is_partial = false;  ///< it was a set_partial: sectors of both may be mixed
};

class Workload {
 public:
  Workload(Shard& shard, device::PowerCut& disk, store::Fat<device::PowerCut>& fat)
      : shard_(shard), disk_(disk), fat_(fat) {
    instants.push_back({disk.events(), {}});
  }
  void set(const std::string& key, const std::string& value) {
    done(run(shard_, fat_.set(key, as_bytes(value))));
    values_[key] = value;
    note();
  }
  void partial(const std::string& key, std::size_t offset, const std::string& part) {
    done(run(shard_, fat_.set_partial(key, offset, as_bytes(part))));
    std::string& value = values_[key];
    value = value.substr(0, offset) + part +
            (offset + part.size() < value.size() ? value.substr(offset + part.size()) : "");
    note();
    instants.back().is_partial = true;
  }
  void remove(const std::string& key) {
    done(run(shard_, fat_.remove(key)));
    values_.erase(key);
    note();
  }
  void rename(const std::string& from, const std::string& to) {
    done(run(shard_, fat_.rename(from, to)));
    values_[to] = values_[from];
    values_.erase(from);
    note();
    instants.back().from = from;
    instants.back().to = to;
  }
  /// One of all kinds, at random. What does not find room any more changes nothing.
  void random(std::mt19937& random) {
    const auto any = [&random] {
      const std::string number = std::to_string(random() % 9);
      if (random() % 5 == 0) return std::string(180 + 17 * (random() % 3), 'n');
      return random() % 3 == 0 ? "top" + number : "d" + std::to_string(random() % 3) + "/value number " + number;
    };
    const std::string key = any();
    const std::string text(random() % 1'400, static_cast<char>('a' + random() % 26));
    const auto old = values_.find(key);
    const std::size_t kind = old == values_.end() ? 0 : random() % 5;
    const std::string target = any();
    if (kind == 1) return remove(key);
    if (kind == 2 && target != key) return rename(key, target);
    const std::size_t offset = kind == 3 ? random() % (old->second.size() + 1) : 0;
    const auto written = kind == 3 ? run(shard_, fat_.set_partial(key, offset, as_bytes(text)))
                                   : run(shard_, fat_.set(key, as_bytes(text)));
    REQUIRE(written);
    if (!*written) {
      REQUIRE(written->error() == KvError::no_space);
    } else if (kind == 3) {
      old->second.resize(std::max(old->second.size(), offset + text.size()));
      old->second.replace(offset, text.size(), text);
    } else {
      values_[key] = text;
    }
    note();
    instants.back().is_partial = kind == 3;
  }
  std::vector<Instant> instants;

 private:
  static void done(const std::optional<Result<void, KvError>>& result) { REQUIRE((result && *result)); }
  void note() { instants.push_back({disk_.events(), values_}); }
  Shard& shard_;
  device::PowerCut& disk_;
  store::Fat<device::PowerCut>& fat_;
  Values values_;
};

void work(Workload& load) {
  const auto fill = [](std::size_t size, char letter) { return std::string(size, letter); };
  load.set("first", fill(700, 'a'));
  load.set("dir/a name that is long.txt", fill(1500, 'b'));
  load.set("first", fill(1200, 'c'));
  load.partial("first", 300, fill(600, 'd'));
  load.partial("first", 1000, fill(2000, 'e'));
  load.set("dir/" + std::string(220, 'n'), fill(10, 'f'));
  load.rename("first", "FIRST too");
  load.rename("dir/a name that is long.txt", "moved");
  load.set("dir/x", fill(600, 'g'));
  load.rename("dir/x", "moved");
  for (int i = 0; i < 4; ++i) load.set("dir/grows it " + std::to_string(i), "v");
  load.remove("dir/" + std::string(220, 'n'));
  load.set("again/" + std::string(230, 'm'), fill(100, 'h'));
  load.remove("moved");
}

/// Entries of a directory in several of the 512 bytes that a large sector has, which a cut may tear apart.
void work_spread(Workload& load) {
  const auto fill = [](std::size_t size, char letter) { return std::string(size, letter); };
  for (int i = 0; i < 30; ++i) load.set("DIR/V" + std::to_string(i), fill(20, static_cast<char>('a' + i % 26)));
  load.rename("DIR/V3", "DIR/V20");
  load.rename("DIR/V21", "DIR/V4");
  for (const int i : {22, 23, 24, 25}) load.remove("DIR/V" + std::to_string(i));
  load.rename("DIR/V5", "DIR/fresh name that is long");
  load.rename("DIR/fresh name that is long", "DIR/other name that is long, and longer than the one before");
  load.set("DIR/" + std::string(200, 'm'), fill(10, 'x'));
  load.rename("DIR/" + std::string(200, 'm'), "DIR/V6");
  for (int i = 0; i < 12; ++i) load.set("DIR/it grows and grows " + std::to_string(i), "v");
  load.remove("DIR/it grows and grows 3");
  load.set("again/" + std::string(230, 'm'), fill(100, 'h'));
  load.rename("again/" + std::string(230, 'm'), "DIR/it grows and grows 7");
}

/// Each byte is that of one or the other, and so is the size.
bool is_mixture(const std::string& text, const std::string& before, const std::string& after) {
  if (text.size() != before.size() && text.size() != after.size()) return false;
  for (std::size_t i = 0; i < text.size(); ++i) {
    const bool old = i < before.size() && text[i] == before[i];
    if (!old && (i >= after.size() || text[i] != after[i])) return false;
  }
  return true;
}

class Examiner {
 public:
  Examiner(Shard& shard, device::CutImage& image) : shard_(shard), check_(shard, image) {}
  /// Empty, or what is wrong with what was left between these two states.
  std::string examine(const Values& before, const Instant& next) {
    if (const auto started = run(shard_, check_.start()); !started || !*started) return "does not start";
    const auto report = run(shard_, check_.check());
    if (!report || !*report || (*report)->damaged()) return "damaged";
    Values all = before;
    all.insert(next.values.begin(), next.values.end());
    for (const auto& [key, value] : all) {
      const auto old = find(before, key);
      const auto fresh = find(next.values, key);
      const auto is = read(key);
      const bool fits =
          is == old || is == fresh || (next.is_partial && is && old && fresh && is_mixture(*is, *old, *fresh));
      if (!fits) return key + " has " + (is ? is->substr(0, 20) : "nothing");
    }
    if (next.from.empty() || read(next.from) == find(before, next.from)) return "";
    return read(next.to) == find(before, next.from) ? "" : "the rename lost the value";
  }

 private:
  static std::optional<std::string> find(const Values& in, const std::string& key) {
    const auto at = in.find(key);
    return at == in.end() ? std::nullopt : std::optional{at->second};
  }
  std::optional<std::string> read(const std::string& key) {
    std::string all;
    while (true) {
      const auto part = run(shard_, check_.get(key, all.size(), 1 << 20));
      if (!*part) return (*part).error() == KvError::not_found ? std::nullopt : std::optional{all};
      if ((*part)->empty()) return all;
      for (const Slice& slice : **part) all += slice.text();
    }
  }
  Shard& shard_;
  store::FatCheck<device::CutImage> check_;
};

/// A volume, and what a workload did to it.
struct Record {
  check::VirtualEnvironment environment;
  Shard shard{environment};
  std::optional<device::PowerCut> disk;
  std::vector<Instant> instants;

  template <class Work>
  Record(std::optional<store::fat::Type> type, std::size_t size, std::uint32_t sector_size, Work work) {
    REQUIRE(shard.log().configure("quiet"));
    const std::vector<std::byte> zeros(size);
    device::PowerCut blank{shard, zeros, sector_size};
    {
      store::DiskOf<device::PowerCut> to{shard, blank};
      REQUIRE(run(shard, store::fat::format(to, {.type = type}))->has_value());
    }
    disk.emplace(shard, blank.content(), sector_size);
    store::Fat<device::PowerCut> fat{shard, *disk, false};
    REQUIRE(run(shard, fat.start())->has_value());
    Workload load{shard, *disk, fat};
    work(load);
    instants = std::move(load.instants);
  }
};

/// Cuts at every event, or at random ones that are `stride` apart on average; images that were tried.
std::size_t cut(Record& record, std::size_t subsets, std::size_t stride) {
  device::CutExplorer explorer{record.shard, *record.disk, 1, subsets};
  std::mt19937 random{7};
  const std::vector<Instant>& instants = record.instants;
  std::size_t images = 0;
  std::size_t now = 0;
  std::size_t skipped = 0;
  while (explorer.advance()) {
    while (now + 1 < instants.size() && instants[now + 1].events <= explorer.event()) ++now;
    if (skipped != 0) {
      --skipped;
      continue;
    }
    skipped = stride == 1 ? 0 : random() % (2 * stride - 1);
    const Values& before = instants[now].values;
    const Instant& next = instants[std::min(now + 1, instants.size() - 1)];
    for (std::size_t variant = 0; variant < explorer.variants(); ++variant, ++images) {
      device::CutImage& image = explorer.image(variant);
      if (!explorer.is_new()) continue;
      Examiner examiner{record.shard, image};
      const std::string broken = examiner.examine(before, next);
      if (broken.empty()) continue;
      Text<80> what;
      explorer.describe(what.writer(), variant);
      FAIL("event ", explorer.event(), " of operation ", now, ", ", std::string{what.view()}, ": ", broken);
    }
  }
  return images;
}

void cut_everywhere(std::optional<store::fat::Type> type, std::size_t size, std::uint32_t sector_size,
                    std::size_t subsets, void (*workload)(Workload&) = work) {
  Record record{type, size, sector_size, workload};
  CHECK(cut(record, subsets, 1) > 300);
}

void cut_a_thousand(store::fat::Type type) {
  Record record{type, 128 * 1024, 512, [](Workload& load) {
                  std::mt19937 random{3};
                  for (int i = 0; i < 1'000; ++i) load.random(random);
                }};
  const char* stride = std::getenv("MIRAGE_CUT_STRIDE");
  const std::size_t images =
      cut(record, 32, stride == nullptr ? 2003 : static_cast<std::size_t>(std::max(1, std::atoi(stride))));
  MESSAGE(record.disk->events(), " writes and flushes, ", images, " images");
  CHECK(images > 100);
}

}  // namespace

TEST_CASE("fat: power cuts, FAT12") { cut_everywhere(store::fat::Type::fat12, 64 * 1024, 512, 1); }
TEST_CASE("fat: power cuts, FAT32") { cut_everywhere(store::fat::Type::fat32, 64 * 1024, 512, 0); }
TEST_CASE("fat: power cuts, sectors of 4096 bytes") { cut_everywhere(store::fat::Type::fat12, 256 * 1024, 4096, 0); }

TEST_CASE("fat: power cuts, sectors of 4096 bytes whose parts are torn apart") {
  cut_everywhere(store::fat::Type::fat12, 512 * 1024, 4096, 2, work_spread);
  cut_everywhere(store::fat::Type::fat32, 512 * 1024, 4096, 0, work_spread);
}

TEST_CASE("fat: power cuts, 1000 operations, FAT12") { cut_a_thousand(store::fat::Type::fat12); }
TEST_CASE("fat: power cuts, 1000 operations, FAT32") { cut_a_thousand(store::fat::Type::fat32); }

TEST_CASE("fat: a flush that fails ends all changes and damages nothing") {
  for (std::uint64_t at = 0; at < 12; ++at) {
    check::VirtualEnvironment environment;
    Shard shard{environment};
    REQUIRE(shard.log().configure("quiet"));
    device::PowerCut disk{shard, 128};
    {
      store::DiskOf<device::PowerCut> blank{shard, disk};
      REQUIRE(run(shard, store::fat::format(blank, {}))->has_value());
    }
    store::Fat<device::PowerCut> fat{shard, disk, false};
    REQUIRE(run(shard, fat.start())->has_value());
    REQUIRE(run(shard, fat.set("kept", as_bytes("value")))->has_value());
    disk.set_faults({.flush = at});
    const bool done = run(shard, fat.set("dir/new", as_bytes("new")))->has_value() &&
                      run(shard, fat.set("kept", as_bytes("other")))->has_value() &&
                      run(shard, fat.remove("dir/new"))->has_value();
    CHECK(done != disk.struck());
    if (disk.struck()) CHECK(run(shard, fat.set("later", as_bytes("x")))->error() == KvError::io);
    device::CutImage image{shard, disk.content(), 512};
    Examiner examiner{shard, image};
    const Instant next{.events = 0, .values = {{"kept", "other"}, {"dir/new", "new"}}};
    CHECK(examiner.examine({{"kept", "value"}}, next) == "");
  }
}

namespace {

/// Now and then there is no memory to ask it for a write or a flush.
struct Forgetful : device::PowerCut {
  using PowerCut::PowerCut;
  std::mt19937 random{11};
  bool is_armed = false;
  unsigned refusals = 0;
  bool refuses() {
    if (!is_armed || random() % 12 != 0) return false;
    ++refusals;
    return true;
  }
  Task<BlockResult> write(std::uint64_t sector, Bytes bytes) {
    if (refuses()) co_return Failure{BlockError::no_memory};
    co_return co_await PowerCut::write(sector, bytes);
  }
  Task<BlockResult> flush() {
    if (refuses()) co_return Failure{BlockError::no_memory};
    co_return co_await PowerCut::flush();
  }
};

/// What a power cut may leave of each key; "" is nothing.
using Possible = std::map<std::string, std::set<std::string>>;

template <class Store>
std::string value_of(Shard& shard, Store& store, const std::string& key) {
  const auto got = run(shard, store.get(key, 0, 1 << 20));
  std::string all;
  if (!*got) return all;
  for (const Slice& slice : **got) all += slice.text();
  return all;
}

/// One operation; `before` says what may be there while it runs, the result after it.
Possible forgetful_step(Shard& shard, store::Fat<Forgetful>& fat, std::mt19937& random, Possible& before, int number) {
  const auto any = [&random] {
    return (random() % 3 != 0 ? "d/a name that is long " : "T") + std::to_string(random() % 5);
  };
  const std::string key = any();
  const std::string target = any();
  const std::string old = value_of(shard, fat, key);
  const std::size_t kind = old.empty() || key == target ? 0 : random() % 3;
  std::string text;
  while (text.size() < 1 + random() % 1'500) text += std::to_string(number) + ";";
  const auto done = kind == 0   ? run(shard, fat.set(key, as_bytes(text)))
                    : kind == 1 ? run(shard, fat.remove(key))
                                : run(shard, fat.rename(key, target));
  const std::string& changed = kind == 2 ? target : key;
  const std::string& becomes = kind == 0 ? text : kind == 1 ? std::string{} : old;
  for (const std::string& each : {key, target}) before[each].insert(before[each].empty() ? "" : *before[each].begin());
  Possible after = before;
  before[changed].insert(becomes);
  if (kind == 2) before[key].insert("");
  if (!*done) {
    REQUIRE((*done).error() == KvError::no_memory);
    return before;
  }
  after[changed] = {becomes};
  if (kind == 2) after[key] = {""};
  return after;
}

}  // namespace

TEST_CASE("fat: after operations that there was no memory for, power cuts damage nothing and lose nothing") {
  for (const auto type : {store::fat::Type::fat12, store::fat::Type::fat32}) {
    check::VirtualEnvironment environment;
    Shard shard{environment};
    REQUIRE(shard.log().configure("quiet"));
    Forgetful disk{shard, 2'048};
    {
      store::DiskOf<device::PowerCut> blank{shard, disk};
      REQUIRE(run(shard, store::fat::format(blank, {.type = type}))->has_value());
    }
    std::vector<std::pair<std::size_t, Possible>> steps;  // events after it, what may be there until then
    {
      store::Fat<Forgetful> fat{shard, disk, false};
      REQUIRE(run(shard, fat.start())->has_value());
      steps.emplace_back(disk.events(), Possible{});
      disk.is_armed = true;
      std::mt19937 random{5};
      Possible possible;
      for (int i = 0; i < 250; ++i) {
        Possible during = possible;
        possible = forgetful_step(shard, fat, random, during, i);
        steps.emplace_back(disk.events(), std::move(during));
      }
      steps.emplace_back(~std::size_t{0}, possible);
    }
    CHECK(disk.refusals > 50);
    device::CutExplorer explorer{shard, disk, 1, 6};
    std::mt19937 random{9};
    std::size_t images = 0;
    std::size_t now = 0;
    while (explorer.advance()) {
      while (steps[now].first <= explorer.event()) ++now;
      if (now == 0 || random() % 8 != 0) continue;
      for (std::size_t variant = 0; variant < explorer.variants(); ++variant, ++images) {
        device::CutImage& image = explorer.image(variant);
        if (!explorer.is_new()) continue;
        store::FatCheck<device::CutImage> check{shard, image};
        REQUIRE(run(shard, check.start())->has_value());
        const auto report = run(shard, check.check());
        REQUIRE((*report && !(*report)->damaged()));
        for (const auto& [key, values] : steps[now].second) {
          const std::string is = value_of(shard, check, key);
          if (!values.contains(is)) FAIL("event ", explorer.event(), " of operation ", now, ": ", key, " has ", is);
        }
      }
    }
    CHECK(images > 500);
  }
}
