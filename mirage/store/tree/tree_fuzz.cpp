// SPDX-License-Identifier: ISC
// Images that somebody made with intent: a small good image is changed at the places that the input names, and its
// checksums are made right again, so that what is behind them is reached. Then everything is done with it.
#include <cstdlib>
#include <optional>
#include <string>
#include <vector>

#include <mirage/async/scope.hpp>
#include <mirage/device/power_cut/power_cut.hpp>
#include <mirage/module/check/virtual_environment.hpp>
#include <mirage/store/tree/tree.hpp>

using namespace mirage;
using namespace mirage::store::tree;
using device::CutImage;

namespace {

constexpr std::size_t image_pages = 40;
constexpr Id id{1, 2};

/// Names in two leaves, directories, a large value.
std::vector<std::byte> good_image() {
  check::VirtualEnvironment environment;
  Shard shard{environment};
  const std::vector<std::byte> blank(image_pages * page_size);
  CutImage disk{shard, blank, 512};
  store::Tree tree{shard, disk};
  if (!run(shard, tree.store().format(id, false)).value() || !run(shard, tree.start()).value()) std::abort();
  const std::string value(700, 'v');
  const std::string large(9'000, 'l');
  for (const std::string key : {"a", "b/c", "b/d", "b/e/f", "g", "h/i", "j", "k"}) {
    if (!run(shard, tree.set(key, as_bytes(value))).value()) std::abort();
  }
  if (!run(shard, tree.set("large", as_bytes(large))).value()) std::abort();
  return {disk.content().begin(), disk.content().end()};
}

MutableBytes page_of(std::vector<std::byte>& image, std::uint32_t page) {
  return MutableBytes{image}.subspan(page % image_pages * page_size, page_size);
}

/// Makes the checksums below and of the node right, as far as it is one.
std::uint64_t seal(std::vector<std::byte>& image, std::uint32_t page, std::uint8_t level, int budget) {
  const MutableBytes bytes = page_of(image, page);
  if (budget > 0 && page < image_pages && Node::valid(bytes, level, image_pages)) {
    Node node{bytes.data()};
    for (std::size_t i = 0; i < node.count(); ++i) {
      if (level > 0) {
        Ref child = node.child(i);
        child.sum = seal(image, child.page, static_cast<std::uint8_t>(level - 1), budget - 1);
        node.set_child(i, child);
        continue;
      }
      const auto run = RunRecord::parse(node.key(i), node.value(i));
      for (std::uint32_t k = 0; run && k < run->count; ++k) {
        const std::uint32_t data = run->page + k;
        store_little(node.mutable_value(i), 4 + 8 * k, checksum(seed_of(id, data), page_of(image, data)));
      }
    }
  }
  return checksum(seed_of(id, page), bytes);
}

void seal_all(std::vector<std::byte>& image, std::uint8_t levels_flip) {
  Superblock newest;
  for (std::uint32_t slot = 0; slot < first_page; ++slot) {
    const auto [state, superblock] = decode_superblock(page_of(image, slot), slot);
    if (state == SuperblockState::good && superblock.generation > newest.generation) newest = superblock;
  }
  newest.root.levels = static_cast<std::uint8_t>(newest.root.levels ^ levels_flip);
  if (newest.root.levels != 0)
    newest.root.ref.sum = seal(image, newest.root.ref.page, static_cast<std::uint8_t>(newest.root.levels - 1), 4);
  const auto slot = static_cast<std::uint32_t>(2 * (newest.generation % 2));
  newest.encode(page_of(image, slot), slot);
  newest.encode(page_of(image, slot + 1), slot + 1);
}

/// What a store holds; nothing when not all of it can be listed.
template <class T>
std::optional<std::vector<std::string>> keys_of(Shard& shard, T& tree) {
  std::vector<std::string> keys;
  std::string after;
  while (keys.size() < 1'000) {
    const auto page = run(shard, tree.list("", after, 10));
    if (!page || !*page) return std::nullopt;
    if ((*page)->empty()) return keys;
    for (const KvEntry entry : **page) keys.push_back(after = entry.name);
  }
  return std::nullopt;
}

/// What a store that the checker found sound acknowledges, the next one that opens it has.
template <class T, class D>
void require_kept(Shard& shard, T& tree, D& disk) {
  const auto last = run(shard, tree.set("last", as_bytes("x")));
  if (!last || !*last) return;
  const auto keys = keys_of(shard, tree);
  store::Tree later{shard, disk, {.cache_bytes = 0}};
  const auto started = run(shard, later.start());
  if (!started || !*started) std::abort();
  if (keys && keys_of(shard, later) != keys) std::abort();
}

/// Whether the checker finds nothing.
template <class T>
bool is_sound(Shard& shard, T& tree) {
  WalkReport report;
  const auto checked = run(shard, tree.store().check(report));
  return checked && *checked && report.problem.empty();
}

template <class T>
void use_everything(Shard& shard, T& tree) {
  std::string after;
  for (int i = 0; i < 100; ++i) {
    const auto page = run(shard, tree.list("", after, 10));
    if (!page || !*page || (*page)->empty()) break;
    for (const KvEntry entry : **page) after = entry.name;
  }
  for (const std::string_view key : {"a", "b/c", "large", "k"}) {
    for (const std::uint64_t at : {std::uint64_t{0}, std::uint64_t{5'000}}) {
      const auto get = [](Shard&, T& from, std::string_view of, std::uint64_t offset) -> Task<bool> {
        const auto part = co_await from.get(of, offset, 100'000);
        co_return part.has_value();
      };
      (void)run(shard, get(shard, tree, key, at));
    }
  }
  const std::string large(6'000, 'x');
  (void)run(shard, tree.set("new", as_bytes(large)));
  (void)run(shard, tree.set_partial("large", 100, as_bytes(large)));
  (void)run(shard, tree.rename("b", "c"));
  (void)run(shard, tree.remove("a"));
  (void)run(shard, tree.remove("large"));
  (void)run(shard, tree.remove(""));
}

}  // namespace

extern "C" int LLVMFuzzerTestOneInput(const std::uint8_t* data, std::size_t size) {
  static const std::vector<std::byte> good = good_image();
  std::vector<std::byte> image = good;
  std::size_t at = 1;
  // Changes of three bytes: place in the used part of the image, and what is put there.
  for (; at + 3 <= size && at < 1 + 3 * 64; at += 3) {
    const std::size_t place = data[at] * std::size_t{256} + data[at + 1];
    // Node headers, slots and first cells are worth more than the rest.
    const std::size_t page = place / 1024 % image_pages;
    const std::size_t within = place % 1024 < 512 ? place % 512 : 3072 + place % 1024;
    image[page * page_size + within] = static_cast<std::byte>(data[at + 2]);
  }
  if (size != 0 && data[0] % 4 != 0) seal_all(image, data[0] % 16 == 1 ? data[0] / 16 : 0);
  check::VirtualEnvironment environment;
  Shard shard{environment};
  CutImage disk{shard, image, 512};
  store::Tree tree{shard, disk, {.cache_bytes = 0}};
  const auto started = run(shard, tree.start());
  if (!started || !*started) return 0;
  const bool was_sound = is_sound(shard, tree);
  use_everything(shard, tree);
  const bool is_still = is_sound(shard, tree);
  if (!was_sound) return 0;
  if (!is_still) std::abort();
  require_kept(shard, tree, disk);
  return 0;
}
