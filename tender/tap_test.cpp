// SPDX-License-Identifier: ISC
#include <doctest/doctest.h>
#include <sys/wait.h>

#include <tender/tap.hpp>
#include <test/network/first_answer.hpp>

using namespace mirage;

TEST_CASE("a tap that was just opened gets what the host sends") {
  const pid_t child = ::fork();
  if (child == 0) {
    ::_exit(test::unanswered_first_questions(true, [](const char* name) {
      auto port = tender::open_net(name, {.vnet_header = true, .segment_udp = false});
      return port ? port->descriptor.release() : -1;
    }));
  }
  int status = -1;
  REQUIRE(::waitpid(child, &status, 0) == child);
  REQUIRE(WIFEXITED(status));
  if (WEXITSTATUS(status) == test::cannot_run) {
    MESSAGE("not run: needs Linux 6.8 and a tap in a network namespace");
  } else {
    CHECK(WEXITSTATUS(status) == 0);
  }
}
