// SPDX-License-Identifier: ISC
// What a congestion algorithm is: the hooks that recovery calls. An algorithm keeps CongestionVariables::window while
// nothing is being repaired and says how far a loss takes it down; what is sent meanwhile is recovery's (RFC 6937).
#pragma once

#include <algorithm>

#include <mirage/net/tcp/tcb.hpp>

namespace mirage::net::tcp::congestion {

/// An acknowledgement of new text, while nothing is being repaired or after a time-out.
struct Progress {
  Time now;
  std::uint32_t bytes = 0;       ///< acknowledged by it
  std::uint32_t round_trip = 0;  ///< microseconds, measured by it; 0: not
};

/// Why a window is reduced.
enum class Cause : std::uint8_t {
  loss,
  timeout,
  mark,  ///< a router met congestion and dropped nothing: its queue is short, so less will do (RFC 8511)
};

/// An acknowledgement that delivers something, for an algorithm that has a model of the path.
struct Evidence {
  Time now;
  const Delivery& delivery;
  std::uint32_t round_trip = 0;  ///< microseconds, measured by it; 0: not
  bool limited = false;          ///< the window held sending back in the last round trip
};

/// An algorithm that has a model of the path hears more, and sets window and rate itself whatever is being repaired.
struct ModelHooks {
  /// `bytes` have gone out (text and FIN), once more or for the first time; they count as on their way already.
  void (*sent)(Tcb& tcb, std::uint32_t bytes, Time now) noexcept;
  /// `bytes` are taken for lost.
  void (*lost)(Tcb& tcb, std::uint32_t bytes, Time now) noexcept;
  /// After `lost`, and after repairs have begun or ended.
  void (*acknowledged)(Tcb& tcb, const Evidence& evidence) noexcept;
  /// The window has room, and there is nothing to send.
  void (*starved)(Tcb& tcb) noexcept;
  /// All that was lost is repaired: the window of before, as far as the model allows.
  void (*repaired)(Tcb& tcb) noexcept;
};

struct Hooks {
  /// The first window is set; the rest begins.
  void (*established)(Tcb& tcb) noexcept;
  /// Only when the window is what held sending back (RFC 7661 section 4.1's concern): it may grow.
  void (*acknowledged)(Tcb& tcb, const Progress& progress) noexcept;
  /// Sets `threshold` to what the window shall be afterwards.
  void (*reduce)(Tcb& tcb, Cause cause, Time now) noexcept;
  /// The reduction was wrong; window and threshold are given back already.
  void (*undo)(Tcb& tcb) noexcept;
  const ModelHooks* model = nullptr;
};

/// CUBIC's, in an image without BBR, for what came from one that has it.
[[nodiscard]] const Hooks& hooks(Algorithm algorithm) noexcept;
/// Null: the connection's algorithm has none.
[[nodiscard]] inline const ModelHooks* model(const Tcb& tcb) noexcept { return hooks(tcb.congestion.algorithm).model; }

inline constexpr std::uint32_t largest_window = 1U << 30;
inline constexpr std::uint32_t unknown_threshold = 0x7fffffff;  ///< before the first loss

/// RFC 5681 equation 4, with `part` of 1024 instead of a half; at least two segments.
[[nodiscard]] constexpr std::uint32_t part_of_flight(const Tcb& tcb, std::uint32_t part) noexcept {
  const std::uint32_t flight = std::min(distance(tcb.send.unacknowledged, tcb.send.maximum), tcb.congestion.window);
  return std::max(static_cast<std::uint32_t>(std::uint64_t{flight} * part / 1024), 2U * tcb.send.segment_size);
}

/// Slow start, RFC 5681 section 3.1 with RFC 3465: at most `most` segments for one acknowledgement.
constexpr void slow_start(Tcb& tcb, std::uint32_t bytes, std::uint32_t most) noexcept {
  CongestionVariables& c = tcb.congestion;
  c.window = std::min(c.window + std::min(bytes, most * tcb.send.segment_size), largest_window);
}

/// When the connection is established: RFC 6928; a lost SYN means a window of one segment (RFC 5681 section 3.1).
void establish(Tcb& tcb, bool syn_was_lost) noexcept;
/// Idle for longer than a time-out: the old window says nothing any more (RFC 5681 section 4.1).
void restart_after_idle(Tcb& tcb) noexcept;

}  // namespace mirage::net::tcp::congestion
