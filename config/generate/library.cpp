// SPDX-License-Identifier: ISC
#include <algorithm>
#include <format>
#include <map>
#include <set>
#include <string_view>

#include <config/error.hpp>
#include <config/generate/library.hpp>
#include <config/place.hpp>
#include <config/text.hpp>

namespace mirage::plan {

namespace {

namespace fs = std::filesystem;

/// The files of one library: a folder under mirage/, with its guest/ folders.
struct Folder {
  std::vector<fs::path> files;
  bool sources = false;
};

/// Whether a folder belongs to an image; the same rule as in mirage/CMakeLists.txt.
bool belongs(const fs::path& folder, bool guest) {
  for (const auto& part : folder) {
    if (part == "tender" || part == "test" || part == "check" || (!guest && part == "guest")) return false;
  }
  return true;
}

std::string library_of(const fs::path& folder) {
  std::string name = folder.generic_string();
  if (const auto guest = name.find("/guest"); guest != std::string::npos) name.erase(guest);
  return replaced(name, "/", "_");
}

/// Headers below mirage/ that a text includes.
std::vector<fs::path> includes_of(std::string_view rest) {
  constexpr std::string_view mark = "#include <mirage/";
  std::vector<fs::path> found;
  while (true) {
    const auto at = rest.find(mark);
    if (at == std::string_view::npos) return found;
    rest.remove_prefix(at + mark.size());
    found.push_back(fs::path("mirage") / rest.substr(0, rest.find('>')));
  }
}

class Closure {
 public:
  Closure(const fs::path& root, bool guest) : root_(root) {
    for (const auto& entry : fs::recursive_directory_iterator(root / "mirage")) {
      const fs::path& file = entry.path();
      const fs::path folder = fs::relative(file.parent_path(), root);
      const auto name = file.filename().string();
      if (!entry.is_regular_file() || !belongs(folder, guest)) continue;
      if (name.ends_with("_test.cpp") || name.ends_with("_fuzz.cpp")) continue;
      const bool source = name.ends_with(".cpp") || name.ends_with(".S");
      if (!source && !name.ends_with(".hpp") && !name.ends_with(".h")) continue;
      auto& into = folders_[library_of(folder)];
      into.files.push_back(file);
      into.sources = into.sources || source;
    }
  }

  void add_text(std::string_view text) {
    for (const auto& header : includes_of(text)) {
      const auto library = library_of(header.parent_path());
      if (folders_.contains(library)) add_library(library);
    }
  }

  void add_library(const std::string& name) {
    const auto folder = folders_.find(name);
    if (folder == folders_.end()) {
      throw Error("", std::format("there is no library '{}'", name), "Libraries are called after folders of mirage/.");
    }
    if (!seen_.insert(name).second) return;
    for (const auto& file : folder->second.files) add_text(read_text(file));
  }

  [[nodiscard]] std::vector<std::string> libraries() const {
    std::vector<std::string> out;
    for (const auto& name : seen_) {
      if (folders_.at(name).sources) out.push_back(name);
    }
    return out;
  }

 private:
  fs::path root_;
  std::map<std::string, Folder> folders_;
  std::set<std::string> seen_;
};

}  // namespace

std::vector<std::string> needed_libraries(const fs::path& root, const std::vector<std::string>& texts,
                                          const std::vector<std::string>& named, bool guest) {
  Closure closure(root, guest);
  for (const auto& name : named) closure.add_library(name);
  for (const auto& text : texts) closure.add_text(text);
  return closure.libraries();
}

}  // namespace mirage::plan
