// SPDX-License-Identifier: ISC
// JSON that the tools write.
#pragma once

#include <string>
#include <string_view>

#include <nlohmann/json.hpp>

namespace mirage::plan {

/// `json` on one line, or indented. File names, arguments and contents may be any bytes: what is not UTF-8 becomes
/// U+FFFD, where the library's own dump() throws.
[[nodiscard]] inline std::string json_text(const nlohmann::ordered_json& json, int indent = -1) {
  return json.dump(indent, ' ', false, nlohmann::ordered_json::error_handler_t::replace);
}

/// Whether json_text() writes `text` as it is.
[[nodiscard]] inline bool is_utf8(std::string_view text) {
  return nlohmann::ordered_json::parse(json_text(std::string(text))) == std::string(text);
}

}  // namespace mirage::plan
