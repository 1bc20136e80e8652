// SPDX-License-Identifier: ISC
#include <doctest/doctest.h>

#include <tender/tap.hpp>
#include <test/network/first_answer.hpp>

using namespace mirage;

TEST_CASE("a tap that was just opened gets what the host sends") {
  const int unanswered = test::unanswered_first_questions([](const char* name) {
    auto port = tender::open_net(name, {.vnet_header = true, .segment_udp = false});
    return port && port->vnet_header ? port->descriptor.release() : -1;
  });
  if (unanswered == test::cannot_run) {
    MESSAGE("not run: needs Linux 6.8 and a tap in a network namespace");
  } else {
    CHECK(unanswered == 0);
  }
}
