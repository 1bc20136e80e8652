// SPDX-License-Identifier: ISC
#include <algorithm>

#include <mirage/store/tree/format.hpp>

namespace mirage::store::tree {

namespace {

namespace at {
constexpr std::size_t version = 8;
constexpr std::size_t page_bytes = 12;
constexpr std::size_t slot = 16;
constexpr std::size_t levels = 20;
constexpr std::size_t id_high = 24;
constexpr std::size_t id_low = 32;
constexpr std::size_t generation = 40;
constexpr std::size_t pages = 48;
constexpr std::size_t root = 56;
constexpr std::size_t next_object = 72;
constexpr std::size_t keys = 80;
constexpr std::size_t used = 88;
constexpr std::size_t sum = Superblock::size - 8;
}  // namespace at

/// The first bytes.
constexpr std::string_view magic{"mirtree\x1a", 8};

std::uint64_t sum_of(Bytes page, std::uint32_t slot) noexcept { return checksum(slot, page.first(at::sum)); }

bool plausible(const Superblock& each) noexcept {
  return each.generation <= last_number && each.next_object <= last_number && each.pages >= minimum_pages &&
         each.pages <= maximum_pages && each.root.ref.page < each.pages &&
         (each.root.levels == 0) == (each.root.ref.page == 0) &&
         (each.root.levels == 0 || each.root.ref.page >= first_page) && each.used <= each.pages - first_page;
}

}  // namespace

void Superblock::encode(MutableBytes page, std::uint32_t slot) const noexcept {
  std::ranges::fill(page, std::byte{});
  std::ranges::copy(as_bytes(magic), page.begin());
  store_little(page, at::version, format_version);
  store_little(page, at::page_bytes, static_cast<std::uint32_t>(page_size));
  store_little(page, at::slot, slot);
  page[at::levels] = static_cast<std::byte>(root.levels);
  store_little(page, at::id_high, id.high);
  store_little(page, at::id_low, id.low);
  store_little(page, at::generation, generation);
  store_little(page, at::pages, pages);
  root.ref.store(page.subspan(at::root, Ref::size));
  store_little(page, at::next_object, next_object);
  store_little(page, at::keys, keys);
  store_little(page, at::used, used);
  store_little(page, at::sum, sum_of(page, slot));
}

SuperblockResult decode_superblock(Bytes page, std::uint32_t slot) noexcept {
  SuperblockResult result;
  if (as_text(page.first(magic.size())) != magic) return result;
  result.state = SuperblockState::damaged;
  const bool intact = load_little<std::uint64_t>(page, at::sum) == sum_of(page, slot);
  if (load_little<std::uint32_t>(page, at::version) != format_version) {
    if (intact) result.state = SuperblockState::other_version;
    return result;
  }
  if (!intact || load_little<std::uint32_t>(page, at::slot) != slot ||
      load_little<std::uint32_t>(page, at::page_bytes) != page_size)
    return result;
  Superblock& out = result.superblock;
  out.id = {load_little<std::uint64_t>(page, at::id_high), load_little<std::uint64_t>(page, at::id_low)};
  out.generation = load_little<std::uint64_t>(page, at::generation);
  out.pages = load_little<std::uint64_t>(page, at::pages);
  out.root = {Ref::load(page.subspan(at::root, Ref::size)), std::to_integer<std::uint8_t>(page[at::levels])};
  out.next_object = load_little<std::uint64_t>(page, at::next_object);
  out.keys = load_little<std::uint64_t>(page, at::keys);
  out.used = load_little<std::uint64_t>(page, at::used);
  if (plausible(out) && out.generation % 2 == slot / 2) result.state = SuperblockState::good;
  return result;
}

}  // namespace mirage::store::tree
