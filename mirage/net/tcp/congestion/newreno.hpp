// SPDX-License-Identifier: ISC
// NewReno: slow start and congestion avoidance (RFC 5681), fast recovery with partial acknowledgements (RFC 6582),
// limited transmit (RFC 3042). The hooks below are the whole interface of a congestion algorithm.
#pragma once

#include <algorithm>

#include <mirage/net/tcp/tcb.hpp>

namespace mirage::net::tcp::congestion {

struct NewReno {
  static constexpr std::uint8_t threshold_of_duplicates = 3;

  /// When the connection is established. A lost SYN means a window of one segment (RFC 5681 section 3.1).
  static constexpr void on_established(Tcb& tcb, bool syn_was_lost) noexcept {
    CongestionVariables& c = tcb.congestion;
    const std::uint32_t segment = tcb.send.segment_size;
    c.window = (syn_was_lost ? 1 : constant::initial_segments) * segment;
    c.threshold = 0x7fffffff;
    c.recover = tcb.send.initial;
  }

  /// `bytes` were acknowledged for the first time.
  static constexpr void on_acknowledged(Tcb& tcb, std::uint32_t bytes) noexcept {
    CongestionVariables& c = tcb.congestion;
    c.duplicates = 0;
    if (c.recovering) return on_recovery_acknowledged(tcb, bytes);
    // RFC 7661's concern: a window that the application does not fill is not evidence for a larger one.
    if (c.window > tcb.in_flight() + bytes + 2U * tcb.send.segment_size && c.window > 64U * 1024) return;
    grow(tcb, bytes);
  }

  /// One more duplicate acknowledgement; it reports `gained` bytes beyond the hole that earlier ones did not.
  static constexpr void on_duplicate(Tcb& tcb, std::uint32_t gained) noexcept {
    CongestionVariables& c = tcb.congestion;
    const std::uint32_t segment = tcb.send.segment_size;
    if (c.duplicates < 255) ++c.duplicates;
    if (c.recovering) {
      c.window += std::max(segment, gained);  // RFC 5681 section 3.2 step 4: so much has left the network
      return;
    }
    // A peer that coalesces answers many segments once: what counts then is what it reports (RFC 6675 section 4).
    const bool lost = c.duplicates >= threshold_of_duplicates || c.sacked >= threshold_of_duplicates * segment;
    // RFC 6582 section 3.2 step 2: not again for the losses of the window before. The timed-out window counts, too.
    if (!lost || tcb.send.unacknowledged <= c.recover) return;
    c.threshold = half_of_flight(tcb);
    c.window = c.threshold + threshold_of_duplicates * segment;
    c.recover = tcb.send.maximum;
    c.recovering = true;
    tcb.send.retransmit_first = true;
    tcb.round_trip.timing = false;
  }

  /// The retransmission timer expired, `first` for this segment; RFC 5681 section 3.1, equation 4 and below.
  static constexpr void on_timeout(Tcb& tcb, bool first) noexcept {
    CongestionVariables& c = tcb.congestion;
    if (first) c.threshold = half_of_flight(tcb);
    c.window = tcb.send.segment_size;
    c.acknowledged = 0;
    c.duplicates = 0;
    c.recovering = false;
    c.recover = tcb.send.maximum;
  }

  /// Bytes that may be in flight.
  [[nodiscard]] static constexpr std::uint32_t window(const Tcb& tcb) noexcept {
    const CongestionVariables& c = tcb.congestion;
    const bool limited = !c.recovering && c.duplicates > 0 && c.duplicates < threshold_of_duplicates;
    return c.window + (limited ? std::uint32_t{c.duplicates} * tcb.send.segment_size : 0);
  }

  /// Idle for longer than a time-out: the old window says nothing any more (RFC 5681 section 4.1).
  static constexpr void on_idle_restart(Tcb& tcb) noexcept {
    CongestionVariables& c = tcb.congestion;
    c.window = std::min(c.window, constant::initial_segments * tcb.send.segment_size);
  }

 private:
  static constexpr std::uint32_t half_of_flight(const Tcb& tcb) noexcept {
    const std::uint32_t flight = distance(tcb.send.unacknowledged, tcb.send.maximum);
    return std::max(flight / 2, 2U * tcb.send.segment_size);
  }
  static constexpr void grow(Tcb& tcb, std::uint32_t bytes) noexcept {
    CongestionVariables& c = tcb.congestion;
    constexpr std::uint32_t limit = 1U << 30;
    if (c.window >= limit) return;
    if (c.window < c.threshold) {
      c.window += std::min(bytes, 2U * tcb.send.segment_size);  // RFC 3465 with L = 2
      return;
    }
    c.acknowledged += bytes;
    if (c.acknowledged < c.window) return;
    c.acknowledged -= c.window;
    c.window += tcb.send.segment_size;
  }
  /// RFC 6582 section 3.2 step 3.
  static constexpr void on_recovery_acknowledged(Tcb& tcb, std::uint32_t bytes) noexcept {
    CongestionVariables& c = tcb.congestion;
    const std::uint32_t segment = tcb.send.segment_size;
    if (tcb.send.unacknowledged >= c.recover) {  // full: everything sent before recovery has arrived
      c.window = std::min(c.threshold, std::max(tcb.in_flight(), segment) + segment);
      c.recovering = false;
      c.acknowledged = 0;
      // A loss right behind the recovered window may be repaired fast again; after a time-out (where going back sends
      // what the peer has, and is answered by duplicates) it may not: RFC 6582 section 4.
      c.recover = tcb.send.unacknowledged - 1;
      return;
    }
    tcb.send.retransmit_first = true;  // partial: the next hole
    c.window -= std::min(bytes, c.window - std::min(c.window, segment));
    if (bytes >= segment) c.window += segment;
  }
};

}  // namespace mirage::net::tcp::congestion
