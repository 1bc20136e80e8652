// SPDX-License-Identifier: ISC
// SYN cookies: when as many connections are half-open as a listener may have, a SYN is answered without keeping
// anything. What must be known later is in the SYN,ACK's sequence number and, with timestamps, in the low bits of the
// timestamp, and comes back with the acknowledgement. Read RFC 4987 section 3.6 before editing.
//
//     sequence number: 1 bit of the time in units of 64 s, 3 bits of MSS, 28 bits of a keyed hash over both, the
//                      endpoints and the peer's sequence number
//     timestamp:       our clock, its low six bits replaced by: 4 bits window scale (15: none), SACK, one unused
#pragma once

#include <optional>

#include <mirage/base/random.hpp>
#include <mirage/net/tcp/segment.hpp>

namespace mirage::net::tcp {

/// A cookie is good for this long at least, and for twice as long at most.
inline constexpr Duration cookie_lifetime = 64s;

/// The initial sequence number that stands for `syn`.
[[nodiscard]] Sequence make_cookie(const SipKey& key, const Endpoint& local, const Endpoint& remote, const Segment& syn,
                                   Time now) noexcept;

/// The timestamp that goes with it; `clock` is ours. Not after `clock`, so that time goes forward for the peer.
[[nodiscard]] std::uint32_t make_cookie_timestamp(std::uint32_t clock, const wire::TcpOptionSet& syn) noexcept;

/// The SYN that a cookie stands for, from the acknowledgement that returns it; nothing when it is none of ours, or old.
[[nodiscard]] std::optional<Segment> read_cookie(const SipKey& key, const Endpoint& local, const Endpoint& remote,
                                                 const Segment& acknowledgement, Time now) noexcept;

}  // namespace mirage::net::tcp
