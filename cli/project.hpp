// SPDX-License-Identifier: ISC
// A project on disk: config.cpp, what it was configured with, and what is generated for it.
#pragma once

#include <filesystem>
#include <optional>
#include <string>
#include <vector>

#include <config/catalogue.hpp>
#include <config/place.hpp>
#include <config/plan.hpp>

namespace mirage::cli {

namespace fs = std::filesystem;

/// What `mirage configure` was told; remembered in build/context.json.
struct Context {
  std::string target;
  plan::Settings settings;
};

class Project {
 public:
  /// `config` is the path of config.cpp, "" for the one in the current folder.
  explicit Project(const std::string& config);

  [[nodiscard]] const fs::path& folder() const noexcept { return folder_; }
  [[nodiscard]] const plan::Root& root() const noexcept { return root_; }
  [[nodiscard]] const plan::Catalogue& catalogue() const noexcept { return catalogue_; }
  [[nodiscard]] bool exists() const { return fs::exists(config_); }
  /// Compiles and runs config.cpp when first asked.
  [[nodiscard]] const plan::Graph& graph();

  [[nodiscard]] std::optional<Context> remembered() const;
  void remember(const Context& context) const;
  /// The plan for what was configured; for `otherwise` when nothing was. Throws Error when neither is there.
  [[nodiscard]] plan::Plan plan(const std::optional<Context>& otherwise = {});
  [[nodiscard]] plan::Plan plan_for(const Context& context);

  /// "build/spt"
  [[nodiscard]] static std::string build_folder(const plan::Plan& plan) { return "build/" + plan.target->name; }
  /// Writes sources, manifest and Makefile; returns the names of what was written, from the project's folder.
  std::vector<std::string> generate(const plan::Plan& plan, std::vector<std::string>& crunch_inputs) const;
  /// Every source of the image: generated ones and the project's own *.cpp beside config.cpp.
  [[nodiscard]] std::vector<std::string> sources(const plan::Plan& plan) const;
  /// Static libraries that the image links.
  [[nodiscard]] std::vector<std::string> libraries(const plan::Plan& plan) const;
  /// Removes what was generated; returns the names of what is gone. Throws Error at the first that cannot be removed,
  /// and where nothing tells that what is there was generated.
  [[nodiscard]] std::vector<std::string> clean();

 private:
  /// What `clean` removes, in this order.
  [[nodiscard]] std::vector<std::string> ours() const;

  fs::path config_;
  fs::path folder_;
  plan::Root root_;
  plan::Catalogue catalogue_;
  std::optional<plan::Graph> graph_;
};

/// The target of those who do not say one: works everywhere without privileges.
inline constexpr const char* default_target = "spt";

}  // namespace mirage::cli
