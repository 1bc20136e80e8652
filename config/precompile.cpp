// SPDX-License-Identifier: ISC
#include <algorithm>
#include <format>
#include <vector>

#include <unistd.h>

#include <config/place.hpp>
#include <config/precompile.hpp>

namespace mirage::plan {

namespace {

namespace fs = std::filesystem;

/// Changes when a header, its place or the compiler does. The standard library's headers are the compiler's to check:
/// it refuses a precompiled header that is older than one of them.
std::string identity(const fs::path& root) {
  const fs::path compiler = find_program("clang++-19");
  std::error_code unknown;
  std::string text =
      std::format("{} {}\n", compiler.string(), fs::file_size(fs::canonical(compiler, unknown), unknown));
  std::vector<fs::path> headers;
  for (const auto& each : fs::recursive_directory_iterator(root / "config/include", unknown)) {
    if (each.is_regular_file()) headers.push_back(each.path());
  }
  std::ranges::sort(headers);
  for (const auto& header : headers) text += header.string() + "\n" + read_text(header);
  return fingerprint(text);
}

}  // namespace

Words config_compiler(const fs::path& root) {
  return {"clang++-19", "-std=c++23", "-stdlib=libc++", "-O0", "-fno-color-diagnostics", "-ferror-limit=10",
          // A port of 70000, a module that is made from itself, a configure() that returns nothing.
          "-Werror=constant-conversion", "-Werror=uninitialized", "-Werror=return-type", "-I",
          (root / "config/include").string()};
}

fs::path precompiled_language(const fs::path& root) {
  const fs::path made = cache_folder() / std::format("config-{}.pch", identity(root));
  if (fs::exists(made)) return made;
  std::error_code failed;
  fs::create_directories(made.parent_path(), failed);
  const fs::path fresh = std::format("{}.{}", made.string(), getpid());
  Words words = config_compiler(root);
  const fs::path header = root / "config/include/mirage/config.hpp";
  words.insert(words.end(), {"-x", "c++-header", "-o", fresh.string(), header.string()});
  const bool compiled = run_program(words, Output::capture).status == 0;
  // Whole or not at all, whoever else makes it meanwhile.
  if (compiled) fs::rename(fresh, made, failed);
  if (!compiled || failed) {
    fs::remove(fresh, failed);
    return {};
  }
  return made;
}

}  // namespace mirage::plan
