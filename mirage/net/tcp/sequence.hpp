// SPDX-License-Identifier: ISC
// Sequence numbers: arithmetic modulo 2^32, RFC 9293 section 3.4. Wrap-around lives here and nowhere else.
#pragma once

#include <cstdint>

namespace mirage::net::tcp {

/// A position in one direction's sequence space. Comparisons are meaningful within 2^31 of each other.
struct Sequence {
  std::uint32_t value = 0;

  constexpr bool operator==(const Sequence&) const = default;
  constexpr Sequence operator+(std::uint32_t count) const noexcept { return {value + count}; }
  constexpr Sequence operator-(std::uint32_t count) const noexcept { return {value - count}; }
  constexpr Sequence& operator+=(std::uint32_t count) noexcept {
    value += count;
    return *this;
  }
  /// Signed distance from `other` to here.
  constexpr std::int32_t operator-(Sequence other) const noexcept {
    return static_cast<std::int32_t>(value - other.value);
  }
  constexpr bool operator<(Sequence other) const noexcept { return *this - other < 0; }
  constexpr bool operator<=(Sequence other) const noexcept { return *this - other <= 0; }
  constexpr bool operator>(Sequence other) const noexcept { return *this - other > 0; }
  constexpr bool operator>=(Sequence other) const noexcept { return *this - other >= 0; }
};

/// How many numbers lie in [from, to). Precondition: from <= to.
[[nodiscard]] constexpr std::uint32_t distance(Sequence from, Sequence to) noexcept { return to.value - from.value; }
[[nodiscard]] constexpr Sequence later(Sequence a, Sequence b) noexcept { return a < b ? b : a; }
[[nodiscard]] constexpr Sequence earlier(Sequence a, Sequence b) noexcept { return a < b ? a : b; }

static_assert(Sequence{0xffffffff} < Sequence{0} && Sequence{5} - Sequence{0xfffffffb} == 10);
static_assert(distance(Sequence{0xfffffff0}, Sequence{0x10}) == 0x20);

}  // namespace mirage::net::tcp
