// SPDX-License-Identifier: ISC
// HyStart++, RFC 9406: the first slow start ends when the round trip grows, before the queue overflows.
#pragma once

#include <mirage/net/tcp/congestion/algorithm.hpp>

namespace mirage::net::tcp::congestion::hystart {

// RFC 9406 section 4.3; times in microseconds.
inline constexpr std::uint32_t smallest_threshold = 4'000;  ///< MIN_RTT_THRESH
inline constexpr std::uint32_t largest_threshold = 16'000;  ///< MAX_RTT_THRESH
inline constexpr std::uint32_t round_trip_divisor = 8;      ///< MIN_RTT_DIVISOR
inline constexpr std::uint8_t samples_wanted = 8;           ///< N_RTT_SAMPLE
inline constexpr std::uint32_t growth_divisor = 4;          ///< CSS_GROWTH_DIVISOR
inline constexpr std::uint8_t conservative_rounds = 5;      ///< CSS_ROUNDS
inline constexpr std::uint32_t most_segments = 8;           ///< L, not paced

namespace detail {

/// Section 4.2: a round ends when what was on its way at its beginning is acknowledged..
constexpr void end_round(Tcb& tcb) noexcept {
  HystartVariables& h = tcb.congestion.hystart;
  h.last_minimum = h.minimum;
  h.minimum = 0;
  h.samples = 0;
  h.round_end = tcb.send.next;
  if (h.baseline != 0 && ++h.rounds >= conservative_rounds) tcb.congestion.threshold = tcb.congestion.window;
}

constexpr void take_sample(HystartVariables& h, std::uint32_t round_trip) noexcept {
  if (round_trip == 0) return;
  h.minimum = h.minimum == 0 ? round_trip : std::min(h.minimum, round_trip);
  if (h.samples < samples_wanted) ++h.samples;
  if (h.samples < samples_wanted) return;
  if (h.baseline != 0) {                         // conservative slow start
    if (h.minimum < h.baseline) h.baseline = 0;  // the increase was spurious: slow start again
    return;
  }
  if (h.last_minimum == 0) return;
  const std::uint32_t threshold =
      std::clamp(h.last_minimum / round_trip_divisor, smallest_threshold, largest_threshold);
  if (h.minimum < h.last_minimum + threshold) return;
  h.baseline = h.minimum;
  h.rounds = 0;
}

}  // namespace detail

/// An acknowledgement in slow start.
constexpr void grow(Tcb& tcb, const Progress& progress) noexcept {
  HystartVariables& h = tcb.congestion.hystart;
  // Section 4.1: for the first slow start; later ones know a threshold.
  if (tcb.congestion.threshold != unknown_threshold) return slow_start(tcb, progress.bytes, most_segments);
  detail::take_sample(h, progress.round_trip);
  const std::uint32_t bytes = h.baseline == 0 ? progress.bytes : progress.bytes / growth_divisor;
  slow_start(tcb, bytes, h.baseline == 0 ? most_segments : most_segments / growth_divisor);
  if (tcb.send.unacknowledged >= h.round_end) detail::end_round(tcb);
}

}  // namespace mirage::net::tcp::congestion::hystart
