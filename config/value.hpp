// SPDX-License-Identifier: ISC
// The types of keys: how a value is checked when configuring, and how it is written in the generated sources.
#pragma once

#include <string>
#include <string_view>

namespace mirage::plan {

struct KeyType {
  std::string_view name;      ///< in the graph: "u16"
  std::string_view cpp;       ///< in the image: "std::uint16_t"
  std::string_view expected;  ///< for messages: "a number from 0 to 65535"
  bool (*check)(std::string_view text);
  std::string (*literal)(std::string_view text);  ///< C++ expression; precondition: check(text)
};

/// nullptr for an unknown name.
[[nodiscard]] const KeyType* find_key_type(std::string_view name);

/// A C++ string literal, with quotes.
[[nodiscard]] std::string cpp_string(std::string_view text);

/// The form in which a value is shown: durations in their largest whole unit, all else as given.
[[nodiscard]] std::string shown(const KeyType& type, std::string_view text);

}  // namespace mirage::plan
