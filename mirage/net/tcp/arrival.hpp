// SPDX-License-Identifier: ISC
// SEGMENT ARRIVES, RFC 9293 section 3.10.7: the checks in their order, one function each, with RFC 5961 worked in.
// (LISTEN and CLOSED are the caller's: open_passive() and reset_for().) No I/O; what is to be sent afterwards comes out
// of next_departure().
#pragma once

#include <mirage/net/tcp/segment.hpp>
#include <mirage/net/tcp/tcb.hpp>

namespace mirage::net::tcp {

/// Runs `segment` through the connection.
[[nodiscard]] Actions on_segment(Tcb& tcb, const Segment& segment, Time now) noexcept;

/// The connection's stored segments were given up for want of memory; RFC 2018 section 8 allows it.
void forget_stored(Tcb& tcb) noexcept;

namespace detail {

/// One segment on its way through the checks.
struct Arrival {
  Tcb& tcb;
  Segment segment;
  Time now;
  Actions& out;  ///< where the caller's are made: they are too large to be copied out
};

// Each returns whether the next check follows.
[[nodiscard]] bool check_sequence(Arrival& a) noexcept;         // first
[[nodiscard]] bool check_reset(Arrival& a) noexcept;            // second
[[nodiscard]] bool check_syn(Arrival& a) noexcept;              // fourth
[[nodiscard]] bool check_acknowledgement(Arrival& a) noexcept;  // fifth
void take_urgent(Arrival& a) noexcept;                          // sixth
void take_mark(Arrival& a) noexcept;                            // RFC 3168
void take_text(Arrival& a) noexcept;                            // seventh
void take_fin(Arrival& a) noexcept;                             // eighth
void arrive_in_syn_sent(Arrival& a) noexcept;                   // section 3.10.7.3

/// Notes why the segment ends here.
bool drop(Arrival& a, Drop reason) noexcept;
/// An acknowledgement in answer to something dubious: not more often than the limit of RFC 5961 section 7, which the
/// caller applies to all connections together, too.
void challenge(Arrival& a) noexcept;
/// The connection ends with `error`.
void fail(Arrival& a, FlowError error) noexcept;
/// Enters TIME-WAIT or restarts it.
void start_time_wait(Tcb& tcb, Time now) noexcept;

}  // namespace detail

}  // namespace mirage::net::tcp
