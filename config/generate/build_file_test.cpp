// SPDX-License-Identifier: ISC
#include <algorithm>

#include <doctest/doctest.h>
#include <unistd.h>

#include <config/error.hpp>
#include <config/generate/build_file.hpp>
#include <config/place.hpp>
#include <config/process.hpp>

namespace mirage::plan {
namespace {

namespace fs = std::filesystem;

/// The commands that ninja makes of the build, which fails if it cannot read it.
Finished commands_of(const ImageBuild& build) {
  const fs::path folder = fs::temp_directory_path() / ("mirage-build-file-test-" + std::to_string(getpid()));
  write_if_changed(folder / "build.ninja", generate_ninja(build));
  auto done = run_program({"ninja", "-t", "commands"}, Output::capture, folder);
  fs::remove_all(folder);
  return done;
}

/// The plan of an image for unix.
struct Planned {
  Planned() {
    target.name = "unix";
    target.guest = false;
    plan.name = "x";
    plan.target = &target;
  }
  Target target;
  Plan plan;
};

TEST_CASE("names of any characters but line breaks reach the compiler as they are") {
  const Planned planned;
  ImageBuild build{.plan = &planned.plan,
                   .root = "/a root's $HOME",
                   .libraries_folder = "/cache: |$x",
                   .flags_folder = {},
                   .libraries = {"mirage_base"},
                   .ports = {{"zlib", "/a port"}},
                   .folder = "build/unix",
                   .sources = {"o:d d$x|y.cpp", "build/unix/table.S"},
                   .crunch_inputs = {"htdocs/a:b|c $d.html"}};
  const auto done = commands_of(build);
  CHECK(done.status == 0);
  CHECK(done.errors.empty());
  CHECK(done.output.contains(" -c 'o:d d$x|y.cpp' -o 'build/unix/object/o:d d$x|y.cpp.o'\n"));
  CHECK(done.output.contains(" '-ffile-prefix-map=/a root'\\''s $HOME=/mirage' "));
  CHECK(done.output.contains(" -isystem '/a port/include' "));
  CHECK(done.output.contains(" '/cache: |$x/libmirage_base.a' '/a port/lib/libport_zlib.a' "));
  build.sources.emplace_back("a\nb.cpp");
  CHECK_THROWS_WITH_AS((void)generate_ninja(build),
                       "the name \"a\\012b.cpp\" has a line break, which a build file cannot have", Error);
  build.sources.pop_back();
  build.crunch_inputs = {"htdocs/two\nlines"};
  CHECK_THROWS_WITH_AS((void)generate_ninja(build),
                       "the name \"htdocs/two\\012lines\" has a line break, which a build file cannot have", Error);
}

TEST_CASE("a comma in the path of mirage's files is a part of it, to the linker too") {
  Planned planned;
  planned.target.guest = true;
  planned.target.linker_script = "image.ld";
  const auto done = commands_of({.plan = &planned.plan,
                                 .root = "/one, two",
                                 .libraries_folder = "/cache",
                                 .flags_folder = "/cache/guest",
                                 .libraries = {},
                                 .ports = {},
                                 .folder = "build/spt",
                                 .sources = {"a.cpp"},
                                 .crunch_inputs = {}});
  CHECK(done.output.contains(" -T '/one, two/image.ld' "));
  CHECK(!done.output.contains("-Wl,-T"));
}

TEST_CASE("each source has an object of its own") {
  const Planned planned;
  const auto done = commands_of({.plan = &planned.plan,
                                 .root = "/root",
                                 .libraries_folder = "/cache",
                                 .flags_folder = {},
                                 .libraries = {},
                                 .ports = {},
                                 .folder = "build/unix",
                                 .sources = {"a/b.cpp", "a_b.cpp", "a%2fb.cpp", "../../../b.cpp"},
                                 .crunch_inputs = {}});
  CHECK(done.status == 0);  // ninja refuses two ways to one file
  CHECK(done.output.contains(" -o 'build/unix/object/a%2fb.cpp.o'\n"));
  CHECK(done.output.contains(" -o 'build/unix/object/a%252fb.cpp.o'\n"));
  CHECK(done.output.contains(" -o 'build/unix/object/..%2f..%2f..%2fb.cpp.o'\n"));
}

TEST_CASE("make finds the tool that configured the project, whatever its path; when that is gone, the one on PATH") {
  const Planned planned;
  const fs::path folder = fs::temp_directory_path() / ("mirage-makefile-test-" + std::to_string(getpid()));
  const fs::path tool = folder / "a (b), it's $HOME #1" / "mirage";
  fs::create_directories(tool.parent_path());
  write_if_changed(folder / "Makefile", generate_makefile(planned.plan, tool));
  const auto made = [&] { return run_program({"make", "-s", "-n", "build"}, Output::capture, folder).output; };
  CHECK(made() == "mirage build\n");
  write_if_changed(tool, "#!/bin/sh\necho \"called to $1\"\n");
  fs::permissions(tool, fs::perms::owner_all);
  CHECK(run_program({"make", "-s", "build"}, Output::capture, folder).output == "called to build\n");
  fs::remove_all(folder);
}

}  // namespace
}  // namespace mirage::plan
