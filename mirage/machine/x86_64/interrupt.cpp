// SPDX-License-Identifier: ISC
#include <mirage/machine/x86_64/cpu.hpp>
#include <mirage/machine/x86_64/descriptor_tables.hpp>
#include <mirage/machine/x86_64/interrupt.hpp>

namespace mirage::machine {

namespace {

// Intel SDM volume 3, table 11-1; x2APIC: MSR 0x800 + offset / 16.
constexpr std::uint32_t apic_id = 0x20;
constexpr std::uint32_t apic_task_priority = 0x80;
constexpr std::uint32_t apic_end_of_interrupt = 0xb0;
constexpr std::uint32_t apic_spurious = 0xf0;
constexpr std::uint32_t apic_timer_entry = 0x320;
constexpr std::uint32_t apic_lint0_entry = 0x350;
constexpr std::uint32_t apic_initial_count = 0x380;
constexpr std::uint32_t apic_current_count = 0x390;
constexpr std::uint32_t apic_divide = 0x3e0;
constexpr std::uint32_t entry_masked = 1U << 16;
constexpr std::uint32_t timer_tsc_deadline = 2U << 17;
constexpr std::uint32_t software_enable = 1U << 8;
constexpr std::uint32_t divide_by_16 = 0x3;
constexpr std::uint64_t divisor = 16;
constexpr std::uint64_t base_x2apic = 1U << 10;
constexpr std::uint64_t base_enable = 1U << 11;

/// Frequency before the divider: KVM and QEMU count nanoseconds; others say so in the timing leaf or in CPUID 15h.
std::uint64_t announced_hertz() noexcept {
  const Hypervisor hypervisor = Hypervisor::find();
  if (hypervisor.base != 0 && hypervisor.last >= hypervisor.base + 0x10) {
    const std::uint64_t kilohertz = cpuid(hypervisor.base + 0x10).ebx;
    if (kilohertz != 0) return kilohertz * 1000;
  }
  if (hypervisor.kvm || hypervisor.tcg) return 1'000'000'000;
  return cpuid(0).eax >= 0x15 ? cpuid(0x15).ecx : 0;
}

}  // namespace

void mask_legacy_interrupts() noexcept {
  // 8259A: ICW1-ICW4 at vectors 32 and 40, then mask all. The delay writes to port 0x80 are not needed by any
  // hypervisor.
  constexpr std::uint16_t primary = 0x20;
  constexpr std::uint16_t secondary = 0xa0;
  out8(primary, 0x11);
  out8(secondary, 0x11);
  out8(primary + 1, 32);
  out8(secondary + 1, 40);
  out8(primary + 1, 4);
  out8(secondary + 1, 2);
  out8(primary + 1, 1);
  out8(secondary + 1, 1);
  out8(primary + 1, 0xff);
  out8(secondary + 1, 0xff);
  // 8254 channel 0: firmware leaves it ticking 18 times a second, which costs the host even when masked. Mode 0 with
  // a count of one ends it.
  out8(0x43, 0x30);
  out8(0x40, 1);
  out8(0x40, 0);
}

std::uint32_t LocalApic::read(std::uint32_t offset) const noexcept {
  if (x2apic_) return static_cast<std::uint32_t>(read_msr(0x800 + offset / 16));
  return read_register<std::uint32_t>(window() + offset);
}

void LocalApic::write(std::uint32_t offset, std::uint32_t value) noexcept {
  if (x2apic_) {
    write_msr(0x800 + offset / 16, value);
  } else {
    write_register<std::uint32_t>(window() + offset, value);
  }
}

void LocalApic::start(Clock& clock) noexcept {
  const std::uint32_t features = cpuid(1).ecx;
  x2apic_ = (features >> 21 & 1) != 0;
  tsc_deadline_ = (features >> 24 & 1) != 0;
  const std::uint64_t base = read_msr(msr_apic_base) | base_enable;
  write_msr(msr_apic_base, base);
  if (x2apic_) write_msr(msr_apic_base, base | base_x2apic);
  write(apic_task_priority, 0);
  write(apic_lint0_entry, entry_masked);  // no 8259 behind it any more
  write(apic_spurious, software_enable | spurious_vector);
  if (tsc_deadline_) {
    write(apic_timer_entry, timer_tsc_deadline | timer_vector);
    return;
  }
  write(apic_timer_entry, timer_vector);
  write(apic_divide, divide_by_16);
  const std::uint64_t announced = announced_hertz() / divisor;
  timer_ = TickScale::of_frequency(announced != 0 ? announced : measure_timer(clock));
}

std::uint64_t LocalApic::measure_timer(Clock& clock) noexcept {
  constexpr std::uint64_t interval = 1'000'000;
  write(apic_timer_entry, timer_vector | entry_masked);
  const std::uint64_t start = clock.monotonic_ns();
  write(apic_initial_count, UINT32_MAX);
  std::uint64_t elapsed = 0;
  while (elapsed < interval) elapsed = clock.monotonic_ns() - start;
  const std::uint64_t counted = UINT32_MAX - read(apic_current_count);
  write(apic_initial_count, 0);
  write(apic_timer_entry, timer_vector);
  return counted * 1'000'000'000 / elapsed;
}

void LocalApic::arm_timer(Clock& clock, std::uint64_t deadline_ns) noexcept {
  constexpr std::uint64_t longest = 60'000'000'000;
  const std::uint64_t now = clock.monotonic_ns();
  const std::uint64_t wait = deadline_ns <= now ? 0 : deadline_ns - now < longest ? deadline_ns - now : longest;
  if (tsc_deadline_) {
    // 0 would disarm.
    const std::uint64_t tsc = clock.tsc_at(now + wait);
    write_msr(msr_tsc_deadline, tsc == 0 ? 1 : tsc);
    return;
  }
  const std::uint64_t ticks = timer_.ticks(wait);
  write(apic_initial_count, ticks == 0 ? 1 : ticks > UINT32_MAX ? UINT32_MAX : static_cast<std::uint32_t>(ticks));
}

void LocalApic::disarm_timer() noexcept {
  if (tsc_deadline_) {
    write_msr(msr_tsc_deadline, 0);
  } else {
    write(apic_initial_count, 0);
  }
}

void LocalApic::end_of_interrupt() noexcept { write(apic_end_of_interrupt, 0); }

std::uint32_t LocalApic::id() const noexcept { return x2apic_ ? read(apic_id) : read(apic_id) >> 24; }

// Intel 82093AA: index at offset 0, data at 16.
std::uint32_t IoApic::read(std::uint32_t index) const noexcept {
  write_register<std::uint32_t>(window_, index);
  return read_register<std::uint32_t>(window_ + 16);
}

void IoApic::write(std::uint32_t index, std::uint32_t value) noexcept {
  write_register<std::uint32_t>(window_, index);
  write_register<std::uint32_t>(window_ + 16, value);
}

std::uint32_t IoApic::pins() const noexcept { return (read(1) >> 16 & 0xff) + 1; }

bool IoApic::has(std::uint32_t interrupt) const noexcept {
  return window_ != 0 && interrupt >= first_ && interrupt - first_ < pins();
}

void IoApic::route(std::uint32_t interrupt, std::uint32_t to_apic, Trigger trigger) noexcept {
  constexpr std::uint32_t active_low = 1U << 13;
  constexpr std::uint32_t level = 1U << 15;
  const std::uint32_t pin = 0x10 + 2 * (interrupt - first_);
  write(pin + 1, to_apic << 24);
  write(pin, wake_vector | (trigger == Trigger::edge ? 0 : level) | (trigger == Trigger::level_low ? active_low : 0));
}

void IoApic::mask_all() noexcept {
  const std::uint32_t count = pins();
  for (std::uint32_t i = 0; i < count; ++i) write(0x10 + 2 * i, entry_masked);
}

}  // namespace mirage::machine
