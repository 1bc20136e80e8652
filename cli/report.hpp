// SPDX-License-Identifier: ISC
// What the command says while it works: to standard error, only on a terminal, never with --json or --quiet.
#pragma once

#include <string_view>

#include <nlohmann/json_fwd.hpp>

#include <cli/command.hpp>

namespace mirage::cli {

/// True when progress is wanted: standard error is a terminal and nobody asked for silence.
[[nodiscard]] bool shows_progress(const Common& common);
/// One line about what happens now.
void progress(const Common& common, std::string_view line);
/// The result: `text` for people, or `json` with --json.
void print_result(const Common& common, std::string_view text, const nlohmann::ordered_json& json);

}  // namespace mirage::cli
