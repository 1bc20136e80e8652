// SPDX-License-Identifier: ISC
// Pacing: text goes out at a rate that follows from window and round trip, not in bursts that a short queue on the way
// cannot take. RFC 9002 section 7.7: somewhat faster than the window alone would be, so that the window stays what
// limits; and the initial window may go at once.
//
// One time says how far the rate is used up. When a burst is through, nothing goes until half of it is there again: a
// timer for some segments, not for each.
#pragma once

#include <algorithm>

#include <mirage/net/tcp/tcb.hpp>

namespace mirage::net::tcp::pacing {

inline constexpr std::uint32_t largest_quantum = 65'535;  ///< what a device segments at once

/// Bytes per second; 0: as fast as the window allows, because the path is not known or too short for timers.
[[nodiscard]] constexpr std::uint64_t rate(const Tcb& tcb) noexcept {
  if (tcb.pacing.rate != 0) return tcb.pacing.rate;
  const Duration trip = tcb.round_trip.smoothed;
  if (trip < constant::paced_round_trip) return 0;
  const CongestionVariables& c = tcb.congestion;
  // Quarters: four times the window in a round trip while it doubles, so that its acknowledgements show when the path
  // is slower (hystart.hpp); else five quarters of it (RFC 9002 section 7.7).
  const std::uint64_t gain = c.window < c.threshold ? 16 : 5;
  return std::max<std::uint64_t>(gain * c.window * 250'000'000 / static_cast<std::uint64_t>(trip.count()), 1);
}

/// What goes at once: the initial window (RFC 9002 section 7.7), and on fast paths as much as a timer is worth. At the
/// rate of an algorithm that knows: a millisecond's worth, one large segment at most (BBR draft section 5.6.3).
[[nodiscard]] constexpr std::uint64_t burst(const Tcb& tcb, std::uint64_t bytes_per_second) noexcept {
  if (tcb.pacing.rate != 0) {
    return std::max<std::uint64_t>(std::min<std::uint64_t>(bytes_per_second / 1000, largest_quantum),
                                   2U * tcb.send.segment_size);
  }
  return std::max<std::uint64_t>(constant::initial_segments * tcb.send.segment_size, bytes_per_second / 1000);
}

[[nodiscard]] constexpr Duration time_of(std::uint64_t bytes, std::uint64_t bytes_per_second) noexcept {
  return Duration{static_cast<std::int64_t>(bytes * 1'000'000'000 / bytes_per_second)};
}

/// Bytes of text that may go now, 0: later, and `deadlines.pace` says when.
[[nodiscard]] constexpr std::uint32_t allowance(Tcb& tcb, Time now) noexcept {
  constexpr std::uint32_t everything = 0x7fffffff;
  const std::uint64_t bytes_per_second = rate(tcb);
  if (tcb.deadlines.pace > now && tcb.deadlines.pace != never) return 0;
  tcb.deadlines.pace = never;
  if (bytes_per_second == 0 || tcb.pacing.next <= now) return everything;
  const std::uint64_t most = burst(tcb, bytes_per_second);
  const Duration ahead = tcb.pacing.next - now;
  const Duration whole = time_of(most, bytes_per_second);
  if (ahead >= whole) {
    tcb.deadlines.pace = tcb.pacing.next - whole / 2;
    return 0;
  }
  const auto left = static_cast<std::uint64_t>((whole - ahead).count()) * bytes_per_second / 1'000'000'000;
  return static_cast<std::uint32_t>(std::min<std::uint64_t>(left, everything));
}

/// `bytes` of text went out. A timer that came late takes nothing from the rate, up to half a burst; a pause does.
constexpr void sent(Tcb& tcb, std::uint32_t bytes, Time now) noexcept {
  const std::uint64_t bytes_per_second = rate(tcb);
  if (bytes_per_second == 0) return;
  const bool goes_on = tcb.outstanding() > bytes;
  const Duration late = goes_on ? time_of(burst(tcb, bytes_per_second), bytes_per_second) / 2 : Duration{0};
  tcb.pacing.next = std::max(tcb.pacing.next, now - late) + time_of(bytes, bytes_per_second);
}

}  // namespace mirage::net::tcp::pacing
