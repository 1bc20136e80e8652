// SPDX-License-Identifier: ISC
#include <bit>
#include <cstring>

#include <mirage/wire/checksum.hpp>

namespace mirage::wire::detail {

namespace {

std::uint64_t load_native(const std::byte* at) noexcept {
  std::uint64_t word;
  std::memcpy(&word, at, sizeof word);
  return word;
}

/// One's complement addition of 64-bit words.
std::uint64_t add_carry(std::uint64_t a, std::uint64_t b) noexcept {
  std::uint64_t sum = 0;
  const bool carry = __builtin_add_overflow(a, b, &sum);
  return sum + carry;
}

}  // namespace

std::uint16_t sum_words(Bytes bytes) noexcept {
  const std::byte* at = bytes.data();
  std::size_t left = bytes.size();
  // Four independent chains keep the adders busy; 32 bytes per round.
  std::uint64_t lanes[4] = {};
  for (; left >= 32; left -= 32, at += 32) {
    for (std::size_t lane = 0; lane < 4; ++lane) lanes[lane] = add_carry(lanes[lane], load_native(at + 8 * lane));
  }
  std::uint64_t sum = add_carry(add_carry(lanes[0], lanes[1]), add_carry(lanes[2], lanes[3]));
  for (; left >= 8; left -= 8, at += 8) sum = add_carry(sum, load_native(at));
  if (left > 0) {
    std::byte rest[8] = {};
    std::memcpy(rest, at, left);
    sum = add_carry(sum, load_native(rest));
  }
  // The sum is in the machine's byte order (RFC 1071 2(B)): one swap at the end.
  const std::uint16_t folded = fold((sum >> 32) + (sum & 0xffffffff));
  if constexpr (std::endian::native == std::endian::little) {
    return std::byteswap(folded);
  } else {
    return folded;
  }
}

}  // namespace mirage::wire::detail
