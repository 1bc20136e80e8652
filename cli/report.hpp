// SPDX-License-Identifier: ISC
// What the command says, and what it says while it works: to standard error, never with --json or --quiet.
#pragma once

#include <filesystem>
#include <format>
#include <string>
#include <string_view>
#include <utility>

#include <nlohmann/json_fwd.hpp>

#include <cli/command.hpp>
#include <config/process.hpp>

namespace mirage::cli {

/// To standard error. Where that is closed or full nobody reads it, which is no error of what is said.
void say(std::string_view text);
template <class... Values>
void say(std::format_string<const Values&...> form, const Values&... values) {
  say(std::string_view{std::format(form, values...)});
}

/// True when all that happens is shown: standard error is a terminal and nobody asked for silence.
[[nodiscard]] bool shows_progress(const Common& common);
/// Runs a step of a build. On a terminal `what` and what the program says are seen as it happens; elsewhere a line when
/// it takes long, and then now and again how far it is. What it said is in the result only when it was not shown.
[[nodiscard]] plan::Finished run_shown(const Common& common, const plan::Words& words, const std::string& what,
                                       const std::filesystem::path& folder = {},
                                       plan::Output shown = plan::Output::to_error);
/// The result: `text` for people, or `json` with --json.
void print_result(const Common& common, std::string_view text, const nlohmann::ordered_json& json);

}  // namespace mirage::cli
