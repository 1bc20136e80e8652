// SPDX-License-Identifier: ISC
// The instructions of ring 0 as small typed functions. Nothing here keeps state.
#pragma once

#include <cstddef>
#include <cstdint>

#include <mirage/machine/x86_64/processor/cpuid.hpp>

namespace mirage::machine {

[[nodiscard]] inline std::uint64_t read_msr(std::uint32_t index) noexcept {
  std::uint32_t low = 0;
  std::uint32_t high = 0;
  asm volatile("rdmsr" : "=a"(low), "=d"(high) : "c"(index));
  return std::uint64_t{high} << 32 | low;
}
inline void write_msr(std::uint32_t index, std::uint64_t value) noexcept {
  asm volatile("wrmsr" ::"c"(index), "a"(static_cast<std::uint32_t>(value)),
               "d"(static_cast<std::uint32_t>(value >> 32))
               : "memory");
}

inline constexpr std::uint32_t msr_apic_base = 0x1b;
inline constexpr std::uint32_t msr_tsc_deadline = 0x6e0;
inline constexpr std::uint32_t msr_efer = 0xc000'0080;
inline constexpr std::uint32_t msr_fs_base = 0xc000'0100;

/// Port I/O.
[[nodiscard]] inline std::uint8_t in8(std::uint16_t port) noexcept {
  std::uint8_t value = 0;
  asm volatile("inb %1, %0" : "=a"(value) : "Nd"(port) : "memory");
  return value;
}
[[nodiscard]] inline std::uint16_t in16(std::uint16_t port) noexcept {
  std::uint16_t value = 0;
  asm volatile("inw %1, %0" : "=a"(value) : "Nd"(port) : "memory");
  return value;
}
[[nodiscard]] inline std::uint32_t in32(std::uint16_t port) noexcept {
  std::uint32_t value = 0;
  asm volatile("inl %1, %0" : "=a"(value) : "Nd"(port) : "memory");
  return value;
}
inline void out8(std::uint16_t port, std::uint8_t value) noexcept {
  asm volatile("outb %0, %1" ::"a"(value), "Nd"(port) : "memory");
}
inline void out16(std::uint16_t port, std::uint16_t value) noexcept {
  asm volatile("outw %0, %1" ::"a"(value), "Nd"(port) : "memory");
}
inline void out32(std::uint16_t port, std::uint32_t value) noexcept {
  asm volatile("outl %0, %1" ::"a"(value), "Nd"(port) : "memory");
}

/// The time stamp counter, not earlier than preceding loads.
[[nodiscard]] inline std::uint64_t read_tsc() noexcept {
  std::uint32_t low = 0;
  std::uint32_t high = 0;
  asm volatile("lfence; rdtsc" : "=a"(low), "=d"(high)::"memory");
  return std::uint64_t{high} << 32 | low;
}

[[nodiscard]] inline std::uint64_t read_cr2() noexcept {
  std::uint64_t value = 0;
  asm volatile("mov %%cr2, %0" : "=r"(value));
  return value;
}
[[nodiscard]] inline std::uint64_t read_cr3() noexcept {
  std::uint64_t value = 0;
  asm volatile("mov %%cr3, %0" : "=r"(value));
  return value;
}

/// Registers of a device in memory, at fixed widths. The memory must be mapped as Access::device.
template <class T>
[[nodiscard]] inline T read_register(std::uintptr_t address) noexcept {
  return *reinterpret_cast<const volatile T*>(address);
}
template <class T>
inline void write_register(std::uintptr_t address, T value) noexcept {
  *reinterpret_cast<volatile T*>(address) = value;
}

inline void disable_interrupts() noexcept { asm volatile("cli" ::: "memory"); }

/// Enables interrupts and halts until one arrives; returns with interrupts disabled (the handlers of
/// descriptor_tables.hpp clear the flag on the interrupted context, so none slips in between). An interrupt that is
/// pending already ends the halt at once, so there is no lost wake-up. The caller acknowledges the interrupt
/// (LocalApic::end_of_interrupt).
inline void halt_until_interrupt() noexcept { asm volatile("sti; hlt; cli" ::: "memory"); }

/// Halts for ever.
[[noreturn]] inline void halt() noexcept {
  for (;;) asm volatile("cli; hlt" ::: "memory");
}

/// Enables x87, SSE and whatever of AVX and AVX-512 the processor has (CR0, CR4.OSFXSR, OSXMMEXCPT, OSXSAVE, XCR0).
/// SSE must work already when the compiler may use it, so start-up assembly has to set OSFXSR itself.
void enable_vector_units() noexcept;

}  // namespace mirage::machine
