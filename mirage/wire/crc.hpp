// SPDX-License-Identifier: ISC
// 32-bit cyclic redundancy checks, reflected: a table of sixteen entries each, four bits at a time.
#pragma once

#include <array>
#include <cstdint>

#include <mirage/base/bytes.hpp>

namespace mirage::wire {

/// `polynomial`: bit-reversed. Begin with 0; feed the result back in to go on.
template <std::uint32_t polynomial>
[[nodiscard]] constexpr std::uint32_t crc(Bytes bytes, std::uint32_t before = 0) noexcept {
  constexpr auto table = [] {
    std::array<std::uint32_t, 16> out{};
    for (std::uint32_t i = 0; i < 16; ++i) {
      std::uint32_t value = i;
      for (int bit = 0; bit < 4; ++bit) value = value >> 1 ^ ((value & 1) != 0 ? polynomial : 0);
      out[i] = value;
    }
    return out;
  }();
  std::uint32_t value = ~before;
  for (const std::byte byte : bytes) {
    value ^= std::to_integer<std::uint32_t>(byte);
    value = value >> 4 ^ table[value & 15];
    value = value >> 4 ^ table[value & 15];
  }
  return ~value;
}

/// IEEE 802.3, GPT, gzip.
[[nodiscard]] constexpr std::uint32_t crc32(Bytes bytes, std::uint32_t before = 0) noexcept {
  return crc<0xedb88320>(bytes, before);
}
/// Castagnoli: iSCSI (RFC 3720, section 12.1), ext4.
[[nodiscard]] constexpr std::uint32_t crc32c(Bytes bytes, std::uint32_t before = 0) noexcept {
  return crc<0x82f63b78>(bytes, before);
}

}  // namespace mirage::wire
