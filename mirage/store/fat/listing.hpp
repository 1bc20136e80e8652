// SPDX-License-Identifier: ISC
// A directory has no order of its own: of its names those are kept that come first behind a given one.
#pragma once

#include <mirage/store/fat/reader.hpp>

namespace mirage::store::fat {

class Listing final : public Visitor {
 public:
  Listing(BufferPool& pool, std::string_view after, std::size_t maximum) noexcept;
  /// False: there was no memory.
  [[nodiscard]] explicit operator bool() const noexcept { return static_cast<bool>(memory_); }
  bool entry(const Found& found, const Name& name) noexcept override;
  /// Moves what was kept to the page.
  void fill(KvPage& page) noexcept;

 private:
  // One kept name: its size (2), kind (1), the value's size (4), text.
  static constexpr std::size_t at_kind = 2, at_value_size = 3, at_text = 7;
  static constexpr std::size_t slot_size = 784;
  static constexpr std::size_t most = 64;
  static_assert(at_text + Name::Utf8::capacity + 4 <= slot_size && most * slot_size <= large_capacity);
  [[nodiscard]] MutableBytes kept(std::size_t rank) noexcept {
    return memory_.bytes().subspan(order_[rank] * slot_size, slot_size);
  }
  [[nodiscard]] std::string_view text(std::size_t rank) noexcept {
    const Bytes bytes = kept(rank);
    return as_text(bytes.subspan(at_text, load_little<std::uint16_t>(bytes, 0)));
  }

  MutableSlice memory_;
  std::string_view after_;
  std::size_t limit_;
  std::size_t count_ = 0;
  bool more_ = false;
  std::array<std::uint8_t, most> order_;  // slots by their names
};

}  // namespace mirage::store::fat
