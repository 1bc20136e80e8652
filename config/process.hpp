// SPDX-License-Identifier: ISC
// Running the programs that the tools need: compilers, ninja, scripts.
#pragma once

#include <chrono>
#include <filesystem>
#include <functional>
#include <string>
#include <vector>

namespace mirage::plan {

using Words = std::vector<std::string>;

struct Finished {
  int status = 0;  ///< exit status; 128 + signal; 127 when the program was not found
  std::string output = {};
  std::string errors = {};
  int signal = 0;          ///< what ended it; 0: itself
  bool timed_out = false;  ///< it was killed at the limit
};

/// What becomes of the program's standard output and error. `to_error`: both to our standard error; `capture_output`:
/// only its output is kept, and its errors are seen.
enum class Output { inherit, capture, capture_output, to_error };

/// `say` is called when the program has run for `first`, and then every `then`, with what it has said so far.
struct Watch {
  std::chrono::milliseconds first{};
  std::chrono::milliseconds then{};
  std::function<void(const Finished&)> say = {};
};

/// Runs `words` in `folder` (empty: here) and waits, for `limit` at most (0: without one). Nothing goes through a
/// shell, and flags of compilers in our environment (CFLAGS, CPATH and the like) are kept from it. It does not outlive
/// us: a signal that ends us ends it first, with what it started. One thread at most may be running.
[[nodiscard]] Finished run_program(const Words& words, Output output, const std::filesystem::path& folder = {},
                                   std::chrono::milliseconds limit = {}, const Watch& watch = {});

/// The program's path in PATH (or itself when it has a slash and can be executed); empty: none.
[[nodiscard]] std::filesystem::path find_program(const std::string& name);

/// `words` as a line that a shell would read back.
[[nodiscard]] std::string shell_line(const Words& words);

}  // namespace mirage::plan
