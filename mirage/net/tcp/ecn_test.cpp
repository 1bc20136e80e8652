// SPDX-License-Identifier: ISC
// Explicit congestion notification: RFC 3168 section 6.1, RFC 8511; and buffers that tune themselves.
#include <doctest/doctest.h>

#include <mirage/net/tcp/trace_test.hpp>

namespace mirage::net::tcp {

namespace {

using namespace test;

constexpr std::uint8_t E = Flags::ece, C = Flags::cwr;

/// An established connection, opened by a peer that asked for ECN.
Trace agreed(std::uint32_t space = 10000) {
  Trace trace{space};
  trace.listen({.flags = S | E | C});
  const auto answer = next_departure(trace.tcb, segment_size, Trace::at(0));
  REQUIRE(answer.has_value());
  CHECK(answer->flags == (S | A | E));
  trace.in(0, {.sequence = 1, .acknowledgement = 1});
  REQUIRE(trace.tcb.state == State::established);
  CHECK(trace.tcb.ecn.on);
  return trace;
}

Departure take(Trace& trace, std::int64_t ms) {
  const auto departure = next_departure(trace.tcb, segment_size, Trace::at(ms));
  REQUIRE(departure.has_value());
  return *departure;
}

/// Text of the peer, marked or not.
void text(Trace& trace, std::int64_t ms, std::uint32_t sequence, bool marked, std::uint8_t flags = A) {
  const Segment segment{.sequence = {theirs + sequence},
                        .acknowledgement = trace.tcb.send.unacknowledged,
                        .flags = flags,
                        .window = 10000,
                        .length = 10,
                        .marked = marked};
  (void)on_segment(trace.tcb, segment, Trace::at(ms));
}

}  // namespace

TEST_CASE("ECN is agreed on only when asked for and answered properly (section 6.1.1)") {
  SUBCASE("the peer does not ask") {
    Trace trace;
    trace.listen();
    CHECK(take(trace, 0).flags == (S | A));
    CHECK_FALSE(trace.tcb.ecn.on);
  }
  OpenParameters parameters = Trace::parameters(10000);
  parameters.offer_ecn = true;
  Trace trace;
  trace.tcb = open_active(parameters, Trace::at(0));
  CHECK(take(trace, 0).flags == (S | E | C));
  SUBCASE("the peer agrees") {
    trace.in(1, {.flags = S | A | E, .acknowledgement = 1});
    CHECK(trace.tcb.ecn.on);
  }
  SUBCASE("the peer does not know it") {
    trace.in(1, {.flags = S | A, .acknowledgement = 1});
    CHECK_FALSE(trace.tcb.ecn.on);
  }
  SUBCASE("the peer reflects reserved bits") {
    trace.in(1, {.flags = S | A | E | C, .acknowledgement = 1});
    CHECK_FALSE(trace.tcb.ecn.on);
  }
  SUBCASE("a SYN again does not ask: perhaps that is why it got lost (section 6.1.1.1)") {
    trace.advance(1100);
    CHECK(take(trace, 1100).flags == S);
    trace.in(1200, {.flags = S | A | E, .acknowledgement = 1});
    CHECK_FALSE(trace.tcb.ecn.on);
  }
}

TEST_CASE("only new text may be marked (sections 6.1.4 to 6.1.6)") {
  Trace trace = agreed();
  trace.write(200);
  CHECK(take(trace, 10).markable);
  CHECK(take(trace, 10).markable);
  SUBCASE("no retransmission") {
    trace.advance(2000);
    const Departure again = take(trace, 2000);
    CHECK(again.sequence.value == ours + 1);
    CHECK_FALSE(again.markable);
  }
  SUBCASE("no acknowledgement") {
    text(trace, 20, 1, false);
    text(trace, 20, 11, false);
    const Departure acknowledgement = take(trace, 20);
    CHECK(acknowledgement.length == 0);
    CHECK_FALSE(acknowledgement.markable);
  }
  SUBCASE("no probe of a closed window") {
    trace.in(20, {.sequence = 1, .acknowledgement = 201, .window = 0});
    trace.write(50);
    CHECK_FALSE(next_departure(trace.tcb, segment_size, Trace::at(20)).has_value());
    trace.advance(3000);
    const Departure probe = take(trace, 3000);
    CHECK(probe.length == 1);
    CHECK_FALSE(probe.markable);
  }
}

TEST_CASE("nothing of it without an agreement") {
  Trace trace = Trace::established();
  trace.write(100);
  CHECK_FALSE(take(trace, 10).markable);
  text(trace, 20, 1, true);
  text(trace, 20, 11, true);
  CHECK(take(trace, 20).flags == A);
  const std::uint32_t window = trace.tcb.congestion.window;
  trace.in(30, {.flags = A | E, .sequence = 21, .acknowledgement = 101});
  CHECK(trace.tcb.congestion.window >= window);
}

TEST_CASE("a mark is echoed until the peer has reacted (section 6.1.3)") {
  Trace trace = agreed();
  text(trace, 10, 1, false);
  text(trace, 10, 11, true);
  CHECK(take(trace, 10).flags == (A | E));
  text(trace, 20, 21, false);
  text(trace, 20, 31, false);
  CHECK(take(trace, 20).flags == (A | E));
  text(trace, 30, 41, false, A | C);
  text(trace, 30, 51, false);
  CHECK(take(trace, 30).flags == A);
  text(trace, 40, 61, true, A | C);  // reacted, and marked anew
  CHECK(take(trace, 40).flags == (A | E));
}

TEST_CASE("an echo reduces the window once for what was on its way, by less than a loss (section 6.1.2, RFC 8511)") {
  Trace trace = agreed();
  trace.write(2000);
  for (int i = 0; i < 10; ++i) (void)take(trace, 10);  // the initial window
  const std::uint32_t before = trace.tcb.congestion.window;
  trace.in(20, {.flags = A | E, .sequence = 1, .acknowledgement = 101});
  const std::uint32_t reduced = trace.tcb.congestion.window;
  CHECK(reduced < before);
  CHECK(reduced >= before * 7 / 10);
  trace.in(21, {.flags = A | E, .sequence = 1, .acknowledgement = 301});
  trace.in(22, {.flags = A | E, .sequence = 1, .acknowledgement = 501});
  CHECK(trace.tcb.congestion.window == reduced);
  const Departure next = take(trace, 22);
  CHECK((next.flags & C) != 0);  // the first new segment says so, and only that
  CHECK(next.markable);
  CHECK((take(trace, 22).flags & C) == 0);
  CHECK(trace.tcb.loss.board.lost == 0);
  trace.in(40, {.flags = A | E, .sequence = 1, .acknowledgement = 1101});  // of the next round
  CHECK(trace.tcb.congestion.window < reduced);
}

TEST_CASE("the receive window follows what the application takes in a round trip") {
  Trace trace = agreed(10000);
  Tcb& tcb = trace.tcb;
  tcb.round_trip.smoothed = 100ms;
  const auto take_bytes = [&](std::int64_t ms, std::uint32_t bytes) { note_taken(tcb, bytes, 50000, Trace::at(ms)); };
  take_bytes(1000, 100);  // begins
  SUBCASE("grows to four times of it, up to the bound") {
    take_bytes(1050, 6000);
    take_bytes(1101, 6000);
    CHECK(tcb.receive.space_limit == 48000);
    take_bytes(1150, 20000);
    take_bytes(1202, 20000);
    CHECK(tcb.receive.space_limit == 50000);
  }
  SUBCASE("a slow reader's does not") {
    take_bytes(1101, 2000);
    CHECK(tcb.receive.space_limit == 10000);
  }
  SUBCASE("a pause says nothing") {
    take_bytes(5000, 40000);
    CHECK(tcb.receive.space_limit == 10000);
  }
  SUBCASE("the scale of the window suits the bound") {
    OpenParameters parameters = Trace::parameters(10000);
    parameters.largest_space = 1 << 20;
    CHECK(open_active(parameters, Trace::at(0)).receive.window_shift == 5);
  }
}

}  // namespace mirage::net::tcp
