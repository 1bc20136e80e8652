// SPDX-License-Identifier: ISC
#include <mirage/machine/x86_64/cpu.hpp>
#include <mirage/target/virtio/guest/state.hpp>

namespace mirage::target::virtio {

namespace {

constexpr unsigned sleep_enable = 1U << 13;

void soft_off(const PowerOff& power) noexcept {
  if (power.control_a != 0) {
    machine::out16(power.control_a, static_cast<std::uint16_t>(unsigned{power.type_a} << 10 | sleep_enable));
  }
  if (power.control_b != 0) {
    machine::out16(power.control_b, static_cast<std::uint16_t>(unsigned{power.type_b} << 10 | sleep_enable));
  }
  if (power.sleep_control == 0) return;
  const auto value = static_cast<std::uint8_t>(unsigned{power.type_a} << 2 | 1U << 5);
  if (power.sleep_control_is_port) {
    machine::out8(static_cast<std::uint16_t>(power.sleep_control), value);
  } else if (map_device(power.sleep_control, 1)) {
    machine::write_register<std::uint8_t>(power.sleep_control, value);
  }
}

/// Without ACPI all that is left is a reset, which ends QEMU under -no-reboot: the keyboard controller's, then a
/// triple fault.
void reset() noexcept {
  machine::out8(0x64, 0xfe);
  struct [[gnu::packed]] {
    std::uint16_t limit = 0;
    std::uint64_t base = 0;
  } none;
  asm volatile("lidt %0; int3" ::"m"(none));
}

}  // namespace

void power_off() noexcept {
  machine::disable_interrupts();
  soft_off(state.acpi.power_off);
  reset();
  machine::halt();
}

}  // namespace mirage::target::virtio
