// SPDX-License-Identifier: ISC
#include <chrono>
#include <cstdio>
#include <cstdlib>
#include <print>

#include <unistd.h>

#include <cli/report.hpp>
#include <config/json.hpp>

namespace mirage::cli {

namespace {

/// https://no-color.org; a terminal that is not named may show the codes.
bool is_coloured() {
  const auto value = [](const char* name) {
    const char* text = std::getenv(name);
    return std::string_view{text == nullptr ? "" : text};
  };
  return value("NO_COLOR").empty() && !value("TERM").empty() && value("TERM") != "dumb";
}

/// How far the program is, as ninja and our scripts say it: the last "[57/130]"; empty: nothing was said.
std::string_view last_count(std::string_view text) {
  for (auto end = text.size(); end != 0;) {
    const auto open = text.rfind('[', end - 1);
    if (open == text.npos) return {};
    end = open;
    const auto close = text.find_first_not_of("0123456789/", open + 1);
    if (close != text.npos && text[close] == ']' && close > open + 3) return text.substr(open, close - open + 1);
  }
  return {};
}

}  // namespace

void say(std::string_view text) { (void)std::fwrite(text.data(), 1, text.size(), stderr); }

bool shows_progress(const Common& common) { return !common.json && !common.quiet && isatty(2) == 1; }

plan::Finished run_shown(const Common& common, const plan::Words& words, const std::string& what,
                         const std::filesystem::path& folder, plan::Output shown) {
  if (shows_progress(common)) {
    const bool coloured = is_coloured();
    say("{}mirage: {}{}\n", coloured ? "\033[2m" : "", what, coloured ? "\033[0m" : "");
    return plan::run_program(words, shown, folder);
  }
  plan::Watch watch;
  if (!common.json && !common.quiet) {
    watch = {.first = std::chrono::seconds(3), .then = std::chrono::seconds(10), .say = [&](const auto& so_far) {
               const auto output = last_count(so_far.output);
               const auto count = output.empty() ? last_count(so_far.errors) : output;
               say("mirage: {}{}{}\n", what, count.empty() ? "" : " ", count);
             }};
  }
  return plan::run_program(words, plan::Output::capture, folder, {}, watch);
}

void print_result(const Common& common, std::string_view text, const nlohmann::ordered_json& json) {
  if (common.json) {
    std::print("{}\n", plan::json_text(json));
  } else if (!common.quiet) {
    std::print("{}", text);
  }
}

}  // namespace mirage::cli
