// SPDX-License-Identifier: ISC
// Loss recovery as packet traces: SACK and RACK, tail loss probes, F-RTO, DSACK, rate reduction; and its parts alone.
#include <mirage/net/tcp/prr.hpp>
#include <mirage/net/tcp/trace_test.hpp>

using namespace mirage;
using namespace mirage::net::tcp;
using namespace mirage::net::tcp::test;

namespace {

/// With SACK, a round trip of 10 ms, and `segments` of 100 bytes sent at time 0.
Trace sending(std::uint32_t segments, std::uint32_t more = 0, Algorithm algorithm = Algorithm::newreno) {
  Trace t{10000, algorithm};
  t.listen({.flags = S, .options = {.sack_permitted = true}});
  t.out(0, {.flags = S | A, .acknowledgement = 1}).in(0, {.sequence = 1, .acknowledgement = 1}).silent(0);
  t.tcb.round_trip.smoothed = 10ms;
  t.tcb.loss.minimum = 10'000;
  t.tcb.round_trip.timeout = 210ms;
  t.write(100 * (segments + more));
  for (std::uint32_t i = 0; i < segments; ++i) {
    t.out(0, {.sequence = 1 + 100 * i, .acknowledgement = 1, .length = 100});
  }
  return t;
}

wire::TcpOptionSet blocks(std::initializer_list<std::pair<std::uint32_t, std::uint32_t>> list) {
  wire::TcpOptionSet options;
  for (const auto& [left, right] : list) options.sack[options.sack_blocks++] = {ours + left, ours + right};
  return options;
}

Line ack(std::uint32_t acknowledgement, std::initializer_list<std::pair<std::uint32_t, std::uint32_t>> list = {}) {
  return {.sequence = 1, .acknowledgement = acknowledgement, .options = blocks(list)};
}

Line text(std::uint32_t sequence, std::uint32_t length = 100) {
  return {.sequence = sequence, .acknowledgement = 1, .length = length};
}

}  // namespace

TEST_CASE("RFC 6675 section 5: what was delivered beyond a hole is not in flight, so new text follows") {
  Trace t = sending(10, 5);
  t.silent(0);
  t.in(10, ack(1, {{101, 201}})).out(10, text(1001)).silent(10);  // limited transmit, RFC 3042
  CHECK(t.tcb.in_flight() == 1000);
  t.in(10, ack(1, {{101, 301}})).out(10, text(1101)).silent(10);
  CHECK(t.tcb.congestion.phase == Phase::open);
}

TEST_CASE("RACK: three segments beyond the hole, RFC 8985 section 6.2 step 4; only the hole goes again") {
  Trace t = sending(10);
  t.in(10, ack(1, {{101, 401}}));
  CHECK(t.tcb.congestion.phase == Phase::recovery);
  CHECK(t.tcb.congestion.threshold == 500);
  CHECK(t.tcb.loss.board.lost == 100);
  t.out(10, text(1)).silent(10);
  t.in(20, ack(1001)).silent(20);
  CHECK(t.tcb.congestion.phase == Phase::open);
  CHECK(t.tcb.congestion.window == 500);
}

TEST_CASE("RACK: what was delivered before minutes of idleness is not newer than what is sent after them") {
  constexpr std::int64_t afterwards = 300'000;  // beyond half of what a Stamp holds
  Trace t = sending(10);
  t.in(10, ack(1001)).silent(10).write(1000);
  for (std::uint32_t i = 0; i < 10; ++i) t.out(afterwards, text(1001 + 100 * i));
  t.in(afterwards + 10, ack(1001, {{1101, 1401}}));
  CHECK(t.tcb.loss.board.lost == 100);
}

