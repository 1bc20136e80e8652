// SPDX-License-Identifier: ISC
// Flipped bits in images of the tree store: every one is detected, or does no harm. Pages that neither opening, nor the
// checker, nor reading every value looks at cannot do any; of all others, each bit is tried.
//
// All of them: MIRAGE_BIT_STRIDE=1 store_tree_bit_test. CTest takes every 131st bit.
#include <cstdlib>
#include <map>
#include <random>
#include <set>
#include <string>

#include <doctest/doctest.h>

#include <mirage/async/scope.hpp>
#include <mirage/device/power_cut/power_cut.hpp>
#include <mirage/module/check/virtual_environment.hpp>
#include <mirage/store/tree/tree.hpp>

using namespace mirage;
using store::tree::page_size;
using store::tree::WalkReport;
using Model = std::map<std::string, std::string>;

namespace {

struct World {
  check::VirtualEnvironment environment;
  Shard shard{environment};
};

/// A disk that notes which pages are read.
class Watched {
 public:
  explicit Watched(device::CutImage& image) noexcept : image_(image) {}
  [[nodiscard]] Shard& shard() noexcept { return image_.shard(); }
  [[nodiscard]] const BlockGeometry& geometry() const noexcept { return image_.geometry(); }
  auto read(std::uint64_t sector, MutableBytes bytes) {
    const std::size_t begin = sector * geometry().sector_size;
    for (std::size_t at = begin; at < begin + bytes.size(); at += page_size) pages.insert(at / page_size);
    return image_.read(sector, bytes);
  }
  auto write(std::uint64_t sector, Bytes bytes) noexcept { return image_.write(sector, bytes); }
  auto flush() noexcept { return image_.flush(); }
  std::set<std::size_t> pages;

 private:
  device::CutImage& image_;
};

/// `values` small ones and a few large ones.
std::vector<std::byte> make_image(std::size_t pages, int values, Model& model) {
  World world;
  const std::vector<std::byte> blank(pages * page_size);
  device::CutImage disk{world.shard, blank, 512};
  store::Tree tree{world.shard, disk};
  REQUIRE(run(world.shard, tree.store().format({1, 2}, false)).value().has_value());
  REQUIRE(run(world.shard, tree.start()).value().has_value());
  for (int i = 0; i < values; ++i) model["d/" + std::to_string(i)] = std::string(600, static_cast<char>('a' + i % 26));
  model["large"] = std::string(6'000, 'l');
  for (const auto& [key, value] : model) {
    REQUIRE(run(world.shard, tree.set(key, as_bytes(value))).value().has_value());
  }
  return {disk.content().begin(), disk.content().end()};
}

template <class T>
Task<bool> read_value(Shard&, T& tree, const std::string& key, std::string& out) {
  const auto info = co_await tree.info(key);
  if (!info) co_return false;
  while (out.size() < info->size) {
    const auto part = co_await tree.get(key, out.size(), info->size);
    if (!part || part->empty()) co_return false;
    for (const Slice& slice : *part) out += slice.text();
  }
  co_return true;
}

enum class Verdict : std::uint8_t { harmless, detected, wrong };

/// What comes of the image: a wrong value, or a right checker's word on a damaged one, is `wrong`.
template <class D>
Verdict judge(Shard& shard, D& disk, const Model& model) {
  store::Tree tree{shard, disk, {.cache_bytes = 0}};
  if (!run(shard, tree.start()).value()) return Verdict::detected;
  WalkReport report;
  const bool clean = run(shard, tree.store().check(report)).value().has_value();
  if (clean && report.keys != model.size()) return Verdict::wrong;
  Verdict verdict = clean ? Verdict::harmless : Verdict::detected;
  for (const auto& [key, value] : model) {
    std::string found;
    if (run(shard, read_value(shard, tree, key, found)) != true) {
      if (clean) return Verdict::wrong;
      verdict = Verdict::detected;
    } else if (found != value) {
      return Verdict::wrong;
    }
  }
  return verdict;
}

std::size_t stride() {
  const char* text = std::getenv("MIRAGE_BIT_STRIDE");
  return text == nullptr ? 131 : static_cast<std::size_t>(std::max(1, std::atoi(text)));
}

Verdict judge_flip(device::CutImage& image, Bytes content, std::size_t bit, const Model& model) {
  image.undo();
  const std::byte flipped = content[bit / 8] ^ static_cast<std::byte>(1U << bit % 8);
  image.put(bit / 8, {&flipped, 1});
  World world;
  return judge(world.shard, image, model);
}

}  // namespace

TEST_CASE("tree: every flipped bit of a small image") {
  Model model;
  const std::vector<std::byte> content = make_image(32, 8, model);
  World world;
  device::CutImage image{world.shard, content, 512};
  Watched watched{image};
  REQUIRE(judge(world.shard, watched, model) == Verdict::harmless);
  REQUIRE(watched.pages.size() >= 8);  // superblocks, a branch, two leaves, data
  std::size_t tried = 0;
  std::size_t detected = 0;
  for (const std::size_t page : watched.pages) {
    const std::size_t first = page * page_size * 8;
    for (std::size_t bit = first + tried % stride(); bit < first + page_size * 8; bit += stride()) {
      const Verdict verdict = judge_flip(image, content, bit, model);
      ++tried;
      REQUIRE_MESSAGE(verdict != Verdict::wrong, "bit " << bit << " of page " << page);
      // In nodes and data every one is seen; of superblocks there are two.
      if (page >= store::tree::first_page) REQUIRE_MESSAGE(verdict == Verdict::detected, "bit " << bit);
      detected += verdict == Verdict::detected ? 1 : 0;
    }
  }
  MESSAGE(watched.pages.size() << " pages, " << tried << " bits, " << detected << " detected");
  CHECK(detected > tried / 3);
}

TEST_CASE("tree: flipped bits of a larger image") {
  Model model;
  const std::vector<std::byte> content = make_image(1'024, 300, model);
  World world;
  device::CutImage image{world.shard, content, 512};
  Watched watched{image};
  REQUIRE(judge(world.shard, watched, model) == Verdict::harmless);
  const std::vector<std::size_t> pages{watched.pages.begin(), watched.pages.end()};
  std::mt19937 random{3};
  for (std::size_t i = 0; i < 2'620 / stride(); ++i) {
    const std::size_t bit = pages[random() % pages.size()] * page_size * 8 + random() % (page_size * 8);
    REQUIRE_MESSAGE(judge_flip(image, content, bit, model) != Verdict::wrong, "bit " << bit);
  }
}
