// SPDX-License-Identifier: ISC
// Clocks of a virtual x86_64 machine. Nanoseconds are derived from the time stamp counter; its frequency comes from the
// hypervisor (kvmclock, CPUID 40000010h), else the processor (CPUID 15h), else from at most 2 ms of the PIT.
#pragma once

#include <cstddef>
#include <cstdint>

namespace mirage::machine {

/// Ticks to nanoseconds: ns = ticks * multiplier >> shift, in 128 bits, so neither a long uptime nor a fast counter
/// overflows.
struct TickScale {
  std::uint64_t multiplier = 0;
  std::uint32_t shift = 0;

  [[nodiscard]] static constexpr TickScale of_frequency(std::uint64_t hertz) noexcept {
    // 10^9 / hertz as a fraction of 2^32: exact to 2^-32 for anything from 1 Hz to 2^64 Hz.
    constexpr unsigned __int128 nanoseconds = static_cast<unsigned __int128>(1'000'000'000) << 32;
    return hertz == 0 ? TickScale{} : TickScale{static_cast<std::uint64_t>(nanoseconds / hertz), 32};
  }
  [[nodiscard]] constexpr std::uint64_t nanoseconds(std::uint64_t ticks) const noexcept {
    return static_cast<std::uint64_t>(static_cast<unsigned __int128>(ticks) * multiplier >> shift);
  }
  /// The fewest ticks that last at least `nanoseconds`; saturates at 2^64 - 1.
  [[nodiscard]] constexpr std::uint64_t ticks(std::uint64_t nanoseconds) const noexcept {
    if (multiplier == 0) return 0;
    const auto wide = ((static_cast<unsigned __int128>(nanoseconds) << shift) + (multiplier - 1)) / multiplier;
    return wide >> 64 != 0 ? UINT64_MAX : static_cast<std::uint64_t>(wide);
  }
};

/// kvmclock's per-CPU page (Linux Documentation/virt/kvm/x86/msr.rst, pvclock_vcpu_time_info).
struct PvClockPage {
  std::uint32_t version;
  std::uint32_t padding;
  std::uint64_t tsc_timestamp;
  std::uint64_t system_time;
  std::uint32_t tsc_to_system_mul;
  std::int8_t tsc_shift;
  std::uint8_t flags;
  std::uint8_t padding2[2];
};
static_assert(sizeof(PvClockPage) == 32);

/// Nanoseconds by a pvclock page that shows `tsc`. Pure: natively tested.
[[nodiscard]] constexpr std::uint64_t pvclock_nanoseconds(const PvClockPage& page, std::uint64_t tsc) noexcept {
  const std::uint64_t delta = tsc > page.tsc_timestamp ? tsc - page.tsc_timestamp : 0;
  unsigned __int128 wide = delta;
  // A hostile or broken shift must not be undefined behaviour.
  if (page.tsc_shift >= 0) {
    wide <<= page.tsc_shift & 63;
  } else {
    wide >>= -page.tsc_shift & 63;
  }
  return page.system_time + static_cast<std::uint64_t>(wide * page.tsc_to_system_mul >> 32);
}

/// Seconds since the Unix epoch for a proleptic Gregorian date and time, UTC.
[[nodiscard]] constexpr std::uint64_t unix_seconds(unsigned year, unsigned month, unsigned day, unsigned hour,
                                                   unsigned minute, unsigned second) noexcept {
  // Days from civil (Howard Hinnant): years start in March, so the leap day is the last of its year.
  const unsigned y = month <= 2 ? year - 1 : year;
  const unsigned era = y / 400;
  const unsigned year_of_era = y - era * 400;
  const unsigned day_of_year = (153 * (month > 2 ? month - 3 : month + 9) + 2) / 5 + day - 1;
  const unsigned day_of_era = year_of_era * 365 + year_of_era / 4 - year_of_era / 100 + day_of_year;
  const std::uint64_t days = std::uint64_t{era} * 146097 + day_of_era - 719468;
  return days * 86400 + hour * 3600 + minute * 60 + second;
}

/// Hypervisor leaves (0x40000000 ...), found at whichever base they start.
struct Hypervisor {
  std::uint32_t base = 0;  ///< 0: none
  std::uint32_t last = 0;
  bool kvm = false;
  bool tcg = false;
  /// `base` is that of KVM's own leaves when it has several (Hyper-V's come first then).
  [[nodiscard]] static Hypervisor find() noexcept;
};

/// A reading of the PIT's second channel and of the time stamp counter at the same time.
struct PitSample {
  std::uint64_t tsc = 0;
  std::uint64_t width = 0;  ///< uncertainty, in ticks of the time stamp counter
  std::uint16_t count = 0;
};

/// The machine's clocks. begin() and start() once, before anything else; then both readings are a few instructions.
class Clock {
 public:
  /// How the frequency was found.
  enum class Source : std::uint8_t { none, kvmclock, hypervisor_leaf, processor_leaf, given, pit };

  Clock() noexcept = default;
  Clock(const Clock&) = delete;
  Clock& operator=(const Clock&) = delete;

  /// Begins detection, in two steps: where only the PIT is left, what start-up does in between is the measurement. The
  /// object must be in memory that stays mapped: kvmclock writes to it. Between the two steps the clock stands still.
  void begin() noexcept;
  /// Ends it: waits for what is missing of a millisecond if the PIT is needed. Then source() tells.
  void start() noexcept;
  /// The frequency and the wall time are known (hvt's boot info): detects nothing. `wall_now`: ns since the epoch.
  void start(std::uint64_t tsc_hertz, std::uint64_t wall_now) noexcept;

  /// Never runs backwards.
  [[nodiscard]] std::uint64_t monotonic_ns() noexcept;
  [[nodiscard]] std::uint64_t wall_ns() noexcept { return wall_offset_ + monotonic_ns(); }

  [[nodiscard]] Source source() const noexcept { return source_; }
  [[nodiscard]] const char* source_name() const noexcept;
  [[nodiscard]] std::uint64_t tsc_hertz() const noexcept { return hertz_; }
  /// Time stamp counter value at which monotonic_ns() will have reached `nanoseconds` (within a tick or so).
  [[nodiscard]] std::uint64_t tsc_at(std::uint64_t nanoseconds) noexcept;

 private:
  [[nodiscard]] bool start_kvmclock() noexcept;
  void announced_frequency() noexcept;
  [[nodiscard]] PvClockPage read_page() const noexcept;

  alignas(64) PvClockPage page_{};  ///< KVM writes to it; within one page, as it wants
  TickScale scale_;
  std::uint64_t hertz_ = 0;
  std::uint64_t start_ticks_ = 0;
  std::uint64_t last_ = 0;
  std::uint64_t wall_offset_ = 0;
  PitSample pit_;
  Source source_ = Source::none;
};

}  // namespace mirage::machine
