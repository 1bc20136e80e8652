// SPDX-License-Identifier: ISC
#include <algorithm>
#include <fstream>
#include <set>

#include <doctest/doctest.h>
#include <unistd.h>

#include <config/error.hpp>
#include <config/generate/library.hpp>
#include <config/generate/source.hpp>
#include <config/place.hpp>

namespace mirage::plan {
namespace {

namespace fs = std::filesystem;

/// A folder that goes with the test.
struct Folder {
  fs::path path = fs::temp_directory_path() / ("mirage-config-test-" + std::to_string(getpid()));
  Folder() { fs::create_directories(path); }
  Folder(const Folder&) = delete;
  Folder& operator=(const Folder&) = delete;
  ~Folder() { fs::remove_all(path); }
  [[nodiscard]] fs::path write(const fs::path& name, std::string_view text) const {
    write_if_changed(path / name, text);
    return path / name;
  }
};

TEST_CASE("libraries follow from includes, through sources as well as headers") {
  const Folder root;
  (void)root.write("mirage/base/a.hpp", "");
  (void)root.write("mirage/base/a.cpp", "#include <mirage/base/a.hpp>\n");
  (void)root.write("mirage/module/concept.hpp", "#include <mirage/base/a.hpp>\n");
  (void)root.write("mirage/http/server.hpp", "#include <mirage/module/concept.hpp>\n");
  (void)root.write("mirage/http/server.cpp", "#include <mirage/wire/b.hpp>\n");
  (void)root.write("mirage/http/server_test.cpp", "#include <mirage/unused/x.hpp>\n");
  (void)root.write("mirage/wire/b.hpp", "");
  (void)root.write("mirage/wire/b.cpp", "");
  (void)root.write("mirage/unused/x.hpp", "");
  (void)root.write("mirage/unused/x.cpp", "");
  (void)root.write("mirage/target/spt/guest/start.S", "");
  (void)root.write("mirage/target/spt/tender/main.cpp", "#include <mirage/unused/x.hpp>\n");
  const std::string main = "#include <mirage/http/server.hpp>\n";
  CHECK(needed_libraries(root.path, {main}, {"mirage_target_spt"}, true) ==
        std::vector<std::string>{"mirage_base", "mirage_http", "mirage_target_spt", "mirage_wire"});
  CHECK_THROWS_AS((void)needed_libraries(root.path, {main}, {"mirage_nothing"}, true), Error);
}

TEST_CASE("a directory becomes a sorted table of files") {
  const Folder project;
  (void)project.write("htdocs/index.html", "<p>hi");
  (void)project.write("htdocs/css/a.css", "p{}");
  (void)project.write("htdocs/.git/config", "x");
  (void)project.write("htdocs/.well-known/security.txt", "x");
  const auto source = generate_crunch({"htdocs", "table", "config.cpp:3"}, project.path);
  CHECK(source.inputs ==
        std::vector<std::string>{"htdocs/.well-known/security.txt", "htdocs/css/a.css", "htdocs/index.html"});
  CHECK(source.table.find("{\"css/a.css\", \"text/css; charset=utf-8\", ") != std::string::npos);
  CHECK(source.assembly.find(".incbin \"htdocs/index.html\"") != std::string::npos);
  CHECK(source.assembly.find(project.path.string()) == std::string::npos);
  CHECK_THROWS_AS((void)generate_crunch({"nothing", "table", ""}, project.path), Error);
}

TEST_CASE("an empty directory is an empty table") {
  const Folder project;
  fs::create_directories(project.path / "empty");
  CHECK(generate_crunch({"empty", "table", ""}, project.path).table.find("mirage::CrunchTable table{{}}") !=
        std::string::npos);
}

}  // namespace
}  // namespace mirage::plan
