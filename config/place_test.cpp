// SPDX-License-Identifier: ISC
#include <doctest/doctest.h>
#include <unistd.h>

#include <config/error.hpp>
#include <config/place.hpp>

namespace mirage::plan {
namespace {

namespace fs = std::filesystem;

TEST_CASE("what cannot be written or read says why") {
  const fs::path folder = fs::temp_directory_path() / ("mirage-place-test-" + std::to_string(getpid()));
  CHECK(write_if_changed(folder / "a/b", "text"));
  CHECK(!write_if_changed(folder / "a/b", "text"));
  fs::create_symlink("nowhere", folder / "link");
  const auto message = [&](const char* name, const char* reason) { return (folder / name).string() + ": " + reason; };
  CHECK_THROWS_WITH_AS((void)write_if_changed(folder / "link/file", ""),
                       ("cannot make " + message("link", "File exists")).c_str(), Error);
  CHECK_THROWS_WITH_AS((void)write_if_changed(folder / "a", "text"),
                       ("cannot write " + message("a", "Is a directory")).c_str(), Error);
  CHECK_THROWS_WITH_AS((void)read_text(folder / "a"), ("cannot read " + message("a", "it is a folder")).c_str(), Error);
  fs::remove_all(folder);
}

}  // namespace
}  // namespace mirage::plan
