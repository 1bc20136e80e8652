// SPDX-License-Identifier: ISC
// Text both ways as packet traces: acknowledgements, windows, retransmission, congestion.
#include <mirage/net/tcp/size_search.hpp>
#include <mirage/net/tcp/trace_test.hpp>

using namespace mirage;
using namespace mirage::net::tcp;
using namespace mirage::net::tcp::test;

TEST_CASE("every second segment is acknowledged at once, a single one after 40 ms") {
  Trace t = Trace::established();
  t.in(0, {.sequence = 1, .acknowledgement = 1, .length = 100}).silent(0);
  t.in(1, {.sequence = 101, .acknowledgement = 1, .length = 100}).out(1, {.sequence = 1, .acknowledgement = 201});
  t.in(2, {.sequence = 201, .acknowledgement = 1, .length = 100})
      .silent(41)
      .out(42, {.sequence = 1, .acknowledgement = 301});
}

TEST_CASE("text carries the acknowledgement with it") {
  Trace t = Trace::established();
  t.in(0, {.sequence = 1, .acknowledgement = 1, .length = 100}).write(10);
  t.out(0, {.sequence = 1, .acknowledgement = 101, .length = 10}).silent(40);
}

TEST_CASE("out of order: a duplicate for each segment, with SACK if permitted, and one for the gap that is filled") {
  Trace t;
  t.listen({.flags = S, .options = {.sack_permitted = true}});
  t.out(0, {.flags = S | A, .acknowledgement = 1}).in(0, {.sequence = 1, .acknowledgement = 1}).silent(0);
  t.in(0, {.sequence = 101, .acknowledgement = 1, .length = 100});
  t.in(0, {.sequence = 301, .acknowledgement = 1, .length = 100});
  t.out(0, {.sequence = 1, .acknowledgement = 1});
  REQUIRE(t.last->options.sack_blocks == 2);
  CHECK(t.last->options.sack[0] == wire::TcpSackBlock{theirs + 301, theirs + 401});  // the latest first
  CHECK(t.last->options.sack[1] == wire::TcpSackBlock{theirs + 101, theirs + 201});
  t.out(0, {.sequence = 1, .acknowledgement = 1}).silent(0);
  t.in(1, {.sequence = 1, .acknowledgement = 1, .length = 100}).out(1, {.sequence = 1, .acknowledgement = 201});
  t.in(2, {.sequence = 201, .acknowledgement = 1, .length = 100}).out(2, {.sequence = 1, .acknowledgement = 401});
  CHECK(t.received == 400);
  CHECK(t.tcb.receive.ranges.empty());
}

TEST_CASE("overlaps and repetitions: every byte once") {
  Trace t = Trace::established();
  t.in(0, {.sequence = 1, .acknowledgement = 1, .length = 100});
  t.in(0, {.sequence = 51, .acknowledgement = 1, .length = 100});
  CHECK(t.actions.skip == 50);
  CHECK(t.actions.take == 50);
  t.in(0, {.sequence = 1, .acknowledgement = 1, .length = 150});  // wholly old
  CHECK(t.actions.drop == Drop::out_of_window);
  t.out(0, {.sequence = 1, .acknowledgement = 151});
  CHECK(t.received == 150);
}

TEST_CASE("text beyond the window is cut off; with a closed window it is only answered") {
  Trace t = Trace::established(150);
  t.in(0, {.sequence = 1, .acknowledgement = 1, .length = 200});
  CHECK(t.received == 150);
  t.out(40, {.sequence = 1, .acknowledgement = 151, .window = 0});
  t.in(50, {.sequence = 151, .acknowledgement = 1, .length = 1})
      .out(50, {.sequence = 1, .acknowledgement = 151, .window = 0});
  CHECK(t.received == 150);
  set_receive_space(t.tcb, 150);  // the application has read
  t.out(60, {.sequence = 1, .acknowledgement = 151, .window = 150});
}

