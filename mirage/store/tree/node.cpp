// SPDX-License-Identifier: ISC
#include <algorithm>
#include <array>
#include <bit>
#include <cstring>

#include <mirage/module/kv.hpp>
#include <mirage/store/tree/node.hpp>

namespace mirage::store::tree {

namespace {

/// Whether two of the cells share a byte: changing one would change the other. Each is within the page.
bool overlap(Bytes page, std::size_t count) noexcept {
  const auto half = [page](std::size_t at) noexcept -> std::size_t { return load_little<std::uint16_t>(page, at); };
  std::array<std::uint64_t, page_size / 64> starts{};  // a bit for each byte where a cell begins
  for (std::size_t i = 0; i < count; ++i) {
    const std::size_t cell = half(Node::header + i * Node::slot_size);
    starts[cell / 64] |= std::uint64_t{1} << cell % 64;
  }
  std::size_t end = 0;
  for (std::size_t word = 0; word < starts.size(); ++word) {
    for (std::uint64_t bits = starts[word]; bits != 0; bits &= bits - 1, --count) {
      const std::size_t cell = word * 64 + static_cast<std::size_t>(std::countr_zero(bits));
      if (cell < end) return true;
      end = cell + Node::cell_header + half(cell) + half(cell + 2);
    }
  }
  return count != 0;  // two begin at the same place
}

}  // namespace

bool Node::valid(Bytes page, std::uint8_t level, std::uint64_t pages) noexcept {
  const auto half = [page](std::size_t at) noexcept -> std::size_t { return load_little<std::uint16_t>(page, at); };
  const std::size_t count = half(2);
  const std::size_t slots_end = header + count * slot_size;
  const std::size_t heap = half(4);
  if (page[0] != magic || std::to_integer<std::uint8_t>(page[1]) != level) return false;
  if (count == 0 || slots_end > heap || heap > page_size) return false;
  std::size_t live = 0;
  // Mostly each cell is in front of the one before: those of keys that came in order, and of nodes that were split.
  std::size_t begin = page_size;
  bool in_order = true;
  std::string_view previous;
  for (std::size_t i = 0; i < count; ++i) {
    const std::size_t cell = half(header + i * slot_size);
    if (cell < heap || cell + cell_header > page_size) return false;
    const std::size_t key_size = half(cell);
    const std::size_t value_size = half(cell + 2);
    const std::size_t size = cell_header + key_size + value_size;
    if (size > maximum_cell || key_size > maximum_key || cell + size > page_size) return false;
    const std::string_view key = as_text(page.subspan(cell + cell_header, key_size));
    // A branch's first key means nothing; the next one is after "everything before", so not empty.
    if (level == 0 || i > 0) {
      if (key <= previous) return false;
      previous = key;
    }
    in_order = in_order && cell + size <= begin;
    begin = cell;
    live += size;
    if (level == 0) continue;
    if (value_size != Ref::size) return false;
    const Ref child = Ref::load(page.subspan(cell + cell_header + key_size, Ref::size));
    if (child.page < first_page || child.page >= pages) return false;
  }
  return live == half(6) && live <= page_size - heap && (in_order || !overlap(page, count));
}

void Node::reset(std::uint8_t level, std::uint64_t generation) noexcept {
  std::memset(page_, 0, page_size);
  page_[0] = magic;
  page_[1] = static_cast<std::byte>(level);
  set_half(4, page_size);
  set_generation(generation);
}

void Node::copy_from(const Node& other) noexcept { std::memcpy(page_, other.page_, page_size); }

namespace {

/// Less than, as bytes. Keys are short: no call, but eight bytes at a time, of which the last may have been seen
/// before.
bool is_before(std::string_view left, std::string_view right) noexcept {
  constexpr std::size_t step = sizeof(std::uint64_t);
  const std::size_t common = std::min(left.size(), right.size());
  if (common < step) return left < right;
  for (std::size_t at = 0;; at = std::min(at + step, common - step)) {
    const auto a = load_big<std::uint64_t>(as_bytes(left), at);
    const auto b = load_big<std::uint64_t>(as_bytes(right), at);
    if (a != b) return a < b;
    if (at == common - step) return left.size() < right.size();
  }
}

}  // namespace

/// Asks for the cells that the next three steps of a search may look at: a node is rarely in the processor's cache, and
/// each step would wait for memory, since where it looks depends on the one before.
/// `size`: of the key, whose end may be in another line than the cell's begin.
void Node::ask_for_cells(std::size_t first, std::size_t count, std::size_t size) const noexcept {
  const auto ask = [this, size](std::size_t index) noexcept {
    const std::size_t cell = slot(index);
    __builtin_prefetch(page_ + cell);
    __builtin_prefetch(page_ + std::min(cell + cell_header + size, page_size - 1));
  };
  const std::size_t half = search_step(count);
  const std::size_t quarter = search_step(count - half);
  const std::size_t eighth = search_step(count - half - quarter);
  ask(first + half - 1);
  for (const std::size_t at : {first, first + half}) {
    if (quarter != 0) ask(at + quarter - 1);
    if (eighth == 0) continue;
    ask(at + eighth - 1);
    ask(at + quarter + eighth - 1);
  }
}

/// The first of the cells from `first` on that is not `before`; count() when all are. How many cells are left after a
/// step does not depend on what it finds.
template <class F>
std::size_t Node::search(std::size_t first, std::size_t size, F before) const noexcept {
  std::size_t left = count() - first;
  for (unsigned step = 0; left != 0; ++step) {
    if (step % 3 == 0) ask_for_cells(first, left, size);
    const std::size_t half = search_step(left);
    first += before(key(first + half - 1)) ? half : 0;
    left -= half;
  }
  return first;
}

std::size_t Node::lower_bound(std::string_view key) const noexcept {
  return search(0, key.size(), [key](std::string_view each) noexcept { return is_before(each, key); });
}

std::size_t Node::child_index(std::string_view key) const noexcept {
  return search(1, key.size(), [key](std::string_view each) noexcept { return !is_before(key, each); }) - 1;
}

void Node::insert(std::size_t index, std::string_view key, Bytes value) noexcept {
  const std::size_t size = cell_header + key.size() + value.size();
  const std::size_t slots_end = header + count() * slot_size;
  if (half(4) < slots_end + slot_size + size) compact();
  const std::size_t cell = half(4) - size;
  set_half(cell, key.size());
  set_half(cell + 2, value.size());
  if (!key.empty()) std::memcpy(page_ + cell + cell_header, key.data(), key.size());
  if (!value.empty()) std::memcpy(page_ + cell + cell_header + key.size(), value.data(), value.size());
  std::byte* place = page_ + header + index * slot_size;
  std::memmove(place + slot_size, place, (count() - index) * slot_size);
  set_half(header + index * slot_size, cell);
  set_half(2, count() + 1);
  set_half(4, cell);
  set_half(6, half(6) + size);
}

void Node::erase(std::size_t index) noexcept {
  const std::size_t cell = slot(index);
  const std::size_t size = cell_size(cell);
  if (cell == half(4)) set_half(4, cell + size);
  std::byte* place = page_ + header + index * slot_size;
  std::memmove(place, place + slot_size, (count() - index - 1) * slot_size);
  set_half(2, count() - 1);
  set_half(6, half(6) - size);
}

/// Moves the cells together at the end of the page.
void Node::compact() noexcept {
  std::array<std::byte, page_size> copy;
  std::memcpy(copy.data(), page_, page_size);
  std::size_t heap = page_size;
  for (std::size_t i = 0; i < count(); ++i) {
    const std::size_t from = load_little<std::uint16_t>(copy, header + i * slot_size);
    const std::size_t size =
        cell_header + load_little<std::uint16_t>(copy, from) + load_little<std::uint16_t>(copy, from + 2);
    heap -= size;
    std::memcpy(page_ + heap, copy.data() + from, size);
    set_half(header + i * slot_size, heap);
  }
  // What is free is zero: no byte of a page is left to chance.
  std::memset(page_ + header + count() * slot_size, 0, heap - header - count() * slot_size);
  set_half(4, heap);
}

}  // namespace mirage::store::tree
