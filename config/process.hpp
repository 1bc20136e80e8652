// SPDX-License-Identifier: ISC
// Running the programs that the tools need: compilers, ninja, scripts.
#pragma once

#include <filesystem>
#include <string>
#include <vector>

namespace mirage::plan {

using Words = std::vector<std::string>;

struct Finished {
  int status = 0;  ///< exit status; 128 + signal; 127 when the program was not found
  std::string output;
  std::string errors;
};

/// What becomes of the program's standard output and error.
enum class Output { inherit, capture, to_error };

/// Runs `words` in `folder` (empty: here) and waits. Nothing goes through a shell. `to_error`: both to our standard
/// error.
[[nodiscard]] Finished run_program(const Words& words, Output output, const std::filesystem::path& folder = {});

/// The program's path in PATH (or itself when it has a slash and can be executed); empty: none.
[[nodiscard]] std::filesystem::path find_program(const std::string& name);

/// `words` as a line that a shell would read back.
[[nodiscard]] std::string shell_line(const Words& words);

}  // namespace mirage::plan
