// SPDX-License-Identifier: ISC
// HyStart++, RFC 9406: the first slow start ends when the round trip grows, before the queue overflows. The smallest
// round trip of a round says that late where text is paced; so the acknowledgements' train is watched, too, as in the
// original (Ha and Rhee 2011, "Taming the elephants: New TCP slow start", section 4.2): when it takes longer than the
// text that it acknowledges took to go out, the path is slower than that, and how fast it is can be seen.
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
inline constexpr std::uint32_t smallest_window = 16;        ///< segments; below, a train says little; as Linux

namespace detail {

/// Section 4.2: a round ends when what was on its way at its beginning is acknowledged.
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

/// The longest gap in a train: acknowledgements of a path that is filled come evenly.
constexpr std::uint32_t longest_gap(std::uint32_t round_trip) noexcept { return std::max(round_trip / 8, 2'000U); }

/// Text that pacing lets go at four times the window in a round trip is out in a third of it, growth and all; when its
/// acknowledgements come without a gap for half a round trip, something on the way is slower, and how fast it is can be
/// seen. Slow start ends at seven quarters of what the path holds: within what a usual queue takes beyond that, and far
/// enough above it for the next losses; where the window is larger already it stays (RFC 9406 section 4.3), since the
/// measure may be too small, and what is out is out.
///
/// A train begins behind a gap, not with a round, whose first acknowledgement is the last one of a train while the path
/// is not filled. What arrives together with a train's first was held up and says nothing about the path.
constexpr void follow_train(Tcb& tcb, const Progress& progress) noexcept {
  HystartVariables& h = tcb.congestion.hystart;
  const std::uint32_t trip = tcb.loss.minimum;
  CongestionVariables& c = tcb.congestion;
  if (trip < constant::paced_round_trip / 1us) return;
  const Stamp now = Stamp::of(progress.now);
  if (static_cast<std::uint32_t>(now - h.train_last) > longest_gap(trip)) {  // or the first one
    h.train_since = now;
    h.train = 0;
  }
  h.train_last = now;
  if (now == h.train_since) return;
  h.train += progress.bytes;
  const auto smoothed = static_cast<std::uint32_t>(tcb.round_trip.smoothed / 1us);
  const auto passed = static_cast<std::uint32_t>(now - h.train_since);
  if (passed < std::max(trip, smoothed) / 2 || c.window < smallest_window * tcb.send.segment_size) return;
  const std::uint64_t path = std::uint64_t{h.train} * trip / passed;
  c.threshold = std::max(static_cast<std::uint32_t>(std::min<std::uint64_t>(path * 7 / 4, largest_window)), c.window);
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
  if (tcb.congestion.threshold == unknown_threshold) detail::follow_train(tcb, progress);
}

}  // namespace mirage::net::tcp::congestion::hystart
