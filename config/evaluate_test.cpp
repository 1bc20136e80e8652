// SPDX-License-Identifier: ISC
#include <format>

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

TEST_CASE("all that the compiler finds is shown, each with its place and mend") {
  try {
    throw_compile_error(
        "/home/me/site/config.cpp:4:12: error: no matching function for call to 'stack'\n"
        "/usr/share/standard.hpp:81:22: note: candidate function not viable: no known conversion from 'Module<Block>' "
        "to 'const Module<Net>' for 1st argument\n"
        "/home/me/site/config.cpp:5:12: error: use of undeclared identifier 'defualt_stack'; did you mean "
        "'default_stack'?\n"
        "/home/me/site/config.cpp:6:12: error: no matching function for call to 'key'\n"
        "/usr/share/key.hpp:129:8: note: candidate template ignored: substitution failure [with T = double]: "
        "constraints not satisfied for class template 'Key' [with T = double]\n"
        "program.cpp:2:52: error: use of undeclared identifier 'configure'\n"
        "4 errors generated.\n",
        "config.cpp");
  } catch (const Error& error) {
    CHECK(error.place() == "config.cpp:4");
    CHECK(error.mend().starts_with("Argument 1 must be a Net, and a Block was given"));
    REQUIRE(error.more().size() == 2);  // what our own lines lack follows from these
    CHECK(error.more()[0].place() == "config.cpp:5");
    CHECK(error.more()[1].place() == "config.cpp:6");
    CHECK(error.more()[1].mend().starts_with("A key is a bool, an integer"));
  }
}

TEST_CASE("without the DSL every name is an error: only the first is shown") {
  try {
    throw_compile_error(
        "/home/me/site/config.cpp:1:17: error: use of undeclared identifier 'mirage'\n"
        "/home/me/site/config.cpp:2:1: error: unknown type name 'Unikernel'\n",
        "config.cpp");
  } catch (const Error& error) {
    CHECK(error.more().empty());
    CHECK(error.mend().starts_with("Does config.cpp begin with"));
  }
}

TEST_CASE("a call that does not fit says what would") {
  const auto mend_of = [](std::string_view note) {
    return show(std::format("/home/me/config.cpp:4:12: error: no matching function for call to 'x'\n"
                            "/usr/share/module.hpp:1:1: note: {}\n",
                            note))
        .mend;
  };
  CHECK(mend_of("candidate function [with Kind = mirage::config::Block] not viable: no known conversion from "
                "'Module<KvRo>' to 'const Module<std::type_identity_t<Block>>' for 2nd argument")
            .starts_with("Both must be modules of one kind"));
  CHECK(mend_of("candidate function not viable: no known conversion from 'Functor<Job, Stack>' to 'const Module<Job>' "
                "for 2nd argument") == "It becomes a Job when it is given what it takes: app(...).");
  CHECK(mend_of("candidate function not viable: no known conversion from 'Functor<Job>' to 'const Module<Job>' for 2nd "
                "argument") == "It becomes a Job when it is given what it takes: app().");
  CHECK(mend_of("candidate function template not viable: no known conversion from 'Key<string>' to "
                "'std::vector<AnyKey>' for 4th argument") == "Keys are a list: {port}.");
}

TEST_CASE("a configuration without configure()") {
  const auto shown = show("ld.lld: error: undefined symbol: configure()\n");
  CHECK(shown.mend == "Define `mirage::config::Unikernel configure()`.");
}

}  // namespace
}  // namespace mirage::plan
