// SPDX-License-Identifier: ISC
// For tests: what an application does with a flow, at once or not at all.
#pragma once

#include <string>
#include <string_view>

#include <doctest/doctest.h>

#include <mirage/net/tcp/bench_test.hpp>

namespace mirage::net::tcp::test {

/// The connection that waits to be accepted; there must be one.
inline Flow take(Listener& listener) {
  auto awaiter = listener.accept();
  REQUIRE(awaiter.await_ready());
  return *awaiter.await_resume();
}

/// Opens a connection from the peer's `port`, whose initial sequence number is 100, and accepts it.
inline Flow accept(Bench& bench, Listener& listener, Port port = 4000, std::uint16_t window = 60000,
                   Ipv4Address source = Ipv4Address::of(10, 0, 0, 1)) {
  bench.arrive({.flags = Flags::syn, .sequence = 100, .window = window, .from = port, .source = source});
  bench.step();
  REQUIRE(bench.ip.sent.back().header.flags == (Flags::syn | Flags::ack));
  const std::uint32_t theirs = bench.ip.sent.back().header.sequence;
  bench.arrive({.sequence = 101, .acknowledgement = theirs + 1, .window = window, .from = port, .source = source});
  bench.step();
  return take(listener);
}

/// What is there to read: "(nothing)", the error in parentheses, or the text; empty at the end of the stream.
inline std::string read(Flow& flow) {
  auto awaiter = flow.read();
  if (!awaiter.await_ready()) return "(nothing)";
  const auto slices = awaiter.await_resume();
  if (!slices) return std::string("(") + std::string(to_string(slices.error())) + ")";
  std::string out;
  for (const Slice& slice : *slices) out += slice.text();
  return out;
}

/// Whether all of it was taken without waiting.
inline bool write(Flow& flow, Bytes bytes) {
  auto awaiter = flow.write(bytes);
  return awaiter.await_ready() && awaiter.await_resume().has_value();
}

}  // namespace mirage::net::tcp::test
