// SPDX-License-Identifier: ISC
// Loss detection by time: RACK-TLP, RFC 8985 (read sections 6 and 7), for peers with SACK.
#pragma once

#include <mirage/net/tcp/tcb.hpp>

namespace mirage::net::tcp::rack {

/// Section 6.2 steps 1 to 3: what was delivered tells the round trip, what is newest, and whether the path reorders.
void update(Tcb& tcb, const Delivery& delivery) noexcept;
/// To be called at each time-out, and so at least once a minute while anything is on its way: what was delivered last
/// is kept from becoming so old that its Stamp looks new.
void age(Tcb& tcb, Time now) noexcept;
/// Section 6.2 step 4, when a DSACK came: the reordering window grows, once for each round trip.
void widen(Tcb& tcb) noexcept;
/// Step 4, when a recovery is over: after 16 of them without a DSACK the window is small again.
void narrow(Tcb& tcb) noexcept;
/// Step 5: marks what is lost and arms the timer for what may only be late. Bytes marked.
std::uint32_t detect(Tcb& tcb, Time now) noexcept;
/// Section 7.2: arms the timer of a tail loss probe, if one is allowed.
void schedule_probe(Tcb& tcb, Time now) noexcept;
/// Section 7.3: a probe goes out that ends at SND.NXT.
void probe_sent(Tcb& tcb, bool retransmission, Time now) noexcept;
/// Section 7.4: whether an acknowledgement shows that the probe repaired a loss. `duplicate`: it carries a DSACK, or
/// no news at all.
[[nodiscard]] bool probe_repaired(Tcb& tcb, Sequence acknowledgement, bool duplicate) noexcept;

}  // namespace mirage::net::tcp::rack
