// SPDX-License-Identifier: ISC
// Images that somebody made with intent, every checksum right: what they say about pages is not so.
#include <algorithm>
#include <array>
#include <string>
#include <vector>

#include <doctest/doctest.h>

#include <mirage/async/scope.hpp>
#include <mirage/device/power_cut/power_cut.hpp>
#include <mirage/module/check/virtual_environment.hpp>
#include <mirage/store/tree/tree.hpp>

using namespace mirage;
using namespace mirage::store::tree;
using device::PowerCut;
using TreeStore = store::Tree<PowerCut>;

namespace {

constexpr Id id{1, 2};

class Image {
 public:
  explicit Image(std::size_t pages) : bytes_(pages * page_size) {}
  [[nodiscard]] Bytes bytes() const noexcept { return bytes_; }
  [[nodiscard]] MutableBytes page(std::uint32_t number) noexcept {
    return MutableBytes{bytes_}.subspan(number * page_size, page_size);
  }
  Node make(std::uint32_t number, std::uint8_t level) noexcept {
    Node node{page(number).data()};
    node.reset(level, 1);
    return node;
  }
  [[nodiscard]] Ref ref(std::uint32_t number) noexcept { return {number, checksum(seed_of(id, number), page(number))}; }
  void add_child(Node& branch, std::string_view key, std::uint32_t number) noexcept {
    std::array<std::byte, Ref::size> encoded;
    ref(number).store(encoded);
    branch.insert(branch.count(), key, encoded);
  }
  static void add_value(Node& leaf, std::string_view key, std::string_view value) noexcept {
    std::array<std::byte, 256> record;
    NameRecord::encode_inline_header(record, 1);
    std::ranges::copy(as_bytes(value), record.begin() + NameRecord::inline_header);
    leaf.insert(leaf.count(), key, Bytes{record}.first(NameRecord::inline_header + value.size()));
  }
  static void add_object(Node& leaf, std::string_view key, std::uint64_t object) noexcept {
    std::array<std::byte, NameRecord::object_size> record;
    NameRecord{.is_object = true, .version = 1, .object = object, .size = page_size}.encode_object(record);
    leaf.insert(leaf.count(), key, record);
  }
  /// One page that is the object's.
  void add_run(Node& leaf, std::uint64_t object, std::uint32_t number) noexcept {
    std::array<std::byte, 12> record;
    ref(number).store(record);
    leaf.insert(leaf.count(), ObjectKey{object, 0}.view(), record);
  }
  void finish(std::uint32_t root, std::uint8_t levels, std::uint64_t keys, std::uint64_t used) noexcept {
    const Superblock state{.id = id,
                           .generation = 1,
                           .pages = bytes_.size() / page_size,
                           .root = {ref(root), levels},
                           .next_object = 10,
                           .keys = keys,
                           .used = used};
    for (std::uint32_t slot = 2; slot < 4; ++slot) state.encode(page(slot), slot);
  }

 private:
  std::vector<std::byte> bytes_;
};

struct World {
  check::VirtualEnvironment environment;
  Shard shard{environment};
  PowerCut disk;
  TreeStore tree{shard, disk};
  explicit World(const Image& image) : disk(shard, image.bytes()) {}
  std::string open() {
    const auto started = run(shard, tree.start()).value();
    return started ? "" : std::string{started.error().text()};
  }
  /// Empty: done.
  std::string set(std::string_view key, std::string_view value) {
    const auto done = run(shard, tree.set(key, as_bytes(value))).value();
    return done ? "" : std::string{to_string(done.error())};
  }
  /// The value, or an error in brackets.
  std::string get(std::string_view key) { return run(shard, get_from(shard, tree, key)).value(); }

