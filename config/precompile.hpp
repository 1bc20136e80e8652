// SPDX-License-Identifier: ISC
// The headers of the configuration language, compiled ahead: reading them is nine tenths of `mirage configure`.
#pragma once

#include <filesystem>

#include <config/process.hpp>

namespace mirage::plan {

/// How every configuration is compiled, `root` being mirage's.
[[nodiscard]] Words config_compiler(const std::filesystem::path& root);

/// The precompiled header of <mirage/config.hpp> in the cache, made when it is not there; empty when it cannot be made
/// (then a configuration is compiled without). Its name depends on the content and place of those headers and on the
/// compiler.
[[nodiscard]] std::filesystem::path precompiled_language(const std::filesystem::path& root);

}  // namespace mirage::plan
