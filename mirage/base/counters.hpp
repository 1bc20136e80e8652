// SPDX-License-Identifier: ISC
// Counters with their names. A layer counts in a plain struct of 64-bit integers; the names of its members come from
// the compiler, so that a counter is described once, by its declaration, and counting is one increment.
#pragma once

#include <array>
#include <concepts>
#include <cstdint>
#include <cstring>
#include <span>
#include <string_view>
#include <utility>

#include <mirage/base/bytes.hpp>

namespace mirage {

namespace detail {

struct MemberNames {
  static constexpr std::size_t maximum = 96;
  std::array<std::string_view, maximum> items{};
  std::size_t count = 0;
  bool other_members = false;  ///< something that is no 64-bit integer
};

/// Called by the compiler's __builtin_dump_struct with a format and its arguments, once for each member: indentation,
/// type, name and, for a scalar, its value.
template <class... A>
constexpr int note_member(MemberNames& names, const char* /*format*/, A... arguments) noexcept {
  if constexpr (sizeof...(A) == 4) {
    const auto note = [&names](std::string_view indentation, const char*, const char* name, auto value) {
      if (indentation.size() != 2) return;  // a member of a member
      if constexpr (std::same_as<decltype(value), std::uint64_t>) {
        names.items[names.count++] = name;
      } else {
        names.other_members = true;
      }
    };
    note(arguments...);
  } else if constexpr (sizeof...(A) == 3) {
    names.other_members = true;
  }
  return 0;
}

template <class Counters>
consteval MemberNames member_names() {
  MemberNames names;
  const Counters counters{};
  __builtin_dump_struct(&counters, note_member, names);
  return names;
}

template <class Counters>
inline constexpr MemberNames member_names_of = member_names<Counters>();

template <auto value>
consteval std::string_view enumerator_name() {
  const std::string_view text = __PRETTY_FUNCTION__;  // "... [value = scope::Enum::name]"
  const std::size_t begin = text.rfind(':') + 1;
  return text.substr(begin, text.size() - 1 - begin);
}

template <class Enum, std::size_t... I>
consteval std::array<std::string_view, sizeof...(I)> enumerator_names(std::index_sequence<I...>) {
  return {enumerator_name<static_cast<Enum>(I)>()...};
}

template <class Enum, std::size_t count>
inline constexpr auto enumerator_names_of = enumerator_names<Enum>(std::make_index_sequence<count>());

}  // namespace detail

/// Names and where the values stand; refers to the struct that counts.
struct CounterSet {
  std::span<const std::string_view> names;
  const void* values = nullptr;
  [[nodiscard]] std::uint64_t value(std::size_t index) const noexcept {
    std::uint64_t value = 0;
    std::memcpy(&value, static_cast<const std::byte*>(values) + index * sizeof value, sizeof value);
    return value;
  }
};

/// The counters of a struct whose members are all std::uint64_t, but for `trailing` bytes at its end.
template <class Counters, std::size_t trailing = 0>
[[nodiscard]] CounterSet counters_of(const Counters& counters) noexcept {
  constexpr const detail::MemberNames& names = detail::member_names_of<Counters>;
  static_assert(
      names.count * sizeof(std::uint64_t) + trailing == sizeof(Counters) && names.other_members == (trailing != 0),
      "a struct of counters has members of type std::uint64_t only");
  return {std::span(names.items).first(names.count), &counters};
}

/// An array of counters by enumerator: those of `Enum` from 0 on.
template <class Enum, std::size_t count>
[[nodiscard]] CounterSet counters_by(const std::array<std::uint64_t, count>& counters) noexcept {
  return {detail::enumerator_names_of<Enum, count>, counters.data()};
}

/// Is shown counters and states; what it is given stays valid as long as the module.
class CounterVisitor {
 public:
  /// `part`: the layer, such as "tcp".
  virtual void counters(std::string_view part, const CounterSet& set) noexcept = 0;
  /// A number that goes up and down.
  virtual void gauge(std::string_view part, std::string_view name, std::uint64_t value) noexcept = 0;

 protected:
  ~CounterVisitor() = default;
};

/// A module that shows its counters.
template <class M>
concept Counted = requires(const M& module, CounterVisitor& visitor) {
  { module.visit_counters(visitor) } noexcept;
};

}  // namespace mirage
