// SPDX-License-Identifier: ISC
// Time is an argument: the monotonic clock's type has no now(), so nothing below the target layer can read a clock.
#pragma once

#include <cstdint>
#include <ratio>

// Durations, time points and their literals alone: libc++'s <chrono> brings formatting, locales and calendars along,
// which were two thirds of the time of compiling a typical file.
#if __has_include(<__chrono/duration.h>)
#include <__chrono/duration.h>
#include <__chrono/time_point.h>
#else
#include <chrono>
#endif

namespace mirage {

/// Signed 64-bit nanoseconds.
using Duration = std::chrono::duration<std::int64_t, std::nano>;

/// Nanoseconds since an arbitrary start (boot). Deliberately without now(): the shard's turn supplies the time.
struct MonotonicClock {
  using duration = Duration;
  using rep = Duration::rep;
  using period = Duration::period;
  using time_point = std::chrono::time_point<MonotonicClock, Duration>;
  static constexpr bool is_steady = true;
};
using Time = MonotonicClock::time_point;

/// Nanoseconds since the Unix epoch, UTC.
struct RealtimeClock {
  using duration = Duration;
  using rep = Duration::rep;
  using period = Duration::period;
  using time_point = std::chrono::time_point<RealtimeClock, Duration>;
  static constexpr bool is_steady = false;
};
using WallTime = RealtimeClock::time_point;

/// "No deadline".
inline constexpr Time never = Time::max();

/// `start + duration`, at most `never`. Precondition: start is not before 0.
[[nodiscard]] constexpr Time after(Time start, Duration duration) noexcept {
  return duration > never - start ? never : start + duration;
}

/// `using namespace mirage::literals;` gives 10s, 5ms, 20us.
namespace literals {
using namespace std::chrono_literals;
}
using namespace std::chrono_literals;

}  // namespace mirage
