// SPDX-License-Identifier: ISC
// Volumes here are made by our own format; test/store runs against dosfstools and mtools, both ways.
#include <memory>
#include <string>
#include <vector>

#include <doctest/doctest.h>

#include <mirage/async/scope.hpp>
#include <mirage/module/check/kv.hpp>
#include <mirage/module/check/memory_block.hpp>
#include <mirage/module/check/virtual_environment.hpp>
#include <mirage/store/fat/check.hpp>
#include <mirage/store/fat/fat.hpp>
#include <mirage/store/fat/format.hpp>

using namespace mirage;
using check::MemoryBlock;
using store::fat::Name;
using store::fat::Type;

namespace {

struct World {
  explicit World(std::size_t size, std::uint32_t sector = 512, std::optional<Type> type = {})
      : block(shard, size, sector) {
    REQUIRE(shard.log().configure("error"));
    store::DiskOf<MemoryBlock> disk{shard, block};
    const auto formatted = run(shard, store::fat::format(disk, {.type = type, .id = 7}));
    REQUIRE(formatted.has_value());
    if (*formatted) made = **formatted;
    if (!*formatted) error = formatted->error().text();
    if (*formatted) open();
  }
  explicit World(const std::vector<std::byte>& image) : block(shard, Bytes{image}, 512) {
    REQUIRE(shard.log().configure("error"));
    open();
  }
  void open() {
    fat = std::make_unique<store::Fat<MemoryBlock>>(shard, block, false);
    const auto started = run(shard, fat->start());
    REQUIRE(started.has_value());
    error = *started ? "" : started->error().text();
  }
  template <class T>
  static std::string outcome(const std::optional<Result<T, KvError>>& done) {
    return !done ? "no frame" : *done ? "" : std::string{to_string(done->error())};
  }
  std::string set(std::string_view key, std::string_view value) {
    return outcome(run(shard, fat->set(key, as_bytes(value))));
  }
  std::string remove(std::string_view key) { return outcome(run(shard, fat->remove(key))); }
  std::string rename(std::string_view from, std::string_view to) { return outcome(run(shard, fat->rename(from, to))); }
  std::string text(std::string_view key) {
    std::string all;
    while (true) {
      const auto got = run(shard, fat->get(key, all.size(), 1 << 30));
      if (!*got) return all.empty() ? "error: " + outcome(got) : all;
      if (got->value().empty()) return all;
      for (const Slice& slice : **got) all += slice.text();
    }
  }
  std::string list(std::string_view directory) {
    std::string all;
    const auto page = run(shard, fat->list(directory, "", 1000));
    if (!*page) return "error: " + outcome(page);
    for (const KvEntry entry : **page) all += std::string{entry.name} + (entry.kind == KvKind::directory ? "/ " : " ");
    return all;
  }
  store::FatReport report() {
    store::FatCheck<MemoryBlock> check{shard, block};
    REQUIRE(run(shard, check.start())->has_value());
    const auto report = run(shard, check.check());
    REQUIRE(report->has_value());
    return **report;
  }
  /// Nothing damaged and nothing wasted.
  bool clean() {
    const auto found = report();
    return !found.damaged() && found.lost_clusters + found.surplus_clusters + found.differing_sectors == 0 &&
           !found.free_count_wrong;
  }

  check::VirtualEnvironment environment;
  Shard shard{environment};
  MemoryBlock block;
  store::fat::Layout made;
  std::unique_ptr<store::Fat<MemoryBlock>> fat;
  std::string error;
};

constexpr std::size_t mebibyte = 1 << 20;

}  // namespace

TEST_CASE("fat: conforms, all types and sizes of sectors") {
  static_assert(KvRw<store::Fat<MemoryBlock>> && KvRo<store::FatReader<MemoryBlock>>);
  struct Form {
    std::size_t size;
    std::uint32_t sector;
    std::optional<Type> type, expected;
  };
  for (const Form& form :
       {Form{2 * mebibyte, 512, {}, Type::fat12}, Form{2 * mebibyte, 4096, {}, Type::fat12},
        Form{16 * mebibyte, 512, {}, Type::fat16}, Form{2 * mebibyte, 512, Type::fat32, Type::fat32}}) {
    World world{form.size, form.sector, form.type};
    REQUIRE(world.error == "");
    CHECK(world.made.type == form.expected);
    auto check = check::check_kv_rw(world.shard, *world.fat);
    CHECK(std::string{run(world.shard, std::move(check)).value_or("no memory")} == "");
    CHECK(world.clean());
    CHECK(world.report().values == 0);
  }
}

