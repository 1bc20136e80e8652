// SPDX-License-Identifier: ISC
// What the leaves hold: values by name, and where the data of large values is.
//
// Names: the key with its slashes as NUL bytes, so that what is below a directory follows it at once. Record: kind (1),
// version (8), then the value itself, or number (8) and size (8) of an object: a large value.
// Objects: NUL, object's number and index of a page (both big-endian, to be in order). Record: first page (4), then the
// checksum of each page of a run (8 each). Pages that no record covers read as zeros.
#pragma once

#include <algorithm>
#include <array>
#include <string_view>

#include <mirage/module/kv.hpp>
#include <mirage/store/tree/node.hpp>

namespace mirage::store::tree {

/// A key as the tree stores it.
class StoredKey {
 public:
  StoredKey() noexcept = default;
  /// Precondition: valid_key(key).
  explicit StoredKey(std::string_view key) noexcept {
    append(key);
    std::replace(memory_.data(), memory_.data() + size_, '/', '\0');
  }
  void append(std::string_view text) noexcept {
    text = text.substr(0, memory_.size() - size_);
    std::ranges::copy(text, memory_.data() + size_);
    size_ += text.size();
  }
  void append(char c) noexcept { append(std::string_view{&c, 1}); }
  [[nodiscard]] std::string_view view() const noexcept { return {memory_.data(), size_}; }

 private:
  std::array<char, maximum_key + maximum_key + 2> memory_;  // a directory, a name, what ends it
  std::size_t size_ = 0;
};

/// The key of a run of an object's pages.
class ObjectKey {
 public:
  static constexpr std::size_t size = 13;
  ObjectKey(std::uint64_t object, std::uint32_t page) noexcept {
    store_big(MutableBytes{memory_}, 1, object);
    store_big(MutableBytes{memory_}, 9, page);
  }
  [[nodiscard]] std::string_view view() const noexcept { return as_text(memory_); }

 private:
  std::array<std::byte, size> memory_{};
};

[[nodiscard]] constexpr bool is_object_key(std::string_view key) noexcept { return key.starts_with('\0'); }
/// Whether the stored key is below the stored directory.
[[nodiscard]] constexpr bool is_below(std::string_view key, std::string_view directory) noexcept {
  if (is_object_key(key)) return false;
  return directory.empty() ||
         (key.size() > directory.size() && key[directory.size()] == '\0' && key.starts_with(directory));
}

/// A value's record.
struct NameRecord {
  static constexpr std::size_t inline_header = 9;
  static constexpr std::size_t object_size = 25;
  bool is_object = false;
  std::uint64_t version = 0;  ///< the commit that wrote it
  std::uint64_t object = 0;
  std::uint64_t size = 0;
  Bytes content{};  ///< of one that is no object; in the node

  /// nullopt: damaged.
  [[nodiscard]] static std::optional<NameRecord> parse(Bytes bytes) noexcept;
  /// An object's; an inline record is its header (kind and version) and the content.
  void encode_object(MutableBytes out) const noexcept;
  static void encode_inline_header(MutableBytes out, std::uint64_t version) noexcept;
  /// Whether a value of this size goes into the leaf.
  [[nodiscard]] static constexpr bool fits_inline(std::size_t key, std::uint64_t size) noexcept {
    return size <= Node::maximum_cell && Node::cell_header + key + inline_header + size <= Node::maximum_cell;
  }
};

/// A run of an object's pages.
struct RunRecord {
  static constexpr std::uint32_t maximum_pages = 16;
  static constexpr std::size_t maximum_size = 4 + 8 * maximum_pages;
  std::uint64_t object = 0;
  std::uint32_t index = 0;  ///< of the first page in the object
  std::uint32_t page = 0;   ///< in the store
  std::uint32_t count = 0;
  Bytes sums{};
  [[nodiscard]] std::uint64_t end() const noexcept { return std::uint64_t{index} + count; }
  [[nodiscard]] std::uint64_t sum(std::size_t i) const noexcept { return load_little<std::uint64_t>(sums, 8 * i); }

  [[nodiscard]] static std::optional<RunRecord> parse(std::string_view key, Bytes value) noexcept;
  /// The part [from, to) of it, in object's pages, encoded into `out` (maximum_size); what was written.
  [[nodiscard]] Bytes encode_part(std::uint64_t from, std::uint64_t to, MutableBytes out) const noexcept;
};

}  // namespace mirage::store::tree
