// SPDX-License-Identifier: ISC
// Round-trip time and retransmission time-out, RFC 6298, with Karn's rule: nothing that was sent twice is measured.
#pragma once

#include <algorithm>
#include <optional>

#include <mirage/net/tcp/tcb.hpp>

namespace mirage::net::tcp {

/// The time-out now, with backoff: RFC 6298 (5.5), at most (2.5).
[[nodiscard]] constexpr Duration retransmission_timeout(const RoundTrip& trip) noexcept {
  Duration timeout = trip.timeout;
  for (unsigned i = 0; i < trip.backoff && timeout < constant::maximum_timeout; ++i) timeout *= 2;
  return std::min(timeout, constant::maximum_timeout);
}

/// RFC 6298 (2.2) and (2.3). Of `samples` in a round trip each counts for less: RFC 7323 appendix G.
constexpr void take_sample(RoundTrip& trip, Duration sample, std::uint32_t samples = 1) noexcept {
  sample = std::max(sample, Duration{1});
  if (trip.smoothed == Duration{0}) {
    trip.smoothed = sample;
    trip.variation = sample / 2;
  } else {
    const Duration error = sample > trip.smoothed ? sample - trip.smoothed : trip.smoothed - sample;
    trip.variation += (error - trip.variation) / (4 * std::int64_t{samples});
    trip.smoothed += (sample - trip.smoothed) / (8 * std::int64_t{samples});
  }
  const Duration margin = std::max(constant::clock_granularity, 4 * trip.variation);
  trip.timeout = std::min(trip.smoothed + std::max(margin, constant::minimum_variation), constant::maximum_timeout);
}

/// Starts a measurement with a segment that was never sent before; one at a time.
constexpr void time_segment(RoundTrip& trip, Sequence end, Time now) noexcept {
  if (trip.timing) return;
  trip.timing = true;
  trip.timed = end;
  trip.sent_at = now;
}

/// Whether an acknowledgement that comes `elapsed` after the last transmission answers it, rather than an earlier one:
/// it comes as fast as measured ones did (with a delayed acknowledgement's time), and not faster.
[[nodiscard]] constexpr bool answers_last(const RoundTrip& trip, Duration elapsed) noexcept {
  if (trip.smoothed == Duration{0}) return true;
  return elapsed >= trip.smoothed / 2 && elapsed <= trip.smoothed + 4 * trip.variation + constant::acknowledge_delay;
}

/// A round trip as an echoed timestamp tells it, one of `samples` that a round trip brings: no retransmission makes it
/// ambiguous (RFC 7323 section 4.2).
struct Echo {
  Duration trip;
  std::uint32_t samples;
};

/// On short paths a tick says less than the exact measurement of one segment in each round trip.
[[nodiscard]] constexpr bool useful(const RoundTrip& trip, const std::optional<Echo>& echo) noexcept {
  return echo && (!trip.timing || trip.smoothed >= 16 * constant::timestamp_tick);
}

/// An acknowledgement of new data: ends the measurement if it covers it. The backoff ends with a measurement, or when
/// the last retransmission was plainly answered. Otherwise it stays: on a path that has become slower than the time-out
/// every segment is sent twice, and nothing would ever be measured (Karn and Partridge 1987).
constexpr void on_acknowledged(RoundTrip& trip, Sequence acknowledgement, Time now, Time last_sent,
                               const std::optional<Echo>& echo) noexcept {
  if (trip.timing && acknowledgement >= trip.timed) {
    trip.timing = false;
    trip.backoff = 0;
    take_sample(trip, now - trip.sent_at);
  } else if (useful(trip, echo)) {
    trip.backoff = 0;
    take_sample(trip, echo->trip, echo->samples);
  } else if (trip.backoff > 0 && answers_last(trip, now - last_sent)) {
    trip.backoff = 0;
  }
}

}  // namespace mirage::net::tcp
