// SPDX-License-Identifier: ISC
// A node of the B+tree: a page of cells (key, value) in the order of their keys as bytes. Leaves hold the store's
// records; a branch's values are references, and its first key stands for "before everything", whatever it says.
//
//   0 magic   1 level   2 count   4 heap   6 live   8 generation   16 slots ... free ... heap: cells
//
// `heap` is where the cells begin, `live` how many bytes of them are in use; a slot is a cell's offset.
#pragma once

#include <cstdint>
#include <string_view>

#include <mirage/store/tree/format.hpp>

namespace mirage::store::tree {

class Node {
 public:
  static constexpr std::size_t header = 16;
  static constexpr std::size_t cell_header = 4;  // sizes of key and value
  static constexpr std::size_t slot_size = 2;
  static constexpr std::size_t room = page_size - header;
  /// Three of the largest cells fit, so that any node can be split.
  static constexpr std::size_t maximum_cell = room / 3 - slot_size;
  static constexpr std::byte magic{0xb7};

  Node() noexcept = default;
  /// Precondition: a page that is valid(), or that reset() is called for.
  explicit Node(std::byte* page) noexcept : page_(page) {}

  /// Whether every accessor is safe: the check of what comes from the disk. `pages`: of the store.
  [[nodiscard]] static bool valid(Bytes page, std::uint8_t level, std::uint64_t pages) noexcept;

  void reset(std::uint8_t level, std::uint64_t generation) noexcept;
  void copy_from(const Node& other) noexcept;
  [[nodiscard]] Bytes bytes() const noexcept { return {page_, page_size}; }
  [[nodiscard]] std::uint8_t level() const noexcept { return std::to_integer<std::uint8_t>(page_[1]); }
  [[nodiscard]] std::size_t count() const noexcept { return half(2); }
  [[nodiscard]] std::uint64_t generation() const noexcept { return load_little<std::uint64_t>(bytes(), 8); }
  void set_generation(std::uint64_t generation) noexcept { store_little(mutable_bytes(), 8, generation); }

  // Precondition of all with an index: index < count(), for insert() <= count().
  [[nodiscard]] std::string_view key(std::size_t index) const noexcept {
    const std::size_t cell = slot(index);
    return as_text(bytes().subspan(cell + cell_header, half(cell)));
  }
  [[nodiscard]] Bytes value(std::size_t index) const noexcept {
    const std::size_t cell = slot(index);
    return bytes().subspan(cell + cell_header + half(cell), half(cell + 2));
  }
  [[nodiscard]] MutableBytes mutable_value(std::size_t index) noexcept {
    const std::size_t cell = slot(index);
    return mutable_bytes().subspan(cell + cell_header + half(cell), half(cell + 2));
  }
  [[nodiscard]] Ref child(std::size_t index) const noexcept { return Ref::load(value(index)); }
  void set_child(std::size_t index, const Ref& ref) noexcept { ref.store(mutable_value(index)); }

  /// The first cell whose key is not before `key`; count() when there is none. For leaves.
  [[nodiscard]] std::size_t lower_bound(std::string_view key) const noexcept;
  /// The cell of the child that `key` belongs to. For branches.
  [[nodiscard]] std::size_t child_index(std::string_view key) const noexcept;

  /// Bytes of cells and slots; at most `room`.
  [[nodiscard]] std::size_t used() const noexcept { return half(6) + count() * slot_size; }
  /// What a cell takes of the room.
  [[nodiscard]] static std::size_t footprint(std::size_t key, std::size_t value) noexcept {
    return cell_header + slot_size + key + value;
  }
  [[nodiscard]] std::size_t footprint(std::size_t index) const noexcept { return cell_size(slot(index)) + slot_size; }
  [[nodiscard]] bool fits(std::size_t key, std::size_t value) const noexcept {
    return used() + footprint(key, value) <= room;
  }
  /// Precondition: fits().
  void insert(std::size_t index, std::string_view key, Bytes value) noexcept;
  void erase(std::size_t index) noexcept;

 private:
  [[nodiscard]] MutableBytes mutable_bytes() noexcept { return {page_, page_size}; }
  [[nodiscard]] std::size_t half(std::size_t at) const noexcept { return load_little<std::uint16_t>(bytes(), at); }
  void set_half(std::size_t at, std::size_t value) noexcept {
    store_little(mutable_bytes(), at, static_cast<std::uint16_t>(value));
  }
  [[nodiscard]] std::size_t slot(std::size_t index) const noexcept { return half(header + index * slot_size); }
  [[nodiscard]] std::size_t cell_size(std::size_t cell) const noexcept {
    return cell_header + half(cell) + half(cell + 2);
  }
  /// Of so many cells, that one is looked at, and it and those before it are what a search may leave behind.
  [[nodiscard]] static constexpr std::size_t search_step(std::size_t count) noexcept { return (count + 1) / 2; }
  void ask_for_cells(std::size_t first, std::size_t count, std::size_t size) const noexcept;
  template <class F>
  [[nodiscard]] std::size_t search(std::size_t first, std::size_t size, F before) const noexcept;
  void compact() noexcept;
  std::byte* page_ = nullptr;
};

}  // namespace mirage::store::tree
