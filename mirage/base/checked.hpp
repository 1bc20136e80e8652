// SPDX-License-Identifier: ISC
// Arithmetic on numbers from outside: overflow is a value, never wrap-around.
#pragma once

#include <concepts>
#include <cstdint>
#include <limits>
#include <optional>

namespace mirage {

template <std::integral T>
[[nodiscard]] constexpr std::optional<T> checked_add(T a, T b) noexcept {
  T sum{};
  if (__builtin_add_overflow(a, b, &sum)) return std::nullopt;
  return sum;
}

template <std::integral T>
[[nodiscard]] constexpr std::optional<T> checked_sub(T a, T b) noexcept {
  T difference{};
  if (__builtin_sub_overflow(a, b, &difference)) return std::nullopt;
  return difference;
}

template <std::integral T>
[[nodiscard]] constexpr std::optional<T> checked_mul(T a, T b) noexcept {
  T product{};
  if (__builtin_mul_overflow(a, b, &product)) return std::nullopt;
  return product;
}

/// True when [offset, offset + length) lies within [0, size): the one check for ranges from outside.
[[nodiscard]] constexpr bool within(std::uint64_t offset, std::uint64_t length, std::uint64_t size) noexcept {
  return offset <= size && length <= size - offset;
}

/// Narrowing that must be exact.
template <std::integral To, std::integral From>
[[nodiscard]] constexpr std::optional<To> checked_cast(From value) noexcept {
  const To narrowed = static_cast<To>(value);
  if (static_cast<From>(narrowed) != value || (narrowed < To{}) != (value < From{})) return std::nullopt;
  return narrowed;
}

}  // namespace mirage
