// SPDX-License-Identifier: ISC
// Checksum of pages: 64 bits, four lanes of eight bytes, without tables. Each step is a bijection of a lane's state and
// of the word that enters it, and so is the fold of the lanes: bytes that differ within one aligned word only (a
// flipped bit always does) never have the same checksum. It protects against accidents, not against an adversary.
#pragma once

#include <bit>
#include <cstdint>

#include <mirage/base/bytes.hpp>

namespace mirage::store::tree {

namespace detail {
inline constexpr std::uint64_t odd = 0x9e3779b97f4a7c15;
[[nodiscard]] constexpr std::uint64_t stir(std::uint64_t state, std::uint64_t word) noexcept {
  std::uint64_t product = (state ^ word) * odd;
  // Clang makes two products of a product that is rotated, which doubles the time: it must not see through this.
  if !consteval {
    asm("" : "+r"(product));  // NOLINT: no instruction
  }
  return std::rotl(product, 29);
}
}  // namespace detail

/// Precondition: a multiple of 8 bytes. What has another seed has (all but certainly) another checksum.
[[nodiscard]] constexpr std::uint64_t checksum(std::uint64_t seed, Bytes bytes) noexcept {
  std::uint64_t a = seed;
  std::uint64_t b = ~seed;
  std::uint64_t c = std::rotl(seed, 21);
  std::uint64_t d = std::rotl(seed, 42) ^ detail::odd;
  std::size_t at = 0;
  for (; at + 32 <= bytes.size(); at += 32) {
    a = detail::stir(a, load_little<std::uint64_t>(bytes, at));
    b = detail::stir(b, load_little<std::uint64_t>(bytes, at + 8));
    c = detail::stir(c, load_little<std::uint64_t>(bytes, at + 16));
    d = detail::stir(d, load_little<std::uint64_t>(bytes, at + 24));
  }
  for (; at + 8 <= bytes.size(); at += 8) a = detail::stir(a, load_little<std::uint64_t>(bytes, at));
  std::uint64_t sum = detail::stir(detail::stir(detail::stir(detail::stir(bytes.size(), a), b), c), d);
  sum ^= sum >> 32;
  sum *= detail::odd;
  return sum ^ sum >> 29;
}

}  // namespace mirage::store::tree
