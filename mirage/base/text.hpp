// SPDX-License-Identifier: ISC
// Text without std::format and iostream (they cost 185-260 KB in an image): a bounded buffer and `{}` placeholders
// whose number is checked at compile time.
#pragma once

#include <array>
#include <concepts>
#include <cstdint>
#include <cstring>
#include <optional>
#include <span>
#include <string_view>
#include <type_traits>

#include <mirage/base/address.hpp>
#include <mirage/base/time.hpp>

namespace mirage {

/// Appends into memory that somebody else owns; what does not fit is cut off and remembered.
class TextWriter {
 public:
  explicit constexpr TextWriter(std::span<char> memory) noexcept : memory_(memory) {}
  void append(char c) noexcept;
  void append(std::string_view text) noexcept;
  void append_unsigned(std::uint64_t value, unsigned base = 10, unsigned minimum_digits = 1) noexcept;
  void append_signed(std::int64_t value) noexcept;
  [[nodiscard]] std::string_view view() const noexcept { return {memory_.data(), size_}; }
  [[nodiscard]] bool truncated() const noexcept { return truncated_; }

 private:
  std::span<char> memory_;
  std::size_t size_ = 0;
  bool truncated_ = false;
};

/// Hexadecimal, `0x` and at least `digits` digits.
struct Hex {
  std::uint64_t value;
  unsigned digits = 1;
};

inline void append_value(TextWriter& out, std::string_view text) noexcept { out.append(text); }
inline void append_value(TextWriter& out, const char* text) noexcept { out.append(std::string_view(text)); }
inline void append_value(TextWriter& out, char c) noexcept { out.append(c); }
inline void append_value(TextWriter& out, bool value) noexcept { out.append(value ? "true" : "false"); }
void append_value(TextWriter& out, Hex hex) noexcept;
void append_value(TextWriter& out, const MacAddress& address) noexcept;
void append_value(TextWriter& out, Ipv4Address address) noexcept;
void append_value(TextWriter& out, const IpAddress& address) noexcept;
void append_value(TextWriter& out, const Ipv4Prefix& prefix) noexcept;
void append_value(TextWriter& out, const IpPrefix& prefix) noexcept;
void append_value(TextWriter& out, const Endpoint& endpoint) noexcept;
/// Seconds with as many decimals as needed to show nanoseconds' leading part: "1.500s", "20ms", "35us".
void append_value(TextWriter& out, std::chrono::duration<std::int64_t, std::nano> duration) noexcept;
template <std::unsigned_integral T>
void append_value(TextWriter& out, T value) noexcept {
  out.append_unsigned(value);
}
template <std::signed_integral T>
void append_value(TextWriter& out, T value) noexcept {
  out.append_signed(value);
}

/// A format string whose `{}` count equals the number of arguments, checked at compile time.
template <class... Arguments>
class FormatString {
 public:
  template <std::size_t N>
  consteval FormatString(const char (&text)[N]) : text_(text, N - 1) {  // NOLINT: implicit on purpose
    std::size_t places = 0;
    for (std::size_t i = 0; i + 1 < N; ++i) {
      if (text[i] == '{' && text[i + 1] == '}') ++places;
    }
    if (places != sizeof...(Arguments)) number_of_placeholders_differs_from_number_of_arguments();
  }
  [[nodiscard]] constexpr std::string_view text() const noexcept { return text_; }

 private:
  static void number_of_placeholders_differs_from_number_of_arguments();  // not constexpr: a call is the error
  std::string_view text_;
};

namespace detail {
using AppendFunction = void (*)(TextWriter&, const void*) noexcept;
struct FormatArgument {
  const void* value;
  AppendFunction append;
};
template <class T>
void append_erased(TextWriter& out, const void* value) noexcept {
  append_value(out, *static_cast<const T*>(value));
}
void format_erased(TextWriter& out, std::string_view format, std::span<const FormatArgument> arguments) noexcept;
template <class T>
FormatArgument format_argument(const T& value) noexcept {
  if constexpr (std::is_array_v<T>) {
    // A string literal: erased as its view would dangle, so point at the characters.
    return {&value, [](TextWriter& out, const void* text) noexcept { out.append(static_cast<const char*>(text)); }};
  } else {
    return {&value, &append_erased<T>};
  }
}
}  // namespace detail

/// Writes `format` with each `{}` replaced by the next argument (types with an append_value overload).
template <class... Arguments>
void format_to(TextWriter& out, FormatString<std::type_identity_t<Arguments>...> format,
               const Arguments&... arguments) noexcept {
  const std::array<detail::FormatArgument, sizeof...(Arguments)> erased{detail::format_argument(arguments)...};
  detail::format_erased(out, format.text(), erased);
}

/// A TextWriter with its own memory.
template <std::size_t Capacity>
class Text {
 public:
  Text() noexcept : writer_(memory_) {}
  template <class... Arguments>
  explicit Text(FormatString<std::type_identity_t<Arguments>...> format, const Arguments&... arguments) noexcept
      : Text() {
    format_to<Arguments...>(writer_, format, arguments...);
  }
  Text(const Text&) = delete;
  Text& operator=(const Text&) = delete;
  [[nodiscard]] TextWriter& writer() noexcept { return writer_; }
  [[nodiscard]] std::string_view view() const noexcept { return writer_.view(); }
  operator std::string_view() const noexcept { return view(); }  // NOLINT: implicit on purpose

 private:
  std::array<char, Capacity> memory_;
  TextWriter writer_;
};

/// Parses a whole decimal number; nullopt for anything else or overflow.
template <std::unsigned_integral T>
[[nodiscard]] constexpr std::optional<T> parse_unsigned(std::string_view text) noexcept {
  if (text.empty()) return std::nullopt;
  T value = 0;
  for (const char c : text) {
    if (c < '0' || c > '9') return std::nullopt;
    T next{};
    if (__builtin_mul_overflow(value, T{10}, &next)) return std::nullopt;
    if (__builtin_add_overflow(next, static_cast<T>(c - '0'), &next)) return std::nullopt;
    value = next;
  }
  return value;
}

}  // namespace mirage
