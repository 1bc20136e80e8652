// SPDX-License-Identifier: ISC
// Timestamps (RFC 7323 sections 3 to 5): what a segment carries, protection against wrapped sequence numbers,
// round-trip times. Read section 5 and appendix G before editing.
#pragma once

#include <optional>

#include <mirage/net/tcp/rto.hpp>
#include <mirage/net/tcp/segment.hpp>
#include <mirage/net/tcp/tcb.hpp>

namespace mirage::net::tcp {

/// Ticks of a clock with `offset`; modulo 2^32.
[[nodiscard]] constexpr std::uint32_t timestamp_at(std::uint32_t offset, Time now) noexcept {
  return offset + static_cast<std::uint32_t>(now.time_since_epoch() / constant::timestamp_tick);
}

[[nodiscard]] constexpr std::uint32_t in_seconds(Time now) noexcept {
  return static_cast<std::uint32_t>(now.time_since_epoch() / 1s);
}

/// Section 3.2: once agreed, in every segment.
constexpr void stamp(const Tcb& tcb, Time now, wire::TcpOptionSet& options) noexcept {
  options.has_timestamps = tcb.timestamps.on;
  options.timestamp = timestamp_at(tcb.timestamps.offset, now);
  options.timestamp_echo = tcb.timestamps.recent;
}

/// Whether timestamp `a` is older than `b`: signed, modulo 2^32.
[[nodiscard]] constexpr bool is_older(std::uint32_t a, std::uint32_t b) noexcept {
  return static_cast<std::int32_t>(a - b) < 0;
}

/// PAWS, section 5.3 R1: an old duplicate. TS.Recent itself grows old: section 5.5.
[[nodiscard]] constexpr bool is_old_duplicate(const Timestamps& t, const Segment& segment, Time now) noexcept {
  return is_older(segment.options.timestamp, t.recent) &&
         in_seconds(now) - t.recent_at < constant::timestamp_lifetime / 1s;
}

/// Section 4.3 (2) and 5.3 R3, with the segment acceptable: what is echoed is the timestamp of the segment that the
/// next acknowledgement answers first.
constexpr void note_timestamp(Timestamps& t, const Segment& segment, Time now) noexcept {
  if (!t.on || !segment.options.has_timestamps || segment.sequence > t.acknowledged) return;
  t.recent = segment.options.timestamp;
  t.recent_at = in_seconds(now);
}

/// The round trip that an acknowledgement of new text tells, section 4.1. An echo of what was never sent, or ages ago,
/// tells nothing.
[[nodiscard]] constexpr std::optional<Echo> echoed_round_trip(const Tcb& tcb, const Segment& segment,
                                                              Time now) noexcept {
  if (!tcb.timestamps.on || !segment.options.has_timestamps) return std::nullopt;
  const std::uint32_t ticks = timestamp_at(tcb.timestamps.offset, now) - segment.options.timestamp_echo;
  const Duration trip = ticks * constant::timestamp_tick;
  if (trip > constant::user_timeout) return std::nullopt;
  // Appendix G: an acknowledgement for every second segment of what is in flight.
  const std::uint32_t flight = distance(tcb.send.unacknowledged, tcb.send.maximum);
  return Echo{.trip = trip, .samples = std::max(flight / (2U * tcb.send.segment_size), 1U)};
}

}  // namespace mirage::net::tcp
