// SPDX-License-Identifier: ISC
#include <cerrno>
#include <cstdlib>
#include <cstring>
#include <format>
#include <fstream>
#include <iterator>

#include <config/error.hpp>
#include <config/place.hpp>
#include <mirage/base/random.hpp>

namespace mirage::plan {

namespace fs = std::filesystem;

namespace {

bool is_root(const fs::path& path) {
  return fs::exists(path / "mirage/CMakeLists.txt") && fs::exists(path / "config/include/mirage/config.hpp");
}

const char* variable(const char* name) {
  const char* value = std::getenv(name);
  return value == nullptr || *value == '\0' ? nullptr : value;
}

}  // namespace

Root find_root() {
  const fs::path binary = fs::read_symlink("/proc/self/exe").parent_path();
  if (const char* given = variable("MIRAGE_ROOT")) {
    if (is_root(given)) return {fs::absolute(given), binary};
    throw Error("", std::format("MIRAGE_ROOT={} is no mirage installation", given),
                "It must hold mirage/ and config/include/.");
  }
  if (const auto installed = binary.parent_path() / "share/mirage"; is_root(installed)) return {installed, binary};
  for (fs::path above = binary; above != above.root_path(); above = above.parent_path()) {
    if (is_root(above)) return {above, binary};
  }
  throw Error("", "cannot find mirage's own files", "Set MIRAGE_ROOT to the source tree or to PREFIX/share/mirage.");
}

fs::path cache_folder() {
  if (const char* cache = variable("MIRAGE_CACHE")) return fs::absolute(cache);
  if (const char* cache = variable("XDG_CACHE_HOME")) return fs::absolute(cache) / "mirage";
  if (const char* home = variable("HOME")) return fs::path(home) / ".cache/mirage";
  throw Error("", "no folder for the cache", "Set MIRAGE_CACHE.");
}

bool write_if_changed(const fs::path& file, std::string_view content) {
  if (fs::is_regular_file(file) && read_text(file) == content) return false;
  std::error_code failure;
  if (file.has_parent_path()) fs::create_directories(file.parent_path(), failure);
  if (failure) throw Error("", std::format("cannot make {}: {}", file.parent_path().string(), failure.message()));
  std::ofstream out(file, std::ios::binary | std::ios::trunc);
  out.write(content.data(), static_cast<std::streamsize>(content.size()));
  out.close();
  if (!out) throw Error("", std::format("cannot write {}: {}", file.string(), std::strerror(errno)));
  return true;
}

std::string read_text(const fs::path& file) {
  // It can be opened, and has no bytes: it would pass for an empty file.
  std::error_code unknown;
  if (fs::is_directory(file, unknown)) throw Error("", std::format("cannot read {}: it is a folder", file.string()));
  std::ifstream in(file, std::ios::binary);
  if (!in) throw Error("", std::format("cannot read {}: {}", file.string(), std::strerror(errno)));
  return {std::istreambuf_iterator<char>(in), {}};
}

std::string fingerprint(std::string_view text) { return std::format("{:016x}", siphash({5, 6}, as_bytes(text))); }

}  // namespace mirage::plan
