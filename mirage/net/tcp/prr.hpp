// SPDX-License-Identifier: ISC
// Proportional rate reduction, RFC 6937: while losses are repaired, what is sent follows what is delivered, so that the
// window arrives at the threshold when the repair ends, without a pause and without a burst.
#pragma once

#include <algorithm>

#include <mirage/net/tcp/tcb.hpp>

namespace mirage::net::tcp::prr {

/// RFC 6937 section 3.1, at the start of recovery; `delivered` by the acknowledgement that starts it. What was
/// delivered before does not count (RFC 9937 section 6).
constexpr void begin(Tcb& tcb, std::uint32_t delivered) noexcept {
  CongestionVariables& c = tcb.congestion;
  c.delivered = c.sent = 0;
  c.flight = std::max(tcb.outstanding() - std::min(tcb.outstanding(), tcb.loss.board.sacked) + delivered,
                      std::uint32_t{tcb.send.segment_size});
}

/// RFC 6937 section 3.1, on every acknowledgement: `delivered` bytes are news. `progress`: it moves SND.UNA and finds
/// nothing more lost, so one segment beyond conservation is safe (slow start reduction bound; RFC 9937 "SafeACK").
constexpr void on_acknowledgement(Tcb& tcb, std::uint32_t delivered, bool progress) noexcept {
  CongestionVariables& c = tcb.congestion;
  const std::uint32_t pipe = tcb.in_flight();
  const std::uint32_t segment = tcb.send.segment_size;
  c.delivered += delivered;
  std::uint64_t allowed = 0;
  if (pipe > c.threshold) {
    allowed = (std::uint64_t{c.delivered} * c.threshold + c.flight - 1) / c.flight;
    allowed = allowed > c.sent ? allowed - c.sent : 0;
  } else {
    const std::uint32_t conserved = std::max(c.delivered > c.sent ? c.delivered - c.sent : 0, delivered);
    allowed = std::min(c.threshold - pipe, conserved + (progress ? segment : 0));
  }
  if (c.sent == 0) allowed = std::max<std::uint64_t>(allowed, segment);  // the fast retransmit itself
  // Never below one segment (RFC 5681 section 3.1, LW): where all that was on its way is lost and nothing was
  // delivered, nothing else would go out before the timer.
  c.window = static_cast<std::uint32_t>(std::clamp<std::uint64_t>(pipe + allowed, segment, 0x7fffffff));
}

}  // namespace mirage::net::tcp::prr
