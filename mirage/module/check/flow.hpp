// SPDX-License-Identifier: ISC
// Conformance check of the module type Flow, for the tests of every implementation: pairs of flows whose ends are
// connected with each other.
#pragma once

#include <array>
#include <cstdint>
#include <string_view>

#include <mirage/async/scope.hpp>
#include <mirage/async/sleep.hpp>
#include <mirage/module/flow.hpp>

namespace mirage::check {

namespace detail {

constexpr std::byte stream_byte(std::size_t position) { return static_cast<std::byte>(position * 31 + position / 251); }

/// Reads `size` bytes of the test stream, or to the end: how many came, and whether all were right.
struct StreamRead {
  std::size_t size = 0;
  bool right = true;
  bool ended = false;
};
template <Flow F>
Task<StreamRead> read_stream(Shard&, F& flow, std::size_t size) {
  StreamRead done;
  while (done.size < size) {
    const auto slices = co_await flow.read();
    if (!slices) {
      done.right = false;
      co_return done;
    }
    if (slices->empty()) {
      done.ended = true;
      co_return done;
    }
    for (const Slice& slice : *slices) {
      for (const std::byte byte : slice.bytes()) done.right &= byte == stream_byte(done.size++);
    }
  }
  co_return done;
}

/// Writes [at, at + size) of the test stream: by turns borrowed bytes, and slices that the flow then owns.
template <Flow F>
Task<void> write_stream(Shard& shard, F& flow, std::size_t size, bool& accepted) {
  std::array<std::byte, 1500> bytes;
  for (std::size_t at = 0; at < size;) {
    const std::size_t part = std::min(bytes.size() - at % 700, size - at);
    for (std::size_t i = 0; i < part; ++i) bytes[i] = stream_byte(at + i);
    const Bytes written = Bytes{bytes}.first(part);
    if (at % 2 == 0) {
      if (!co_await flow.write(written)) co_return;
    } else {
      SliceList slices;
      (void)slices.push_back(shard.buffers().copy(written.first(part / 2)));
      (void)slices.push_back(shard.buffers().copy(written.subspan(part / 2)));
      if (slices.byte_count() != part || !co_await flow.write(std::move(slices))) co_return;
    }
    at += part;
  }
  accepted = true;
}

template <Flow F>
Task<void> read_once(Shard&, F& flow, Result<SliceList, FlowError>& result) {
  result = co_await flow.read();
}

}  // namespace detail

/// `size` bytes from one end to the other, written and read at the same time.
template <Flow From, Flow To>
Task<std::string_view> check_transfer(Shard& shard, From& from, To& to, std::size_t size) {
  bool accepted = false;
  Scope scope{shard};
  if (!scope.spawn(detail::write_stream(shard, from, size, accepted))) co_return "no memory";
  const detail::StreamRead read = co_await detail::read_stream(shard, to, size);
  co_await scope.join();
  if (!accepted) co_return "a write failed";
  if (read.ended) co_return "the stream ended early";
  if (!read.right || read.size != size) co_return "what was read is not what was written";
  co_return "";
}

/// A read that is cancelled says so, and takes nothing.
template <Flow F>
Task<std::string_view> check_cancelled_read(Shard& shard, F& quiet) {
  Result<SliceList, FlowError> result{SliceList{}};
  Scope scope{shard};
  if (!scope.spawn(detail::read_once(shard, quiet, result))) co_return "no memory";
  co_await sleep(1ms);
  scope.cancel();
  co_await scope.join();
  if (result || result.error() != FlowError::cancelled) co_return "a cancelled read did not say so";
  co_return "";
}

/// Both ends of a fresh connection; afterwards both directions are closed. Empty when the flows conform.
template <Flow Left, Flow Right>
Task<std::string_view> check_flow(Shard& shard, Left& left, Right& right) {
  if (left.peer() != right.local() || left.local() != right.peer()) co_return "peer() and local() do not match";
  for (const std::size_t size : {std::size_t{1}, std::size_t{1460}, std::size_t{300'000}}) {
    if (const auto broken = co_await check_transfer(shard, left, right, size); !broken.empty()) co_return broken;
    if (const auto broken = co_await check_transfer(shard, right, left, size); !broken.empty()) co_return broken;
  }
  if (const auto broken = co_await check_cancelled_read(shard, left); !broken.empty()) co_return broken;
  if (!co_await left.write(SliceList{})) co_return "an empty write failed";
  left.shutdown();
  for (int i = 0; i < 2; ++i) {
    const auto end = co_await right.read();
    if (!end || !end->empty()) co_return "the end of the stream was not read";
  }
  const auto late = co_await left.write(as_bytes("late"));
  if (late || late.error() != FlowError::closed) co_return "a write after shutdown does not say closed";
  if (const auto broken = co_await check_transfer(shard, right, left, 10'000); !broken.empty()) {
    co_return "the other direction of a half-closed flow is broken";
  }
  right.close();
  const auto end = co_await left.read();
  if (!end || !end->empty()) co_return "the end of a closed flow was not read";
  left.close();
  const auto closed = co_await left.read();
  if (closed || closed.error() != FlowError::closed) co_return "a closed flow was read";
  co_return "";
}

/// Written, then closed at once: all arrives. Both ends of a fresh connection.
template <Flow Left, Flow Right>
Task<std::string_view> check_close(Shard& shard, Left& left, Right& right) {
  bool accepted = false;
  co_await detail::write_stream(shard, left, 5'000, accepted);
  if (!accepted) co_return "a write failed";
  left.close();
  const detail::StreamRead read = co_await detail::read_stream(shard, right, 5'001);
  if (!read.right || read.size != 5'000) co_return "what was written before close() was lost";
  if (!read.ended) co_return "close() did not end the stream";
  right.close();
  co_return "";
}

/// A reset is seen by the peer. Both ends of a fresh connection.
template <Flow Left, Flow Right>
Task<std::string_view> check_abort(Shard&, Left& left, Right& right) {
  left.abort();
  const auto read = co_await right.read();
  if (read || read.error() != FlowError::reset) co_return "the peer did not see the reset";
  if (co_await right.write(as_bytes("x"))) co_return "a write after a reset was accepted";
  co_return "";
}

}  // namespace mirage::check
