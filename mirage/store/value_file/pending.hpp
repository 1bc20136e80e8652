// SPDX-License-Identifier: ISC
// Pages of files that were written and are not in the store yet: a bounded number of them, found by file and place.
#pragma once

#include <array>
#include <cstdint>
#include <memory>
#include <optional>
#include <span>

#include <mirage/base/bytes.hpp>

namespace mirage::store::value_file {

inline constexpr std::size_t page_size = 4096;

class Pending {
 public:
  static constexpr std::size_t capacity = 256;  ///< pages: 1 MiB
  struct Page {
    std::uint32_t file = 0;
    std::uint32_t slot = 0;
    std::uint64_t index = 0;  ///< the page's number in its file
    [[nodiscard]] bool precedes(std::uint32_t of, std::uint64_t at) const noexcept {
      return file != of ? file < of : index < at;
    }
  };

  /// Memory for the pages; none is taken before. False: there is none.
  [[nodiscard]] bool allocate() noexcept;
  [[nodiscard]] std::size_t room() const noexcept { return capacity - count_; }
  [[nodiscard]] bool empty() const noexcept { return count_ == 0; }
  /// In the order of files and places.
  [[nodiscard]] std::span<const Page> pages() const noexcept { return std::span(pages_).first(count_); }
  [[nodiscard]] MutableBytes bytes(const Page& page) const noexcept {
    return {memory_.get() + page.slot * page_size, page_size};
  }

  /// The page's bytes; empty when it is not here.
  [[nodiscard]] MutableBytes find(std::uint32_t file, std::uint64_t index) const noexcept;
  /// The number of the file's first page that is here, from `index` on.
  [[nodiscard]] std::optional<std::uint64_t> next(std::uint32_t file, std::uint64_t index) const noexcept;
  /// Preconditions: it is not here; there is room and memory. The bytes are undefined.
  [[nodiscard]] MutableBytes add(std::uint32_t file, std::uint64_t index) noexcept;
  /// Forgets the file's pages from `index` on.
  void cut(std::uint32_t file, std::uint64_t index) noexcept;
  /// Forgets one page that is here.
  void remove(std::uint32_t file, std::uint64_t index) noexcept;
  void clear() noexcept;
  /// Moves pages so that those that follow each other in a file lie together in memory: pages()[i] is in slot i.
  void arrange() noexcept;

 private:
  [[nodiscard]] std::size_t position(std::uint32_t file, std::uint64_t index) const noexcept;
  void erase(std::size_t first, std::size_t end) noexcept;

  std::unique_ptr<std::byte[]> memory_;  // a page more than slots
  std::array<Page, capacity> pages_;     // sorted; behind count_ their slots are those that are free
  std::size_t count_ = 0;
};

}  // namespace mirage::store::value_file
