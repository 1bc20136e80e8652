// SPDX-License-Identifier: ISC
// Timestamps as packet traces: RFC 7323 sections 3 to 5, and the place that options take in a segment (RFC 9293 section
// 3.7.1). Our clock's offset is 0 here, and time begins at 1000 ms: at(ms) is tick 1000 + ms.
#include <mirage/net/tcp/timestamps.hpp>
#include <mirage/net/tcp/trace_test.hpp>

namespace mirage::net::tcp {

namespace {

using test::A;
using test::F;
using test::Line;
using test::R;
using test::S;
using test::Trace;

wire::TcpOptionSet stamped(std::uint32_t timestamp, std::uint32_t echo = 0) {
  wire::TcpOptionSet options;
  options.has_timestamps = true;
  options.timestamp = timestamp;
  options.timestamp_echo = echo;
  return options;
}

/// Opened by a peer whose clock stands at `theirs`.
Trace established(std::uint32_t theirs = 7000) {
  Trace t{10000};
  wire::TcpOptionSet syn = stamped(theirs);
  syn.sack_permitted = true;
  t.listen({.flags = S, .options = syn});
  t.out(0, {.flags = S | A, .acknowledgement = 1});
  t.in(0, {.sequence = 1, .acknowledgement = 1, .options = stamped(theirs, 1000)});
  REQUIRE(t.tcb.state == State::established);
  t.silent(0);
  return t;
}

}  // namespace

TEST_CASE("timestamps are offered, agreed, and then in every segment, resets included (RFC 7323 section 3.2)") {
  Trace t;
  t.connect();
  t.out(5, {.flags = S});
  CHECK(t.last->options.has_timestamps);
  CHECK(t.last->options.timestamp == 1005);
  CHECK(t.last->options.timestamp_echo == 0);
  t.in(20, {.flags = S | A, .acknowledgement = 1, .options = stamped(77, 1005)});
  t.out(21, {.sequence = 1, .acknowledgement = 1});
  CHECK(t.last->options.timestamp == 1021);
  CHECK(t.last->options.timestamp_echo == 77);
  t.write(10).out(30, {.sequence = 1, .acknowledgement = 1, .length = 10});
  CHECK(t.last->options.has_timestamps);
  const auto reset = abort(t.tcb, Trace::at(40));
  REQUIRE(reset.has_value());
  CHECK(reset->options.timestamp == 1040);
}

TEST_CASE("who guesses the place but not the acknowledgement does not set the peer's clock forward") {
  Trace t = established();
  t.in(10, {.sequence = 1, .acknowledgement = 500'000, .length = 100, .options = stamped(7000 + 0x40000000)});
  CHECK(t.actions.drop == Drop::bad_acknowledgement);
  t.in(20, {.sequence = 1, .acknowledgement = 1, .length = 100, .options = stamped(7020, 1000)});
  CHECK(t.actions.drop == Drop::none);
  CHECK(t.received == 100);
}

TEST_CASE("a peer that does not offer timestamps gets none, and may leave them out") {
  Trace t = Trace::established();
  t.write(10).out(1, {.sequence = 1, .acknowledgement = 1, .length = 10});
  CHECK_FALSE(t.last->options.has_timestamps);
  t.in(2, {.sequence = 1, .acknowledgement = 11, .length = 5});
  CHECK(t.received == 5);
}

TEST_CASE("once agreed a segment without them is dropped silently, but for a reset (RFC 7323 section 3.2)") {
  Trace t = established();
  t.in(10, {.sequence = 1, .acknowledgement = 1, .length = 5});
  CHECK(t.actions.drop == Drop::no_timestamp);
  t.silent(10);
  t.in(11, {.flags = R, .sequence = 1});
  CHECK(t.actions.closed);
}

TEST_CASE("the option takes its place: full segments are 12 bytes shorter (RFC 9293 section 3.7.1)") {
  Trace t = established();
  t.write(200);
  t.out(10, {.sequence = 1, .acknowledgement = 1, .length = 88});
  t.out(10, {.sequence = 89, .acknowledgement = 1, .length = 88});
  shrink_segment_size(t.tcb, 70);
  CHECK(t.tcb.send.segment_size == 58);
}

TEST_CASE("at most three SACK blocks fit beside timestamps, and none makes a segment too large") {
  Trace t = established();
  for (std::uint32_t i = 0; i < 5; ++i) {
    t.in(10, {.sequence = 101 + 200 * i, .acknowledgement = 1, .length = 100, .options = stamped(7010, 1000)});
  }
  t.out(10, {.sequence = 1, .acknowledgement = 1});
  CHECK(wire::tcp_options_size(t.last->options) == 40);
  // A full segment has no room for them, a short one has.
  t.write(88).out(10, {.sequence = 1, .acknowledgement = 1, .length = 88});
  CHECK(wire::tcp_options_size(t.last->options) == 12);
  t.in(20, {.sequence = 1, .acknowledgement = 89, .length = 10, .options = stamped(7020, 1010)});
  t.write(50).out(20, {.sequence = 89, .acknowledgement = 11, .length = 50});
  CHECK(wire::tcp_options_size(t.last->options) == 40);
}

TEST_CASE("PAWS: an old duplicate inside the window is answered and thrown away (RFC 7323 section 5.3)") {
  Trace t = established(7000);
  t.in(10, {.sequence = 1, .acknowledgement = 1, .length = 10, .options = stamped(7010, 1000)});
  CHECK(t.received == 10);
  t.out(50, {.sequence = 1, .acknowledgement = 11});
  t.in(60, {.sequence = 11, .acknowledgement = 1, .length = 10, .options = stamped(7009, 1000)});
  CHECK(t.actions.drop == Drop::old_timestamp);
  CHECK(t.received == 10);
  t.out(60, {.sequence = 1, .acknowledgement = 11});
  t.in(70, {.sequence = 11, .acknowledgement = 1, .length = 10, .options = stamped(7010, 1000)});
  CHECK(t.received == 20);
}

TEST_CASE("PAWS: timestamps wrap, too") {
  Trace t = established(0xffffffff);
  t.in(10, {.sequence = 1, .acknowledgement = 1, .length = 10, .options = stamped(3, 1000)});
  CHECK(t.received == 10);
  t.out(50, {.sequence = 1, .acknowledgement = 11});
  CHECK(t.last->options.timestamp_echo == 3);
  t.in(60, {.sequence = 11, .acknowledgement = 1, .length = 10, .options = stamped(0xfffffff0, 1000)});
  CHECK(t.actions.drop == Drop::old_timestamp);
}

TEST_CASE("PAWS: after 24 idle days the peer's clock may have wrapped (RFC 7323 section 5.5)") {
  Trace t = established(7000);
  constexpr std::int64_t day = 24 * 3600 * 1000;
  t.in(24 * day - 1000, {.sequence = 1, .acknowledgement = 1, .length = 10, .options = stamped(6000, 1000)});
  CHECK(t.actions.drop == Drop::old_timestamp);
  t.in(24 * day, {.sequence = 1, .acknowledgement = 1, .length = 10, .options = stamped(6000, 1000)});
  CHECK(t.received == 10);
  CHECK(t.tcb.timestamps.recent == 6000);
}

TEST_CASE("a reset is judged by its sequence number, whatever its timestamp (RFC 7323 section 5.2)") {
  Trace t = established(7000);
  t.in(10, {.flags = R, .sequence = 1, .options = stamped(1)});
  CHECK(t.actions.closed);
}

TEST_CASE("what is echoed is the earliest segment that an acknowledgement answers (RFC 7323 section 4.3)") {
  Trace t = established(7000);
  SUBCASE("delayed acknowledgement: the first of two") {
    t.in(10, {.sequence = 1, .acknowledgement = 1, .length = 10, .options = stamped(7010, 1000)});
    t.in(20, {.sequence = 11, .acknowledgement = 1, .length = 10, .options = stamped(7020, 1000)});
    t.out(20, {.sequence = 1, .acknowledgement = 21});
    CHECK(t.last->options.timestamp_echo == 7010);
  }
  SUBCASE("a hole: what came before it; filled: the segment that fills it") {
    t.in(10, {.sequence = 11, .acknowledgement = 1, .length = 10, .options = stamped(7010, 1000)});
    t.out(10, {.sequence = 1, .acknowledgement = 1});
    CHECK(t.last->options.timestamp_echo == 7000);
    t.in(20, {.sequence = 1, .acknowledgement = 1, .length = 10, .options = stamped(7020, 1000)});
    t.out(20, {.sequence = 1, .acknowledgement = 21});
    CHECK(t.last->options.timestamp_echo == 7020);
  }
}

TEST_CASE("a retransmission's round trip is measured by its echo, and ends the backoff (RFC 7323 section 4.2)") {
  Trace t = established();
  t.write(10).out(0, {.sequence = 1, .acknowledgement = 1, .length = 10});
  t.advance(1100);
  CHECK(t.tcb.round_trip.backoff == 1);
  t.out(1100, {.sequence = 1, .acknowledgement = 1, .length = 10});
  SUBCASE("the answer to the second") {
    t.in(1140, {.sequence = 1, .acknowledgement = 11, .options = stamped(8140, 2100)});
    CHECK(t.tcb.round_trip.backoff == 0);
    CHECK(t.tcb.round_trip.smoothed < 41ms);
  }
  SUBCASE("the answer to the first, late: the path is slow") {
    t.in(1140, {.sequence = 1, .acknowledgement = 11, .options = stamped(8140, 1000)});
    CHECK(t.tcb.round_trip.backoff == 0);
    CHECK(t.tcb.round_trip.smoothed > 100ms);
  }
  SUBCASE("an echo from the future or from ages ago tells nothing") {
    t.in(1140, {.sequence = 1, .acknowledgement = 11, .options = stamped(8140, 5000)});
    CHECK(t.tcb.round_trip.smoothed < 1ms);
  }
}

TEST_CASE("many samples in a round trip count for less each (RFC 7323 appendix G)") {
  RoundTrip one, many;
  take_sample(one, 100ms);
  take_sample(many, 100ms);
  take_sample(one, 180ms);
  for (int i = 0; i < 8; ++i) take_sample(many, 180ms, 8);
  CHECK(one.smoothed == 110ms);
  CHECK(many.smoothed > 109ms);
  CHECK(many.smoothed < 110ms);
}

}  // namespace mirage::net::tcp
