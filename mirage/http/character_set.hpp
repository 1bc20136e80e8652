// SPDX-License-Identifier: ISC
// A set of octets as a bitmap: one look for a character, however many are in the set.
#pragma once

#include <array>
#include <cstdint>
#include <string_view>

namespace mirage::http {

class CharacterSet {
 public:
  consteval explicit CharacterSet(std::string_view members) noexcept {
    for (const char c : members) add(c);
  }
  /// With the letters and digits of ASCII.
  [[nodiscard]] consteval CharacterSet and_alphanumeric() const noexcept {
    CharacterSet set = *this;
    for (char c = 'a'; c <= 'z'; ++c) set.add(c);
    for (char c = 'A'; c <= 'Z'; ++c) set.add(c);
    for (char c = '0'; c <= '9'; ++c) set.add(c);
    return set;
  }
  [[nodiscard]] constexpr bool contains(char c) const noexcept {
    const auto octet = static_cast<unsigned char>(c);
    return (words_[octet / 64] >> octet % 64 & 1) != 0;
  }
  [[nodiscard]] constexpr bool contains_all(std::string_view text) const noexcept {
    std::uint64_t all = 1;
    for (const char c : text) all &= contains(c) ? 1 : 0;
    return all != 0;
  }

 private:
  consteval void add(char c) noexcept {
    const auto octet = static_cast<unsigned char>(c);
    words_[octet / 64] |= std::uint64_t{1} << octet % 64;
  }
  std::array<std::uint64_t, 4> words_{};
};

}  // namespace mirage::http