TEST_CASE("the window opens in large steps only, RFC 9293 3.8.6.2.2") {
  Trace t = Trace::established(1000);
  t.in(0, {.sequence = 1, .acknowledgement = 1, .length = 1000})
      .out(40, {.sequence = 1, .acknowledgement = 1001, .window = 0});
  set_receive_space(t.tcb, 150);
  t.silent(50);
  set_receive_space(t.tcb, 250);
  t.out(60, {.sequence = 1, .acknowledgement = 1001, .window = 250});
}

TEST_CASE("Nagle: a short tail waits for the acknowledgement, unless told otherwise") {
  Trace t = Trace::established();
  t.write(10).out(0, {.sequence = 1, .acknowledgement = 1, .length = 10});
  t.write(20).silent(1);
  t.write(200).out(2, {.sequence = 11, .acknowledgement = 1, .length = 100});
  t.out(2, {.sequence = 111, .acknowledgement = 1, .length = 100}).silent(2);
  t.in(3, {.sequence = 1, .acknowledgement = 211}).out(3, {.sequence = 211, .acknowledgement = 1, .length = 20});
  t.tcb.send.no_delay = true;
  t.write(1).out(4, {.sequence = 231, .acknowledgement = 1, .length = 1});
}

TEST_CASE("segments for a device that segments are whole multiples") {
  Trace t = Trace::established();
  t.maximum_payload = 450;
  t.write(730).out(0, {.sequence = 1, .acknowledgement = 1, .length = 400});
  t.out(0, {.sequence = 401, .acknowledgement = 1, .length = 300}).silent(0);  // Nagle keeps the last 30
  shutdown(t.tcb);
  t.out(0, {.flags = F | A, .sequence = 701, .acknowledgement = 1, .length = 30});
}

TEST_CASE("the peer's window bounds what is in flight") {
  Trace t = Trace::established();
  t.in(0, {.sequence = 1, .acknowledgement = 1, .window = 250}).write(1000);
  t.out(0, {.sequence = 1, .acknowledgement = 1, .length = 100})
      .out(0, {.sequence = 101, .acknowledgement = 1, .length = 100});
  t.silent(0);  // 50 would be a silly segment
  t.in(10, {.sequence = 1, .acknowledgement = 201, .window = 250})
      .out(10, {.sequence = 201, .acknowledgement = 1, .length = 100});
}

