// SPDX-License-Identifier: ISC
// Spans of bytes and loads and stores of integers by shifts: constexpr, free of alignment and aliasing questions.
#pragma once

#include <concepts>
#include <cstddef>
#include <cstdint>
#include <span>
#include <string_view>

namespace mirage {

using Bytes = std::span<const std::byte>;
using MutableBytes = std::span<std::byte>;

/// Loads a big-endian (network order) integer at `at`. Precondition: `at + sizeof(T) <= bytes.size()`.
template <std::unsigned_integral T>
[[nodiscard]] constexpr T load_big(Bytes bytes, std::size_t at) noexcept {
  std::uint64_t value = 0;
  for (std::size_t i = 0; i < sizeof(T); ++i) value = value << 8 | std::to_integer<std::uint64_t>(bytes[at + i]);
  return static_cast<T>(value);
}

template <std::unsigned_integral T>
[[nodiscard]] constexpr T load_little(Bytes bytes, std::size_t at) noexcept {
  std::uint64_t value = 0;
  for (std::size_t i = sizeof(T); i-- > 0;) value = value << 8 | std::to_integer<std::uint64_t>(bytes[at + i]);
  return static_cast<T>(value);
}

/// Stores a big-endian integer at `at`. Precondition: `at + sizeof(T) <= bytes.size()`.
template <std::unsigned_integral T>
constexpr void store_big(MutableBytes bytes, std::size_t at, T value) noexcept {
  for (std::size_t i = sizeof(T); i-- > 0;) {
    bytes[at + i] = static_cast<std::byte>(value & 0xff);
    value = static_cast<T>(static_cast<std::uint64_t>(value) >> 8);
  }
}

template <std::unsigned_integral T>
constexpr void store_little(MutableBytes bytes, std::size_t at, T value) noexcept {
  for (std::size_t i = 0; i < sizeof(T); ++i) {
    bytes[at + i] = static_cast<std::byte>(value & 0xff);
    value = static_cast<T>(static_cast<std::uint64_t>(value) >> 8);
  }
}

[[nodiscard]] inline Bytes as_bytes(std::string_view text) noexcept {
  return std::as_bytes(std::span(text.data(), text.size()));
}

/// Text over bytes; `char` may alias everything, so this cast is the one that is allowed.
[[nodiscard]] inline std::string_view as_text(Bytes bytes) noexcept {
  return {reinterpret_cast<const char*>(bytes.data()), bytes.size()};
}

}  // namespace mirage
