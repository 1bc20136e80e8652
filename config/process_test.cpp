// SPDX-License-Identifier: ISC
#include <csignal>

#include <doctest/doctest.h>

#include <config/process.hpp>

namespace mirage::plan {
namespace {

TEST_CASE("a program's end") {
  CHECK(run_program({"sh", "-c", "echo out; echo err >&2; exit 3"}, Output::capture).status == 3);
  CHECK(run_program({"sh", "-c", "echo out; echo err >&2"}, Output::capture).errors == "err\n");
  CHECK(run_program({"pwd"}, Output::capture, "/").output == "/\n");
  const auto killed = run_program({"sh", "-c", "kill -SEGV $$"}, Output::capture);
  CHECK(killed.status == 128 + SIGSEGV);
  CHECK(killed.signal == SIGSEGV);
  const auto missing = run_program({"no-such-program"}, Output::capture);
  CHECK(missing.status == 127);
  CHECK(missing.errors == "no-such-program: No such file or directory\n");
}

TEST_CASE("a program that takes too long is ended with what it started") {
  const auto done = run_program({"sh", "-c", "echo before; sleep 1000 & sleep 1000"}, Output::capture, {},
                                std::chrono::milliseconds(200));
  CHECK(done.timed_out);
  CHECK(done.signal == SIGKILL);
  CHECK(done.output == "before\n");
}

}  // namespace
}  // namespace mirage::plan
