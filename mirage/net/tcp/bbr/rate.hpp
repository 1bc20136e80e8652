// SPDX-License-Identifier: ISC
// How fast text is delivered: BBR draft section 4.1. Every acknowledgement that delivers something yields a sample,
// from what was known when the newest text that it delivers went out.
//
// That is noted once for an eighth of a round trip, as coarse as the scoreboard's pieces are, not for each segment: a
// sample is then taken over an interval that is longer by as much, and over what was delivered in it. No allocation, 16
// records of 24 bytes for a connection (section 4.1.3.1 recommends a record for each aggregate, too).
#pragma once

#include <mirage/net/tcp/tcb.hpp>

namespace mirage::net::tcp::bbr {

/// Section 4.1.2.1.3, RS.*: bytes, and bytes per second.
struct RateSample {
  Time now{};
  std::uint32_t rate = 0;        ///< RS.delivery_rate; 0: there is none that can be relied upon
  std::uint32_t delivered = 0;   ///< RS.delivered
  std::uint32_t prior = 0;       ///< RS.prior_delivered
  std::uint32_t in_flight = 0;   ///< RS.tx_in_flight
  std::uint32_t lost = 0;        ///< RS.lost
  std::uint32_t acked = 0;       ///< RS.newly_acked
  std::uint32_t round_trip = 0;  ///< RS.rtt, microseconds; 0: not measured
  bool any = false;              ///< RS.has_data
  bool starved = false;          ///< RS.is_app_limited
};

/// Section 4.1.2.2: `bytes` of text have gone out, and are counted as on their way.
void note_sent(Tcb& tcb, std::uint32_t bytes, Time now) noexcept;
/// C.delivered as the scoreboard shows it: no text counts twice, though what the peer said of it may have been
/// forgotten for want of a place.
[[nodiscard]] std::uint32_t count_delivered(const Tcb& tcb) noexcept;
/// Section 4.1.2.3. Losses that the acknowledgement shows are counted before.
[[nodiscard]] RateSample take_sample(Tcb& tcb, const Delivery& delivery, Time now) noexcept;
/// Section 4.1.2.4, MarkConnectionAppLimited().
void mark_starved(Tcb& tcb) noexcept;
/// The record of the text that went out at `sent`; null when it is forgotten.
[[nodiscard]] const Transmission* find(const BbrVariables& bbr, Stamp sent) noexcept;

/// `bytes` in `microseconds`, as bytes per second.
[[nodiscard]] constexpr std::uint32_t rate_of(std::uint64_t bytes, std::uint32_t microseconds) noexcept {
  if (microseconds == 0) return 0;
  const std::uint64_t rate = bytes * 1'000'000 / microseconds;
  return rate < BbrVariables::unlimited ? static_cast<std::uint32_t>(rate) : BbrVariables::unlimited - 1;
}

/// Whether `a` is at or behind `b`, both counted modulo 2^32.
[[nodiscard]] constexpr bool reached(std::uint32_t a, std::uint32_t b) noexcept {
  return static_cast<std::int32_t>(a - b) >= 0;
}

}  // namespace mirage::net::tcp::bbr
