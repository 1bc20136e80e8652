// SPDX-License-Identifier: ISC
// A flow with what has been received from it and what is to be written to it, under one deadline.
#pragma once

#include <mirage/base/time.hpp>
#include <mirage/http/deadline.hpp>
#include <mirage/http/input.hpp>
#include <mirage/http/output.hpp>
#include <mirage/module/flow.hpp>
#include <mirage/module/stack.hpp>

namespace mirage::http {

struct ServerOptions {
  std::uint32_t maximum_head = 8 * 1024;     ///< bytes of request line and headers; more: 431
  std::uint64_t maximum_body = 1024 * 1024;  ///< bytes a handler may read; a larger body: 413
  std::uint32_t maximum_connections = 1024;  ///< at once; further ones wait in the backlog
  Duration head_timeout = 10s;               ///< from the first byte of a request to the end of its head; then: 408
  Duration idle_timeout = 60s;               ///< between requests
  Duration transfer_timeout = 60s;  ///< without a byte of a body, or until the next 64 KiB of a response are taken
  Duration linger_timeout = 2s;     ///< after the last answer, until the peer closes its side as well
  ListenOptions listen;
};

/// What a step of a connection leaves it in.
enum class Step : std::uint8_t {
  go_on,      ///< ready for the next request
  finish,     ///< the last answer has been collected; the peer may still be sending
  failed,     ///< the stream is at its end or the flow broken: nothing more can be said
  broken,     ///< failed, and the peer could take what it has got for the whole: reset
  no_memory,  ///< for a coroutine's frame or a buffer
};

template <Flow F>
struct Link {
  /// Bytes that the flow has to take before the next deadline.
  static constexpr std::size_t piece = std::size_t{64} * 1024;

  Link(F from, const ServerOptions& with) noexcept
      : flow(std::move(from)),
        options(with),
        guard(flow.shard()),
        input(flow.shard().buffers(), with.maximum_head),
        output(flow.shard().buffers()) {}

  [[nodiscard]] Shard& shard() noexcept { return flow.shard(); }

  /// Writes what was collected; go_on or failed.
  Task<Step> flush() {
    SliceList pending = output.take();
    while (!pending.empty()) {
      guard.set(options.transfer_timeout, Phase::transfer);
      if (!co_await flow.write(pending.take_prefix(piece))) co_return Step::failed;
    }
    guard.clear();
    co_return Step::go_on;
  }

  F flow;
  const ServerOptions& options;
  DeadlineGuard guard;
  Input input;
  Output output;
};

}  // namespace mirage::http
