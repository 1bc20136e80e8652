// SPDX-License-Identifier: ISC
// A flow with what has been received from it and what is to be written to it, under one deadline.
#pragma once

#include <mirage/async/quick.hpp>
#include <mirage/async/then.hpp>
#include <mirage/base/time.hpp>
#include <mirage/http/deadline.hpp>
#include <mirage/http/input.hpp>
#include <mirage/http/output.hpp>
#include <mirage/module/flow.hpp>
#include <mirage/module/stack.hpp>

namespace mirage::http {

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

  /// `head`, `body`: the most bytes that a head and a body may have; `transfer`: the longest wait for a piece of
  /// either.
  Link(F from, std::uint32_t head, std::uint64_t body, Duration transfer) noexcept
      : flow(std::move(from)),
        maximum_body(body),
        transfer_timeout(transfer),
        guard(flow.shard()),
        input(flow.shard().buffers(), head),
        output(flow.shard().buffers()) {}

  [[nodiscard]] Shard& shard() noexcept { return flow.shard(); }

  /// More bytes of the flow, given to `use` at once; what that returns goes to the coroutine.
  template <class Use>
  [[nodiscard]] auto read(Use use) noexcept {
    return then([this] { return flow.read(); }, std::move(use));
  }

  /// Writes what was collected; go_on or failed. What the flow takes at once needs no task.
  Quick<Step> flush() {
    [[clang::uninitialized]] SliceList pending = output.take();
    if constexpr (requires { flow.write_now(pending); }) flow.write_now(pending);
    if (!pending.empty()) return drain(std::move(pending));
    return Step::go_on;
  }

  Task<Step> drain(SliceList pending) {
    while (!pending.empty()) {
      taken += static_cast<std::uint32_t>(pending.byte_count());
      if (taken >= piece) {
        taken = 0;
        patience = transfer_timeout;
      }
      guard.set_writing(patience);
      const auto written = co_await flow.write(pending.take_prefix(piece));
      patience = guard.clear_writing();
      if (!written) co_return Step::failed;
    }
    co_return Step::go_on;
  }

  F flow;
  std::uint64_t maximum_body;
  Duration transfer_timeout;
  Duration patience{};          // what is left of it for the peer to take a piece, however small its parts are
  std::uint32_t taken = piece;  // since that began
  DeadlineGuard guard;
  Input input;
  Output output;
};

}  // namespace mirage::http
