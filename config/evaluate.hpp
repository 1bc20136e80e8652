// SPDX-License-Identifier: ISC
// From config.cpp to its graph: compile for the host, run, read.
#pragma once

#include <filesystem>
#include <string>
#include <string_view>

#include <config/graph.hpp>

namespace mirage::plan {

/// Compiles `config` (absolute) into `folder` unless that is up to date, runs it and reads the graph. `root` holds
/// the DSL's headers. Throws Error; a compile error is trimmed to what its reader needs. `said` gets what the compiler
/// warned of, when it compiled, and what configure() wrote to standard error.
[[nodiscard]] Graph evaluate(const std::filesystem::path& config, const std::filesystem::path& folder,
                             const std::filesystem::path& root, std::string& said);

/// Whether evaluate() would compile nothing, and so write nothing.
[[nodiscard]] bool is_evaluated(const std::filesystem::path& config, const std::filesystem::path& folder,
                                const std::filesystem::path& root);

/// The first error of the compiler's output as an Error: the place in the user's file, the message, and of the notes
/// the one that says what was wanted; a mend where one is known.
[[noreturn]] void throw_compile_error(std::string_view compiler_output, std::string_view file_name);

}  // namespace mirage::plan
