// SPDX-License-Identifier: ISC
// Interrupt controllers, only as far as a polling guest needs them: something must end its sleep. The two 8259 are
// masked, the local APIC times, the I/O APIC passes level and edge interrupts on as wake_vector.
#pragma once

#include <cstdint>

#include <mirage/machine/x86_64/clock.hpp>

namespace mirage::machine {

/// Masks both 8259s, moved to vectors 32-47 first, where stray interrupts do no harm, and stops the 8254's ticking.
void mask_legacy_interrupts() noexcept;

/// Local APIC: xAPIC through its page (mapped as device: `window()`), or x2APIC through MSRs when there is one.
class LocalApic {
 public:
  static constexpr std::uintptr_t window() noexcept { return 0xfee0'0000; }

  /// Enables it, with spurious_vector, and prepares the timer at timer_vector (TSC deadline when the processor has it).
  /// The window must be mapped. Takes 1 ms when nothing tells the timer's frequency (never on KVM and QEMU).
  void start(Clock& clock) noexcept;
  /// One interrupt when the clock has reached `deadline_ns` (at once when it has), or up to a minute later than now if
  /// that is sooner. Replaces an earlier one.
  void arm_timer(Clock& clock, std::uint64_t deadline_ns) noexcept;
  void disarm_timer() noexcept;
  void end_of_interrupt() noexcept;
  [[nodiscard]] std::uint32_t id() const noexcept;

 private:
  [[nodiscard]] std::uint32_t read(std::uint32_t offset) const noexcept;
  void write(std::uint32_t offset, std::uint32_t value) noexcept;
  [[nodiscard]] std::uint64_t measure_timer(Clock& clock) noexcept;

  bool x2apic_ = false;
  bool tsc_deadline_ = false;
  TickScale timer_;  ///< of the divided timer clock; unused with TSC deadline
};

enum class Trigger : std::uint8_t { edge, level_high, level_low };

/// One I/O APIC. Global system interrupts [base, base + pins).
class IoApic {
 public:
  IoApic() noexcept = default;
  IoApic(std::uintptr_t window, std::uint32_t first_interrupt) noexcept : window_(window), first_(first_interrupt) {}

  [[nodiscard]] bool has(std::uint32_t interrupt) const noexcept;
  /// Delivers `interrupt` (a global number, has() it) as wake_vector to `apic_id`.
  void route(std::uint32_t interrupt, std::uint32_t apic_id, Trigger trigger) noexcept;
  /// Masks every pin.
  void mask_all() noexcept;

 private:
  [[nodiscard]] std::uint32_t read(std::uint32_t index) const noexcept;
  void write(std::uint32_t index, std::uint32_t value) noexcept;
  [[nodiscard]] std::uint32_t pins() const noexcept;
  std::uintptr_t window_ = 0;
  std::uint32_t first_ = 0;
};

}  // namespace mirage::machine
