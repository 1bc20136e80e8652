// SPDX-License-Identifier: ISC
// NewReno's window: slow start and congestion avoidance (RFC 5681), half of the flight after a loss.
#pragma once

#include <mirage/net/tcp/congestion/algorithm.hpp>

namespace mirage::net::tcp::congestion {

struct NewReno {
  static constexpr void established(Tcb&) noexcept {}
  static constexpr void acknowledged(Tcb& tcb, const Progress& progress) noexcept {
    CongestionVariables& c = tcb.congestion;
    // RFC 3465 section 2.3: L = 2, and 1 after a time-out.
    if (c.window < c.threshold) return slow_start(tcb, progress.bytes, c.phase == Phase::timeout ? 1 : 2);
    avoid(tcb, progress.bytes);
  }
  static constexpr void reduce(Tcb& tcb, Cause cause, Time) noexcept {
    // RFC 5681 equation 4; for a mark 0.8, RFC 8511 section 3.1.
    tcb.congestion.threshold = part_of_flight(tcb, cause == Cause::mark ? 819 : 512);
    tcb.congestion.acknowledged = 0;
  }
  static constexpr void undo(Tcb&) noexcept {}
  static constexpr Hooks hooks{established, acknowledged, reduce, undo};

 private:
  /// RFC 5681 section 3.1, with byte counting: a segment for each window.
  static constexpr void avoid(Tcb& tcb, std::uint32_t bytes) noexcept {
    CongestionVariables& c = tcb.congestion;
    if (c.window >= largest_window) return;
    c.acknowledged += bytes;
    if (c.acknowledged < c.window) return;
    c.acknowledged -= c.window;
    c.window += tcb.send.segment_size;
  }
};

}  // namespace mirage::net::tcp::congestion
