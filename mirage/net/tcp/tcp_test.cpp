// SPDX-License-Identifier: ISC
// The shell: listeners, admission, flows, errors, memory; hostile peers against its bounds.
#include <string>

#include <doctest/doctest.h>

#include <mirage/async/scope.hpp>
#include <mirage/async/sleep.hpp>
#include <mirage/net/tcp/flow_test.hpp>

namespace mirage::net::tcp {

namespace {

using test::accept;
using test::Bench;
using test::Given;
using test::read;
using test::write;

constexpr std::uint8_t S = Flags::syn, A = Flags::ack, F = Flags::fin, R = Flags::rst;

/// At most 1 KiB for each idle connection, of which this, the packed TCB and a task's frame are part.
static_assert(sizeof(Connection) <= 256);

std::vector<std::byte> text(std::size_t size) {
  std::vector<std::byte> bytes(size);
  for (std::size_t i = 0; i < size; ++i) bytes[i] = static_cast<std::byte>(i * 7 + i / 256);
  return bytes;
}

/// Sequence number of our first byte.
std::uint32_t our_first(Bench& bench) {
  std::uint32_t first = 0;
  bench.tcp.each_tcb([&](const Tcb& tcb) { first = tcb.send.initial.value + 1; });
  return first;
}

}  // namespace

TEST_CASE("a connection's whole life over the shell leaves nothing behind") {
  Bench bench;
  auto listener = bench.tcp.listen(7);
  REQUIRE(listener.has_value());
  {
    Flow flow = accept(bench, *listener);
    CHECK(flow.peer().port == 4000);
    CHECK(flow.local().port == 7);
    bench.arrive({.sequence = 101, .acknowledgement = our_first(bench), .payload = as_bytes("question")});
    CHECK(read(flow) == "question");
    CHECK(write(flow, as_bytes("answer")));
    bench.step();
    CHECK(as_text(bench.ip.sent.back().payload) == "answer");
    CHECK(bench.ip.checksums_right);
    const std::uint32_t first = our_first(bench);
    bench.arrive({.flags = F | A, .sequence = 109, .acknowledgement = first + 6});
    CHECK(read(flow).empty());  // the end
    flow.close();
    bench.step();
    CHECK(bench.ip.sent.back().header.flags == (F | A));
    bench.arrive({.sequence = 110, .acknowledgement = first + 7});
    CHECK(bench.tcp.connections() == 0);
    CHECK(read(flow) == "(connection closed)");
  }
  bench.step();
  CHECK(bench.shard.buffers().statistics().bytes_in_use == 0);
  CHECK(bench.tcp.slices() == 0);
}

TEST_CASE("listening: one listener for each port, a bound, port 0 refused") {
  Bench bench{{.maximum_listeners = 2}};
  CHECK(bench.tcp.listen(0).error() == ListenError::denied);
  auto first = bench.tcp.listen(7);
  CHECK(bench.tcp.listen(7).error() == ListenError::port_in_use);
  auto second = bench.tcp.listen(8);
  CHECK(bench.tcp.listen(9).error() == ListenError::no_memory);
  second->close();
  CHECK(bench.tcp.listen(9).has_value());
}

TEST_CASE("nobody listens: a reset that acknowledges the SYN; nothing in answer to a reset") {
  Bench bench;
  bench.arrive({.flags = S, .sequence = 100, .to = 99});
  REQUIRE(bench.ip.sent.size() == 1);
  CHECK(bench.ip.sent[0].header.flags == (R | A));
  CHECK(bench.ip.sent[0].header.acknowledgement == 101);
  bench.arrive({.flags = R, .sequence = 100, .to = 99});
  CHECK(bench.ip.sent.size() == 1);
  CHECK(bench.tcp.counters().no_listener == 1);
  CHECK(bench.tcp.counters().no_connection == 1);
}

TEST_CASE("a SYN flood fills the backlog and no more; established flows go on; half-open ones end by time") {
  Bench bench;
  auto listener = bench.tcp.listen(7, {.backlog = 16});
  Flow flow = accept(bench, *listener);
  const std::uint32_t first = our_first(bench);
  for (std::uint32_t i = 0; i < 10'000; ++i) {
    bench.arrive({.flags = S, .sequence = i, .from = static_cast<Port>(5000 + i)});
    if (i % 100 == 0) bench.step();
  }
  CHECK(bench.tcp.connections() == 17);
  CHECK(bench.tcp.counters().cookies_sent == 10'000 - 16);
  bench.arrive({.sequence = 101, .acknowledgement = first, .payload = as_bytes("still here")});
  CHECK(read(flow) == "still here");
  flow.abort();
  CHECK(bench.drain());
  CHECK(bench.shard.buffers().statistics().bytes_in_use == 0);
}

TEST_CASE("connections are refused at the bound, and counted") {
  Bench bench{{.maximum_connections = 3}};
  auto listener = bench.tcp.listen(7);
  for (Port port = 1; port <= 5; ++port) bench.arrive({.flags = S, .sequence = 1, .from = port});
  CHECK(bench.tcp.connections() == 3);
  CHECK(bench.tcp.counters().refused_by_budget == 2);
  auto refused = bench.tcp.connect({.address = Ipv4Address::of(10, 0, 0, 1), .port = 80});
  CHECK(refused.await_ready());
  CHECK(refused.await_resume().error() == FlowError::no_memory);
}

TEST_CASE("TIME-WAIT is bounded and gives way to new connections") {
  Bench bench{{.maximum_connections = 8, .maximum_time_wait = 4}};
  auto listener = bench.tcp.listen(7);
  for (Port port = 1; port <= 20; ++port) {
    Flow flow = accept(bench, *listener, port);
    const std::uint32_t first = [&] {
      std::uint32_t value = 0;
      bench.tcp.each_tcb([&](const Tcb& tcb) {
        if (tcb.remote.port == port) value = tcb.send.initial.value + 1;
      });
      return value;
    }();
    flow.close();
    bench.step();
    bench.arrive({.flags = F | A, .sequence = 101, .acknowledgement = first + 1, .from = port});
    bench.step();
  }
  CHECK(bench.tcp.connections() == 4);
  CHECK(bench.tcp.counters().time_wait_shortened == 16);
  // A new incarnation of the last one: a SYN beyond what was received.
  bench.arrive({.flags = S, .sequence = 5000, .from = 20});
  bench.step();
  CHECK(bench.ip.sent.back().header.flags == (S | A));
  CHECK(bench.ip.sent.back().header.acknowledgement == 5001);
  listener->close();
  CHECK(bench.drain());
}

TEST_CASE("a full interface stops what goes through it, and nothing else") {
  Bench bench;
  auto listener = bench.tcp.listen(7);
  Flow first = accept(bench, *listener, 4000);
  Flow second = accept(bench, *listener, 4001);
  Flow other = accept(bench, *listener, 4002, 60000, Ipv4Address::of(10, 0, 1, 1));
  bench.ip.sent.clear();
  bench.ip.full = true;
  REQUIRE(write(first, as_bytes("first")));
  REQUIRE(write(second, as_bytes("second")));
  REQUIRE(write(other, as_bytes("other")));
  bench.step();
  REQUIRE(bench.ip.sent.size() == 1);
  CHECK(as_text(bench.ip.sent[0].payload) == "other");
  CHECK(bench.tcp.counters().send_refused == 1);  // who comes behind the first does not even try
  REQUIRE(write(other, as_bytes("goes on")));
  bench.step();
  CHECK(bench.ip.sent.size() == 1);  // Nagle
  other.set_no_delay(true);
  bench.step();
  CHECK(as_text(bench.ip.sent.back().payload) == "goes on");
  bench.ip.full = false;
  bench.advance(1ms);
  REQUIRE(bench.ip.sent.size() == 4);
  CHECK(as_text(bench.ip.sent[2].payload) == "first");  // in order
  CHECK(as_text(bench.ip.sent[3].payload) == "second");
}

TEST_CASE("closing with text unread resets (RFC 9293 SHLD-3), unless that could cut off what was written") {
  Bench bench;
  auto listener = bench.tcp.listen(7);
  Flow flow = accept(bench, *listener);
  const std::uint32_t first = our_first(bench);
  std::uint8_t flags = R | A;
  SUBCASE("nothing was written") {}
  SUBCASE("an answer is there") {
    REQUIRE(write(flow, as_bytes("answer")));
    bench.step();
    bench.arrive({.sequence = 101, .acknowledgement = first + 6});  // the peer's TCP has it, not yet the peer
    flags = F | A;
  }
  SUBCASE("our side was closed before: the reset of a FIN that got lost would tell nothing") {
    flow.shutdown();
    flags = F | A;
  }
  SUBCASE("everything was read") {
    bench.arrive({.sequence = 101, .acknowledgement = first, .payload = as_bytes("question")});
    CHECK(read(flow) == "question");
    flow.close();
    bench.step();
    CHECK(bench.ip.sent.back().header.flags == (F | A));
    CHECK(bench.tcp.connections() == 1);
    return;
  }
  bench.arrive({.sequence = 101, .acknowledgement = first, .payload = as_bytes("question")});
  flow.close();
  bench.step();
  CHECK(bench.ip.sent.back().header.flags == flags);
  CHECK(bench.tcp.connections() == (flags == (R | A) ? 0 : 1));
  CHECK(read(flow) == "(connection closed)");
}

TEST_CASE("closing a listener resets what was not accepted; an acceptor learns of it") {
  Bench bench;
  auto listener = bench.tcp.listen(7);
  bench.arrive({.flags = S, .sequence = 100});
  bench.step();
  const std::uint32_t theirs = bench.ip.sent.back().header.sequence;
  bench.arrive({.sequence = 101, .acknowledgement = theirs + 1});
  bench.arrive({.flags = S, .sequence = 100, .from = 4001});
  CHECK(bench.tcp.connections() == 2);
  listener->close();
  CHECK(bench.tcp.connections() == 0);
  CHECK((bench.ip.sent.back().header.flags & R) != 0);
  auto awaiter = listener->accept();
  CHECK(awaiter.await_ready());
  CHECK(awaiter.await_resume().error() == FlowError::closed);
}

TEST_CASE("RFC 9293 3.9.2: the codepoint that the application wants, on all segments from then on, beside ECN's bits") {
  Bench bench;
  auto listener = bench.tcp.listen(7);
  Flow flow = accept(bench, *listener);
  flow.set_no_delay(true);
  const std::uint32_t first = our_first(bench);
  REQUIRE(write(flow, as_bytes("best effort")));
  bench.step();
  CHECK(bench.ip.sent.back().traffic_class == 0);
  flow.set_diffserv(46);  // expedited forwarding, RFC 3246
  REQUIRE(write(flow, as_bytes("in haste")));
  bench.step();
  CHECK(bench.ip.sent.back().traffic_class == 46 << 2);
  bench.arrive({.sequence = 101, .acknowledgement = first + 19, .payload = as_bytes("heard")});
  bench.advance(1s);
  CHECK(bench.ip.sent.back().payload.empty());  // an acknowledgement
  CHECK(bench.ip.sent.back().traffic_class == 46 << 2);
  flow.set_diffserv(255);
  REQUIRE(write(flow, as_bytes("no bits of ECN")));
  bench.step();
  CHECK(bench.ip.sent.back().traffic_class == 63 << 2);
  flow.abort();
}

TEST_CASE("data that arrived before a reset is read first, then the error") {
  Bench bench;
  auto listener = bench.tcp.listen(7);
  Flow flow = accept(bench, *listener);
  bench.arrive({.sequence = 101, .acknowledgement = our_first(bench), .payload = as_bytes("last words")});
  bench.arrive({.flags = R, .sequence = 111});
  CHECK(bench.tcp.connections() == 0);
  CHECK(read(flow) == "last words");
  CHECK(read(flow) == "(connection reset by peer)");
  auto awaiter = flow.write(as_bytes("x"));
  CHECK(awaiter.await_ready());
  CHECK(awaiter.await_resume().error() == FlowError::reset);
}

TEST_CASE("connect: ports differ, the answer completes, cancelling gives up, errors are told") {
  Bench bench;
  const Endpoint remote{.address = Ipv4Address::of(10, 0, 0, 1), .port = 80};
  struct Outcome {
    bool done = false;
    std::optional<FlowError> error;
  };
  const auto attempt = [](Bench& b, Shard&, Endpoint to, Outcome& out) -> Task<void> {
    auto flow = co_await b.tcp.connect(to);
    out.done = true;
    if (!flow) out.error = flow.error();
  };
  Scope scope{bench.shard};
  Outcome good;
  Outcome refused;
  Outcome unreachable;
  Outcome cancelled;
  REQUIRE(scope.spawn(attempt(bench, bench.shard, remote, good)));
  REQUIRE(scope.spawn(attempt(bench, bench.shard, remote, refused)));
  REQUIRE(scope.spawn(attempt(bench, bench.shard, remote, unreachable)));
  bench.step();
  REQUIRE(bench.ip.sent.size() == 3);
  const auto port = [&](int i) { return bench.ip.sent[static_cast<std::size_t>(i)].header.source_port; };
  const auto sequence = [&](int i) { return bench.ip.sent[static_cast<std::size_t>(i)].header.sequence; };
  const Port ports[] = {port(0), port(1), port(2)};
  const std::uint32_t numbers[] = {sequence(0), sequence(1), sequence(2)};
  CHECK(ports[0] != ports[1]);
  CHECK(ports[1] != ports[2]);
  bench.arrive({.flags = S | A, .sequence = 9, .acknowledgement = numbers[0] + 1, .from = 80, .to = ports[0]});
  bench.arrive({.flags = R | A, .sequence = 0, .acknowledgement = numbers[1] + 1, .from = 80, .to = ports[1]});
  std::array<std::byte, 8> quoted{};
  store_big(MutableBytes(quoted), 0, ports[2]);
  store_big(MutableBytes(quoted), 2, std::uint16_t{80});
  store_big(MutableBytes(quoted), 4, numbers[2] + 77);  // RFC 5927: not on its way, so ignored
  TransportError error{.kind = TransportError::Kind::administratively_prohibited,
                       .local = test::BenchIp::own,
                       .remote = remote.address,
                       .transport_header = quoted};
  bench.tcp.on_error(error);
  bench.step();
  CHECK_FALSE(unreachable.done);
  store_big(MutableBytes(quoted), 4, numbers[2]);
  bench.tcp.on_error(error);
  bench.step();
  CHECK(good.done);
  CHECK_FALSE(good.error.has_value());
  CHECK(refused.error == FlowError::refused);
  CHECK(unreachable.error == FlowError::unreachable);
  REQUIRE(scope.spawn(attempt(bench, bench.shard, remote, cancelled)));
  bench.step();
  scope.cancel();
  bench.step();
  CHECK(cancelled.error == FlowError::cancelled);
  CHECK(bench.drain());
}

TEST_CASE("small payloads are copied together, so that they do not pin frames") {
  Bench bench;
  auto listener = bench.tcp.listen(7);
  Flow flow = accept(bench, *listener);
  const std::uint32_t first = our_first(bench);
  const auto bytes = text(1000);
  for (std::uint32_t i = 0; i < 1000; ++i) {
    bench.arrive({.sequence = 101 + i, .acknowledgement = first, .payload = Bytes(bytes).subspan(i, 1)});
  }
  CHECK(bench.shard.buffers().statistics().bytes_in_use <= 2048);
  std::string all;
  while (all.size() < 1000) all += read(flow);
  CHECK(all == as_text(bytes));
}

TEST_CASE("payloads that pin four times their size are compacted") {
  Bench bench;
  auto listener = bench.tcp.listen(7);
  Flow flow = accept(bench, *listener);
  const std::uint32_t first = our_first(bench);
  const auto bytes = text(30'000);
  for (std::uint32_t i = 0; i < 100; ++i) {
    bench.arrive({.sequence = 101 + 300 * i, .acknowledgement = first, .payload = Bytes(bytes).subspan(300 * i, 300)});
  }
  CHECK(bench.shard.buffers().statistics().bytes_in_use <= 4 * 30'000 + 20 * 2048);
  std::string all;
  while (all.size() < bytes.size()) all += read(flow);
  CHECK(all == as_text(bytes));
}

TEST_CASE("hostile: overlapping pieces beyond a hole pin a bounded amount, and the hole's text is still taken") {
  Bench bench{{.receive_window = 16384}};
  auto listener = bench.tcp.listen(7);
  Flow flow = accept(bench, *listener);
  const std::uint32_t first = our_first(bench);
  const auto bytes = text(12'000);
  for (std::uint32_t round = 0; round < 20; ++round) {
    for (std::uint32_t i = 1; i < 10'000; i += 37) {
      bench.arrive({.sequence = 101 + i, .acknowledgement = first, .payload = Bytes(bytes).subspan(i, 1000)});
    }
    bench.step();
  }
  CHECK(bench.shard.buffers().statistics().peak_in_use < 5 * 16384 + 4096);
  CHECK(bench.tcp.counters().receive_memory > 0);
  for (std::uint32_t i = 0; i < 12'000; i += 1000) {
    bench.arrive({.sequence = 101 + i, .acknowledgement = first, .payload = Bytes(bytes).subspan(i, 1000)});
  }
  std::string all;
  for (std::string part; (part = read(flow)) != "(nothing)";) all += part;
  CHECK(all == as_text(bytes));
}

TEST_CASE("the layer below is full: nothing is lost, sending goes on later") {
  Bench bench;
  auto listener = bench.tcp.listen(7);
  Flow flow = accept(bench, *listener);
  const std::size_t before = bench.ip.sent.size();
  bench.ip.full = true;
  const auto bytes = text(3000);
  CHECK(write(flow, bytes));
  bench.step();
  bench.advance(5ms);
  CHECK(bench.tcp.counters().send_refused > 0);
  bench.ip.full = false;
  bench.advance(5ms);
  std::string all;
  for (std::size_t i = before; i < bench.ip.sent.size(); ++i) all += as_text(bench.ip.sent[i].payload);
  CHECK(all == as_text(Bytes(bytes).first(all.size())));
  CHECK(all.size() == 5 * 536);  // Nagle keeps the rest
}

TEST_CASE("a device that segments gets large segments of whole multiples, gathered without copying") {
  Bench bench;
  bench.ip.capabilities_.transmit_checksum = bench.ip.capabilities_.segment_tcp4 = true;
  bench.ip.capabilities_.maximum_frame = 65550;
  auto listener = bench.tcp.listen(7);
  Flow flow = accept(bench, *listener);
  const auto bytes = text(20'000);
  auto awaiter = flow.write(SliceList{Slice::from_static(Bytes(bytes))});
  CHECK(awaiter.await_ready());
  CHECK(bench.shard.buffers().statistics().bytes_in_use == 0);
  bench.step();
  const auto& sent = bench.ip.sent.back();
  CHECK(sent.payload.size() == 10 * 536);  // the initial window; no MSS option, so 536
  CHECK(sent.offload.segment_size == 536);
  CHECK(sent.offload.segmentation == Offload::Segmentation::tcp4);
  CHECK(sent.offload.needs_checksum);
  CHECK(sent.offload.checksum_offset == 16);
}

TEST_CASE("the send buffer grows with the congestion window as far as there is memory") {
  Bench bench{{.send_buffer = 4096}, std::size_t{1} << 20};
  auto listener = bench.tcp.listen(7);
  Flow flow = accept(bench, *listener);
  const auto bytes = text(200'000);
  const auto set_window = [&](std::uint32_t window) {
    bench.tcp.each_tcb([&](Tcb& tcb) { tcb.congestion.window = window; });
  };
  set_window(2000);
  CHECK_FALSE(write(flow, Bytes(bytes).first(4097)));  // what fits is taken all the same
  flow.abort();
  Flow second = accept(bench, *listener, 4001);
  set_window(20'000);
  CHECK(write(second, Bytes(bytes).first(40'000)));
  second.abort();
  Flow third = accept(bench, *listener, 4002);
  set_window(1 << 30);
  CHECK_FALSE(write(third, Bytes(bytes).first(200'000)));  // more than an eighth of the pool
  third.abort();
  Flow fourth = accept(bench, *listener, 4003);
  set_window(20'000);
  // What the peer holds beyond a hole takes none of the window, so new text for that is there.
  bench.tcp.each_tcb([](Tcb& tcb) { tcb.loss.board.sacked = 30'000; });
  CHECK(write(fourth, Bytes(bytes).first(70'000)));
  bench.tcp.each_tcb([](Tcb& tcb) { tcb.loss.board.sacked = 0; });
  fourth.abort();
}

TEST_CASE("a static slice larger than the send buffer is taken in parts") {
  Bench bench{{.send_buffer = 4096}};
  auto listener = bench.tcp.listen(7);
  Flow flow = accept(bench, *listener);
  const std::uint32_t first = our_first(bench);
  const auto bytes = text(50'000);
  bool done = false;
  Scope scope{bench.shard};
  const auto writer = [](Shard&, Flow& to, Bytes what, bool& finished) -> Task<void> {
    finished = (co_await to.write(SliceList{Slice::from_static(what)})).has_value();
  };
  REQUIRE(scope.spawn(writer(bench.shard, flow, bytes, done)));
  std::string all;
  std::size_t next = bench.ip.sent.size();
  while (!done) {
    bench.advance(1ms);
    for (; next < bench.ip.sent.size(); ++next) all += as_text(bench.ip.sent[next].payload);
    bench.arrive({.sequence = 101, .acknowledgement = first + static_cast<std::uint32_t>(all.size())});
    REQUIRE(all.size() <= bytes.size());
  }
  CHECK(all == as_text(Bytes(bytes).first(all.size())));
  CHECK(all.size() >= bytes.size() - 4096);
  flow.abort();
}

TEST_CASE("a smaller path: RFC 1191, believed only for what is on its way and not below 576") {
  Bench bench;
  auto listener = bench.tcp.listen(7);
  const auto options = [] {
    return std::array<std::byte, 4>{std::byte{2}, std::byte{4}, std::byte{5}, std::byte{0xb4}};
  }();
  bench.arrive({.flags = S, .sequence = 100, .options = options});
  bench.step();
  const std::uint32_t first = bench.ip.sent.back().header.sequence + 1;
  bench.arrive({.sequence = 101, .acknowledgement = first});
  auto awaiter = listener->accept();
  REQUIRE(awaiter.await_ready());
  Flow flow = *awaiter.await_resume();
  const auto bytes = text(1460);
  CHECK(write(flow, bytes));
  bench.step();
  CHECK(bench.ip.sent.back().payload.size() == 1460);
  std::array<std::byte, 8> quoted{};
  store_big(MutableBytes(quoted), 0, std::uint16_t{7});
  store_big(MutableBytes(quoted), 2, std::uint16_t{4000});
  store_big(MutableBytes(quoted), 4, first);
  TransportError error{.kind = TransportError::Kind::packet_too_big,
                       .local = test::BenchIp::own,
                       .remote = Ipv4Address::of(10, 0, 0, 1),
                       .mtu = 1500,
                       .transport_header = quoted};
  bench.tcp.on_error(error);
  bench.step();
  CHECK(bench.ip.sent.back().payload.size() == 1460);
  error.mtu = 1000;
  bench.tcp.on_error(error);
  bench.step();
  CHECK(bench.ip.sent[bench.ip.sent.size() - 2].payload.size() == 960);
  CHECK(bench.ip.sent.back().payload.size() == 500);
  flow.abort();
}

TEST_CASE("idle costs nothing: no timer is armed for an idle connection, none fires") {
  Bench bench;
  auto listener = bench.tcp.listen(7);
  Flow flow = accept(bench, *listener);
  bench.advance(10s);  // a timer may fire once for nothing
  CHECK(bench.shard.next_deadline() == never);
  flow.abort();
}

}  // namespace mirage::net::tcp