TEST_CASE("RACK: what was delivered last does not look new when it is minutes old") {
  Trace t = sending(3);
  t.tcb.user_timeout = 600'000;
  t.in(10, ack(1, {{101, 201}}));
  const auto pass = [&](std::int64_t from, std::int64_t to) {
    int departures = 0;
    for (std::int64_t ms = from; ms < to; ms += 10) {
      t.advance(ms);
      while (next_departure(t.tcb, 100, Trace::at(ms))) ++departures;
    }
    return departures;
  };
  CHECK(pass(10, 300'000) > 10);  // time-outs
  const std::uint32_t lost = t.tcb.loss.board.lost;
  t.in(300'000, ack(1, {{101, 201}}));  // no news, beyond half of what a Stamp holds
  CHECK(t.tcb.loss.board.lost == lost);
  CHECK(pass(300'000, 301'000) == 0);
}

TEST_CASE("RACK: one segment beyond the hole waits for a quarter of the round trip, then the timer finds it lost") {
  Trace t = sending(3);
  t.in(10, ack(1, {{101, 201}})).silent(10);
  CHECK(t.tcb.loss.waiting);
  CHECK(t.tcb.deadlines.loss == Trace::at(10) + 2500us);  // RACK.rtt + min_RTT / 4 after it was sent
  t.out(13, text(1)).silent(13);
  CHECK(t.tcb.congestion.phase == Phase::recovery);
}

TEST_CASE("RACK: a retransmission that is lost, too, is found by what was sent after it") {
  Trace t = sending(10, 10);
  t.in(10, ack(1, {{101, 401}})).out(10, text(1));
  std::uint32_t sacked = 401;
  std::uint32_t fresh = 1001;
  for (; sacked < 1001; sacked += 100) {
    t.in(11, ack(1, {{101, sacked + 100}}));
    while (auto departure = next_departure(t.tcb, 100, Trace::at(11))) {
      CHECK(departure->sequence.value - ours == fresh);
      fresh += 100;
    }
  }
  REQUIRE(fresh > 1001);
  t.in(21, ack(1, {{101, 1101}})).out(21, text(1));
  CHECK(t.tcb.congestion.threshold == 500);  // no second reduction
}

TEST_CASE("RACK: a path that reorders is given time, and DSACK gives more: RFC 8985 section 6.2 steps 3 and 4") {
  Trace t = sending(10);
  t.in(10, ack(1, {{301, 401}})).in(11, ack(1, {{201, 401}}));
  CHECK(t.tcb.loss.reordering);
  t.in(11, ack(1, {{201, 1001}})).silent(12);  // seven segments beyond, and still it waits
  CHECK(t.tcb.loss.waiting);
  t.out(14, text(1)).silent(14);  // nothing was delivered since: PRR lets one go
  t.in(15, ack(1001)).write(100).out(15, text(1001)).in(20, ack(1001, {{1, 101}}));
  CHECK(t.tcb.loss.multiplier == 2);
  t.in(20, ack(1001, {{101, 201}}));
  CHECK(t.tcb.loss.multiplier == 2);  // once for a round trip
}

TEST_CASE("RFC 3708: every retransmission was a duplicate, so the reduction is taken back") {
  Trace t = sending(10);
  t.in(10, ack(1, {{101, 401}})).out(10, text(1));
  t.in(11, ack(1001));
  CHECK(t.tcb.congestion.window == 500);
  t.in(20, ack(1001, {{1, 101}}));
  CHECK(t.tcb.congestion.window >= 1000);
}

TEST_CASE("SACK blocks of several holes: each goes again once, in order") {
  Trace t = sending(10);
  t.in(10, ack(1, {{901, 1001}, {501, 801}, {101, 301}}));
  CHECK(t.tcb.loss.board.lost == 400);
  CHECK(t.tcb.in_flight() == 0);
  t.out(10, text(1)).out(10, text(301)).out(10, text(401)).out(10, text(801)).silent(10);
  t.in(20, ack(301, {{501, 801}, {901, 1001}})).silent(20);
  t.in(20, ack(1001));
  CHECK(t.tcb.loss.board.empty());
  CHECK(next_deadline(t.tcb) == never);
}

TEST_CASE("PRR: sending follows delivery down to the threshold, RFC 6937 section 3.1") {
  Trace t = sending(10, 20);
  t.in(10, ack(1, {{101, 401}})).out(10, text(1));
  int sent = 0;
  for (std::uint32_t i = 4; i < 10; ++i) {
    t.in(10 + i, ack(1, {{101, 101 + 100 * i}}));
    while (next_departure(t.tcb, 100, Trace::at(10 + i))) ++sent;
  }
  CHECK(sent == 4);  // nine delivered: half of them, the retransmission included, and one of slow start at the end
  CHECK(t.tcb.in_flight() == 500);
}

TEST_CASE("tail loss probe: after two round trips the last segment again, RFC 8985 section 7") {
  Trace t = sending(3);
  t.silent(19);
  t.out(20, text(201)).silent(20);
  CHECK(t.tcb.loss.probing);
  SUBCASE("the tail was lost: SACK shows the hole, recovery repairs it without a time-out") {
    t.in(30, ack(101, {{201, 301}})).out(33, text(101));
    t.in(43, ack(301)).silent(43);
    CHECK(t.tcb.round_trip.backoff == 0);
  }
  SUBCASE("only the last one was lost: the probe repaired it, and that counts as a loss (7.4.2)") {
    t.in(30, ack(301));
    CHECK(t.tcb.loss.probing);
    t.write(100).out(40, text(301)).in(50, ack(401));
    CHECK_FALSE(t.tcb.loss.probing);
    CHECK(t.tcb.congestion.threshold < 1000);
  }
  SUBCASE("nothing was lost: the DSACK says so, the window stays") {
    t.in(30, ack(301, {{201, 301}}));
    CHECK_FALSE(t.tcb.loss.probing);
    CHECK(t.tcb.congestion.threshold > 1000);
  }
}

TEST_CASE("tail loss probe: new text goes rather than old") {
  Trace t = sending(10, 1);
  t.silent(0).out(20, text(1001)).silent(20);  // whatever the congestion window says
}

TEST_CASE("F-RTO: a time-out after which what was sent once still arrives is taken back, RFC 5682 section 2.1") {
  Trace t = sending(10, 10);
  t.tcb.loss.probing = true;  // no probe meanwhile
  t.tcb.deadlines.loss = never;
  t.silent(200);
  t.out(211, text(1)).silent(211);
  CHECK(t.tcb.congestion.window == 100);
  t.in(220, ack(101)).out(220, text(1001)).out(220, text(1101)).silent(220);  // step 2 (b)
  SUBCASE("spurious: the second acknowledgement covers what was not sent again") {
    t.in(221, ack(301));
    CHECK(t.tcb.congestion.phase == Phase::open);
    CHECK(t.tcb.congestion.window >= 1000);
    CHECK(t.tcb.loss.board.lost == 0);
  }
  SUBCASE("real: only what is new arrives") {
    t.in(221, ack(101, {{1001, 1101}}));
    CHECK(t.tcb.congestion.phase == Phase::timeout);
    t.out(221, text(101)).out(221, text(201));
  }
}

TEST_CASE("F-RTO: a duplicate is the first answer: everything goes again") {
  Trace t = Trace::established();
  t.tcb.round_trip.timeout = 200ms;
  t.write(2000);
  for (std::uint32_t i = 0; i < 10; ++i) t.out(0, text(1 + 100 * i));
  t.out(201, text(1)).in(210, ack(1)).silent(210);
  t.in(215, ack(101)).out(215, text(101)).out(215, text(201)).silent(215);
}

TEST_CASE("DSACK: what arrives twice is reported once, RFC 2883 section 4") {
  Trace t = sending(0);
  t.in(0, {.sequence = 1, .acknowledgement = 1, .length = 200})
      .in(0, {.sequence = 201, .acknowledgement = 1, .length = 100});
  t.out(0, {.sequence = 1, .acknowledgement = 301});
  t.in(1, {.sequence = 101, .acknowledgement = 1, .length = 100}).out(1, {.sequence = 1, .acknowledgement = 301});
  REQUIRE(t.last->options.sack_blocks == 1);
  CHECK(t.last->options.sack[0] == wire::TcpSackBlock{theirs + 101, theirs + 201});
  // Above the acknowledgement: the duplicate first, then the range that it lies in.
  t.in(2, {.sequence = 401, .acknowledgement = 1, .length = 200}).out(2, {.sequence = 1, .acknowledgement = 301});
  CHECK(t.last->options.sack_blocks == 1);
  t.in(3, {.sequence = 501, .acknowledgement = 1, .length = 100}).out(3, {.sequence = 1, .acknowledgement = 301});
  REQUIRE(t.last->options.sack_blocks == 2);
  CHECK(t.last->options.sack[0] == wire::TcpSackBlock{theirs + 501, theirs + 601});
  CHECK(t.last->options.sack[1] == wire::TcpSackBlock{theirs + 401, theirs + 601});
}

TEST_CASE("a time-out while the peer reports what it then denies: nothing it said counts, RFC 2018 section 8") {
  Trace t = sending(10);
  t.in(10, ack(1, {{101, 1001}})).out(10, text(1));
  t.in(20, ack(101)).silent(20);  // and where are 101 to 1001?
  t.out(300, text(101));
  CHECK(t.tcb.loss.board.sacked == 0);
  t.in(310, ack(201)).out(310, text(201)).out(310, text(301)).silent(310);
}

TEST_CASE("cwnd validation: a window that the application does not fill does not grow, RFC 7661") {
  Trace t = sending(2);
  for (int i = 0; i < 20; ++i) {
    const std::uint32_t next = 1 + 200 * static_cast<std::uint32_t>(i + 1);
    t.in(10 * i + 10, ack(next)).write(200);
    t.out(10 * i + 10, text(next)).out(10 * i + 10, text(next + 100));
  }
  CHECK(t.tcb.congestion.window == 1000);
}

TEST_CASE("the scoreboard is bounded: at the bound it forgets towards sending again, never towards losing text") {
  Scoreboard board;
  board.reset({0});
  Delivery delivery{.now = {1000}};
  board.extend({100'000}, {0}, 0, false);
  for (std::uint32_t i = 0; i < 100; ++i) board.sack({{200 * i + 100}, {200 * i + 200}}, delivery);
  CHECK(board.count <= Scoreboard::capacity);
  std::uint32_t sacked = 0;
  for (std::size_t i = 0; i < board.count; ++i) {
    if (board[i].has(Piece::sacked)) sacked += distance(board.begin_of(i), board[i].end);
  }
  CHECK(sacked == board.sacked);
  CHECK(delivery.bytes == board.sacked);
  board.lose({0}, {100'000});
  CHECK(board.lost + board.sacked == 100'000);
  CHECK(board.pipe() == 0);
  for (std::uint32_t at = 0; board.lost > 0; ++at) {
    REQUIRE(at < 2000);
    const Range range = board.first_lost();
    board.resend(range.begin, earlier(range.begin + 100, range.end), {2000 + at}, 10);
  }
  board.extend({100'100}, {9000}, 0, false);
  CHECK(board.end() == Sequence{100'100});
  board.acknowledge({100'100}, delivery);
  CHECK(board.empty());
  CHECK(board.pipe() == 0);
  CHECK(delivery.bytes == 100'100);
}

TEST_CASE(
    "rate reduction leaves one segment where all that was sent is lost and nothing arrives, RFC 5681 section 3.1") {
  Tcb tcb;
  tcb.state = State::established;
  tcb.send.segment_size = 1000;
  tcb.congestion.threshold = 2000;
  prr::begin(tcb, 0);
  tcb.congestion.sent = 1000;  // the fast retransmit, which is lost as well
  REQUIRE(tcb.in_flight() == 0);
  prr::on_acknowledgement(tcb, 0, false);
  CHECK(tcb.congestion.window == 1000);
}

TEST_CASE("text that is sent close together shares a piece, but not across a retransmission") {
  Scoreboard board;
  board.reset({0});
  board.extend({100}, {1000}, 50, false);
  board.extend({200}, {1040}, 50, false);
  CHECK(board.count == 1);
  board.extend({300}, {1060}, 50, false);
  CHECK(board.count == 2);
  board.lose({0}, {100});
  board.resend({0}, {100}, {1070}, 50);
  board.extend({400}, {1080}, 50, false);
  CHECK(board.count == 4);
  board.truncate({250});
  CHECK(board.end() == Sequence{250});
  CHECK(board.pipe() == 250);
}

TEST_CASE(
    "many holes, as a full queue makes them: at the bound the smallest blocks are forgotten, never the large one") {
  Scoreboard board;
  board.reset({0});
  Delivery delivery{.now = {1000}};
  constexpr std::uint32_t holes = Scoreboard::capacity - 4;
  constexpr std::uint32_t end = 200 * holes + 4'000;
  board.extend({end}, {0}, 0, false);
  for (std::uint32_t i = 0; i < holes; ++i) {
    board.sack({{200 * i + 100}, {200 * i + 200}}, delivery);
    (void)board.lose_older({0}, {200 * i + 200}, 0, {1000});
  }
  board.sack({{end - 3'900}, {end}}, delivery);
  (void)board.lose_older({0}, {end}, 0, {1000});
  CHECK(board.sacked >= 3'900);
  CHECK(board.sacked + board.lost == end);
  CHECK(board.count <= Scoreboard::capacity);
}

TEST_CASE("every second segment of 120 is lost, as where a queue overflows: only those go out again") {
  Scoreboard board;
  board.reset({0});
  Delivery delivery{.now = {1000}};
  board.extend({12'000}, {0}, 0, false);
  for (std::uint32_t i = 0; i < 60; ++i) {
    board.sack({{200 * i + 100}, {200 * i + 200}}, delivery);
    (void)board.lose_older({0}, {200 * i + 200}, 0, {1000});
  }
  CHECK(board.sacked == 6'000);
  CHECK(board.lost == 6'000);
  CHECK(board.pipe() == 0);
}

TEST_CASE("many holes: a block for which there is no place shows all the same what was sent before it and is lost") {
  Scoreboard board;
  board.reset({0});
  Delivery delivery{.now = {1000}};
  board.extend({20'000}, {0}, 0, false);
  for (std::uint32_t i = 0; i < 90; ++i) {
    board.sack({{200 * i + 100}, {200 * i + 200}}, delivery);
    (void)board.lose_older({0}, {200 * i + 200}, 0, {1000});
  }
  const std::uint32_t noted = board.sacked;
  REQUIRE(noted < 90 * 100);
  for (std::uint32_t at = 19'000; at <= 19'200; at += 200) {
    delivery = {.now = {1000}};
    board.sack({{at}, {at + 100}}, delivery);
    CHECK(board.sacked == noted);
    CHECK(delivery.bytes == 0);
    REQUIRE(delivery.any);
    CHECK(delivery.end == Sequence{at + 100});
  }
}
