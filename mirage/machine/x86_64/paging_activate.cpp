// SPDX-License-Identifier: ISC
// The privileged half of PageTables; paging.cpp is plain memory and natively tested.
#include <mirage/machine/x86_64/cpu.hpp>
#include <mirage/machine/x86_64/image.hpp>
#include <mirage/machine/x86_64/paging.hpp>

namespace mirage::machine {

bool PageTables::map_image() noexcept {
  for (const ProgramHeader& header : program_headers()) {
    if (header.type != pt_load || header.memory_size == 0) continue;
    const Segment segment = segment_of(header);
    if (!segment.valid || !map(segment.begin, segment.end, segment.access)) return false;
  }
  return true;
}

void PageTables::activate() noexcept {
  constexpr std::uint64_t no_execute_enable = 1U << 11;
  constexpr std::uint64_t write_protect = 1U << 16;
  write_msr(msr_efer, read_msr(msr_efer) | no_execute_enable);
  std::uint64_t control = 0;
  asm volatile("mov %%cr0, %0" : "=r"(control));
  asm volatile("mov %0, %%cr0" ::"r"(control | write_protect) : "memory");
  asm volatile("mov %0, %%cr3" ::"r"(root()) : "memory");
  active_ = true;
}

void PageTables::flush(std::uintptr_t begin, std::uintptr_t end) const noexcept {
  for (std::uintptr_t at = begin; at < end; at += page_size) asm volatile("invlpg (%0)" ::"r"(at) : "memory");
}

}  // namespace mirage::machine
