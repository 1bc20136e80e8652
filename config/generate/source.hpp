// SPDX-License-Identifier: ISC
// The C++ of an image that follows from its plan: keys.hpp, main.cpp and the tables of linked-in directories.
#pragma once

#include <filesystem>
#include <string>
#include <vector>

#include <config/plan.hpp>

namespace mirage::plan {

/// <mirage/keys.hpp>: struct Keys.
[[nodiscard]] std::string generate_keys(const Plan& plan);

/// main.cpp: options, modules in order of construction, concept checks, jobs, device manifest.
[[nodiscard]] std::string generate_main(const Plan& plan);

/// A directory to link in: assembly that includes the files, C++ that lists them, and the files for the build.
struct CrunchSource {
  std::string assembly;
  std::string table;
  std::vector<std::string> inputs;  ///< from the project's folder
};
/// What of a folder, and of those in it, is linked in: not what is hidden.
[[nodiscard]] std::vector<std::string> crunched_files(const std::filesystem::path& folder);
/// Throws Error when the directory is missing or holds a file that cannot be read.
[[nodiscard]] CrunchSource generate_crunch(const Crunched& crunched, const std::filesystem::path& project);

}  // namespace mirage::plan
