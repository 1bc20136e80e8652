// SPDX-License-Identifier: ISC
#include <algorithm>
#include <cctype>
#include <filesystem>
#include <format>

#include <nlohmann/json.hpp>

#include <cli/command.hpp>
#include <cli/report.hpp>
#include <config/error.hpp>
#include <config/place.hpp>
#include <config/text.hpp>

namespace mirage::cli {

namespace fs = std::filesystem;

namespace {

std::vector<std::string> layouts(const fs::path& folder) {
  std::vector<std::string> names;
  for (const auto& entry : fs::directory_iterator(folder)) names.push_back(entry.path().filename());
  std::ranges::sort(names);
  return names;
}

bool is_project_name(std::string_view name) {
  const auto good = [](char c) { return std::isalnum(static_cast<unsigned char>(c)) != 0 || c == '-' || c == '_'; };
  return !name.empty() && name.size() <= 64 && std::ranges::all_of(name, good) &&
         std::isalnum(static_cast<unsigned char>(name.front())) != 0;
}

/// Whole or not at all: half a project would be in the way of the next attempt.
std::vector<std::string> copy_layout(const fs::path& layout, const std::string& project) {
  std::vector<std::string> files;
  try {
    for (const auto& entry : fs::recursive_directory_iterator(layout)) {
      if (!entry.is_regular_file()) continue;
      const fs::path name = project / fs::relative(entry.path(), layout);
      plan::write_if_changed(name, plan::replaced(plan::read_text(entry.path()), "@NAME@", project));
      files.push_back(name);
    }
  } catch (...) {
    std::error_code none;
    fs::remove_all(project, none);
    throw;
  }
  std::ranges::sort(files);
  return files;
}

}  // namespace

int run_new(const Common& common, const NewOptions& options) {
  const fs::path folder = plan::find_root().path / "cli/template";
  const auto known = layouts(folder);
  if (std::ranges::find(known, options.layout) == known.end()) {
    std::string names;
    for (const auto& name : known) names += (names.empty() ? "" : ", ") + name;
    throw plan::UsageError("", std::format("there is no template '{}'", options.layout),
                           std::format("Templates are: {}.", names));
  }
  if (!is_project_name(options.name)) {
    throw plan::UsageError("", std::format("'{}' is no name for a project", options.name),
                           "Use letters, digits, '-' and '_'.");
  }
  if (fs::exists(options.name)) {
    throw plan::Error("", std::format("'{}' exists already", options.name), "Choose another name.");
  }
  const auto files = copy_layout(folder / options.layout, options.name);
  print_result(
      common,
      std::format("Created {0}. Next: cd {0} && mirage configure -t spt && mirage build && mirage run\n", options.name),
      nlohmann::ordered_json{{"name", options.name}, {"files", files}});
  return 0;
}

}  // namespace mirage::cli
