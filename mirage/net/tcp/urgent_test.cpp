// SPDX-License-Identifier: ISC
// Urgent data as packet traces: RFC 9293 section 3.8.5, in line as RFC 6093 says.
#include <mirage/net/tcp/trace_test.hpp>

namespace mirage::net::tcp {

using test::A;
using test::Trace;
using test::U;

TEST_CASE("the peer's urgent pointer says how much of what is unread is urgent, of any length (MUST-31, MUST-33)") {
  Trace t = Trace::established();
  t.in(0, {.flags = A | U, .sequence = 1, .acknowledgement = 1, .length = 50, .urgent = 80});
  CHECK(urgent_bytes(t.tcb, 50) == 80);
  CHECK(urgent_bytes(t.tcb, 0) == 30);
  t.in(1, {.sequence = 51, .acknowledgement = 1, .length = 100});
  CHECK(urgent_bytes(t.tcb, 150) == 80);
  CHECK(urgent_bytes(t.tcb, 70) == 0);
}

TEST_CASE("the pointer never moves back, and one behind what was received says nothing") {
  Trace t = Trace::established();
  t.in(0, {.flags = A | U, .sequence = 1, .acknowledgement = 1, .length = 50, .urgent = 80});
  t.in(1, {.flags = A | U, .sequence = 51, .acknowledgement = 1, .length = 10, .urgent = 5});
  CHECK(urgent_bytes(t.tcb, 60) == 80);
  Trace late = Trace::established();
  late.in(0, {.sequence = 1, .acknowledgement = 1, .length = 50});
  late.in(1, {.flags = A | U, .sequence = 1, .acknowledgement = 1, .length = 50, .urgent = 20});
  CHECK(urgent_bytes(late.tcb, 50) == 0);
}

TEST_CASE("a pointer without the URG bit means nothing") {
  Trace t = Trace::established();
  t.in(0, {.sequence = 1, .acknowledgement = 1, .length = 50, .urgent = 80});
  CHECK(urgent_bytes(t.tcb, 50) == 0);
}

TEST_CASE("what we mark as urgent is pointed at by every segment in front of its end, one segment each") {
  Trace t = Trace::established();
  t.maximum_payload = 1000;
  t.write(250);
  mark_urgent(t.tcb);
  t.write(100);
  t.out(0, {.flags = A | U, .sequence = 1, .acknowledgement = 1, .length = 100});
  CHECK(t.last->urgent == 250);
  t.out(0, {.flags = A | U, .sequence = 101, .acknowledgement = 1, .length = 100});
  CHECK(t.last->urgent == 150);
  t.out(0, {.flags = A | U, .sequence = 201, .acknowledgement = 1, .length = 100});
  CHECK(t.last->urgent == 50);
  t.in(10, {.sequence = 1, .acknowledgement = 301});
  t.out(10, {.sequence = 301, .acknowledgement = 1, .length = 50});
}

TEST_CASE("with nothing unacknowledged there is nothing to mark") {
  Trace t = Trace::established();
  mark_urgent(t.tcb);
  CHECK_FALSE(t.tcb.send.urgent_pending);
}

}  // namespace mirage::net::tcp