TEST_CASE("zero-window probes: one octet, backing off, as long as the peer answers") {
  Trace t = Trace::established();
  t.in(0, {.sequence = 1, .acknowledgement = 1, .window = 0}).write(500).silent(0);
  std::int64_t now = 0;
  for (int i = 0; i < 12; ++i) {
    now = std::chrono::duration_cast<std::chrono::milliseconds>(next_deadline(t.tcb) - Trace::at(0)).count() + 1;
    t.out(now, {.sequence = 1, .acknowledgement = 1, .length = 1}).silent(now);
    t.in(now + 5, {.sequence = 1, .acknowledgement = 1, .window = 0}).state(State::established);
  }
  CHECK(now > 240'000);  // far beyond the user timeout
  t.in(now + 10, {.sequence = 1, .acknowledgement = 1, .window = 10000});
  t.out(now + 10, {.sequence = 1, .acknowledgement = 1, .length = 100});  // from the probed byte on
}

TEST_CASE("zero-window probes: once the application has closed, not for ever, whatever the peer answers") {
  Trace t = Trace::established();
  t.in(0, {.sequence = 1, .acknowledgement = 1, .window = 0}).write(500);
  close(t.tcb, Trace::at(0));
  t.silent(0);
  std::int64_t now = 0;
  std::uint32_t taken = 1;
  for (int i = 0; i < 200 && t.tcb.state != State::closed; ++i) {
    now = std::chrono::duration_cast<std::chrono::milliseconds>(next_deadline(t.tcb) - Trace::at(0)).count() + 1;
    if (t.advance(now).tcb.state == State::closed) break;
    t.out(now, {.sequence = taken, .acknowledgement = 1, .length = 1});
    if (i == 8) ++taken;  // text that is taken counts
    t.in(now + 5, {.sequence = 1, .acknowledgement = taken, .window = 0}).silent(now + 5);
  }
  t.state(State::closed).reply({.flags = R | A, .sequence = 3, .acknowledgement = 1});
  CHECK(t.actions.error == FlowError::timed_out);
  CHECK(now > 240'000);
  CHECK(now < 480'000);
}

TEST_CASE("a FIN has a number: a closed window is probed by it, once a time and backing off, until it opens") {
  Trace t = Trace::established();
  t.in(0, {.sequence = 1, .acknowledgement = 1, .window = 0});
  shutdown(t.tcb);
  t.silent(0);
  std::int64_t now = 0;
  for (int i = 0; i < 6; ++i) {
    now = std::chrono::duration_cast<std::chrono::milliseconds>(next_deadline(t.tcb) - Trace::at(0)).count() + 1;
    t.out(now, {.flags = F | A, .sequence = 1, .acknowledgement = 1}).silent(now);
  }
  CHECK(now > 12'000);
  t.in(now + 10, {.sequence = 1, .acknowledgement = 1, .window = 1});
  t.out(now + 10, {.flags = F | A, .sequence = 1, .acknowledgement = 1}).silent(now + 10);
}

TEST_CASE("a FIN behind text that fills the window waits for room") {
  Trace t = Trace::established();
  t.in(0, {.sequence = 1, .acknowledgement = 1, .window = 100}).write(100);
  shutdown(t.tcb);
  t.out(0, {.sequence = 1, .acknowledgement = 1, .length = 100}).silent(0);
  t.in(10, {.sequence = 1, .acknowledgement = 101, .window = 0}).silent(10);
  t.in(20, {.sequence = 1, .acknowledgement = 101, .window = 100});
  t.out(20, {.flags = F | A, .sequence = 101, .acknowledgement = 1}).silent(20);
}

TEST_CASE("a probe's octet may be accepted") {
  Trace t = Trace::established();
  t.in(0, {.sequence = 1, .acknowledgement = 1, .window = 0}).write(150).silent(0);
  t.out(1001, {.sequence = 1, .acknowledgement = 1, .length = 1});
  t.in(1005, {.sequence = 1, .acknowledgement = 2, .window = 10000});
  t.out(1005, {.sequence = 2, .acknowledgement = 1, .length = 100});
}

TEST_CASE("retransmission time-out: from SND.UNA on, doubling, one segment in flight, then slow start") {
  Trace t = Trace::established();
  t.tcb.round_trip.timeout = 200ms;
  t.write(1000);
  for (std::uint32_t i = 0; i < 10; ++i) t.out(0, {.sequence = 1 + 100 * i, .acknowledgement = 1, .length = 100});
  t.silent(199).out(201, {.sequence = 1, .acknowledgement = 1, .length = 100}).silent(201);
  t.silent(600).out(602, {.sequence = 1, .acknowledgement = 1, .length = 100});
  t.in(610, {.sequence = 1, .acknowledgement = 101});
  t.out(610, {.sequence = 101, .acknowledgement = 1, .length = 100});
  t.out(610, {.sequence = 201, .acknowledgement = 1, .length = 100}).silent(610);
  t.in(620, {.sequence = 1, .acknowledgement = 1001}).silent(620);
  CHECK(next_deadline(t.tcb) == never);
}

TEST_CASE("no progress for two minutes: the connection is given up and the peer is told") {
  Trace t = Trace::established();
  t.write(10).out(0, {.sequence = 1, .acknowledgement = 1, .length = 10});
  std::int64_t ms = 0;
  for (; ms < 400'000 && t.tcb.state != State::closed; ms += 100) {
    t.advance(ms);
    (void)next_departure(t.tcb, 100, Trace::at(ms));
  }
  CHECK(ms > 100'000);  // RFC 9293 MUST-20: at least 100 s
  CHECK(t.actions.error == FlowError::timed_out);
  t.reply({.flags = R | A, .sequence = 11, .acknowledgement = 1});
}

TEST_CASE("round-trip times, RFC 6298, and Karn's rule") {
  Trace t = Trace::established();
  t.write(100).out(0, {.sequence = 1, .acknowledgement = 1, .length = 100});
  t.in(80, {.sequence = 1, .acknowledgement = 101});
  // The handshake's sample was 0 ms, so this is the second.
  CHECK(t.tcb.round_trip.smoothed > 9ms);
  CHECK(t.tcb.round_trip.smoothed < 11ms);
  const Duration before = t.tcb.round_trip.smoothed;
  t.write(100).out(100, {.sequence = 101, .acknowledgement = 1, .length = 100});
  t.out(2000, {.sequence = 101, .acknowledgement = 1, .length = 100});
  t.in(2010, {.sequence = 1, .acknowledgement = 201});
  CHECK(t.tcb.round_trip.smoothed == before);
  CHECK(t.tcb.round_trip.backoff == 0);  // 10 ms: the retransmission was answered
  t.write(100).out(2100, {.sequence = 201, .acknowledgement = 1, .length = 100});
  t.out(4000, {.sequence = 201, .acknowledgement = 1, .length = 100});
  t.in(4500, {.sequence = 1, .acknowledgement = 301});
  CHECK(t.tcb.round_trip.smoothed == before);
  CHECK(t.tcb.round_trip.backoff == 1);  // 500 ms: who knows what was answered
}

TEST_CASE("fast retransmit and recovery, RFC 6582: two holes, one round trip each, no time-out") {
  Trace t = Trace::established();
  t.write(2000);
  for (std::uint32_t i = 0; i < 10; ++i) t.out(0, {.sequence = 1 + 100 * i, .acknowledgement = 1, .length = 100});
  t.silent(0);
  // Segments 1 and 501 are lost. Limited transmit (RFC 3042) for the first two duplicates.
  t.in(10, {.sequence = 1, .acknowledgement = 1})
      .out(10, {.sequence = 1001, .acknowledgement = 1, .length = 100})
      .silent(10);
  t.in(10, {.sequence = 1, .acknowledgement = 1})
      .out(10, {.sequence = 1101, .acknowledgement = 1, .length = 100})
      .silent(10);
  t.in(10, {.sequence = 1, .acknowledgement = 1})
      .out(10, {.sequence = 1, .acknowledgement = 1, .length = 100})
      .silent(10);
  CHECK(t.tcb.congestion.phase == Phase::recovery);
  CHECK(t.tcb.congestion.threshold == 500);  // half of the window: what limited transmit added does not count
  t.in(20, {.sequence = 1, .acknowledgement = 501}).out(20, {.sequence = 501, .acknowledgement = 1, .length = 100});
  t.in(30, {.sequence = 1, .acknowledgement = 1201});
  CHECK(t.tcb.congestion.phase != Phase::recovery);
  CHECK(t.tcb.congestion.window <= 600);
}

TEST_CASE("a coalescing peer reports much at once: one acknowledgement starts recovery, the whole hole goes again") {
  Trace t;
  t.listen({.flags = S, .options = {.sack_permitted = true}});
  t.out(0, {.flags = S | A, .acknowledgement = 1}).in(0, {.sequence = 1, .acknowledgement = 1}).silent(0);
  t.maximum_payload = 500;
  t.write(1000).out(0, {.sequence = 1, .acknowledgement = 1, .length = 500});
  t.out(0, {.sequence = 501, .acknowledgement = 1, .length = 500});
  wire::TcpOptionSet sack{.sack = {{{ours + 301, ours + 1001}}}, .sack_blocks = 1};
  t.in(10, {.sequence = 1, .acknowledgement = 1, .options = sack});
  CHECK(t.tcb.congestion.phase == Phase::recovery);
  t.out(10, {.sequence = 1, .acknowledgement = 1, .length = 300}).silent(10);
  t.in(20, {.sequence = 1, .acknowledgement = 1001}).silent(20);
  CHECK(t.tcb.congestion.phase != Phase::recovery);
}

TEST_CASE("hostile: SACK blocks for what was never sent, inverted or below SND.UNA change nothing") {
  Trace t;
  t.listen({.flags = S, .options = {.sack_permitted = true}});
  t.out(0, {.flags = S | A, .acknowledgement = 1}).in(0, {.sequence = 1, .acknowledgement = 1}).silent(0);
  t.write(200).out(0, {.sequence = 1, .acknowledgement = 1, .length = 100});
  wire::TcpOptionSet sack{.sack = {{{ours + 301, ours + 4001}, {ours + 90, ours + 50}, {ours - 50, ours + 60}}},
                          .sack_blocks = 3};
  t.in(10, {.sequence = 1, .acknowledgement = 1, .window = 9000, .options = sack});
  CHECK(t.tcb.loss.board.sacked == 0);
  CHECK(t.tcb.congestion.phase != Phase::recovery);
}

TEST_CASE("duplicates after a time-out do not start recovery again, RFC 6582 section 4") {
  Trace t = Trace::established();
  t.write(1000);
  for (std::uint32_t i = 0; i < 10; ++i) t.out(0, {.sequence = 1 + 100 * i, .acknowledgement = 1, .length = 100});
  t.out(1300, {.sequence = 1, .acknowledgement = 1, .length = 100});
  for (int i = 0; i < 5; ++i) t.in(1310, {.sequence = 1, .acknowledgement = 1});
  CHECK(t.tcb.congestion.phase != Phase::recovery);
}

TEST_CASE("a black hole: large segments get no answer and no error, smaller ones pass (RFC 4821 section 7.7)") {
  Trace trace = Trace::established();
  trace.tcb.send.segment_size = 1460;
  trace.tcb.congestion.window = 14600;
  trace.maximum_payload = 1460;
  trace.write(2920);
  trace.out(0, {.sequence = 1, .acknowledgement = 1, .length = 1460});
  trace.out(0, {.sequence = 1461, .acknowledgement = 1, .length = 1460});
  const auto again = [&](std::int64_t ms, std::uint32_t length) {
    trace.maximum_payload = trace.tcb.send.segment_size;
    trace.out(ms, {.sequence = 1, .acknowledgement = 1, .length = length});
  };
  again(1000, 1460);
  again(3000, 1460);
  again(7000, 964);
  again(15'000, 964);
  again(31'000, 516);
  trace.in(31'100, {.sequence = 1, .acknowledgement = 517});
  trace.out(31'100, {.sequence = 517, .acknowledgement = 1, .length = 516});
  trace.in(31'200, {.sequence = 1, .acknowledgement = 1033});
  CHECK(trace.tcb.send.segment_size == 516);
  CHECK(trace.tcb.search.largest == 1460);
}

TEST_CASE("a silent peer of short texts is no black hole") {
  Trace trace = Trace::established();
  trace.tcb.send.segment_size = 1460;
  trace.write(100);
  trace.out(0, {.sequence = 1, .acknowledgement = 1, .length = 100});
  trace.advance(1000);
  trace.advance(3000);
  trace.advance(7000);
  CHECK(trace.tcb.round_trip.backoff == 3);
  CHECK(trace.tcb.send.segment_size == 1460);
}

TEST_CASE("slow start doubles, congestion avoidance adds one segment per window") {
  Trace t = Trace::established();
  CHECK(t.tcb.congestion.window == 1000);
  t.tcb.congestion.threshold = 1200;
  t.write(4000);
  for (std::uint32_t i = 0; i < 10; ++i) t.out(0, {.sequence = 1 + 100 * i, .acknowledgement = 1, .length = 100});
  t.in(10, {.sequence = 1, .acknowledgement = 201});
  CHECK(t.tcb.congestion.window == 1200);
  t.in(10, {.sequence = 1, .acknowledgement = 401}).in(10, {.sequence = 1, .acknowledgement = 601});
  CHECK(t.tcb.congestion.window == 1200);
  for (std::uint32_t i = 0; i < 8; ++i) (void)next_departure(t.tcb, 100, Trace::at(10));
  t.in(20, {.sequence = 1, .acknowledgement = 801}).in(20, {.sequence = 1, .acknowledgement = 1001});
  t.in(20, {.sequence = 1, .acknowledgement = 1401});
  CHECK(t.tcb.congestion.window == 1300);
}

TEST_CASE("a smaller path: smaller segments, and what is in flight again") {
  Trace t = Trace::established();
  t.write(100).out(0, {.sequence = 1, .acknowledgement = 1, .length = 100});
  shrink_segment_size(t.tcb, 60);
  t.out(1, {.sequence = 1, .acknowledgement = 1, .length = 60})
      .out(1, {.sequence = 61, .acknowledgement = 1, .length = 40});
}

TEST_CASE("hostile: more holes than can be noted are dropped, memory stays bounded") {
  Trace t = Trace::established();
  for (std::uint32_t i = 0; i < 200; ++i) {
    t.in(0, {.sequence = 11 + 20 * i, .acknowledgement = 1, .length = 10});
  }
  CHECK(t.actions.drop == Drop::too_many_ranges);
  CHECK(t.tcb.receive.ranges.count == Ranges::capacity);
  CHECK(t.received == 10 * Ranges::capacity);
  forget_stored(t.tcb);
  t.in(1, {.sequence = 1, .acknowledgement = 1, .length = 4020});
  CHECK(t.tcb.receive.next == Sequence{theirs + 4021});
}

TEST_CASE("hostile: optimistic acknowledgements move nothing") {
  Trace t = Trace::established();
  t.write(1000).out(0, {.sequence = 1, .acknowledgement = 1, .length = 100});
  t.in(1, {.sequence = 1, .acknowledgement = 5000});
  CHECK(t.released == 0);
  CHECK(t.tcb.congestion.window == 1000);
}

TEST_CASE("hostile: a shrinking window takes nothing back that was sent, and probing goes on") {
  Trace t = Trace::established();
  t.write(500);
  for (std::uint32_t i = 0; i < 5; ++i) t.out(0, {.sequence = 1 + 100 * i, .acknowledgement = 1, .length = 100});
  t.in(1, {.sequence = 1, .acknowledgement = 101, .window = 0}).silent(1);
  t.out(1300, {.sequence = 101, .acknowledgement = 1, .length = 1}).silent(1300);
  t.in(1310, {.sequence = 1, .acknowledgement = 101, .window = 10000})
      .out(1310, {.sequence = 101, .acknowledgement = 1, .length = 100});
}

TEST_CASE("hostile: two peers that misunderstand each other do not play table tennis") {
  Trace t = Trace::established();
  int answers = 0;
  for (int i = 0; i < 100; ++i) {
    t.in(0, {.sequence = static_cast<std::uint32_t>(-500), .acknowledgement = 1});
    while (next_departure(t.tcb, 100, Trace::at(0))) ++answers;
  }
  CHECK(answers == 1);
}

TEST_CASE("wrap-around of sequence numbers") {
  Tcb tcb = open_active(Trace::parameters(10000), Trace::at(0));
  tcb.send.initial = tcb.send.unacknowledged = tcb.send.next = tcb.send.maximum = {0xffffffff};
  tcb.send.end = {0};
  REQUIRE(next_departure(tcb, 100, Trace::at(0)));
  const Actions opened = on_segment(
      tcb, {.sequence = {0xfffffff0}, .acknowledgement = {0}, .flags = S | A, .window = 10000}, Trace::at(1));
  CHECK(opened.established);
  const Actions text =
      on_segment(tcb, {.sequence = {0xfffffff1}, .acknowledgement = {0}, .flags = A, .window = 10000, .length = 100},
                 Trace::at(2));
  CHECK(text.take == 100);
  CHECK(tcb.receive.next == Sequence{0x55});
}

TEST_CASE("ranges join, and refuse at their bound") {
  Ranges ranges;
  for (std::uint32_t i = 0; i < Ranges::capacity; ++i) CHECK(ranges.insert({{10 * i + 10}, {10 * i + 15}}));
  CHECK_FALSE(ranges.insert({{10 * Ranges::capacity + 100}, {10 * Ranges::capacity + 101}}));
  CHECK(ranges.insert({{15}, {20}}));  // joins two
  CHECK(ranges.count == Ranges::capacity - 1);
  CHECK(ranges.insert({{0}, {5}}));
  CHECK(ranges.advance({5}) == Sequence{5});
  CHECK(ranges.advance({12}) == Sequence{25});
  CHECK(ranges.count == Ranges::capacity - 2);
  CHECK(ranges.insert({{0}, {2000}}));
  CHECK(ranges.count == 1);
}

TEST_CASE("pacing: behind the initial window text waits for its time, a lost segment and a probe do not") {
  Trace t = Trace::established();
  t.tcb.round_trip.smoothed = 40ms;
  t.tcb.congestion.window = 4000;
  t.tcb.congestion.threshold = 4000;  // 5000 bytes in 40 ms: a segment in 0.8 ms
  t.write(5000);
  for (std::uint32_t i = 0; i < 10; ++i) t.out(0, {.sequence = 1 + 100 * i, .acknowledgement = 1, .length = 100});
  t.silent(0).silent(3);
  CHECK(t.tcb.congestion.limited == t.tcb.send.next);
  for (std::uint32_t i = 10; i < 15; ++i) t.out(4, {.sequence = 1 + 100 * i, .acknowledgement = 1, .length = 100});
  t.silent(4).silent(7);
  // An acknowledgement of the peer's text is never held back.
  t.in(7, {.sequence = 1, .acknowledgement = 1, .length = 100})
      .in(7, {.sequence = 101, .acknowledgement = 1, .length = 100});
  t.out(7, {.sequence = 1501, .acknowledgement = 201}).silent(7);
  t.out(8, {.sequence = 1501, .acknowledgement = 201, .length = 100});
}

namespace {

/// A connection with SACK that a black hole has taken from 1460 to 516 bytes, and whose next try is due.
Trace after_black_hole() {
  Trace t{60000};
  t.listen({.flags = S, .window = 60000, .options = {.sack_permitted = true}});
  t.out(0, {.flags = S | A, .acknowledgement = 1}).in(0, {.sequence = 1, .acknowledgement = 1, .window = 60000});
  t.silent(0);
  t.tcb.send.segment_size = 1460;
  size_search::fall_back(t.tcb, 516, Trace::at(0));
  t.tcb.congestion.window = 60000;
  t.tcb.congestion.threshold = 60000;
  t.maximum_payload = 516;
  t.tcb.round_trip.smoothed = 1ms;  // not paced
  t.tcb.loss.minimum = 1000;
  return t;
}

Line from_peer(std::uint32_t acknowledgement,
               std::initializer_list<std::pair<std::uint32_t, std::uint32_t>> list = {}) {
  Line line{.sequence = 1, .acknowledgement = acknowledgement, .window = 60000};
  for (const auto& [left, right] : list) line.options.sack[line.options.sack_blocks++] = {ours + left, ours + right};
  return line;
}

}  // namespace

TEST_CASE(
    "after a black hole larger segments are tried again, one size after another (RFC 4821 section 7.3, RFC 8899)") {
  constexpr std::int64_t due = 600'000;
  Trace t = after_black_hole();
  t.write(516);
  t.out(10, {.sequence = 1, .acknowledgement = 1, .length = 516}).in(11, from_peer(517));
  t.write(10'000);
  t.out(due, {.sequence = 517, .acknowledgement = 1, .length = 964});
  CHECK(t.last->segment_size == 964);
  t.out(due, {.sequence = 1481, .acknowledgement = 1, .length = 516});
  SUBCASE("it passes: that is the size, and the next one is tried") {
    t.in(due + 1, from_peer(1997));
    CHECK(t.tcb.send.segment_size == 964);
    t.out(due + 1, {.sequence = 1997, .acknowledgement = 1, .length = 1348});
    t.in(due + 2, from_peer(3345));
    t.out(due + 2, {.sequence = 3345, .acknowledgement = 1, .length = 1460});
    t.in(due + 3, from_peer(4805));
    CHECK(t.tcb.send.segment_size == 1460);
    CHECK(t.tcb.search.from == never);
  }
  SUBCASE("it alone is lost: it goes again in small ones, the window stays, the next try is later") {
    t.out(due, {.sequence = 1997, .acknowledgement = 1, .length = 516});
    t.out(due, {.sequence = 2513, .acknowledgement = 1, .length = 516});
    t.in(due + 5, from_peer(517, {{1481, 3029}}));
    CHECK(t.tcb.congestion.phase == Phase::open);
    CHECK(t.tcb.congestion.window == 60000);
    t.out(due + 5, {.sequence = 517, .acknowledgement = 1, .length = 516});
    t.out(due + 5, {.sequence = 1033, .acknowledgement = 1, .length = 448});
    CHECK(t.tcb.send.segment_size == 516);
    CHECK(t.tcb.search.from == Trace::at(due + 5) + constant::raise_interval);
  }
  SUBCASE("others are lost with it: that is congestion, and says nothing about the size") {
    for (std::uint32_t at = 1997; at < 4000; at += 516)
      t.out(due, {.sequence = at, .acknowledgement = 1, .length = 516});
    t.in(due + 5, from_peer(517, {{1997, 4061}}));
    CHECK(t.tcb.congestion.phase == Phase::recovery);
    t.out(due + 5, {.sequence = 517, .acknowledgement = 1, .length = 516});
    t.in(due + 6, from_peer(4061));
    CHECK(t.tcb.send.segment_size == 516);  // it came in small ones
  }
}

TEST_CASE(
    "when the window opens, what goes then has its own time-out, not what is left of the probe's (RFC 6298 5.1)") {
  Trace t = Trace::established();
  t.in(0, {.sequence = 1, .acknowledgement = 1, .window = 0}).write(500).silent(0);
  const auto probe = std::chrono::duration_cast<std::chrono::milliseconds>(next_deadline(t.tcb) - Trace::at(0)).count();
  t.in(probe - 1, {.sequence = 1, .acknowledgement = 1, .window = 10000});
  for (std::uint32_t i = 0; i < 5; ++i) {
    t.out(probe - 1, {.sequence = 1 + 100 * i, .acknowledgement = 1, .length = 100});
  }
  t.silent(probe + 1);  // sent two milliseconds ago
  CHECK(t.tcb.congestion.phase == Phase::open);
}

TEST_CASE("a peer without SACK: three duplicates mean a loss also after 2 GiB without any") {
  Trace t = Trace::established();
  t.tcb.send.window_shift = 14;
  t.in(0, {.sequence = 1, .acknowledgement = 1});
  std::uint32_t begin = 1;
  const std::uint32_t much = 100'000'000;
  for (int i = 0; i < 22; ++i, begin += much) {  // 2.2 GB, in few and large ones
    t.tcb.congestion.window = t.maximum_payload = much;
    t.write(much).out(0, {.sequence = begin, .acknowledgement = 1, .length = much});
    t.in(0, {.sequence = 1, .acknowledgement = begin + much});
  }
  t.maximum_payload = segment_size;
  t.write(1000);
  for (std::uint32_t i = 0; i < 10; ++i) {
    t.out(0, {.sequence = begin + 100 * i, .acknowledgement = 1, .length = 100});
  }
  for (int i = 0; i < 3; ++i) t.in(5, {.sequence = 1, .acknowledgement = begin});
  t.out(5, {.sequence = begin, .acknowledgement = 1, .length = 100});
}

TEST_CASE("keep-alive: no probe while something is outstanding (RFC 9293 MUST-26)") {
  Trace t = Trace::established();
  t.tcb.keep_alive_idle = 100ms;
  t.tcb.deadlines.keep_alive = Trace::at(100);
  t.write(100).out(0, {.sequence = 1, .acknowledgement = 1, .length = 100});
  t.silent(150);
}
