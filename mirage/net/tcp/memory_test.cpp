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
