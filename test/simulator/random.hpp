// SPDX-License-Identifier: ISC
// Random numbers of the simulator: SplitMix64, one stream for each purpose, all from one seed.
#pragma once

#include <cstdint>

namespace mirage::simulator {

[[nodiscard]] constexpr std::uint64_t mix(std::uint64_t value) noexcept {
  value += 0x9e3779b97f4a7c15;
  value = (value ^ value >> 30) * 0xbf58476d1ce4e5b9;
  value = (value ^ value >> 27) * 0x94d049bb133111eb;
  return value ^ value >> 31;
}

class Random {
 public:
  Random(std::uint64_t seed, std::uint64_t purpose) noexcept : state_(mix(seed) ^ mix(~purpose)) {}
  std::uint64_t next() noexcept { return mix(state_ += 0x632be59bd9b4e019); }
  /// Uniform in [low, high].
  std::uint64_t between(std::uint64_t low, std::uint64_t high) noexcept { return low + next() % (high - low + 1); }
  bool chance(double probability) noexcept {
    return static_cast<double>(next() >> 11) < probability * static_cast<double>(1ULL << 53);
  }
  /// Magnitudes rather than values: each power of two is as likely as the next.
  std::uint64_t magnitude(std::uint64_t high) noexcept {
    std::uint64_t bits = 0;
    while (high >> bits != 0) ++bits;
    const std::uint64_t limit = std::uint64_t{1} << between(0, bits);
    const std::uint64_t value = between(0, limit);
    return value < high ? value : high;
  }

 private:
  std::uint64_t state_;
};

}  // namespace mirage::simulator