 private:
  static Task<std::string> get_from(Shard&, TreeStore& tree, std::string_view key) {
    const auto got = co_await tree.get(key, 0, 10'000);
    if (!got) co_return "<" + std::string{to_string(got.error())} + ">";
    std::string value;
    for (const Slice& slice : *got) value += slice.text();
    co_return value;
  }
};

const std::string corrupt{to_string(KvError::corrupt)};

/// A leaf behind a name holds a run, of the page of another leaf: open() does not look at it, and takes the page for
/// that leaf's alone.
Image aliased() {
  Image image{32};
  Node objects = image.make(5, 0);
  image.add_run(objects, 1, 7);
  Node names = image.make(6, 0);
  Node victim = image.make(8, 0);
  Image::add_value(victim, "n", "old");
  image.add_run(names, 2, 8);
  Image::add_object(names, "c", 2);
  Image::add_object(names, "d", 1);
  Node root = image.make(4, 1);
  image.add_child(root, "", 5);
  image.add_child(root, "b", 6);
  image.add_child(root, "m", 8);
  image.finish(4, 2, 3, 5);
  return image;
}

}  // namespace

TEST_CASE("tree: a branch that is another one when a child is put into it is refused") {
  Image image{320};
  Node left = image.make(256, 0);
  Image::add_value(left, "a", "1");
  Node right = image.make(6, 0);
  Image::add_value(right, "zz", "2");
  Node root = image.make(4, 1);
  // Within the first cell's key there is a second one, whose child the first one's will write over.
  std::string first = "y";
  first += std::string("\1\0\14\0m\6\0\0", 8);
  image.add_child(root, first, 256);
  const std::size_t cell = load_little<std::uint16_t>(image.page(4), Node::header);
  const std::size_t second = cell + Node::cell_header + 1;
  store_little(image.page(4), Node::header + Node::slot_size, static_cast<std::uint16_t>(second));
  store_little(image.page(4), 2, std::uint16_t{2});
  const std::size_t live = 2 * (Node::cell_header + Ref::size) + first.size() + 1;
  store_little(image.page(4), 4, static_cast<std::uint16_t>(page_size - live));
  store_little(image.page(4), 6, static_cast<std::uint16_t>(live));
  REQUIRE(root.key(1) == "m");
  image.finish(4, 2, 2, 3);
  World world{image};
  CHECK(world.open() == "tree: corrupt store: a node does not match its checksum (page 4)");
}

TEST_CASE("tree: a page that a forged run gives up, and that gets other content, is not taken for the node it was") {
  World world{aliased()};
  REQUIRE(world.open() == "");
  CHECK(world.get("n") == "old");
  REQUIRE(world.set("b1", "x") == "");
  const std::string page(page_size, 'p');
  REQUIRE(run(world.shard, world.tree.set_partial("c", 0, as_bytes(page))).value().has_value());
  bool is_gone = false;
  for (int i = 0; i < 40; ++i) {
    const std::string done = world.set("b1", std::to_string(i));
    CHECK((done.empty() || done == corrupt));
    const std::string got = world.get("n");
    CHECK((got == "<" + corrupt + ">" || (got == "old" && !is_gone)));
    is_gone = got != "old";
  }
  CHECK(is_gone);
}

TEST_CASE("tree: a page that a forged run gives up does not become another while it is changed") {
  int caught = 0;
  for (int before = 0; before < 40; ++before) {
    World world{aliased()};
    REQUIRE(world.open() == "");
    const std::string page(page_size, 'p');
    REQUIRE(run(world.shard, world.tree.set_partial("c", 0, as_bytes(page))).value().has_value());
    for (int i = 0; i < before; ++i) (void)world.set("b1", std::to_string(i));
    const bool is_there = world.get("n") == "old";
    caught += is_there && world.set("n", "0") == corrupt ? 1 : 0;
    for (const std::string_view value : {"1", "2", "3"}) {
      const std::string done = world.set("n", value);
      if (done.empty()) CHECK(world.get("n") == value);
      if (!done.empty()) CHECK(done == corrupt);
    }
  }
  CHECK(caught > 0);
}
