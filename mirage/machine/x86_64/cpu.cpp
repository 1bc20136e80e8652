// SPDX-License-Identifier: ISC
#include <mirage/machine/x86_64/cpu.hpp>

namespace mirage::machine {

void enable_vector_units() noexcept {
  constexpr std::uint64_t cr0_monitor = 1U << 1;
  constexpr std::uint64_t cr0_emulation = 1U << 2;
  constexpr std::uint64_t cr0_task_switched = 1U << 3;
  constexpr std::uint64_t cr0_numeric_error = 1U << 5;
  constexpr std::uint64_t cr4_fxsr = 1U << 9;
  constexpr std::uint64_t cr4_simd_exceptions = 1U << 10;
  constexpr std::uint64_t cr4_xsave = 1U << 18;
  std::uint64_t cr0 = 0;
  std::uint64_t cr4 = 0;
  asm volatile("mov %%cr0, %0" : "=r"(cr0));
  asm volatile("mov %%cr4, %0" : "=r"(cr4));
  cr0 = (cr0 & ~(cr0_emulation | cr0_task_switched)) | cr0_monitor | cr0_numeric_error;
  cr4 |= cr4_fxsr | cr4_simd_exceptions;
  const bool xsave = (cpuid(1).ecx >> 26 & 1) != 0;
  if (xsave) cr4 |= cr4_xsave;
  asm volatile("mov %0, %%cr0" ::"r"(cr0) : "memory");
  asm volatile("mov %0, %%cr4" ::"r"(cr4) : "memory");
  asm volatile("fninit");
  if (!xsave) return;
  // x87 and SSE always; AVX and the three AVX-512 states as far as the processor lists them.
  const std::uint32_t supported = cpuid(0xd).eax;
  std::uint32_t enabled = supported & 0x7;
  if ((supported & 0xe0) == 0xe0 && (enabled & 0x4) != 0) enabled |= 0xe0;
  asm volatile("xsetbv" ::"c"(0), "a"(enabled), "d"(0));
}

}  // namespace mirage::machine
