// SPDX-License-Identifier: ISC
#include <cstdio>
#include <print>

#include <unistd.h>

#include <cli/report.hpp>
#include <config/json.hpp>

namespace mirage::cli {

bool shows_progress(const Common& common) { return !common.json && !common.quiet && isatty(2) == 1; }

void progress(const Common& common, std::string_view line) {
  if (shows_progress(common)) std::print(stderr, "\033[2mmirage: {}\033[0m\n", line);
}

void print_result(const Common& common, std::string_view text, const nlohmann::ordered_json& json) {
  if (common.json) {
    std::print("{}\n", plan::json_text(json));
  } else if (!common.quiet) {
    std::print("{}", text);
  }
}

}  // namespace mirage::cli
