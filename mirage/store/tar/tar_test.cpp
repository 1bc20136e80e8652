// SPDX-License-Identifier: ISC
// Archives here are made by our own header code, byte by byte; test/store runs against GNU tar, both ways.
#include <cstdlib>
#include <map>
#include <random>
#include <string>
#include <vector>

#include <doctest/doctest.h>

#include <mirage/async/scope.hpp>
#include <mirage/device/power_cut/power_cut.hpp>
#include <mirage/module/check/kv.hpp>
#include <mirage/module/check/memory_block.hpp>
#include <mirage/module/check/virtual_environment.hpp>
#include <mirage/store/tar/append.hpp>

using namespace mirage;
using store::tar::Header;

namespace {

using Image = std::vector<std::byte>;

void append_blocks(Image& image, std::string_view content) {
  const Bytes bytes = as_bytes(content);
  image.insert(image.end(), bytes.begin(), bytes.end());
  image.resize((image.size() + 511) / 512 * 512);
}

void append_member(Image& image, const Header& header, std::string_view content = {}) {
  const std::size_t at = image.size();
  image.resize(at + 512);
  header.emit(MutableBytes{image}.subspan(at, 512));
  append_blocks(image, content);
}

void append_file(Image& image, std::string_view name, std::string_view content) {
  append_member(image, {.name = name, .prefix = {}, .size = content.size(), .mtime = 1'700'000'000}, content);
}

void append_extension(Image& image, char type, std::string_view content) {
  append_member(image, {.name = "x", .prefix = {}, .size = content.size(), .type = type}, content);
}

Image closed(Image image, std::size_t size = 0) {
  image.resize(std::max(size, image.size() + 1024));
  return image;
}

/// A record of a pax header with its own length.
std::string record(const std::string& text) {
  std::size_t length = text.size() + 3;
  while (std::to_string(length).size() + text.size() + 2 != length) ++length;
  return std::to_string(length) + " " + text + "\n";
}

Image sample() {
  Image image;
  append_member(image, {.name = "./css/", .prefix = {}, .type = '5'});
  append_file(image, "./index.html", "old");
  append_file(image, "./css/site.css", "body {}");
  append_file(image, "css-notes", "n");
  append_file(image, "index.html", "<title>hello</title>");
  append_file(image, "empty", "");
  append_member(image, {.name = "link", .prefix = {}, .size = 3, .type = '2'}, "   ");
  append_member(image, {.name = "late", .prefix = "deep/er", .size = 2}, "ok");
  return closed(std::move(image));
}

template <class Store>
struct World {
  explicit World(const Image& image, std::uint32_t sector = 512) : block(shard, Bytes{image}, sector) { make(); }
  void make() {
    if constexpr (std::constructible_from<Store, Shard&, check::MemoryBlock&, bool>) {
      store = std::make_unique<Store>(shard, block, false);
    } else {
      store = std::make_unique<Store>(shard, block);
    }
    const auto started = run(shard, store->start());
    REQUIRE(started.has_value());
    if (!*started) error = started->error().text();
  }
  std::string text(std::string_view key) {
    const auto got = run(shard, store->get(key, 0, 1 << 30));
    if (!got || !*got) return "error: " + std::string{got ? to_string(got->error()) : "none"};
    std::string all;
    for (const Slice& slice : **got) all += slice.text();
    return all;
  }
  check::VirtualEnvironment environment;
  Shard shard{environment};
  check::MemoryBlock block;
  std::unique_ptr<Store> store;
  std::string error;
};
using Reader = World<store::Tar<check::MemoryBlock>>;
using Writer = World<store::TarAppend<check::MemoryBlock>>;

}  // namespace

TEST_CASE("tar: conforms") {
  for (const std::uint32_t sector : {512U, 4096U}) {
    Image image = sample();
    image.resize((image.size() + sector - 1) / sector * sector);
    Reader world{image, sector};
    REQUIRE(world.error == "");
    static_assert(KvRo<store::Tar<check::MemoryBlock>>);
    const auto conforms = [&](std::string_view key, std::string_view value, std::string_view directory) {
      auto check = check::check_kv_ro(world.shard, *world.store, key, as_bytes(value), directory, "css/absent");
      return std::string{run(world.shard, std::move(check)).value_or("no memory")};
    };
    CHECK(conforms("index.html", "<title>hello</title>", "css") == "");
    CHECK(conforms("css/site.css", "body {}", "deep/er") == "");
    CHECK(world.text("empty") == "");
    CHECK(world.text("deep/er/late") == "ok");
    CHECK(world.text("link") == "error: not found");
    CHECK(world.environment.console.find("left out: 1 links") != std::string::npos);
  }
}

TEST_CASE("tar: an archive that is appended to conforms, also what was appended") {
  Writer world{closed(sample(), 64 * 1024)};
  REQUIRE(world.error == "");
  const auto conforms = [&](std::string_view key, std::string_view value, std::string_view directory) {
    auto check = check::check_kv_ro(world.shard, *world.store, key, as_bytes(value), directory, "css/absent");
    return std::string{run(world.shard, std::move(check)).value_or("no memory")};
  };
  CHECK(conforms("css/site.css", "body {}", "deep/er") == "");
  REQUIRE(run(world.shard, world.store->set("new/value", as_bytes("appended")))->has_value());
  REQUIRE(run(world.shard, world.store->set("css/site.css", as_bytes("replaced")))->has_value());
  for (int again = 0; again < 2; ++again) {
    CHECK(conforms("new/value", "appended", "new") == "");
    CHECK(conforms("css/site.css", "replaced", "css") == "");
    CHECK(conforms("index.html", "<title>hello</title>", "css") == "");
    CHECK(world.store->info("new/value").await_resume()->last_modified == WallTime{1'700'000'001s});
    world.make();
    REQUIRE(world.error == "");
  }
}

TEST_CASE("tar: names and sizes of pax and GNU") {
  Image image;
  const std::string name(200, 'p');
  append_extension(image, 'g', record("comment=of git"));
  append_extension(image, 'x', record("path=" + name) + record("mtime=1234567890.5") + record("size=4"));
  append_file(image, "short", "");
  image.resize(image.size() + 512);  // the content that only the pax header's size knows of
  image[image.size() - 512] = std::byte{'A'};
  const std::string gnu(150, 'g');
  append_extension(image, 'L', gnu + '\0');
  append_extension(image, 'K', "target");
  append_file(image, "truncated", "long");
  append_extension(image, 'x', record("GNU.sparse.major=1") + record("path=sparse"));
  append_file(image, "GNUSparseFile.0/sparse", "map");
  append_file(image, "/absolute/../x", "no key");
  append_file(image, "//absolute", "yes");
  append_file(image, std::string(100, 'n'), "all of the field");
  Reader world{closed(std::move(image))};
  REQUIRE(world.error == "");
  const std::string sized = world.text(name);
  CHECK(sized.size() == 4);
  CHECK(sized[0] == 'A');
  const auto info = run(world.shard, [](Shard&, auto& store, std::string_view key) -> Task<Result<KvInfo, KvError>> {
    co_return co_await store.info(key);
  }(world.shard, *world.store, name));
  CHECK((**info).last_modified == WallTime{1234567890s});
  CHECK(world.text(gnu) == "long");
  CHECK(world.text("absolute") == "yes");
  CHECK(world.text(std::string(100, 'n')) == "all of the field");
  CHECK(world.text("sparse") == "error: not found");
}

TEST_CASE("tar: what is no archive does not start") {
  const auto error_of = [](Image image) { return Reader{std::move(image)}.error; };
  Image text(2048, std::byte{'x'});
  CHECK(error_of(text).find("no tar archive") != std::string::npos);
  Image cut = sample();
  cut.resize(512 * 3);
  CHECK(error_of(cut) == "");  // between members: a missing end is no error
  Image member;
  append_file(member, "large", std::string(5000, 'x'));
  member.resize(4096);
  CHECK(error_of(member).find("cut off") != std::string::npos);
  Image damaged = sample();
  damaged[512 + 3] ^= std::byte{1};
  CHECK(error_of(damaged).find("damaged: no tar header there, at byte 512") != std::string::npos);
  Image huge;
  append_file(huge, "huge", "");
  std::ranges::fill(MutableBytes{huge}.subspan(124, 12), std::byte{0xff});
  CHECK(error_of(closed(huge)).find("no tar archive") != std::string::npos);
  Image extension;
  append_extension(extension, 'x', "99 path=short\n");
  CHECK(error_of(closed(extension)).find("extended header") != std::string::npos);
  CHECK(error_of(Image(10240)).find("starts with zeros") != std::string::npos);
  CHECK(Writer{Image(10240)}.error == "");
}

TEST_CASE("tar: numbers") {
  using store::tar::parse_number;
  CHECK(parse_number(as_bytes("00000000017")) == 15U);
  CHECK(parse_number(as_bytes("   17 ")) == 15U);
  CHECK(parse_number(as_bytes("")) == 0U);
  CHECK(parse_number(as_bytes("18")) == std::nullopt);
  CHECK(parse_number(as_bytes("7777777777777777777777")) == std::nullopt);
  CHECK(parse_number(as_bytes(std::string_view{"\x80\0\0\0\0\0\0\2\0\0\0\1", 12})) == 0x200000001U);
  CHECK(parse_number(as_bytes(std::string_view{"\x80\1\0\0\0\0\0\2\0\0\0\1", 12})) == std::nullopt);
  CHECK(parse_number(as_bytes(std::string_view{"\xff\xff\xff\xff\xff\xff\xff\xff\xff\xff\xff\xff", 12})) ==
        std::nullopt);
}

TEST_CASE("tar: append") {
  for (const std::uint32_t sector : {512U, 4096U}) {
    Writer world{closed(sample(), 64 * 1024), sector};
    REQUIRE(world.error == "");
    const auto set = [&](std::string_view key, std::string_view value) {
      const auto done = run(world.shard, world.store->set(key, as_bytes(value)));
      return std::string{!done ? "no frame" : *done ? "" : to_string(done->error())};
    };
    const std::string large(9001, 'l');
    const std::string split = std::string(120, 'd') + "/" + std::string(90, 'f');
    const std::string longer = std::string(500, 'd') + "/" + std::string(500, 'f');
    CHECK(set("new/value", "first") == "");
    CHECK(set("new/value", "second") == "");
    CHECK(set("large", large) == "");
    CHECK(set(split, "split") == "");
    CHECK(set(longer, "longer") == "");
    CHECK(set("new", "x") == "is a directory");
    CHECK(set("", "x") == "is a directory");
    CHECK(set("large/x", "x") == "is not a directory");
    CHECK(set("../x", "x") == "invalid key");
    CHECK(set("too large", std::string(60'000, 'x')) == "no space left");
    for (int again = 0; again < 2; ++again) {
      CHECK(world.text("new/value") == "second");
      CHECK(world.text("large") == large);
      CHECK(world.text(split) == "split");
      CHECK(world.text(longer) == "longer");
      CHECK(world.text("index.html") == "<title>hello</title>");
      world.make();
      REQUIRE(world.error == "");
    }
  }
}

TEST_CASE("tar: concurrent appends are one after the other") {
  Writer world{closed(sample(), 64 * 1024)};
  world.block.delay = 10us;
  Scope scope{world.shard};
  int done = 0;
  const auto set = [](Shard&, Writer& in, int number, int& count) -> Task<> {
    const std::string key = "key" + std::to_string(number % 5);
    const std::string value(static_cast<std::size_t>(number) * 100, static_cast<char>('a' + number));
    if (co_await in.store->set(key, as_bytes(value))) ++count;
  };
  for (int i = 0; i < 10; ++i) REQUIRE(scope.spawn(set(world.shard, world, i, done)));
  bool finished = false;
  const auto join = [](Shard&, Scope& all, bool& end) -> Task<bool> {
    co_await all.join();
    co_return end = true;
  };
  CHECK(run(world.shard, join(world.shard, scope, finished)) == true);
  CHECK(done == 10);
  world.make();
  CHECK(world.text("key4") == std::string(900, 'j'));
  CHECK(world.text("key0") == std::string(500, 'f'));
}

TEST_CASE("tar: durability and failures") {
  SUBCASE("a disk that cannot flush is refused") {
    Writer world{closed(sample(), 8192)};
    world.block.shape.durability = Durability::none;
    world.make();
    CHECK(world.error.find("--tar-allow-volatile") != std::string::npos);
  }
  SUBCASE("a failed write poisons") {
    Writer world{closed(sample(), 64 * 1024)};
    world.block.fail_from = 2;
    CHECK_FALSE(run(world.shard, world.store->set("a", as_bytes("1")))->has_value());
    world.block.fail_from = 0;
    CHECK_FALSE(run(world.shard, world.store->set("b", as_bytes("2")))->has_value());
    CHECK(world.text("a") == "error: not found");
    CHECK(world.text("index.html") == "<title>hello</title>");
    world.make();
    CHECK(world.error == "");
  }
}

namespace {

/// `count` empty members; `name` says which.
template <class Name>
Image many(std::size_t count, Name name) {
  Image image(count * 512);
  for (std::size_t i = 0; i < count; ++i) {
    const std::string text = name(i);
    const bool is_long = text.size() > 100;
    const Header header{.name = is_long ? std::string_view{text}.substr(156) : text,
                        .prefix = is_long ? std::string_view{text}.substr(0, 155) : ""};
    header.emit(MutableBytes{image}.subspan(i * 512, 512));
  }
  return closed(std::move(image), (count + 64) * 512);
}

/// Sets what is there, and something new; an archive that took that is one that starts again.
void set_again(Image image, const std::string& key, bool is_full) {
  Writer world{image};
  REQUIRE(world.error == "");
  const auto set = [&](std::string_view to, std::string_view value) {
    return run(world.shard, world.store->set(to, as_bytes(value)))->has_value();
  };
  CHECK(set(key, "1"));
  CHECK(set(key, "2"));
  CHECK(set("new", "3") != is_full);
  world.make();
  REQUIRE(world.error == "");
  CHECK(world.text(key) == "2");
  if (!is_full) CHECK(world.text("new") == "3");
}

}  // namespace

TEST_CASE("tar: what counts is how many keys there are, not how many members") {
  const std::size_t most = store::tar::Index::maximum_members;
  const auto number = [](std::size_t i) { return "key" + std::to_string(i); };
  set_again(many(most - 1, [](std::size_t) { return std::string{"counter"}; }), "counter", false);
  set_again(many(most + 900, [&](std::size_t i) { return number(i % (most - 1)); }), number(7), false);
  set_again(many(most + 3, [&](std::size_t i) { return number(i % most); }), number(most - 1), true);
  const std::string deep = std::string(155, 'd') + "/" + std::string(100, 'f');
  const std::size_t fit = store::tar::Index::maximum_name_bytes / deep.size();
  set_again(many(fit + 5, [&](std::size_t) { return deep; }), deep, false);
  Reader beyond{many(most + 1, number)};
  CHECK(beyond.error.find("more than 65536 members") != std::string::npos);
}

namespace {

/// Its flushes have no memory from `weary_from` on.
struct Weary {
  explicit Weary(check::MemoryBlock& under) noexcept : below(under) {}
  [[nodiscard]] Shard& shard() noexcept { return below.shard(); }
  [[nodiscard]] const BlockGeometry& geometry() const noexcept { return below.geometry(); }
  auto read(std::uint64_t sector, MutableBytes bytes) { return below.read(sector, bytes); }
  auto write(std::uint64_t sector, Bytes bytes) { return below.write(sector, bytes); }
  Ready<BlockResult> flush() noexcept {
    ++flushes;
    return Ready<BlockResult>{flushes == weary_at ? BlockResult{Failure{BlockError::no_memory}} : BlockResult{}};
  }
  check::MemoryBlock& below;
  unsigned flushes = 0;
  unsigned weary_at = 0;
};

}  // namespace

TEST_CASE("tar: without memory for the last flush the member is there, and nothing is written over it") {
  for (const unsigned at : {1U, 2U}) {
    Reader world{closed(sample(), 64 * 1024)};
    Weary disk{world.block};
    store::TarAppend<Weary> tar{world.shard, disk, false};
    REQUIRE(run(world.shard, tar.start())->has_value());
    disk.weary_at = disk.flushes + at;
    const std::string value(2000, 'a');
    CHECK_FALSE(run(world.shard, tar.set("a", as_bytes(value)))->has_value());
    // Before the first block was written it is as if nothing had been.
    CHECK(run(world.shard, tar.set("a longer", as_bytes(std::string(3000, 'b'))))->has_value() == (at == 1));
    world.make();
    REQUIRE(world.error == "");
    CHECK(world.text("a") == (at == 1 ? "error: not found" : value));
  }
}

TEST_CASE("tar: names of what was not written do not count") {
  store::tar::Index index;
  const auto deep = [](std::size_t i) { return std::string(249, 'd') + std::to_string(1'000'000 + i); };
  REQUIRE(index.add(deep(0), {}) == store::tar::Index::Outcome::added);
  index.finish();
  const std::size_t fit = store::tar::Index::maximum_name_bytes / deep(0).size();
  for (std::size_t i = 1; i < 2 * fit + 5; ++i) {
    REQUIRE(index.reserve(deep(i)) == store::tar::Index::Outcome::added);  // and the write fails
  }
  const std::string last = deep(2 * fit + 4);
  index.insert(last, {});
  CHECK(index.size() == 2);
  CHECK(index.find(last) != nullptr);
  CHECK(index.find(deep(0)) != nullptr);
  CHECK(index.find(deep(1)) == nullptr);
}

TEST_CASE("tar: every bit of a small archive turned") {
  const Image image = sample();
  for (std::size_t bit = 0; bit < image.size() * 8; bit += 41) {
    Image changed = image;
    changed[bit / 8] ^= static_cast<std::byte>(1U << bit % 8);
    Reader world{std::move(changed)};
    if (!world.error.empty()) continue;
    for (const std::string_view key : {"index.html", "css/site.css", "deep/er/late"}) (void)world.text(key);
  }
}

namespace {

struct Acknowledged {
  std::size_t events;  // when set() returned
  std::string key, value;
};

using Cut = store::TarAppend<device::PowerCut>;

/// Appends `count` values, some of them again, and says when each was there.
std::vector<Acknowledged> append_values(Shard& shard, device::PowerCut& disk, Cut& tar, int count, int largest) {
  std::vector<Acknowledged> done;
  for (int i = 0; i < count; ++i) {
    const std::string key = i % 4 == 3 ? std::string(110, 'k') : "key" + std::to_string(i % 3);
    const std::string value(static_cast<std::size_t>(i * 397 % largest), static_cast<char>('a' + i % 26));
    REQUIRE(run(shard, tar.set(key, as_bytes(value)))->has_value());
    done.push_back({disk.events(), key, value});
  }
  return done;
}

/// Whether the archive in the image has every value that was acknowledged by the event, or the one being set.
std::string check_image(Shard& shard, device::CutImage& image, const std::vector<Acknowledged>& all,
                        std::size_t event) {
  store::Tar<device::CutImage> tar{shard, image};
  if (auto started = run(shard, tar.start()); !*started) return std::string{started->error().text()};
  std::map<std::string, std::string> wanted;
  const Acknowledged* pending = nullptr;
  for (const Acknowledged& each : all) {
    if (each.events > event) {
      pending = &each;
      break;
    }
    wanted[each.key] = each.value;
  }
  const auto read = [&](const std::string& key) {
    const auto got = run(shard, tar.get(key, 0, 1 << 20));
    std::string text;
    if (!*got) return std::string{to_string((*got).error())};
    for (const Slice& slice : **got) text += slice.text();
    return text;
  };
  for (const auto& [key, value] : wanted) {
    const std::string got = read(key);
    if (got != value && (pending == nullptr || pending->key != key || got != pending->value)) return key + ": " + got;
  }
  return "";
}

/// Appends `count` values to an archive of `size` bytes and cuts the power at every event, or at random ones that are
/// `stride` apart on average; images that were tried.
std::size_t cut_appends(std::uint32_t sector, int count, std::size_t size, std::size_t subsets, std::size_t stride) {
  check::VirtualEnvironment environment;
  Shard shard{environment};
  REQUIRE(shard.log().configure("quiet"));
  Image image = closed(sample(), size);
  device::PowerCut disk{shard, image, sector};
  Cut tar{shard, disk, false};
  REQUIRE(run(shard, tar.start())->has_value());
  const auto all = append_values(shard, disk, tar, count, count < 100 ? 2'100 : 1'100);
  device::CutExplorer explorer{shard, disk, 1, subsets};
  std::mt19937 random{7};
  std::size_t images = 0;
  std::size_t skipped = 0;
  while (explorer.advance()) {
    if (skipped != 0) {
      --skipped;
      continue;
    }
    skipped = stride == 1 ? 0 : random() % (2 * stride - 1);
    for (std::size_t variant = 0; variant < explorer.variants(); ++variant, ++images) {
      device::CutImage& left = explorer.image(variant);
      if (!explorer.is_new()) continue;
      const std::string broken = check_image(shard, left, all, explorer.event());
      if (broken.empty()) continue;
      Text<80> what;
      explorer.describe(what.writer(), variant);
      FAIL("event ", explorer.event(), ", ", std::string{what.view()}, ": ", broken);
    }
  }
  return images;
}

}  // namespace

TEST_CASE("tar: power cuts while appending lose nothing that was acknowledged") {
  for (const std::uint32_t sector : {512U, 4096U}) CHECK(cut_appends(sector, 8, 64 * 1024, 8, 1) > 100);
}

// A sample by itself; MIRAGE_CUT_STRIDE=1 in the environment: at every event.
TEST_CASE("tar: power cuts while a thousand values are appended") {
  const char* stride = std::getenv("MIRAGE_CUT_STRIDE");
  const auto images = cut_appends(512, 1'000, std::size_t{2} << 20, 32,
                                  stride == nullptr ? 2003 : static_cast<std::size_t>(std::max(1, std::atoi(stride))));
  MESSAGE(images, " images");
  CHECK(images > 100);
}
