// SPDX-License-Identifier: ISC
// CUBIC, RFC 9438, with HyStart++ for the first slow start. Integers only: bytes and milliseconds; C = 0.4 segments per
// cubic second, beta = 0.7.
#pragma once

#include <mirage/net/tcp/congestion/hystart.hpp>

namespace mirage::net::tcp::congestion {

struct Cubic {
  static constexpr void established(Tcb& tcb) noexcept { tcb.congestion.hystart.round_end = tcb.send.next; }

  static constexpr void acknowledged(Tcb& tcb, const Progress& progress) noexcept {
    if (tcb.congestion.window < tcb.congestion.threshold) return hystart::grow(tcb, progress);
    avoid(tcb, progress);
  }

  /// RFC 9438 sections 4.6 (multiplicative decrease), 4.7 (fast convergence), 4.8 (time-out: the next epoch begins at
  /// its own W_max).
  static constexpr void reduce(Tcb& tcb, Cause cause, Time) noexcept {
    CongestionVariables& c = tcb.congestion;
    c.cubic.maximum_before = c.cubic.maximum;
    const bool converges = c.window < c.cubic.maximum;
    c.cubic.maximum = cause == Cause::timeout ? 0 : converges ? scale(c.window, 85, 100) : c.window;
    c.cubic.prior = c.window;
    c.cubic.running = false;
    c.threshold = part_of_window(tcb, cause == Cause::mark ? 870 : 717);  // 0.85 (RFC 8511 section 3.1), 0.7
  }

  /// RFC 9438 section 4.9: W_max as before; K and the epoch follow from it and the window.
  static constexpr void undo(Tcb& tcb) noexcept {
    tcb.congestion.cubic.maximum = tcb.congestion.cubic.maximum_before;
    tcb.congestion.cubic.running = false;
  }

  static constexpr Hooks hooks{established, acknowledged, reduce, undo};

  /// W_cubic(t) - W_max for a time of `distance` milliseconds before or after K: figure 1, C (t - K)^3, in bytes.
  [[nodiscard]] static constexpr std::uint32_t curve(std::uint32_t distance, std::uint32_t segment) noexcept {
    const std::uint64_t d = std::min(distance, 100'000U);
    return static_cast<std::uint32_t>(
        std::min<std::uint64_t>(d * d * d / 1'000'000 * segment * 4 / 10'000, largest_window));
  }
  /// K, figure 2, in milliseconds: the cube root of (W_max - cwnd_epoch) / C.
  [[nodiscard]] static constexpr std::uint32_t time_to(std::uint32_t bytes, std::uint32_t segment) noexcept {
    return cube_root(std::uint64_t{std::min(bytes, largest_window)} * 2'500'000'000 / segment);
  }

 private:
  /// Section 4.6. Of the window where that is what held sending back: pacing and acknowledgements that come together
  /// leave some of it unsent for the moment. Else of what is on its way (RFC 5681 equation 4).
  static constexpr std::uint32_t part_of_window(const Tcb& tcb, std::uint32_t part) noexcept {
    if (tcb.send.unacknowledged > tcb.congestion.limited) return part_of_flight(tcb, part);
    return std::max(scale(tcb.congestion.window, part, 1024), 2U * tcb.send.segment_size);
  }
  static constexpr std::uint32_t scale(std::uint32_t value, std::uint32_t part, std::uint32_t whole) noexcept {
    return static_cast<std::uint32_t>(std::uint64_t{value} * part / whole);
  }
  static constexpr std::uint32_t cube_root(std::uint64_t value) noexcept {
    std::uint64_t root = 0;
    for (std::uint64_t bit = 1U << 20; bit != 0; bit >>= 1) {
      const std::uint64_t next = root | bit;
      if (next * next * next <= value) root = next;
    }
    return static_cast<std::uint32_t>(root);
  }
  static constexpr std::uint32_t milliseconds(Time time) noexcept {
    return static_cast<std::uint32_t>(time.time_since_epoch().count() / 1'000'000);
  }

  static constexpr void begin(Tcb& tcb, std::uint32_t now) noexcept {
    CongestionVariables& c = tcb.congestion;
    c.cubic.running = true;
    c.cubic.epoch = c.cubic.last = now;
    c.cubic.estimate = c.window;
    c.cubic.credit = 0;
    c.cubic.inflection = 0;
    if (c.window < c.cubic.maximum) {
      c.cubic.inflection = time_to(c.cubic.maximum - c.window, tcb.send.segment_size);
    } else {
      c.cubic.maximum = c.window;
    }
  }

  /// Figure 1 at `time` milliseconds after the epoch's beginning.
  static constexpr std::uint32_t window_at(const Tcb& tcb, std::uint32_t time) noexcept {
    const CubicVariables& v = tcb.congestion.cubic;
    const std::uint32_t segment = tcb.send.segment_size;
    if (time >= v.inflection) return std::min(v.maximum + curve(time - v.inflection, segment), largest_window);
    const std::uint32_t below = curve(v.inflection - time, segment);
    return v.maximum > below ? v.maximum - below : 0;
  }

  /// Section 4.3, figure 4: what Reno would have, alpha = 3 (1 - beta) / (1 + beta) = 9/17, and 1 from cwnd_prior on.
  static constexpr void estimate(Tcb& tcb, std::uint32_t bytes) noexcept {
    CongestionVariables& c = tcb.congestion;
    CubicVariables& v = c.cubic;
    v.credit += bytes;
    const bool slower = v.estimate < v.prior;
    const std::uint64_t segment = tcb.send.segment_size;
    const std::uint64_t gain = segment * v.credit * (slower ? 9 : 17) / (std::uint64_t{17} * c.window);
    if (gain < 64) return;  // by the segment, not by the acknowledgement: rounding must not eat it
    v.estimate = static_cast<std::uint32_t>(std::min<std::uint64_t>(v.estimate + gain, largest_window));
    v.credit = 0;
  }

  /// Sections 4.2 to 4.5.
  static constexpr void avoid(Tcb& tcb, const Progress& progress) noexcept {
    CongestionVariables& c = tcb.congestion;
    CubicVariables& v = c.cubic;
    const std::uint32_t now = milliseconds(progress.now);
    if (!v.running) begin(tcb, now);
    const auto round_trip = static_cast<std::uint32_t>(tcb.round_trip.smoothed.count() / 1'000'000);
    // Section 5.8: time in which the application did not fill the window does not count.
    if (const std::uint32_t pause = now - v.last; pause > 2 * round_trip + 100) v.epoch += pause;
    v.last = now;
    estimate(tcb, progress.bytes);
    // Section 4.10 leaves W_max undefined before the first loss. The window then grows by a twentieth in a round trip
    // (as Linux's does): what slow start left of the path, and of its queue, is found before chance takes it.
    if (v.prior == 0) v.estimate = std::max(v.estimate, c.window + progress.bytes / 20);
    const std::uint32_t time = now - v.epoch;
    if (window_at(tcb, time) < v.estimate) {  // section 4.3: the Reno-friendly region
      c.window = std::max(c.window, v.estimate);
      return;
    }
    // Sections 4.4 and 4.5: towards what the curve says a round trip from now, at most half as much again.
    const std::uint32_t target = std::clamp(window_at(tcb, time + round_trip), c.window, scale(c.window, 3, 2));
    c.window = std::min(c.window + scale(target - c.window, progress.bytes, c.window), largest_window);
  }
};

}  // namespace mirage::net::tcp::congestion
