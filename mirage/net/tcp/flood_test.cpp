// SPDX-License-Identifier: ISC
// SYN floods and blind attacks against the whole TCP: cookies (RFC 4987), queue bounds, the limit of challenge
// acknowledgements (RFC 5961 section 7), TIME-WAIT reuse (RFC 6191), ephemeral ports (RFC 6056).
#include <set>
#include <string>

#include <doctest/doctest.h>

#include <mirage/net/tcp/cookie.hpp>
#include <mirage/net/tcp/flow_test.hpp>

namespace mirage::net::tcp {

namespace {

using test::Bench;
using test::Given;
using test::read;
using test::take;

constexpr std::uint8_t S = Flags::syn, A = Flags::ack, F = Flags::fin, R = Flags::rst;

std::vector<std::byte> bytes_of(const wire::TcpOptionSet& options) {
  std::vector<std::byte> bytes(wire::tcp_options_size(options));
  wire::emit_tcp_options(options, bytes);
  return bytes;
}

/// Options of a modern SYN.
wire::TcpOptionSet modern(std::uint32_t timestamp) {
  wire::TcpOptionSet options;
  options.maximum_segment_size = 1460;
  options.has_window_scale = options.sack_permitted = options.has_timestamps = true;
  options.window_scale = 7;
  options.timestamp = timestamp;
  return options;
}

wire::TcpOptionSet stamped(std::uint32_t timestamp, std::uint32_t echo) {
  wire::TcpOptionSet options;
  options.has_timestamps = true;
  options.timestamp = timestamp;
  options.timestamp_echo = echo;
  return options;
}

/// Half-open connections that nobody will ever complete.
void flood(Bench& bench, std::uint32_t count) {
  for (std::uint32_t i = 0; i < count; ++i) {
    bench.arrive({.flags = S,
                  .sequence = i,
                  .from = static_cast<Port>(1000 + i),
                  .source = Ipv4Address::of(10, 9, static_cast<std::uint8_t>(i >> 8), 1)});
  }
  bench.step();
}

const Tcb& tcb_of(Bench& bench, Port port) {
  const Tcb* found = nullptr;
  bench.tcp.each_tcb([&](const Tcb& tcb) {
    if (tcb.remote.port == port) found = &tcb;
  });
  REQUIRE(found != nullptr);
  return *found;
}

}  // namespace

TEST_CASE("a flood beyond the backlog is answered by cookies, and a real peer gets through with all its options") {
  Bench bench;
  auto listener = bench.tcp.listen(7, {.backlog = 8});
  flood(bench, 1000);
  CHECK(bench.tcp.connections() == 8);
  CHECK(bench.tcp.counters().cookies_sent == 992);
  const auto syn = bytes_of(modern(5000));
  bench.arrive({.flags = S, .sequence = 100, .options = syn});
  CHECK(bench.tcp.connections() == 8);
  const test::SentSegment answer = bench.ip.sent.back();
  CHECK(answer.header.flags == (S | A));
  CHECK(answer.header.acknowledgement == 101);
  CHECK(answer.options.timestamp_echo == 5000);
  CHECK(answer.options.sack_permitted);
  CHECK(answer.options.has_window_scale);
  const auto options = bytes_of(stamped(5010, answer.options.timestamp));
  bench.arrive({.sequence = 101,
                .acknowledgement = answer.header.sequence + 1,
                .window = 1000,
                .payload = as_bytes("hello"),
                .options = options});
  CHECK(bench.tcp.counters().cookies_accepted == 1);
  Flow flow = take(*listener);
  CHECK(read(flow) == "hello");
  const Tcb& tcb = tcb_of(bench, 4000);
  CHECK(tcb.send.segment_size == 1448);
  CHECK(tcb.send.window_shift == 7);
  CHECK(tcb.send.window == 128'000);
  CHECK(tcb.receive.sack);
  CHECK(tcb.receive.window_shift == answer.options.window_scale);
  CHECK(tcb.timestamps.on);
  flow.abort();
  listener->close();
  CHECK(bench.drain());
  CHECK(bench.shard.buffers().statistics().bytes_in_use == 0);
}

TEST_CASE("a cookie without timestamps carries the MSS and nothing else") {
  Bench bench;
  auto listener = bench.tcp.listen(7, {.backlog = 1});
  flood(bench, 2);
  wire::TcpOptionSet options = modern(0);
  options.has_timestamps = false;
  options.maximum_segment_size = 1400;
  bench.arrive({.flags = S, .sequence = 100, .options = bytes_of(options)});
  const test::SentSegment answer = bench.ip.sent.back();
  CHECK_FALSE(answer.options.sack_permitted);
  CHECK_FALSE(answer.options.has_window_scale);
  bench.arrive({.sequence = 101, .acknowledgement = answer.header.sequence + 1});
  Flow flow = take(*listener);
  CHECK(tcb_of(bench, 4000).send.segment_size == 1360);  // the next smaller one that a cookie can say
  CHECK_FALSE(tcb_of(bench, 4000).receive.sack);
  flow.abort();
}

TEST_CASE("forged, foreign and old cookies are reset; without a flood nothing is taken for a cookie") {
  Bench bench;
  auto listener = bench.tcp.listen(7, {.backlog = 1});
  bench.arrive({.sequence = 101, .acknowledgement = 77});
  CHECK(bench.ip.sent.back().header.flags == R);
  CHECK(bench.tcp.counters().cookies_refused == 0);
  flood(bench, 2);
  bench.arrive({.flags = S, .sequence = 100});
  const std::uint32_t cookie = bench.ip.sent.back().header.sequence;
  for (const Given& given :
       {Given{.sequence = 101, .acknowledgement = cookie + 2}, Given{.sequence = 102, .acknowledgement = cookie + 1},
        Given{.sequence = 101, .acknowledgement = cookie + 1, .from = 4001},
        Given{.sequence = 101, .acknowledgement = cookie + 1 + (1U << 28)}}) {
    bench.arrive(given);
    CHECK(bench.ip.sent.back().header.flags == R);
  }
  CHECK(bench.tcp.counters().cookies_refused == 4);
  SUBCASE("after a period it still holds") {
    bench.environment.now += cookie_lifetime;
    flood(bench, 2);
    bench.arrive({.sequence = 101, .acknowledgement = cookie + 1});
    CHECK(bench.tcp.counters().cookies_accepted == 1);
  }
  SUBCASE("after two it does not") {
    bench.environment.now += 2 * cookie_lifetime;
    flood(bench, 3);
    bench.arrive({.sequence = 101, .acknowledgement = cookie + 1});
    CHECK(bench.tcp.counters().cookies_accepted == 0);
  }
}

TEST_CASE("a cookie's timestamp is not ahead of the clock, whatever the options") {
  for (std::uint32_t clock : {0U, 63U, 64U, 0x80000005U, 0xffffffffU}) {
    wire::TcpOptionSet syn = modern(1);
    CHECK(clock - make_cookie_timestamp(clock, syn) < 64);
    syn.has_window_scale = false;
    CHECK(clock - make_cookie_timestamp(clock, syn) < 64);
  }
}

TEST_CASE("established connections that nobody accepts fill the backlog: SYNs and cookies are not answered, counted") {
  Bench bench;
  auto listener = bench.tcp.listen(7, {.backlog = 2});
  for (Port port = 1; port <= 2; ++port) {
    bench.arrive({.flags = S, .sequence = 100, .from = port});
    bench.step();
    const std::uint32_t theirs = bench.ip.sent.back().header.sequence;
    bench.arrive({.sequence = 101, .acknowledgement = theirs + 1, .from = port});
    bench.step();
  }
  const std::size_t before = bench.ip.sent.size();
  bench.arrive({.flags = S, .sequence = 100, .from = 3});
  bench.step();
  CHECK(bench.ip.sent.size() == before);
  CHECK(bench.tcp.counters().backlog_full == 1);
  Flow first = take(*listener);
  bench.arrive({.flags = S, .sequence = 100, .from = 3});
  bench.step();
  CHECK(bench.ip.sent.back().header.flags == (S | A));
  first.abort();
}

TEST_CASE("challenge acknowledgements: each connection ten in a second, all together a number that nobody knows") {
  Bench bench{{.maximum_connections = 4000, .challenges_per_second = 100}};
  auto listener = bench.tcp.listen(7, {.backlog = 2000});
  for (std::uint32_t i = 0; i < 400; ++i) {
    const auto port = static_cast<Port>(1000 + i);
    bench.arrive({.flags = S, .sequence = 100, .from = port});
    bench.step();
    bench.arrive({.sequence = 101, .acknowledgement = bench.ip.sent.back().header.sequence + 1, .from = port});
  }
  bench.advance(5s);
  std::set<std::uint64_t> limits;
  for (int second = 0; second < 8; ++second) {
    const std::uint64_t before = bench.tcp.counters().challenges;
    for (std::uint32_t i = 0; i < 400; ++i) {
      bench.arrive({.flags = R, .sequence = 150, .from = static_cast<Port>(1000 + i)});
    }
    bench.step();
    const std::uint64_t sent = bench.tcp.counters().challenges - before;
    CHECK(sent >= 50);
    CHECK(sent <= 150);
    limits.insert(sent);
    bench.advance(1100ms);
  }
  CHECK(limits.size() > 2);
  CHECK(bench.tcp.counters().challenges + bench.tcp.counters().challenges_suppressed == 8 * 400);
  CHECK(bench.tcp.connections() == 400);
}

TEST_CASE("a SYN outside the window is challenged, not more often than others (RFC 5961 section 4.2)") {
  Bench bench;
  auto listener = bench.tcp.listen(7);
  bench.arrive({.flags = S, .sequence = 100});
  bench.step();
  bench.arrive({.sequence = 101, .acknowledgement = bench.ip.sent.back().header.sequence + 1});
  bench.step();
  const std::size_t before = bench.ip.sent.size();
  for (std::uint32_t i = 0; i < 100; ++i) {
    bench.arrive({.flags = S, .sequence = 0x70000000 + i});
    bench.step();
  }
  CHECK(bench.ip.sent.size() == before + 1);
  CHECK(bench.tcp.connections() == 1);
}

namespace {

/// A connection from port 4000 that we closed first: TIME-WAIT. Timestamps when `theirs` is given; RCV.NXT is 102.
void into_time_wait(Bench& bench, Listener& listener, std::optional<std::uint32_t> theirs) {
  const auto options = [&](std::uint32_t echo) {
    return theirs ? bytes_of(stamped(*theirs, echo)) : std::vector<std::byte>{};
  };
  bench.arrive({.flags = S, .sequence = 100, .options = options(0)});
  bench.step();
  const std::uint32_t ours = bench.ip.sent.back().header.sequence;
  bench.arrive({.sequence = 101, .acknowledgement = ours + 1, .options = options(0)});
  {
    Flow flow = take(listener);
  }
  bench.step();
  bench.arrive({.flags = F | A, .sequence = 101, .acknowledgement = ours + 2, .options = options(0)});
  bench.step();
  REQUIRE(tcb_of(bench, 4000).state == State::time_wait);
}

/// Whether a SYN begins a new connection.
bool begins(Bench& bench, std::uint32_t sequence, std::optional<std::uint32_t> timestamp) {
  bench.arrive({.flags = S,
                .sequence = sequence,
                .options = timestamp ? bytes_of(stamped(*timestamp, 0)) : std::vector<std::byte>{}});
  bench.step();
  return tcb_of(bench, 4000).state == State::syn_received;
}

}  // namespace

TEST_CASE("TIME-WAIT gives way to a SYN that can be told from old duplicates (RFC 6191 section 2)") {
  Bench bench;
  auto listener = bench.tcp.listen(7);
  SUBCASE("timestamps on both: a later one, whatever the sequence number") {
    into_time_wait(bench, *listener, 7000);
    CHECK(begins(bench, 50, 7001));
  }
  SUBCASE("an earlier one: no, whatever the sequence number") {
    into_time_wait(bench, *listener, 7000);
    CHECK_FALSE(begins(bench, 5000, 6999));
  }
  SUBCASE("the same one: if the sequence number is beyond") {
    into_time_wait(bench, *listener, 7000);
    CHECK_FALSE(begins(bench, 102, 7000));
    CHECK(begins(bench, 103, 7000));
  }
  SUBCASE("new timestamps") {
    into_time_wait(bench, *listener, std::nullopt);
    CHECK(begins(bench, 50, 1));
  }
  SUBCASE("no timestamps: by the sequence number") {
    into_time_wait(bench, *listener, 7000);
    CHECK_FALSE(begins(bench, 50, std::nullopt));
    CHECK(begins(bench, 103, std::nullopt));
  }
}

TEST_CASE("the new incarnation's numbers begin beyond the old one's (RFC 1122 section 4.2.2.13)") {
  Bench bench;
  auto listener = bench.tcp.listen(7);
  into_time_wait(bench, *listener, std::nullopt);
  std::uint32_t far = 0;
  bench.tcp.each_tcb([&](Tcb& tcb) {
    tcb.send.maximum += 100'000'000;  // as after a fast transfer
    far = tcb.send.maximum.value;
  });
  CHECK(begins(bench, 5000, std::nullopt));
  CHECK(Sequence{bench.ip.sent.back().header.sequence} > Sequence{far});
}

TEST_CASE("ephemeral ports: each destination has its own place to begin (RFC 6056 section 3.3.4)") {
  Bench bench;
  std::vector<Port> first;
  for (std::uint8_t host = 1; host <= 8; ++host) {
    auto awaiter = bench.tcp.connect({.address = Ipv4Address::of(10, 0, 1, host), .port = 80});
    bench.step();
    first.push_back(bench.ip.sent.back().header.source_port);
    CHECK(first.back() >= 32768);
  }
  std::set<int> steps;
  for (std::size_t i = 1; i < first.size(); ++i) steps.insert(first[i] - first[i - 1]);
  CHECK(steps.size() > 4);
}

TEST_CASE("a user timeout of its own ends a flow earlier or later than two minutes (RFC 9293 section 3.9.1.8)") {
  Bench bench;
  auto listener = bench.tcp.listen(7);
  bench.arrive({.flags = S, .sequence = 100});
  bench.step();
  bench.arrive({.sequence = 101, .acknowledgement = bench.ip.sent.back().header.sequence + 1});
  Flow flow = take(*listener);
  flow.set_user_timeout(5s);
  {
    auto awaiter = flow.write(as_bytes("anyone?"));
    REQUIRE(awaiter.await_ready());
  }
  const Time begin = bench.environment.now;
  CHECK(bench.drain());
  CHECK(bench.environment.now - begin >= 5s);
  CHECK(bench.environment.now - begin < 15s);
  auto awaiter = flow.read();
  REQUIRE(awaiter.await_ready());
  CHECK(awaiter.await_resume().error() == FlowError::timed_out);
}

}  // namespace mirage::net::tcp
