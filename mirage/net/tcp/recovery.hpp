// SPDX-License-Identifier: ISC
// Loss recovery: what an acknowledgement says about what is on its way, and what follows from that. Read RFC 6675
// (SACK), RFC 6582 (peers without SACK), RFC 8985 (rack.hpp), RFC 6937 (prr.hpp), RFC 5682 (F-RTO), RFC 2883 (DSACK).
//
// Limited transmit (RFC 3042) needs no code of its own: what is delivered out of order is no longer on its way, so that
// the window has room for as much new text.
#pragma once

#include <mirage/net/tcp/segment.hpp>
#include <mirage/net/tcp/tcb.hpp>

namespace mirage::net::tcp::recovery {

/// Takes the acknowledgement and SACK blocks of `segment`. Precondition: SND.UNA <= SEG.ACK <= SND.MAX. `duplicate`:
/// RFC 5681 section 2. Moves SND.UNA and what hangs on it; returns the bytes that became acknowledged.
std::uint32_t on_acknowledgement(Tcb& tcb, const Segment& segment, bool duplicate, Time now) noexcept;
/// The retransmission timer expired, `first` for the segment at SND.UNA. What is on its way is taken for lost.
void on_timeout(Tcb& tcb, bool first, Time now) noexcept;
/// The timer `loss` expired: reordered segments have had their time, or a tail loss probe is due.
void on_loss_timer(Tcb& tcb, Time now) noexcept;

}  // namespace mirage::net::tcp::recovery
