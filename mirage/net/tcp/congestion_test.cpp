// SPDX-License-Identifier: ISC
// The congestion algorithms alone: CUBIC against RFC 9438's formulas, HyStart++ against RFC 9406's.
#include <cmath>

#include <mirage/net/tcp/congestion/cubic.hpp>
#include <mirage/net/tcp/congestion/none.hpp>
#include <mirage/net/tcp/pacing.hpp>
#include <mirage/net/tcp/trace_test.hpp>

using namespace mirage;
using namespace mirage::net::tcp;
using namespace mirage::net::tcp::congestion;

namespace {

constexpr std::uint32_t segment = 1448;

Tcb sender(std::uint32_t window) {
  Tcb tcb;
  tcb.send.segment_size = segment;
  tcb.congestion.window = window;
  tcb.congestion.threshold = unknown_threshold;
  tcb.round_trip.smoothed = 100ms;
  tcb.send.maximum = tcb.send.next = {window};
  return tcb;
}

}  // namespace

TEST_CASE("CUBIC: the window follows W_cubic(t) = C (t - K)^3 + W_max, RFC 9438 figures 1 and 2") {
  constexpr double maximum = 400;  // segments
  Tcb tcb = sender(400 * segment);
  Cubic::reduce(tcb, Cause::loss, Time{});
  CHECK(tcb.congestion.threshold > 279 * segment);
  CHECK(tcb.congestion.threshold < 281 * segment);
  tcb.congestion.window = tcb.congestion.threshold;
  const double begin = tcb.congestion.window / double{segment};
  const double k = std::cbrt((maximum - begin) / 0.4);
  Time now{Duration{5s}};
  const Time epoch = now;
  for (int round = 0; round < 120; ++round, now += 100ms) {  // a window for each round trip
    const std::uint32_t window = tcb.congestion.window;
    for (std::uint32_t acked = 0; acked < window; acked += 2 * segment) {
      Cubic::acknowledged(tcb, {.now = now, .bytes = 2 * segment, .round_trip = 100'000});
    }
    const double t = static_cast<double>((now - epoch).count()) / 1e9 + 0.1;
    const double expected = 0.4 * std::pow(t - k, 3) + maximum;
    // Section 4.4: each acknowledgement takes a cwnd-th of what is missing, so a round trip leaves 1/e of it.
    CHECK(tcb.congestion.window / double{segment} > expected * 0.95 - 2);
    CHECK(tcb.congestion.window / double{segment} < expected * 1.01 + 2);
  }
  CHECK(tcb.congestion.window > 400 * segment);  // beyond W_max: convex
}

TEST_CASE("CUBIC: K and the curve in integers") {
  for (const std::uint32_t segments : {1U, 10U, 120U, 3000U, 100'000U}) {
    const double k = std::cbrt(segments / 0.4) * 1000;
    CHECK(std::abs(Cubic::time_to(segments * segment, segment) - k) <= 1);
    const auto time = static_cast<std::uint32_t>(k);
    CHECK(Cubic::curve(time, segment) <= segments * segment);
    CHECK(Cubic::curve(time, segment) >= segments * segment * 0.97 - segment);
  }
}

TEST_CASE("CUBIC: on short and slow paths at least what Reno would have, RFC 9438 section 4.3") {
  Tcb tcb = sender(20 * segment);
  tcb.round_trip.smoothed = 1ms;
  Cubic::reduce(tcb, Cause::loss, Time{});
  tcb.congestion.window = tcb.congestion.threshold;
  Time now{Duration{5s}};
  for (int round = 0; round < 40; ++round, now += 1ms) {
    for (std::uint32_t acked = 0; acked < tcb.congestion.window; acked += segment) {
      Cubic::acknowledged(tcb, {.now = now, .bytes = segment});
    }
  }
  // From 14 to 20 with alpha = 9/17, then one for each round trip: 14 + 6 + 28.
  CHECK(tcb.congestion.window >= 44 * segment);
  CHECK(tcb.congestion.window <= 50 * segment);
}

TEST_CASE("CUBIC: fast convergence gives way to a newcomer, RFC 9438 section 4.7; a time-out begins anew, 4.8") {
  Tcb tcb = sender(100 * segment);
  Cubic::reduce(tcb, Cause::loss, Time{});
  CHECK(tcb.congestion.cubic.maximum == 100 * segment);
  tcb.congestion.window = 80 * segment;
  Cubic::reduce(tcb, Cause::loss, Time{});
  CHECK(tcb.congestion.cubic.maximum == 68 * segment);
  Cubic::undo(tcb);
  CHECK(tcb.congestion.cubic.maximum == 100 * segment);
  Cubic::reduce(tcb, Cause::timeout, Time{});
  CHECK(tcb.congestion.cubic.maximum == 0);
}

TEST_CASE("CUBIC: before the first loss the window grows by a twentieth in a round trip, afterwards along the curve") {
  Tcb tcb = sender(200 * segment);
  tcb.congestion.threshold = 200 * segment;  // slow start ended without a loss
  Time now{Duration{5s}};
  const auto round = [&] {
    const std::uint32_t before = tcb.congestion.window;
    for (std::uint32_t acked = 0; acked < before; acked += 2 * segment) {
      Cubic::acknowledged(tcb, {.now = now, .bytes = 2 * segment});
    }
    now += 100ms;
    return (tcb.congestion.window - before) / double{segment};
  };
  for (int i = 0; i < 5; ++i) {
    const double twentieth = tcb.congestion.window / double{segment} / 20;
    const double gain = round();
    CHECK(gain > twentieth * 0.95);
    CHECK(gain < twentieth * 1.05 + 1);
  }
  Cubic::reduce(tcb, Cause::loss, now);
  tcb.congestion.window = tcb.congestion.threshold = tcb.congestion.cubic.maximum;  // the flat part of the curve
  CHECK(round() < 2);
}

TEST_CASE("CUBIC: a loss takes the window down by its own part where the window held sending back, RFC 9438 4.6") {
  Tcb tcb = sender(100 * segment);
  tcb.send.maximum = tcb.send.next = {80 * segment};  // pacing holds the rest back
  SUBCASE("the window is what limits") {
    tcb.congestion.limited = {0};
    Cubic::reduce(tcb, Cause::loss, Time{});
    CHECK(tcb.congestion.threshold == 100 * segment * 717U / 1024);
  }
  SUBCASE("the application is: of what is on its way") {
    tcb.send.unacknowledged = {1};
    tcb.send.maximum = {1 + 80 * segment};
    tcb.congestion.limited = {0};
    Cubic::reduce(tcb, Cause::loss, Time{});
    CHECK(tcb.congestion.threshold == 80 * segment * 717U / 1024);
  }
}

TEST_CASE("HyStart++: a round trip that grows ends slow start after five rounds, RFC 9406 section 4.2") {
  Tcb tcb = sender(10 * segment);
  tcb.send.next = {1000};
  Cubic::established(tcb);
  std::uint32_t sequence = 1000;
  const auto round = [&](std::uint32_t round_trip) {
    for (int i = 0; i < 9; ++i) Cubic::acknowledged(tcb, {.now = Time{}, .bytes = segment, .round_trip = round_trip});
    tcb.send.unacknowledged = {sequence};
    tcb.send.next = {sequence += 1000};
    const std::uint32_t before = tcb.congestion.window;
    Cubic::acknowledged(tcb, {.now = Time{}, .bytes = segment, .round_trip = round_trip});
    return tcb.congestion.window - before;
  };
  CHECK(round(40'000) == segment);
  CHECK(round(44'000) == segment);  // below RttThresh: 40 ms / 8 = 5 ms
  CHECK(tcb.congestion.hystart.baseline == 0);
  (void)round(50'000);
  CHECK(tcb.congestion.hystart.baseline == 50'000);
  SUBCASE("it stays: conservative growth, then congestion avoidance") {
    for (int i = 0; i < 3; ++i) CHECK(round(50'000) == segment / hystart::growth_divisor);
    (void)round(50'000);
    CHECK(tcb.congestion.threshold == tcb.congestion.window);
  }
  SUBCASE("it was jitter: slow start goes on") {
    (void)round(45'000);
    CHECK(tcb.congestion.hystart.baseline == 0);
    CHECK(round(45'000) == segment);
    CHECK(tcb.congestion.threshold == unknown_threshold);
  }
}

TEST_CASE("none: nothing is held back") {
  Tcb tcb = sender(10 * segment);
  None::established(tcb);
  None::reduce(tcb, Cause::loss, Time{});
  CHECK(tcb.congestion.window == largest_window);
  CHECK(tcb.congestion.threshold == largest_window);
}

TEST_CASE("HyStart: acknowledgements that come evenly for half a round trip end slow start near what the path holds") {
  Tcb tcb = sender(40 * segment);
  tcb.loss.minimum = 100'000;
  Cubic::established(tcb);
  tcb.send.unacknowledged = {0};
  tcb.send.next = {1000};
  tcb.congestion.hystart.round_end = {1000};
  Time now{Duration{5s}};
  const auto acknowledge = [&](Duration gap) {
    now += gap;
    Cubic::acknowledged(tcb, {.now = now, .bytes = 2 * segment});
  };
  const auto end_round = [&] {
    tcb.send.unacknowledged = tcb.send.next;
    acknowledge(2500us);
    tcb.send.next = tcb.send.next + 1000;
    tcb.congestion.hystart.round_end = tcb.send.next;
  };
  acknowledge(0ms);  // the first of a train
  SUBCASE("40 segments in 50 ms: 80 in the path, and three quarters of that in its queue") {
    for (int i = 0; i < 19; ++i) acknowledge(2500us);
    CHECK(tcb.congestion.threshold == unknown_threshold);
    for (int i = 0; i < 2; ++i) acknowledge(2500us);
    CHECK(tcb.congestion.threshold >= 140 * segment);
    CHECK(tcb.congestion.threshold < 145 * segment);
    CHECK(tcb.congestion.window <= tcb.congestion.threshold + segment);
  }
  SUBCASE("a gap of more than an eighth of the round trip: they came as they were sent") {
    for (int i = 0; i < 15; ++i) acknowledge(2500us);
    acknowledge(13ms);
    for (int i = 0; i < 15; ++i) acknowledge(2500us);
    CHECK(tcb.congestion.threshold == unknown_threshold);
  }
  SUBCASE("the end of a round is within a train, or the last of one") {
    for (int i = 0; i < 9; ++i) acknowledge(2500us);
    SUBCASE("within") {}
    SUBCASE("the last") {
      end_round();
      acknowledge(60ms);
      for (int i = 0; i < 9; ++i) acknowledge(2500us);
    }
    end_round();
    for (int i = 0; i < 9; ++i) acknowledge(2500us);
    CHECK(tcb.congestion.threshold == unknown_threshold);
    acknowledge(2500us);
    CHECK(tcb.congestion.threshold == 140 * segment);
  }
  SUBCASE("what was held up and comes at once does not count") {
    acknowledge(30ms);
    for (int i = 0; i < 10; ++i) acknowledge(0ms);
    for (int i = 0; i < 20; ++i) acknowledge(2500us);
    CHECK(tcb.congestion.threshold == 140 * segment);
  }
  SUBCASE("the window stays where it is larger") {
    tcb.congestion.window = 300 * segment;
    for (int i = 0; i < 20; ++i) acknowledge(2500us);
    CHECK(tcb.congestion.threshold == tcb.congestion.window);
    CHECK(tcb.congestion.window > 300 * segment);
  }
}

TEST_CASE("HyStart++ hears of round trips by timestamps where the scoreboard is coarse, RFC 9406 section 4.2") {
  Tcb tcb = sender(20 * segment);
  tcb.timestamps.on = true;
  tcb.receive.sack = true;
  tcb.state = State::established;
  tcb.send.window = tcb.send.largest_window = 1U << 20;
  tcb.send.unacknowledged = {0};
  tcb.loss.board.reset({0});
  Time now{Duration{5s}};
  // Text of 8 ms in one piece of the scoreboard: the last of it seems to have been sent with the first.
  tcb.loss.board.extend({20 * segment}, Stamp::of(now), 100'000, false);
  tcb.congestion.limited = {20 * segment};
  tcb.congestion.hystart.round_end = {20 * segment};
  tcb.loss.minimum = 100'000;
  Segment acknowledgement{.sequence = {1}, .acknowledgement = {2 * segment}, .flags = Flags::ack, .window = 60000};
  acknowledgement.options.has_timestamps = true;
  acknowledgement.options.timestamp_echo = static_cast<std::uint32_t>((now + 8ms).time_since_epoch() / 1ms);
  now += 110ms;
  tcb.receive.next = tcb.receive.edge = {1};
  (void)on_segment(tcb, acknowledgement, now);
  CHECK(tcb.congestion.hystart.minimum == 103'000);  // not 110: 102 by the echo, whose clock ticks by the millisecond
}

TEST_CASE("pacing: the initial window at once, then at a rate from window and round trip; RFC 9002 section 7.7") {
  Tcb tcb = sender(100 * segment);
  tcb.congestion.threshold = 50 * segment;
  tcb.send.next = {0};  // nothing is on its way
  Time now{Duration{5s}};
  CHECK(pacing::rate(tcb) == 100ULL * segment * 10 * 5 / 4);
  for (int i = 0; i < 10; ++i) {
    CHECK(pacing::allowance(tcb, now) >= segment);
    pacing::sent(tcb, segment, now);
  }
  CHECK(pacing::allowance(tcb, now) == 0);
  const Duration each = Duration{100ms} / 125;  // 125 segments in a round trip
  CHECK(tcb.deadlines.pace >= now + 5 * each - 2us);
  CHECK(tcb.deadlines.pace <= now + 5 * each + 2us);
  CHECK(next_deadline(tcb) == tcb.deadlines.pace);
  now = tcb.deadlines.pace - 1us;
  CHECK(pacing::allowance(tcb, now) == 0);
  now = tcb.deadlines.pace;  // half of the burst is there again
  CHECK(pacing::allowance(tcb, now) / segment == 5);
  CHECK(tcb.deadlines.pace == never);
  SUBCASE("a timer that is late takes nothing from the rate, up to half a burst") {
    tcb.send.next = {100 * segment};
    now = tcb.pacing.next + 3 * each;
    pacing::sent(tcb, 3 * segment, now);
    CHECK(tcb.pacing.next == now);
    now += 20 * each;
    pacing::sent(tcb, 10 * segment, now);
    CHECK(tcb.pacing.next == now + 5 * each);
  }
  SUBCASE("on short paths acknowledgements are as good a clock") {
    tcb.round_trip.smoothed = 1ms;
    pacing::sent(tcb, 1000 * segment, now);
    CHECK(pacing::allowance(tcb, now) > 1000 * segment);
  }
  SUBCASE("in slow start four times the window: what is acknowledged can be told from what the path delays") {
    tcb.congestion.threshold = unknown_threshold;
    CHECK(pacing::rate(tcb) == 100ULL * segment * 10 * 4);
  }
}
