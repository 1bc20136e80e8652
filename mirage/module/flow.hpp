// SPDX-License-Identifier: ISC
// Module type Flow: a bidirectional byte stream (TCP connection, TLS session, in-memory pipe).
#pragma once

#include <concepts>
#include <cstdint>

#include <mirage/async/task.hpp>
#include <mirage/base/address.hpp>
#include <mirage/base/buffer.hpp>
#include <mirage/base/result.hpp>

namespace mirage {

enum class FlowError : std::uint8_t {
  reset,        ///< the peer reset the connection
  timed_out,    ///< no progress within the user timeout
  unreachable,  ///< the network refuses to carry it
  refused,      ///< nobody listens there
  closed,       ///< this side has closed already
  cancelled,    ///< the awaiting task was cancelled
  no_memory,    ///< a bound was reached
};

[[nodiscard]] constexpr std::string_view to_string(FlowError error) noexcept {
  switch (error) {
    case FlowError::reset:
      return "connection reset by peer";
    case FlowError::timed_out:
      return "connection timed out";
    case FlowError::unreachable:
      return "network unreachable";
    case FlowError::refused:
      return "connection refused";
    case FlowError::closed:
      return "connection closed";
    case FlowError::cancelled:
      return "cancelled";
    case FlowError::no_memory:
      return "out of memory";
  }
  return "?";
}

inline void append_value(TextWriter& out, FlowError error) noexcept { out.append(to_string(error)); }

/// How a value is awaited does not matter: a Task or an awaiter that needs no frame.
template <class A, class T>
concept AwaitableOf = requires(A&& awaitable) {
  { static_cast<A&&>(awaitable).await_resume() } -> std::convertible_to<T>;
} || requires(A&& awaitable) {
  { static_cast<A&&>(awaitable).operator co_await().await_resume() } -> std::convertible_to<T>;
};

/// A byte stream.
/// - read(): the next bytes, at least one; an empty list is the end of the stream (the peer has shut down its side).
///   Slices that the caller keeps stay charged to the flow's receive budget.
/// - write(SliceList): queues owned or static slices without copying; completes when all are accepted into the bounded
///   send queue (not when acknowledged). write(Bytes) copies into the flow's buffers.
/// - shutdown(): no more writes; what was written is still delivered (half-close).
/// - close(): shutdown, and received data is no longer wanted; returns at once. abort(): reset.
/// One reader and one writer at a time. Destroying an open flow closes it.
/// headroom()/tailroom(): what a layer below wants free around a written slice (TLS records, headers).
template <class F>
concept Flow = std::movable<F> && requires(F& flow, SliceList slices, Bytes bytes) {
  { flow.read() } -> AwaitableOf<Result<SliceList, FlowError>>;
  { flow.write(std::move(slices)) } -> AwaitableOf<Result<void, FlowError>>;
  { flow.write(bytes) } -> AwaitableOf<Result<void, FlowError>>;
  { flow.shutdown() } noexcept;
  { flow.close() } noexcept;
  { flow.abort() } noexcept;
  { flow.peer() } noexcept -> std::convertible_to<Endpoint>;
  { flow.local() } noexcept -> std::convertible_to<Endpoint>;
  { flow.headroom() } noexcept -> std::convertible_to<std::uint32_t>;
  { flow.tailroom() } noexcept -> std::convertible_to<std::uint32_t>;
  { flow.shard() } noexcept -> std::same_as<Shard&>;
};

/// A flow that can be looked at without waiting: whether read() would complete at once, because bytes, the end of the
/// stream or an error are there.
template <class F>
concept ObservableFlow = Flow<F> && requires(F& flow) {
  { flow.readable_now() } noexcept -> std::same_as<bool>;
};

/// A flow with a transport's settings.
/// - set_no_delay(true): short writes go out at once instead of waiting for acknowledgements (Nagle's algorithm).
/// - set_keep_alive(idle): a peer that is silent for so long is probed; 0: off.
/// - set_user_timeout(time): what is written and not acknowledged for so long ends the flow; 0: the transport's
/// default.
/// - set_diffserv(codepoint): of the packets that this side sends from now on (RFC 2474): 0, as it is at first, to 63.
template <class F>
concept TunableFlow = Flow<F> && requires(F& flow, bool on, Duration time, std::uint8_t codepoint) {
  { flow.set_no_delay(on) } noexcept;
  { flow.set_keep_alive(time) } noexcept;
  { flow.set_user_timeout(time) } noexcept;
  { flow.set_diffserv(codepoint) } noexcept;
};

}  // namespace mirage
