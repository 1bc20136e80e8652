// SPDX-License-Identifier: ISC
// The set of received ranges above RCV.NXT: bounded, sorted, disjoint, never adjacent. A value without pointers; the
// bytes themselves are in the connection's reassembly queue.
#pragma once

#include <array>
#include <cstdint>

#include <mirage/net/tcp/sequence.hpp>

namespace mirage::net::tcp {

/// [begin, end)
struct Range {
  Sequence begin;
  Sequence end;
  constexpr bool operator==(const Range&) const = default;
};

class Ranges {
 public:
  /// A queue that overflows leaves as many holes; a segment that has no place here is lost once more.
  static constexpr std::size_t capacity = 128;

  [[nodiscard]] constexpr bool empty() const noexcept { return count == 0; }
  constexpr void clear() noexcept { count = 0; }

  /// Adds `range`, joined with what it touches. False, and nothing changed, when that needs one range too many.
  [[nodiscard]] constexpr bool insert(Range range) noexcept {
    std::size_t first = 0;
    while (first < count && items[first].end < range.begin) ++first;
    std::size_t last = first;
    while (last < count && items[last].begin <= range.end) {
      range = {earlier(range.begin, items[last].begin), later(range.end, items[last].end)};
      ++last;
    }
    if (first == last && count == capacity) return false;
    replace(first, last, range);
    return true;
  }
  /// Removes what begins at or before `next`; the position up to which everything is there now.
  constexpr Sequence advance(Sequence next) noexcept {
    std::size_t gone = 0;
    while (gone < count && items[gone].begin <= next) next = later(next, items[gone++].end);
    for (std::size_t i = gone; i < count; ++i) items[i - gone] = items[i];
    count = static_cast<std::uint8_t>(count - gone);
    return next;
  }

  std::uint8_t count = 0;
  std::array<Range, capacity> items{};

 private:
  /// Puts `range` in the place of items [first, last).
  constexpr void replace(std::size_t first, std::size_t last, Range range) noexcept {
    if (first == last) {
      for (std::size_t i = count; i > first; --i) items[i] = items[i - 1];
      ++count;
    } else {
      for (std::size_t i = last; i < count; ++i) items[first + 1 + i - last] = items[i];
      count = static_cast<std::uint8_t>(count - (last - first - 1));
    }
    items[first] = range;
  }
};

}  // namespace mirage::net::tcp
