// SPDX-License-Identifier: ISC
// Hostile peers beside an honest one: memory stays within its bound, the honest flow keeps its share (here: all of it),
// and every segment that is not used is counted, exactly. The table in doc/tcp.md says what is tested where.
#include <string>
#include <vector>

#include <doctest/doctest.h>

#include <mirage/net/tcp/flow_test.hpp>

namespace mirage::net::tcp {

namespace {

using test::Bench;
using test::Given;

constexpr std::uint8_t S = Flags::syn, R = Flags::rst;
constexpr std::uint32_t rounds = 1000;

std::uint64_t dropped(const Bench& bench, Drop reason) {
  return bench.tcp.counters().drops[static_cast<std::size_t>(reason)];
}

/// An established flow; `peer` is the next number of its peer, `own` ours.
struct Established {
  Established(Bench& bench, Listener& listener, Port from) : port(from) {
    bench.arrive({.flags = S, .sequence = 100, .from = from});
    bench.step();
    own = bench.ip.sent.back().header.sequence + 1;
    bench.arrive({.sequence = 101, .acknowledgement = own, .from = from});
    flow.emplace(test::take(listener));
  }
  /// A question and its answer: true when both came through within a turn.
  bool asks(Bench& bench) {
    bench.arrive({.sequence = peer, .acknowledgement = own, .payload = as_bytes("question"), .from = port});
    auto reader = flow->read();
    if (!reader.await_ready()) return false;
    const auto slices = reader.await_resume();
    if (!slices || slices->byte_count() != 8) return false;
    peer += 8;
    auto writer = flow->write(as_bytes("answer"));
    if (!writer.await_ready() || !writer.await_resume()) return false;
    bench.ip.sent.clear();
    bench.step();
    bool answered = false;
    for (const auto& sent : bench.ip.sent) {
      answered = answered || (sent.header.destination_port == port && as_text(sent.payload) == "answer");
    }
    if (answered) own += 6;
    bench.arrive({.sequence = peer, .acknowledgement = own, .from = port});
    return answered;
  }
  Port port;
  std::uint32_t peer = 101;
  std::uint32_t own = 0;
  std::optional<Flow> flow;
};

/// A bench with one honest flow. attack(i) happens before each of its questions.
struct Siege {
  explicit Siege(const TcpOptions& options = {}, std::size_t pool = std::size_t{4} << 20) : bench(options, pool) {}
  template <class Attack>
  void under(Attack&& attack, Duration pace = 1ms) {
    std::uint32_t served = 0;
    for (std::uint32_t i = 0; i < rounds; ++i) {
      attack(i);
      served += honest.asks(bench) ? 1 : 0;
      bench.advance(pace);
      if (bench.ip.sent.size() > 500) bench.ip.sent.clear();
    }
    CHECK(served == rounds);
    CHECK(bench.shard.buffers().statistics().peak_in_use <= bench.shard.buffers().bound());
  }
  Bench bench;
  Result<Listener, ListenError> listener = bench.tcp.listen(7);
  Established honest{bench, *listener, 4000};
};

}  // namespace

TEST_CASE("SYN flood: nothing is kept beyond the backlog, each SYN is opened, answered by a cookie or refused") {
  Siege siege;
  const std::uint64_t opened = siege.bench.tcp.counters().opened_passively;
  siege.under([&](std::uint32_t i) {
    for (std::uint32_t k = 0; k < 2; ++k) {  // as many segments as the honest flow has
      siege.bench.arrive({.flags = S,
                          .sequence = i,
                          .from = static_cast<Port>(1000 + 2 * i + k),
                          .source = Ipv4Address::of(10, 9, static_cast<std::uint8_t>(i), 1)});
    }
  });
  const Counters& c = siege.bench.tcp.counters();
  CHECK(c.opened_passively - opened == 128);  // the backlog; none of them ends within these seconds
  CHECK(c.cookies_sent == 2 * rounds - 128);
  CHECK(c.refused_by_budget == 0);
  CHECK(siege.bench.tcp.connections() == 129);
}

TEST_CASE("RST injection: only the one number that is right would count, challenges are limited") {
  Siege siege;
  siege.under([&](std::uint32_t i) {
    const std::uint32_t wrong = siege.honest.peer + 1 + i * 17 % 50'000;
    siege.bench.arrive({.flags = R, .sequence = wrong, .from = siege.honest.port});
  });
  CHECK(dropped(siege.bench, Drop::reset_out_of_place) == rounds);
  CHECK(siege.bench.tcp.counters().challenges <= 11);  // ten in a second, and this took a little more
  CHECK(siege.bench.tcp.counters().reset_by_peer == 0);
}

TEST_CASE("SYN and data injection: no SYN moves a connection, and no text with an acknowledgement that cannot be") {
  Siege siege;
  siege.under([&](std::uint32_t i) {
    siege.bench.arrive({.flags = S, .sequence = siege.honest.peer + 5, .from = siege.honest.port});
    siege.bench.arrive({.sequence = siege.honest.peer,
                        .acknowledgement = siege.honest.own + 100'000 + i,
                        .payload = as_bytes("forged!!"),
                        .from = siege.honest.port});
  });
  CHECK(dropped(siege.bench, Drop::syn_in_window) == rounds);
  CHECK(dropped(siege.bench, Drop::bad_acknowledgement) == rounds);
}

TEST_CASE("optimistic acknowledgements: what was never sent is not acknowledged, and no window grows by it") {
  Siege siege;
  Established greedy{siege.bench, *siege.listener, 4001};
  siege.under([&](std::uint32_t i) {
    siege.bench.arrive({.sequence = 101, .acknowledgement = greedy.own + 1460 * (i + 1), .from = 4001});
  });
  CHECK(dropped(siege.bench, Drop::bad_acknowledgement) == rounds);
  siege.bench.tcp.each_tcb([&](const Tcb& tcb) {
    if (tcb.remote.port != 4001) return;
    CHECK(tcb.congestion.window == constant::initial_segments * tcb.send.segment_size);
    CHECK(tcb.send.unacknowledged.value == greedy.own);
  });
}

TEST_CASE("tiny and shrinking windows: what waits is bounded, and little is sent for little room") {
  Siege siege{{.send_buffer = 16384, .largest_send_buffer = 16384}};
  Established tiny{siege.bench, *siege.listener, 4001};
  std::vector<std::byte> text(16384);
  siege.bench.arrive({.sequence = 101, .acknowledgement = tiny.own, .window = 1, .from = 4001});
  auto writer = tiny.flow->write(Bytes(text));
  CHECK(writer.await_ready());
  const std::uint64_t before = siege.bench.tcp.counters().bytes_out;
  siege.under([&](std::uint32_t i) {
    siege.bench.arrive({.sequence = 101,
                        .acknowledgement = tiny.own,
                        .window = static_cast<std::uint16_t>(i % 2),  // shrinks every second time
                        .from = 4001});
  });
  const std::uint64_t sent = siege.bench.tcp.counters().bytes_out - before - 6 * rounds;
  CHECK(sent <= rounds);  // an octet for each segment of the peer's at most
  CHECK(siege.bench.tcp.connections() == 2);
}

TEST_CASE("one-byte segments: unread they are copied together, beyond holes they go when memory runs low") {
  Siege siege{{}, std::size_t{2} << 20};
  std::vector<std::byte> byte(1);
  SUBCASE("in order") {
    Established slow{siege.bench, *siege.listener, 4001};
    siege.under([&](std::uint32_t i) {
      for (std::uint32_t k = 0; k < 4; ++k) {
        siege.bench.arrive(
            {.sequence = 101 + 4 * i + k, .acknowledgement = slow.own, .payload = Bytes(byte), .from = 4001});
      }
    });
    CHECK(siege.bench.shard.buffers().statistics().bytes_in_use <= 4 * std::size_t{2048});
    CHECK(siege.bench.tcp.counters().bytes_in == 4 * rounds + 8 * rounds);
  }
  SUBCASE("sent back to a peer that does not want it") {
    Established greedy{siege.bench, *siege.listener, 4001};
    std::uint32_t echoed = 0;
    std::uint16_t window = 0xffff;
    std::uint32_t behind = 4 * rounds;  // what it does not acknowledge of the latest
    greedy.flow->set_no_delay(true);
    SUBCASE("its window is closed") { window = 0; }
    SUBCASE("it acknowledges nothing") {}
    SUBCASE("it acknowledges byte by byte, and late") { behind = 500; }
    siege.under([&](std::uint32_t i) {
      for (std::uint32_t k = 0; k < 4; ++k) {
        siege.bench.arrive({.sequence = 101 + 4 * i + k,
                            .acknowledgement = greedy.own + (echoed > behind ? echoed - behind : 0),
                            .window = window,
                            .payload = Bytes(byte),
                            .from = 4001});
        auto reader = greedy.flow->read();
        if (!reader.await_ready()) continue;
        auto writer = greedy.flow->write(reader.await_resume().value());
        echoed += writer.await_ready() && writer.await_resume() ? 1 : 0;
      }
    });
    CHECK(echoed == 4 * rounds);
    CHECK(siege.bench.shard.buffers().statistics().peak_in_use <= 4 * std::size_t{4 * rounds} + 20 * std::size_t{2048});
  }
  SUBCASE("beyond a hole, on many connections") {
    std::vector<Established> peers;
    peers.reserve(20);
    for (Port port = 5000; port < 5020; ++port) peers.emplace_back(siege.bench, *siege.listener, port);
    siege.under([&](std::uint32_t i) {
      for (const Established& peer : peers) {
        siege.bench.arrive(
            {.sequence = 103 + i % 500, .acknowledgement = peer.own, .payload = Bytes(byte), .from = peer.port});
      }
    });
    CHECK(siege.bench.tcp.counters().stored_dropped > 0);
    CHECK_FALSE(siege.bench.shard.buffers().low());
  }
}

TEST_CASE("applications that keep what they read: their windows close, and the pool is not drained for others") {
  Siege siege{{}, std::size_t{1} << 20};
  const BufferPool& pool = siege.bench.shard.buffers();
  const std::vector<std::byte> text(1000);
  std::vector<Slice> kept;
  std::vector<Established> greedy;
  greedy.reserve(12);
  for (Port port = 5000; port < 5012; ++port) greedy.emplace_back(siege.bench, *siege.listener, port);
  const auto feed = [&](Established& one, bool keeps) {
    siege.bench.arrive({.sequence = one.peer, .acknowledgement = one.own, .payload = Bytes(text), .from = one.port});
    auto reader = one.flow->read();
    if (!reader.await_ready()) return false;
    const auto slices = reader.await_resume();
    if (!slices) return false;
    one.peer += static_cast<std::uint32_t>(slices->byte_count());
    for (const Slice& slice : *slices) {
      if (keeps) kept.push_back(slice);
    }
    return true;
  };
  siege.under([&](std::uint32_t) {
    for (Established& one : greedy) (void)feed(one, true);
  });
  CHECK_FALSE(pool.low());
  CHECK(pool.statistics().bytes_in_use > pool.bound() / 2);
  CHECK(siege.bench.tcp.counters().receive_memory > 0);
  CHECK_FALSE(feed(greedy[0], true));
  kept.clear();
  for (int i = 0; i < 100; ++i) siege.bench.advance(1ms);
  CHECK(pool.statistics().bytes_in_use < pool.bound() / 8);
  CHECK(siege.bench.tcp.slices() == 0);
  for (Established& one : greedy) CHECK(feed(one, false));
}

TEST_CASE("false SACK blocks: ignored and counted; what a peer said it holds and then denies is sent again, counted") {
  Siege siege;
  constexpr std::array<std::byte, 4> permitted{std::byte{4}, std::byte{2}, std::byte{1}, std::byte{1}};
  siege.bench.arrive({.flags = S, .sequence = 100, .options = Bytes(permitted), .from = 4001});
  siege.bench.step();
  const std::uint32_t own = siege.bench.ip.sent.back().header.sequence + 1;
  siege.bench.arrive({.sequence = 101, .acknowledgement = own, .from = 4001});
  Flow flow = test::take(*siege.listener);
  const std::string text(8 * 536, 'x');
  CHECK(test::write(flow, as_bytes(text)));
  siege.bench.step();
  const auto claim = [&](std::uint32_t left, std::uint32_t right, std::uint32_t acknowledged = 0) {
    std::array<std::byte, 12> option{std::byte{1}, std::byte{1}, std::byte{5}, std::byte{10}};
    store_big(MutableBytes(option), 4, own + left);
    store_big(MutableBytes(option), 8, own + right);
    siege.bench.arrive(
        {.sequence = 101, .acknowledgement = own + acknowledged, .options = Bytes(option), .from = 4001});
  };
  siege.under([&](std::uint32_t i) { i % 2 == 0 ? claim((1U << 20) + i, (1U << 20) + i + 100) : claim(600, 500); });
  CHECK(siege.bench.tcp.counters().false_sack_blocks == rounds);
  CHECK(siege.bench.tcp.counters().reneged == 0);
  claim(536, 8 * 536);
  siege.bench.arrive({.sequence = 101, .acknowledgement = own + 536, .from = 4001});
  for (int i = 0; i < 100; ++i) siege.bench.advance(100ms);
  CHECK(siege.bench.tcp.counters().reneged == 1);
  CHECK(siege.bench.tcp.counters().false_sack_blocks == rounds);
  flow.abort();
}

TEST_CASE("malformed options: counted, the segment is taken as if the list had ended there (MUST-7)") {
  Siege siege;
  Established odd{siege.bench, *siege.listener, 4001};
  const std::array<std::byte, 4> options{std::byte{8}, std::byte{1}, std::byte{0xff}, std::byte{0xff}};
  siege.under([&](std::uint32_t) {
    siege.bench.arrive({.sequence = 101, .acknowledgement = odd.own, .options = Bytes(options), .from = 4001});
  });
  CHECK(siege.bench.tcp.counters().malformed_options == rounds);
  CHECK(siege.bench.tcp.connections() == 2);
}

}  // namespace mirage::net::tcp
