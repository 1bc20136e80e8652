// SPDX-License-Identifier: ISC
// Spans of bytes, and loads and stores of integers: constexpr, free of alignment and aliasing questions.
#pragma once

#include <bit>
#include <concepts>
#include <cstddef>
#include <cstdint>
#include <cstring>
#include <span>
#include <string_view>

namespace mirage {

using Bytes = std::span<const std::byte>;
using MutableBytes = std::span<std::byte>;

namespace detail {
/// An integer of another byte order is turned round.
template <std::endian order, std::unsigned_integral T>
[[nodiscard]] constexpr T ordered(T value) noexcept {
  return std::endian::native == order ? value : std::byteswap(value);
}
/// One load at run time; shifts, byte by byte, in constant expressions.
template <std::endian order, std::unsigned_integral T>
[[nodiscard]] constexpr T load(Bytes bytes, std::size_t at) noexcept {
  const Bytes from = bytes.subspan(at, sizeof(T));
  T value = 0;
  if consteval {
    for (std::size_t i = 0; i < sizeof(T); ++i) {
      const std::size_t place = order == std::endian::big ? i : sizeof(T) - 1 - i;
      value = static_cast<T>(static_cast<std::uint64_t>(value) << 8 | std::to_integer<std::uint64_t>(from[place]));
    }
    return value;
  }
  std::memcpy(&value, from.data(), sizeof(T));
  return ordered<order>(value);
}
template <std::endian order, std::unsigned_integral T>
constexpr void store(MutableBytes bytes, std::size_t at, T value) noexcept {
  const MutableBytes to = bytes.subspan(at, sizeof(T));
  if consteval {
    for (std::size_t i = 0; i < sizeof(T); ++i) {
      const std::size_t place = order == std::endian::little ? i : sizeof(T) - 1 - i;
      to[place] = static_cast<std::byte>(static_cast<std::uint64_t>(value) >> (8 * i) & 0xff);
    }
    return;
  }
  value = ordered<order>(value);
  std::memcpy(to.data(), &value, sizeof(T));
}
}  // namespace detail

/// Loads a big-endian (network order) integer at `at`. Precondition: `at + sizeof(T) <= bytes.size()`.
template <std::unsigned_integral T>
[[nodiscard]] constexpr T load_big(Bytes bytes, std::size_t at) noexcept {
  return detail::load<std::endian::big, T>(bytes, at);
}
template <std::unsigned_integral T>
[[nodiscard]] constexpr T load_little(Bytes bytes, std::size_t at) noexcept {
  return detail::load<std::endian::little, T>(bytes, at);
}

/// Stores a big-endian integer at `at`. Precondition: `at + sizeof(T) <= bytes.size()`.
template <std::unsigned_integral T>
constexpr void store_big(MutableBytes bytes, std::size_t at, T value) noexcept {
  detail::store<std::endian::big>(bytes, at, value);
}
template <std::unsigned_integral T>
constexpr void store_little(MutableBytes bytes, std::size_t at, T value) noexcept {
  detail::store<std::endian::little>(bytes, at, value);
}

[[nodiscard]] inline Bytes as_bytes(std::string_view text) noexcept {
  return std::as_bytes(std::span(text.data(), text.size()));
}

/// Text over bytes; `char` may alias everything, so this cast is the one that is allowed.
[[nodiscard]] inline std::string_view as_text(Bytes bytes) noexcept {
  return {reinterpret_cast<const char*>(bytes.data()), bytes.size()};
}

}  // namespace mirage
