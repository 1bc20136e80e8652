// SPDX-License-Identifier: ISC
// Small work on text for the generators.
#pragma once

#include <string>
#include <string_view>

namespace mirage::plan {

/// Every occurrence of `what` in `text` replaced by `with`.
[[nodiscard]] std::string replaced(std::string_view text, std::string_view what, std::string_view with);
/// A C++ identifier: other characters become `_`; a keyword gets one behind it.
[[nodiscard]] std::string identifier(std::string_view text);
/// "CustomBlock", "my::CustomBlock" -> "custom_block".
[[nodiscard]] std::string snake_case(std::string_view text);
/// "custom_block_2" -> "CustomBlock2".
[[nodiscard]] std::string camel_case(std::string_view text);

}  // namespace mirage::plan
