// SPDX-License-Identifier: ISC
#include <algorithm>
#include <array>
#include <random>
#include <set>
#include <string>

#include <doctest/doctest.h>

#include <mirage/store/tree/node.hpp>

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
