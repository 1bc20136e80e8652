// SPDX-License-Identifier: ISC
// Where things are: mirage's root (sources of the libraries, descriptors, recipes), the cache, a project's folders.
#pragma once

#include <filesystem>
#include <string>
#include <string_view>

namespace mirage::plan {

/// The installation or source tree that this executable belongs to.
struct Root {
  std::filesystem::path path;    ///< holds mirage/, config/include/, cmake/, tool/
  std::filesystem::path binary;  ///< folder of the executables
};

/// $MIRAGE_ROOT, else ../share/mirage of the executable's folder, else the source tree above it. Throws Error.
[[nodiscard]] Root find_root();

/// $MIRAGE_CACHE, else $XDG_CACHE_HOME/mirage, else ~/.cache/mirage.
[[nodiscard]] std::filesystem::path cache_folder();

/// Writes `content` unless the file has it already (so that nothing is rebuilt); makes the folders. Throws Error.
bool write_if_changed(const std::filesystem::path& file, std::string_view content);

/// Throws Error when it cannot be read.
[[nodiscard]] std::string read_text(const std::filesystem::path& file);

/// 16 hexadecimal digits that depend on the text.
[[nodiscard]] std::string fingerprint(std::string_view text);

}  // namespace mirage::plan
