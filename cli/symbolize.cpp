// SPDX-License-Identifier: ISC
// Adds function and line to the addresses of a fault report; everything else passes unchanged.
#include <charconv>
#include <cstdint>
#include <cstdio>
#include <format>
#include <iostream>
#include <print>
#include <regex>
#include <sstream>
#include <string_view>

#include <cli/command.hpp>
#include <cli/project.hpp>
#include <cli/report.hpp>
#include <config/error.hpp>
#include <config/json.hpp>
#include <config/place.hpp>
#include <config/process.hpp>

namespace mirage::cli {

using Json = nlohmann::ordered_json;

namespace {

/// The address of a line "  at 0x..." (also "#3 0x..." and "rip=0x..."); empty: none.
std::string address_of(const std::string& line) {
  static const std::regex form(R"((?:\bat |#\d+ +|\b[re]ip[ =:]+|\bpc[ =:]+)(0x[0-9a-fA-F]+))");
  std::smatch match;
  return std::regex_search(line, match, form) ? match[1].str() : std::string();
}

/// Below the newest frame of a backtrace stand return addresses: the call is the instruction before.
std::string call_before(const std::string& address) {
  std::uint64_t value = 0;
  const auto read = std::from_chars(address.data() + 2, address.data() + address.size(), value, 16);
  return read.ec == std::errc{} ? std::format("{:#x}", value - 1) : address;
}

/// "function (file:line)", innermost inlined function first; empty when nothing is known about the address. Throws
/// Error when `image` cannot be read.
std::string resolve(const std::string& image, const std::string& address) {
  const auto done =
      plan::run_program({"llvm-symbolizer-19", "--obj=" + image, "--output-style=JSON", "--relativenames", address},
                        plan::Output::capture);
  if (done.status == 127)
    throw plan::Error("", "llvm-symbolizer-19 is not installed", "Install it: apt-get install llvm-19");
  const auto json = Json::parse(done.output, nullptr, false);
  // An object is what it says of the file, an array of the address.
  if (json.is_object() && json.contains("Error")) {
    throw plan::Error(image, json["Error"].value("Message", "cannot be read"),
                      "--image names the image's .debug file.");
  }
  if (!json.is_array() || json.empty() || !json[0].contains("Symbol")) return {};
  std::string out;
  for (const auto& symbol : json[0]["Symbol"]) {
    const std::string function = symbol.value("FunctionName", "");
    if (function.empty()) continue;
    out += (out.empty() ? "" : ", inlined into ") + function;
    const std::string file = symbol.value("FileName", "");
    if (!file.empty()) out += std::format(" ({}:{})", file, symbol.value("Line", 0));
  }
  return out;
}

}  // namespace

int run_symbolize(const Common& common, const std::string& file, const std::string& image) {
  std::string symbols = image;
  if (symbols.empty()) {
    Project project(common, Project::Purpose::question);
    symbols = project.folder() / "dist" / (project.plan().image() + ".debug");
  }
  if (!fs::exists(symbols))
    throw plan::Error("", std::format("there are no symbols: {}", symbols), "Build the image: mirage build.");
  std::istringstream whole;
  const bool from_file = !file.empty() && file != "-";
  if (from_file) whole.str(plan::read_text(file));
  std::istream& lines = from_file ? whole : std::cin;
  Json resolved = Json::array();
  bool in_backtrace = false;
  std::size_t addresses = 0;
  for (std::string line; std::getline(lines, line);) {
    const auto address = address_of(line);
    const bool is_frame = line.find(" at ") != std::string::npos;
    const auto place =
        address.empty() ? std::string() : resolve(symbols, in_backtrace && is_frame ? call_before(address) : address);
    in_backtrace = is_frame && !address.empty();
    if (!address.empty()) ++addresses;
    if (!place.empty()) resolved.push_back({{"address", address}, {"place", place}});
    if (common.json) continue;
    std::print("{}{}{}\n", line, place.empty() ? "" : "  ", place);
    std::fflush(stdout);  // `mirage run | mirage symbolize` is read while the image runs
  }
  if (common.json) std::print("{}\n", plan::json_text(resolved));
  if (addresses != 0 && resolved.empty()) {
    say("mirage: {} names none of {} addresses: is it the .debug file of the image that wrote the log?\n", symbols,
        addresses);
  }
  return 0;
}

}  // namespace mirage::cli
