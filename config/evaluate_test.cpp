// SPDX-License-Identifier: ISC
#include <doctest/doctest.h>

#include <config/error.hpp>
#include <config/evaluate.hpp>

namespace mirage::plan {
namespace {

struct Shown {
  std::string place, message, mend;
};

Shown show(std::string_view compiler_output) {
  try {
    throw_compile_error(compiler_output, "config.cpp");
  } catch (const Error& error) {
    return {error.place(), error.what(), error.mend()};
  }
}

TEST_CASE("a wrong module is two lines and a mend") {
  const auto shown = show(
      "In file included from program.cpp:1:\n"
      "/home/me/site/config.cpp:6:29: error: no matching function for call to object of type 'Functor<Job, Stack, "
      "KvRo>'\n"
      "    6 |   return unikernel(\"hello\", app(ramdisk(4), crunch(\"htdocs\")));\n"
      "      |                             ^~~\n"
      "/usr/share/module.hpp:97:30: note: candidate function not viable: no known conversion from 'Module<Block>' to "
      "'const Module<mirage::config::Stack>' for 1st argument\n"
      "   97 |   [[nodiscard]] Module<Kind> operator()(const Module<Needs>&... needs) const {\n"
      "1 error generated.\n");
  CHECK(shown.place == "config.cpp:6");
  CHECK(shown.message ==
        "no matching function for call to object of type 'Functor<Job, Stack, KvRo>'\n"
        "  no known conversion from 'Module<Block>' to 'Module<Stack>' for 1st argument\n"
        "    6 |   return unikernel(\"hello\", app(ramdisk(4), crunch(\"htdocs\")));\n"
        "      |                             ^~~");
  CHECK(shown.mend.starts_with("Argument 1 must be a Stack, and a Block was given"));
}

TEST_CASE("an error inside the DSL is reported where the user's file led to it") {
  const auto shown = show(
      "/usr/share/key.hpp:50:3: error: static assertion failed\n"
      "   50 |   static_assert(false);\n"
      "/home/me/site/config.cpp:9:15: note: in instantiation of function template specialization 'key<float>' "
      "requested here\n"
      "    9 |   auto name = key<float>(\"a\", 1, \"b\");\n");
  CHECK(shown.place == "config.cpp:9");
  CHECK(shown.message == "static assertion failed\n    9 |   auto name = key<float>(\"a\", 1, \"b\");");
}

TEST_CASE("a configuration without configure()") {
  const auto shown = show("ld.lld: error: undefined symbol: configure()\n");
  CHECK(shown.mend == "Define `mirage::config::Unikernel configure()`.");
}

}  // namespace
}  // namespace mirage::plan