TEST_CASE("fat: a volume that is only read conforms") {
  for (const auto type : {Type::fat12, Type::fat32}) {
    World world{2 * mebibyte, 512, type};
    const std::string value(9'000, 'v');
    REQUIRE(world.set("Größe/a value.txt", value) == "");
    REQUIRE(world.set("top", "of the volume") == "");
    store::FatReader<MemoryBlock> reader{world.shard, world.block};
    REQUIRE(run(world.shard, reader.start())->has_value());
    const auto conforms = [&](std::string_view key, std::string_view text) {
      auto check = check::check_kv_ro(world.shard, reader, key, as_bytes(text), "Größe", "Größe/absent");
      return std::string{run(world.shard, std::move(check)).value_or("no memory")};
    };
    CHECK(conforms("Größe/a value.txt", value) == "");
    CHECK(conforms("top", "of the volume") == "");
  }
}

TEST_CASE("fat: names") {
  World world{mebibyte};
  CHECK(world.set("README.TXT", "exact") == "");
  CHECK(world.set("Read me first.text", "long") == "");
  CHECK(world.set("read me second.text", "number two") == "");
  CHECK(world.set("Größe/Ünïcode \xf0\x9f\x98\x80 ☃.html", "unicode") == "");
  CHECK(world.text("readme.txt") == "exact");
  CHECK(world.text("READ ME FIRST.TEXT") == "long");
  CHECK(world.text("gRÖSSE/x") == "error: not found");
  CHECK(world.text("gRÖßE/üNÏCODE \xf0\x9f\x98\x80 ☃.HTML") == "unicode");
  CHECK(world.list("") == "Größe/ README.TXT Read me first.text read me second.text ");
  // An alias is not a second name of the file; a file of that name gets another.
  CHECK(world.text("README~1.TEX") == "error: not found");
  CHECK(world.set("readme~1.tex", "alias") == "");
  CHECK(world.text("read me first.text") == "long");
  CHECK(world.text("readme~1.tex") == "alias");
  for (const std::string_view bad : {"a:b", "a*", "x/a?", "end.", "blank ", "a\x01", "a\\b", "\xff", "\xc0\xaf"}) {
    CHECK(world.set(bad, "x") == "invalid key");
    CHECK(world.text(bad) == "error: not found");
  }
  CHECK(world.set(std::string(255, 'n'), "longest") == "");
  CHECK(world.set(std::string(256, 'n'), "too long") == "invalid key");
  CHECK(world.set("x/" + std::string(256, 'n') + "/y", "too long") == "invalid key");
  CHECK(run(world.shard, world.fat->exists("x"))->value() == KvKind::absent);
  CHECK(world.rename("README.TXT", "Readme.txt") == "");
  CHECK(world.clean());
  world.open();
  CHECK(world.text(std::string(255, 'N')) == "longest");
  CHECK(world.text("README~1.TEX") == "alias");
}

TEST_CASE("fat: short names") {
  const auto alias = [](std::string_view key) {
    const auto made = alias_of(*Name::from_key(key));
    std::string text(made.name.begin(), made.name.end());
    return text + (made.exact ? " exact" : made.fits ? " fits" : "");
  };
  CHECK(alias("KERNEL.SYS") == "KERNEL  SYS exact");
  CHECK(alias("kernel.sys") == "KERNEL  SYS fits");
  CHECK(alias("a.tar.gz") == "ATAR    GZ ");
  CHECK(alias(".bashrc") == "BASHRC     ");
  CHECK(alias("a+b") == "A_B        ");
  CHECK(alias("no dot at all") == "NODOTATA   ");
  CHECK(alias("é") == "_          ");
  CHECK(alias("x.html") == "X       HTM");
  const auto numbered = alias_of(*Name::from_key("longer name.txt"));
  const auto text = [](const store::fat::ShortName& name) { return std::string(name.begin(), name.end()); };
  CHECK(text(numbered.numbered(1)) == "LONGER~1TXT");
  CHECK(text(numbered.numbered(12345)) == "LO~12345TXT");
  CHECK(numbered.number_of(numbered.numbered(12345)) == 12345U);
  CHECK(numbered.number_of(numbered.name) == 0U);
}

TEST_CASE("fat: times") {
  using store::fat::Stamp;
  const WallTime when{1'700'000'001s};
  CHECK(Stamp::of(when).wall() == WallTime{1'700'000'000s});
  CHECK(Stamp::of(WallTime{}).wall() == WallTime{315'532'800s});
  CHECK(Stamp::of(WallTime{5'000'000'000s}).wall() == WallTime{4'354'819'198s});
  CHECK(Stamp{.date = 0, .time = 0}.wall() == std::nullopt);
  World world{mebibyte};
  CHECK(world.set("x", "y") == "");
  const auto info = run(world.shard, world.fat->info("x"));
  CHECK(info->value().last_modified == WallTime{1'700'000'000s});
}

TEST_CASE("fat: many files, long names across sectors, directories that grow, a root that is full") {
  World world{4 * mebibyte};
  const auto name = [](int i) {
    return "dir/" + std::string(static_cast<std::size_t>(i * 17 % 240), 'x') + std::to_string(i);
  };
  for (int i = 0; i < 90; ++i) REQUIRE(world.set(name(i), std::to_string(i)) == "");
  for (int i = 0; i < 90; i += 3) REQUIRE(world.remove(name(i)) == "");
  for (int i = 0; i < 90; i += 3) REQUIRE(world.set(name(i) + "again", "again") == "");
  for (int i = 0; i < 90; ++i)
    REQUIRE(world.text(i % 3 == 0 ? name(i) + "again" : name(i)) == (i % 3 == 0 ? "again" : std::to_string(i)));
  CHECK(run(world.shard, check::count_entries(world.shard, *world.fat, "dir", 7)) ==
        std::optional<std::optional<std::size_t>>{90});
  std::string last;
  for (int i = 0; i < 600 && last.empty(); ++i) last = world.set("FILE" + std::to_string(i), "");
  CHECK(last == "no space left");
  CHECK(world.clean());
  CHECK(world.remove("dir") == "");
  CHECK(world.set("dir2", "x") == "");
  CHECK(world.remove("") == "");
  CHECK(world.list("") == "");
  CHECK(world.clean());
  CHECK(world.report().used_clusters == 0);
}

TEST_CASE("fat: a full volume refuses, and has everything again after a remove") {
  World world{mebibyte};
  int count = 0;
  const std::string value(20'000, 'v');
  while (world.set("file" + std::to_string(count), value) == "") ++count;
  CHECK(count > 40);
  CHECK(world.set("file0", value + value + value + value) == "no space left");
  CHECK(world.text("file0") == value);
  CHECK(world.clean());
  CHECK(world.remove("file3") == "");
  CHECK(world.set("new/file", std::string(19'000, 'n')) == "");
  CHECK(world.text("new/file") == std::string(19'000, 'n'));
  CHECK(world.clean());
}

TEST_CASE("fat: concurrent operations do not corrupt the volume") {
  World world{4 * mebibyte};
  world.block.delay = 3us;
  Scope scope{world.shard};
  int failures = 0;
  const auto work = [](Shard&, World& in, int number, int& bad) -> Task<> {
    const std::string key = (number % 2 == 0 ? "a/long file name " : "b/") + std::to_string(number % 12);
    for (int round = 0; round < 4; ++round) {
      const std::string value(static_cast<std::size_t>(number * 531 + round * 97), static_cast<char>('a' + number));
      if (!co_await in.fat->set(key, as_bytes(value))) ++bad;
      const auto got = co_await in.fat->get(key, 0, 100);
      if (!got && got.error() != KvError::not_found && got.error() != KvError::out_of_range) ++bad;
      if (round == 1 && number % 3 == 0) (void)co_await in.fat->rename(key, key + " renamed");
      if (round == 2 && number % 5 == 0) (void)co_await in.fat->remove(key);
      if (!co_await in.fat->list("", "", 10)) ++bad;
    }
  };
  for (int i = 0; i < 24; ++i) REQUIRE(scope.spawn(work(world.shard, world, i, failures)));
  const auto join = [](Shard&, Scope& all) -> Task<bool> {
    co_await all.join();
    co_return true;
  };
  CHECK(run(world.shard, join(world.shard, scope)) == true);
  CHECK(failures == 0);
  world.block.delay = {};
  CHECK(world.clean());
  CHECK(world.report().values >= 12);
  for (int i = 12; i < 24; ++i) {  // each value is one that was set, as a whole
    const std::string text = world.text((i % 2 == 0 ? "a/long file name " : "b/") + std::to_string(i % 12));
    CHECK(text.find_first_not_of(text[0]) == std::string::npos);
  }
}

TEST_CASE("fat: renames move, replace and keep") {
  World world{mebibyte};
  const std::string large(30'000, 'L');
  CHECK(world.set("a/file", large) == "");
  CHECK(world.rename("a/file", "a/elif") == "");  // in its sector
  CHECK(world.rename("a/elif", "b/other name that is long") == "");
  CHECK(world.text("b/other name that is long") == large);
  CHECK(world.set("b/target", "old") == "");
  CHECK(world.rename("b/other name that is long", "B/TARGET") == "");
  CHECK(world.text("b/target") == large);
  CHECK(world.list("b") == "target ");
  CHECK(world.list("a") == "");
  CHECK(world.rename("b/target", "b") == "is a directory");
  CHECK(world.rename("b", "c") == "is a directory");
  CHECK(world.rename("b/target", "b/:") == "invalid key");
  CHECK(world.clean());
}

TEST_CASE("fat: durability and failures") {
  SUBCASE("a disk that cannot flush is refused") {
    World world{mebibyte};
    world.block.shape.durability = Durability::none;
    world.open();
    CHECK(world.error.find("--fat-allow-volatile") != std::string::npos);
  }
  SUBCASE("a read-only disk is refused") {
    World world{mebibyte};
    world.block.shape.read_only = true;
    world.open();
    CHECK(world.error.find("read-only") != std::string::npos);
  }
  SUBCASE("a failed write poisons, wherever it strikes, and damages nothing") {
    for (std::uint64_t at = 1; at < 40; ++at) {
      World world{mebibyte};
      CHECK(world.set("kept", "value") == "");
      CHECK(world.set("moved", "value") == "");
      world.block.writes = 0;
      world.block.fail_from = at;
      std::string first = world.set("new/file", std::string(3000, 'n'));
      if (first.empty()) first = world.rename("moved", "new/moved");
      if (first.empty()) first = world.remove("kept");
      world.block.fail_from = 0;
      if (first.empty()) break;
      CHECK(world.set("later", "x") == "input/output error");
      world.open();
      CHECK(world.error == "");
      CHECK(!world.report().damaged());
      CHECK((world.text("moved") == "value" || world.text("new/moved") == "value"));
    }
  }
}

namespace {

/// A disk that there is no memory to ask for one of its writes or flushes.
struct Refusing : MemoryBlock {
  using MemoryBlock::MemoryBlock;
  std::uint64_t refused = ~std::uint64_t{0};
  std::uint64_t count = 0;
  Task<Outcome> write(std::uint64_t sector, Bytes bytes) {
    if (count++ == refused) co_return Failure{BlockError::no_memory};
    co_return co_await MemoryBlock::write(sector, bytes);
  }
  Task<Outcome> flush() {
    if (count++ == refused) co_return Failure{BlockError::no_memory};
    co_return co_await MemoryBlock::flush();
  }
};

}  // namespace

TEST_CASE("fat: a passing lack of memory ends one operation and damages nothing") {
  const std::string large(40'000, 'l');
  for (const auto type : {Type::fat12, Type::fat32}) {
    bool ended = false;
    for (std::uint64_t at = 0; !ended; ++at) {
      World world{2 * mebibyte, 512, type};
      CHECK(world.set("kept", large) == "");
      CHECK(world.set("moved", "value") == "");
      Refusing disk{world.shard, Bytes{world.block.content()}};
      store::Fat<Refusing> fat{world.shard, disk, false};
      REQUIRE(run(world.shard, fat.start())->has_value());
      unsigned failed = 0;
      const auto once = [&](auto operation) {
        const std::string outcome = World::outcome(run(world.shard, std::move(operation)));
        if (outcome.empty()) return;
        CHECK(outcome == "out of memory");
        ++failed;
      };
      disk.refused = disk.count + at;
      once(fat.set("new/directory/file", as_bytes(large)));
      once(fat.rename("moved", "new/moved"));
      once(fat.resize("kept", 20'000));
      once(fat.overwrite("kept", 100, as_bytes("x")));
      once(fat.set_partial("kept", 20'000, as_bytes(large)));
      once(fat.sync());
      once(fat.remove("kept"));
      ended = disk.count <= disk.refused;
      disk.refused = ~std::uint64_t{0};
      CHECK(failed <= 1);  // at most: not when only what was free is not noted
      // All of it goes on, and is there after the next start.
      for (const auto* key : {"kept", "new/directory/file", "new/moved", "later"}) {
        CHECK(World::outcome(run(world.shard, fat.set(key, as_bytes(std::string_view{key})))) == "");
      }
      std::ranges::copy(disk.content(), world.block.content().begin());
      world.open();
      CHECK(world.error == "");
      CHECK_FALSE(world.report().damaged());
      for (const auto* key : {"kept", "new/directory/file", "new/moved", "later"})
        CHECK(world.text(key) == std::string{key});
    }
  }
}

TEST_CASE("fat: what is no volume does not start") {
  const auto error_of = [](auto change) {
    World world{mebibyte};
    change(world.block.content());
    world.open();
    return world.error;
  };
  const auto put = [](std::size_t at, unsigned value) {
    return [at, value](MutableBytes image) { image[at] = static_cast<std::byte>(value); };
  };
  CHECK(error_of([](MutableBytes image) { std::ranges::fill(image, std::byte{0}); }).find("no FAT volume") !=
        std::string::npos);
  CHECK(error_of(put(510, 0)).find("no FAT volume") != std::string::npos);
  CHECK(error_of(put(11, 1)).find("bad sector size") != std::string::npos);
  CHECK(error_of(put(13, 3)).find("sectors per cluster") != std::string::npos);
  CHECK(error_of(put(14, 0)).find("reserved") != std::string::npos);
  CHECK(error_of(put(16, 0)).find("tables") != std::string::npos);
  CHECK(error_of(put(17, 1)).find("root") != std::string::npos);
  CHECK(error_of(put(20, 9)).find("cut off") != std::string::npos);
  CHECK(error_of(put(21, 0)).find("media") != std::string::npos);
  CHECK(error_of(put(22, 1)).find("table does not cover") != std::string::npos);
  CHECK(error_of([](MutableBytes image) {
          std::ranges::fill(image, std::byte{0});
          image[510] = std::byte{0x55};
          image[511] = std::byte{0xaa};
          image[450] = std::byte{12};
          image[458] = std::byte{1};
        }).find("partition table") != std::string::npos);
}

namespace {

/// Reads and changes what it can; whatever happens is fine but a crash, a hang, or a sector outside of the disk.
void use(World& world) {
  for (const std::string_view key : {"dir/sub/file", "dir/long name of a file.txt", "EMPTY"}) (void)world.text(key);
  (void)world.list("");
  (void)world.list("dir");
  (void)world.set("dir/sub/file", "changed");
  (void)run(world.shard, world.fat->set_partial("dir/long name of a file.txt", 700, as_bytes("more of it")));
  (void)world.rename("dir/long name of a file.txt", "moved to the root");
  (void)world.set("dir/new file with a long name", std::string(2000, 'n'));
  (void)world.remove("dir");
  store::FatCheck<MemoryBlock> check{world.shard, world.block};
  if (const auto started = run(world.shard, check.start()); started && *started) (void)run(world.shard, check.check());
}

std::vector<std::byte> small_image(std::optional<Type> type) {
  World world{128 * 1024, 512, type};
  REQUIRE(world.error == "");
  REQUIRE(world.set("dir/sub/file", "value") == "");
  REQUIRE(world.set("dir/long name of a file.txt", std::string(1500, 't')) == "");
  REQUIRE(world.set("EMPTY", "") == "");
  const MutableBytes content = world.block.content();
  return {content.begin(), content.end()};
}

}  // namespace

TEST_CASE("fat: bits turned in boot sector, tables and directories") {
  for (const auto type : {Type::fat12, Type::fat32}) {
    const auto image = small_image(type);
    std::size_t started = 0;
    for (std::size_t at = 0; at < image.size(); ++at) {
      // What is in use of the metadata, and in other sectors the beginning.
      if ((image[at] == std::byte{0} || image[at] == std::byte{'t'}) && at % 512 > 12) continue;
      if (at % 43 != 0 || (image[at] == std::byte{0} && at % 1024 > 512)) continue;
      auto changed = image;
      changed[at] ^= static_cast<std::byte>(1U << at % 8);
      World world{changed};
      if (!world.error.empty()) continue;
      ++started;
      use(world);
    }
    CHECK(started > 10);
  }
}

TEST_CASE("fat: loops, cross-links and chains that leave the volume") {
  for (const std::uint32_t target : {1U, 2U, 3U, 4U, 5U, 0xff7U, 0xff0U}) {
    for (std::uint32_t cluster = 2; cluster < 9; ++cluster) {
      auto image = small_image(Type::fat12);
      const std::size_t at = 512 + cluster + cluster / 2;
      const auto old = load_little<std::uint16_t>(image, at);
      const unsigned changed = cluster % 2 != 0 ? (old & 0xfU) | target << 4 : (old & 0xf000U) | target;
      store_little(MutableBytes{image}, at, static_cast<std::uint16_t>(changed));
      World world{image};
      REQUIRE(world.error == "");
      use(world);
    }
  }
}

TEST_CASE("fat: nothing is written over a directory whose cluster the table calls free") {
  const auto refuses = [](std::vector<std::byte> image, std::string_view key) {
    World world{image};
    CHECK(world.error == "");
    CHECK(world.set(key, std::string(400, 'v')) == "corrupt store");
    CHECK(std::ranges::equal(world.block.content(), image));
    CHECK(world.report().damaged());
  };
  SUBCASE("the root of FAT32") {
    auto image = small_image(Type::fat32);
    const std::size_t at = std::size_t{32} * 512 + std::size_t{2} * 4;
    REQUIRE(load_little<std::uint32_t>(image, at) != 0);
    store_little(MutableBytes{image}, at, std::uint32_t{0});
    refuses(image, "new");
  }
  SUBCASE("a directory of FAT12") {
    auto image = small_image(Type::fat12);
    const std::size_t at = 512 + 3;  // of cluster 2, that of "dir"
    REQUIRE((load_little<std::uint16_t>(image, at) & 0xfffU) != 0);
    store_little(MutableBytes{image}, at, static_cast<std::uint16_t>(load_little<std::uint16_t>(image, at) & 0xf000U));
    refuses(image, "dir/new");
  }
}

TEST_CASE("fat: a directory that contains itself") {
  auto image = small_image(Type::fat12);
  // "SUB" in "dir" gets the cluster of "dir", which is the first.
  bool changed = false;
  for (std::size_t at = 0; at + 32 <= image.size(); at += 32) {
    if (as_text(Bytes{image}.subspan(at, 11)) != "SUB        ") continue;
    store_little(MutableBytes{image}, at + 26, std::uint16_t{2});
    changed = true;
  }
  REQUIRE(changed);
  World world{image};
  CHECK(world.report().cross_linked == 1);
  CHECK(world.list("dir/sub/sub/sub") == "long name of a file.txt sub/ ");
  (void)world.remove("dir");
  use(world);
}
