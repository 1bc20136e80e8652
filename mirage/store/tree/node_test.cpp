// SPDX-License-Identifier: ISC
#include <algorithm>
#include <array>
#include <random>
#include <set>
#include <string>

#include <doctest/doctest.h>

#include <mirage/store/tree/node.hpp>

using namespace mirage;
using namespace mirage::store::tree;

TEST_CASE("tree: a node finds keys in their order as bytes, whatever their lengths and bytes") {
  std::mt19937 random{7};
  const auto key = [&random] {
    constexpr std::array letters{'\0', 'a', '\x7f', '\x80', '\xff'};
    // Mostly the same beginnings: of two keys often only the last bytes differ.
    std::string text(random() % 3 == 0 ? 0 : random() % 18, 'a');
    while (random() % 4 != 0) text += letters[random() % letters.size()];
    return text;
  };
  for (int round = 0; round < 20; ++round) {
    std::set<std::string> keys;
    while (keys.size() < 60) keys.insert(key());
    alignas(8) std::array<std::byte, page_size> page;
    Node leaf{page.data()};
    leaf.reset(0, 1);
    for (const std::string& each : keys) leaf.insert(leaf.count(), each, {});
    for (int i = 0; i < 200; ++i) {
      const std::string wanted = key();
      const auto found = std::distance(keys.begin(), keys.lower_bound(wanted));
      CHECK(leaf.lower_bound(wanted) == static_cast<std::size_t>(found));
      // A branch's first key stands for everything before the second.
      const auto behind = std::distance(keys.begin(), keys.upper_bound(wanted));
      CHECK(leaf.child_index(wanted) == static_cast<std::size_t>(std::max<std::ptrdiff_t>(behind, 1) - 1));
    }
  }
}

namespace {

struct Page {
  alignas(8) std::array<std::byte, page_size> bytes{};
  Node node{bytes.data()};
  explicit Page(std::uint8_t level) { node.reset(level, 1); }
  [[nodiscard]] bool valid(std::uint8_t level) const { return Node::valid(bytes, level, 64); }
};

std::array<std::byte, Ref::size> child(std::uint32_t page) {
  std::array<std::byte, Ref::size> bytes;
  Ref{page, 7}.store(bytes);
  return bytes;
}

}  // namespace

TEST_CASE("tree: a node is valid whatever was put into it and taken out again") {
  std::mt19937 random{3};
  Page page{0};
  std::size_t most = 0;
  for (int i = 0; i < 20'000; ++i) {
    Node& leaf = page.node;
    const std::string key = "k" + std::to_string(random() % 500) + std::string(random() % 9, 'x');
    const std::string value(random() % 4 == 0 ? random() % 900 : random() % 20, 'v');
    const std::size_t at = leaf.lower_bound(key);
    if (at < leaf.count() && leaf.key(at) == key) {
      leaf.erase(at);
    } else if (leaf.fits(key.size(), value.size())) {
      leaf.insert(at, key, as_bytes(value));
    } else {
      for (int n = 0; n < 5 && leaf.count() > 1; ++n) leaf.erase(random() % leaf.count());
    }
    most = std::max(most, leaf.count());
    REQUIRE((leaf.count() == 0 || page.valid(0)));
  }
  CHECK(most > 20);
}

TEST_CASE("tree: a node of which two cells share bytes is none") {
  const std::string value = "0123456789" +
                            std::string(
                                "\1\0\4\0b"
                                "cdef",
                                9) +
                            "0123456789";
  Page page{0};
  page.node.insert(0, "a", as_bytes(value));
  page.node.insert(1, "c", as_bytes("x"));
  REQUIRE(page.valid(0));
  // The second cell within the first one's value.
  const std::size_t first = load_little<std::uint16_t>(page.bytes, Node::header);
  const std::size_t size = Node::cell_header + 5;
  store_little(MutableBytes{page.bytes}, Node::header + Node::slot_size,
               static_cast<std::uint16_t>(first + Node::cell_header + 1 + 10));
  store_little(MutableBytes{page.bytes}, 6, static_cast<std::uint16_t>(Node::cell_header + 1 + value.size() + size));
  store_little(MutableBytes{page.bytes}, 4, static_cast<std::uint16_t>(first - size));
  CHECK(page.node.key(1) == "b");
  CHECK(page.node.used() == Node::footprint(1, value.size()) + Node::footprint(1, 4));
  CHECK(!page.valid(0));
}

TEST_CASE("tree: a node whose keys are not in order is none, nor is one with an empty key") {
  for (const std::string_view second : {"b", "a", "", "c"}) {
    Page leaf{0};
    leaf.node.insert(0, "a", {});
    leaf.node.insert(1, second, {});
    leaf.node.insert(2, "c", {});
    CHECK(leaf.valid(0) == (second == "b"));
    // A branch's first key says nothing.
    Page branch{1};
    branch.node.insert(0, "z", child(5));
    branch.node.insert(1, second, child(6));
    branch.node.insert(2, "c", child(7));
    CHECK(branch.valid(1) == (second == "b" || second == "a"));
  }
  Page leaf{0};
  leaf.node.insert(0, "", {});
  CHECK(!leaf.valid(0));
}
