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
  std::uint32_t hole = 0;
  SUBCASE("in order") {}
  SUBCASE("beyond a hole") { hole = 100; }
  exhausted = true;
  for (std::uint32_t i = 0; i < 30; ++i) {
    bench.arrive({.sequence = 101 + hole + 1000 * i, .acknowledgement = own, .payload = Bytes(text)});
  }
  exhausted = false;
  bench.step();
  const std::uint32_t taken = SliceList::capacity;  // there are nodes for one segment more than that has
  CHECK(bench.tcp.slices() == taken);
  CHECK(bench.tcp.counters().receive_memory == 30 - taken);
  CHECK(bench.ip.sent.back().header.acknowledgement == (hole == 0 ? 101 + 1000 * taken : 101));
}

TEST_CASE("text that nobody takes, of connections that are closed, goes when the pool runs low") {
  Bench bench;
  BufferPool& pool = bench.shard.buffers();
  auto listener = bench.tcp.listen(7);
  const std::vector<std::byte> text(1500);
  for (Port port = 5000; pool.available() > pool.bound() / 8 + 8192; ++port) {
    tcp::Flow flow = accept(bench, *listener, port, 0);
    REQUIRE(write(flow, Bytes(text)));
  }
  std::vector<MutableSlice> held;
  while (!pool.low()) held.push_back(pool.allocate(1000));
  for (int i = 0; i < 4; ++i) bench.advance(1s);  // two time-outs
  CHECK_FALSE(pool.low());
  CHECK(bench.tcp.counters().timed_out > 0);
  CHECK(bench.tcp.connections() > 100);  // no more than must
}

TEST_CASE("text that nobody takes goes when the pool runs low, however long the user time-out") {
  Bench bench;
  BufferPool& pool = bench.shard.buffers();
  auto listener = bench.tcp.listen(7);
  const std::vector<std::byte> text(1500);
  {
    tcp::Flow flow = accept(bench, *listener, 5000, 0);
    flow.set_user_timeout(24h);
    REQUIRE(write(flow, Bytes(text)));
  }
  for (int i = 0; i < 4; ++i) bench.advance(1s);
  REQUIRE(bench.tcp.connections() == 1);
  std::vector<MutableSlice> held;
  while (!pool.low()) held.push_back(pool.allocate(1000));
  for (int i = 0; i < 20; ++i) bench.advance(1s);
  CHECK(bench.tcp.connections() == 0);
  CHECK(bench.tcp.counters().timed_out == 1);
}

TEST_CASE("windows that closed because the pool ran low open when it no longer is") {
  Bench bench{{.receive_window = 8000}};
  BufferPool& pool = bench.shard.buffers();
  auto listener = bench.tcp.listen(7);
  tcp::Flow flow = accept(bench, *listener);
  const std::uint32_t own = bench.ip.sent.back().header.sequence + 1;
  std::vector<MutableSlice> held;
  while (!pool.low()) held.push_back(pool.allocate(1000));
  const std::vector<std::byte> text(1000);
  for (std::uint32_t i = 0; i < 8; ++i) {
    bench.arrive({.sequence = 101 + 1000 * i, .acknowledgement = own, .payload = Bytes(text)});
    bench.step();
  }
  while (read(flow) != "(nothing)") {
  }
  for (int i = 0; i < 3; ++i) bench.advance(1s);
  REQUIRE(bench.ip.sent.back().header.acknowledgement == 8101);
  REQUIRE(bench.ip.sent.back().header.window == 0);
  held.clear();  // whoever had it: another connection, another service
  REQUIRE(bench.shard.next_deadline() <= bench.environment.now + 101ms);  // else nobody would look
  bench.advance(101ms);
  CHECK(bench.ip.sent.back().header.acknowledgement == 8101);
  CHECK(bench.ip.sent.back().header.window == 8000);
  const std::size_t sent = bench.ip.sent.size();
  bench.advance(1s);
  CHECK(bench.ip.sent.size() == sent);
  CHECK(bench.shard.next_deadline() == never);
}
