// SPDX-License-Identifier: ISC
// Token bucket: for ICMP errors (RFC 1812 4.3.2.8) and everything else that a stranger can make us send.
#pragma once

#include <cstdint>

#include <mirage/base/time.hpp>

namespace mirage::net::ip {

class RateLimit {
 public:
  /// One per `interval`, and `burst` at once: both on average.
  constexpr RateLimit(Duration interval, std::uint32_t burst) noexcept : interval_(interval), burst_(burst) {}
  /// `tokens` is what this one costs, none or two by chance. Were it always one, who shares the bucket with others
  /// could tell by what is left to him what they were answered, so which ports are open to them (CVE-2020-25705).
  [[nodiscard]] constexpr bool allow(Time now, std::uint32_t tokens) noexcept {
    // `full_` is when the bucket is full again; each token moves it one interval on.
    const Time start = full_ < now ? now : full_;
    if (start + interval_ - now > interval_ * burst_) return false;
    full_ = start + interval_ * tokens;
    return true;
  }

 private:
  Duration interval_;
  std::uint32_t burst_;
  Time full_{};
};

}  // namespace mirage::net::ip
