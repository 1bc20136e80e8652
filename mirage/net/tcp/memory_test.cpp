// SPDX-License-Identifier: ISC
// What happens without memory, and what gives way for it.
#include <new>

#include <mirage/net/tcp/flow_test.hpp>

using namespace mirage;
using namespace mirage::net;
using namespace mirage::net::tcp;
using namespace mirage::net::tcp::test;

namespace {
bool exhausted = false;  ///< the allocator has nothing left
}

void* operator new(std::size_t size, const std::nothrow_t&) noexcept {
  return exhausted ? nullptr : ::operator new(size);
}

TEST_CASE("without memory for its node a segment is dropped, counted, and not acknowledged") {
  Bench bench;
  auto listener = bench.tcp.listen(7);
  tcp::Flow flow = accept(bench, *listener);
  const std::uint32_t own = bench.ip.sent.back().header.sequence + 1;
  const std::vector<std::byte> text(1000);
  std::uint32_t sequence = 101;
  SUBCASE("in order") {}
  SUBCASE("beyond a hole") { sequence = 1101; }
  bench.arrive({.sequence = sequence, .acknowledgement = own});  // the pool's blocks are there
  for (const bool without : {true, false}) {
    exhausted = without;
    bench.arrive({.sequence = sequence, .acknowledgement = own, .payload = Bytes(text)});
    exhausted = false;
    bench.step();
    bench.advance(100ms);  // the delayed acknowledgement
    CHECK(bench.tcp.counters().receive_memory == 1);
    CHECK(bench.tcp.slices() == (without ? 0 : 1));
  }
  const std::uint32_t acknowledged = bench.ip.sent.back().header.acknowledgement;
  CHECK(acknowledged == (sequence == 101 ? 1101 : 101));
}

TEST_CASE("text that nobody takes, of connections that are closed, gives way to new connections") {
  Bench bench{{}, std::size_t{1} << 20};
  auto listener = bench.tcp.listen(7);
  const std::vector<std::byte> text(1500);
  for (Port port = 1; port <= 1000; ++port) {
    bench.arrive({.flags = Flags::syn, .sequence = 100, .from = port});  // may come to nothing: one gives way at a time
    tcp::Flow flow = accept(bench, *listener, port, 0);
    REQUIRE(write(flow, Bytes(text)));
  }
  CHECK(bench.tcp.connections() < 512);
  CHECK(bench.tcp.counters().orphans_reset == 1000 - bench.tcp.connections());
}
