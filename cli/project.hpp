// SPDX-License-Identifier: ISC
// A project on disk: config.cpp, what it was configured with, and what is generated for it.
#pragma once

#include <filesystem>
#include <optional>
#include <string>
#include <utility>
#include <vector>

#include <cli/command.hpp>
#include <cli/folder_lock.hpp>
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

/// Of an editor or version control, not of the project: Emacs' locks are links that lead nowhere.
[[nodiscard]] inline bool is_hidden(const fs::path& file) { return file.filename().string().starts_with('.'); }

class Project {
 public:
  /// A question leaves no trace in the project's folder, and waits for nobody who works there.
  enum class Purpose : unsigned char { question, work };
  Project(const Common& common, Purpose purpose);

  [[nodiscard]] const fs::path& folder() const noexcept { return folder_; }
  [[nodiscard]] const plan::Root& root() const noexcept { return root_; }
  [[nodiscard]] const plan::Catalogue& catalogue() const noexcept { return catalogue_; }
  [[nodiscard]] bool exists() const { return fs::exists(config_); }
  /// Keeps others from working in the folder until unlock(); waits for those who do. Without `make`, only where
  /// something was configured.
  void lock(bool make = false);
  void unlock() { lock_.reset(); }
  /// Compiles and runs config.cpp when first asked.
  [[nodiscard]] const plan::Graph& graph();

  [[nodiscard]] std::optional<Context> remembered() const;
  void remember(const Context& context) const;
  /// The plan for what was configured; for `otherwise` when nothing was. Throws Error when neither is there.
  [[nodiscard]] plan::Plan plan(const std::optional<Context>& otherwise = {});
  [[nodiscard]] plan::Plan plan_for(const Context& context);

  /// "build/spt"
  [[nodiscard]] static std::string build_folder(const plan::Plan& plan) { return "build/" + plan.target->name; }
  /// Sources, manifest and, unless there is another, Makefile: names from the project's folder, with the texts. Adds to
  /// `crunch_inputs`.
  [[nodiscard]] std::vector<std::pair<std::string, std::string>> generated(
      const plan::Plan& plan, std::vector<std::string>& crunch_inputs) const;
  /// Writes them; returns the names.
  std::vector<std::string> generate(const plan::Plan& plan, std::vector<std::string>& crunch_inputs) const;
  /// Every source of the image: generated ones and the project's own *.cpp beside config.cpp.
  [[nodiscard]] std::vector<std::string> sources(const plan::Plan& plan) const;
  /// Static libraries that the image links.
  [[nodiscard]] std::vector<std::string> libraries(const plan::Plan& plan) const;
  /// Removes what was generated; returns the names of what is gone. Throws Error at the first that cannot be removed,
  /// and where nothing tells that what is there was generated.
  [[nodiscard]] std::vector<std::string> clean();

 private:
  [[nodiscard]] plan::Graph ask(std::string& said) const;
  [[nodiscard]] std::vector<std::string> own_sources(const plan::Plan& plan) const;
  /// What `clean` removes, in this order.
  [[nodiscard]] std::vector<std::string> ours() const;

  fs::path config_;
  fs::path folder_;
  plan::Root root_;
  plan::Catalogue catalogue_;
  std::optional<plan::Graph> graph_;
  Purpose purpose_;
  bool quiet_;
  std::optional<FolderLock> lock_;
};

/// The target of those who do not say one: works everywhere without privileges.
inline constexpr const char* default_target = "spt";

}  // namespace mirage::cli
