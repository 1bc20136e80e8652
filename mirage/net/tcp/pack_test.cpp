// SPDX-License-Identifier: ISC
// Idle connections are packed: nothing is lost by it, and what is going on is left alone.
#include <string>
#include <vector>

#include <doctest/doctest.h>

#include <mirage/net/tcp/flow_test.hpp>
#include <mirage/net/tcp/pack.hpp>
#include <mirage/net/tcp/serialise.hpp>
#include <mirage/net/tcp/trace_test.hpp>

namespace mirage::net::tcp {

namespace {

using test::accept;
using test::Bench;
using test::Given;
using test::read;
using test::Trace;
using test::write;

constexpr std::uint8_t A = Flags::ack, F = Flags::fin, R = Flags::rst;

std::array<std::byte, serialised_size> bytes_of(const Tcb& tcb) {
  std::array<std::byte, serialised_size> bytes;
  serialise(tcb, bytes);
  return bytes;
}

/// Ten connections of which two are not packed; each was asked and has answered.
struct Ten {
  Ten() {
    for (Port port = 4000; port < 4010; ++port) flows.push_back(accept(bench, *listener, port));
    bench.step();
    CHECK(bench.tcp.connections() == 10);
    CHECK(bench.tcp.working() == 2);
    for (std::uint16_t i = 0; i < 10; ++i) ask(i);
  }
  void ask(std::uint16_t i) {
    const auto port = static_cast<Port>(4000 + i);
    CHECK(read(flows[i]) == "(nothing)");
    std::uint32_t ours = 0;
    bench.tcp.each_tcb([&](const Tcb& tcb) {
      if (tcb.remote.port == port) ours = tcb.send.next.value;
    });
    bench.arrive({.sequence = 101, .acknowledgement = ours, .payload = as_bytes("question"), .from = port});
    CHECK(read(flows[i]) == "question");
    CHECK(write(flows[i], as_bytes("answer")));
    bench.step();
    CHECK(as_text(bench.ip.sent.back().payload) == "answer");
    bench.arrive({.sequence = 109, .acknowledgement = ours + 6, .from = port});
    bench.step();
    CHECK(bench.tcp.working() == 2);
    if (i == 0) first_end = ours + 6;
  }
  Bench bench{{.working_connections = 2}};
  Result<Listener, ListenError> listener = bench.tcp.listen(7);
  std::vector<Flow> flows;
  std::uint32_t first_end = 0;  ///< SND.NXT of the first
};

}  // namespace

TEST_CASE("a packed TCB is small and comes back as it was") {
  Trace trace = Trace::established();
  trace.in(0, {.sequence = 1, .acknowledgement = 1, .length = 10});
  trace.out(50, {.sequence = 1, .acknowledgement = 11});
  trace.silent(50);
  REQUIRE(is_quiet(trace.tcb));
  trace.tcb.local = {.address = Ipv4Address::of(10, 0, 0, 2), .port = 7};
  const PackedTcb packed = pack(trace.tcb);
  REQUIRE(packed != nullptr);
  CHECK(packed_size(packed) < 192);  // 116, and words that differ in padding only
  const Tcb back = unpack(packed, trace.tcb.local, trace.tcb.remote);
  Tcb before = trace.tcb;
  before.loss.board.pieces = {};  // what an empty board still holds has no meaning
  before.receive.ranges.items = {};
  CHECK(bytes_of(back) == bytes_of(before));
}

TEST_CASE("connections with something on its way, due or expected are not quiet") {
  Trace trace = Trace::established();
  CHECK(is_quiet(trace.tcb));
  SUBCASE("text to send") { written(trace.tcb, 10); }
  SUBCASE("text on its way") {
    written(trace.tcb, 10);
    (void)next_departure(trace.tcb, 1000, trace.at(0));
  }
  SUBCASE("an acknowledgement to send") { trace.in(0, {.sequence = 1, .acknowledgement = 1, .length = 10}); }
  SUBCASE("a hole") {
    trace.in(0, {.sequence = 11, .acknowledgement = 1, .length = 10});
    (void)next_departure(trace.tcb, 1000, trace.at(0));
  }
  SUBCASE("a FIN on its way") {
    shutdown(trace.tcb);
    (void)next_departure(trace.tcb, 1000, trace.at(0));
  }
  CHECK_FALSE(is_quiet(trace.tcb));
}

TEST_CASE("beyond the bound idle connections are packed, longest idle first, and go on when something happens") {
  Ten ten;
  Bench& bench = ten.bench;
  std::vector<Flow>& flows = ten.flows;
  SUBCASE("the peer ends") {
    bench.arrive({.flags = F | A, .sequence = 109, .acknowledgement = ten.first_end, .from = 4000});
    bench.step();
    CHECK(read(flows[0]).empty());
    CHECK(bench.tcp.working() == 2);
    CHECK(bench.ip.sent.back().header.acknowledgement == 110);
  }
  SUBCASE("a reset at the right place") {
    bench.arrive({.flags = R, .sequence = 109, .from = 4000});
    CHECK(bench.tcp.connections() == 9);
    CHECK(read(flows[0]) == "(connection reset by peer)");
  }
  SUBCASE("the application aborts") {
    flows[3].abort();
    CHECK(bench.ip.sent.back().header.flags == (R | A));
    CHECK(bench.tcp.connections() == 9);
  }
  SUBCASE("the application closes") {
    flows[3].close();
    bench.step();
    CHECK(bench.ip.sent.back().header.flags == (F | A));
  }
  SUBCASE("settings hold when it is packed again") {
    flows[0].set_user_timeout(5s);
    flows[0].set_keep_alive(7200s);
    bench.step();
    (void)flows[1].urgent();
    bench.tcp.each_tcb([&](const Tcb& tcb) {
      if (tcb.remote.port != 4000) return;
      CHECK(tcb.user_timeout == 5000);
      CHECK(tcb.keep_alive_idle == 7200s);
    });
    CHECK(bench.tcp.working() == 2);
    const std::size_t before = bench.ip.sent.size();
    bench.advance(7201s);
    bench.step();
    CHECK(bench.ip.sent.size() == before + 1);  // the probe
  }
}

TEST_CASE("ICMP errors about nothing that is on its way do not unpack for good") {
  Ten ten;
  for (Port port = 4000; port < 4010; ++port) {
    std::array<std::byte, 8> quoted{};
    store_big(MutableBytes(quoted), 0, std::uint16_t{7});
    store_big(MutableBytes(quoted), 2, port);
    const TransportError error{.kind = TransportError::Kind::soft,
                               .local = test::BenchIp::own,
                               .remote = Ipv4Address::of(10, 0, 0, 1),
                               .transport_header = quoted};
    CHECK_FALSE(ten.bench.tcp.on_error(error));
  }
  for (int i = 0; i < 100; ++i) ten.bench.advance(1s);
  CHECK(ten.bench.tcp.working() == 2);
}

TEST_CASE("readable() completes when a read would not wait") {
  Bench bench;
  auto listener = bench.tcp.listen(7);
  Flow flow = accept(bench, *listener);
  CHECK_FALSE(flow.readable().await_ready());
  bench.arrive(
      {.sequence = 101, .acknowledgement = bench.ip.sent.back().header.sequence + 1, .payload = as_bytes("x")});
  auto awaiter = flow.readable();
  CHECK(awaiter.await_ready());
  CHECK(awaiter.await_resume().has_value());
  CHECK(read(flow) == "x");
  CHECK_FALSE(flow.readable().await_ready());
}

TEST_CASE("the table grows with its connections, bucket by bucket, and finds every one of them") {
  Bench bench{{.maximum_connections = 2000}, std::size_t{4} << 20};
  auto listener = bench.tcp.listen(7, {.backlog = 2000});
  std::vector<Flow> flows;
  for (Port port = 4000; port < 5500; ++port) flows.push_back(accept(bench, *listener, port));
  CHECK(bench.tcp.connections() == 1500);
  std::size_t seen = 0;
  bench.tcp.each_tcb([&](const Tcb&) { ++seen; });
  CHECK(seen == 1500);
  for (Port port = 4000; port < 5500; ++port) bench.arrive({.flags = R, .sequence = 101, .from = port});
  CHECK(bench.tcp.connections() == 0);
  CHECK(bench.tcp.counters().no_connection == 0);
}

}  // namespace mirage::net::tcp
