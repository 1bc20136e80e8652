// SPDX-License-Identifier: ISC
// The privileged half of PageTables; paging.cpp is plain memory and natively tested.
#include <mirage/machine/x86_64/cpu.hpp>
#include <mirage/machine/x86_64/image.hpp>
#include <mirage/machine/x86_64/paging.hpp>

namespace mirage::machine {

PageTables::PageTables(InForce, std::span<std::byte> pool) noexcept : active_(true) {
  take_pool(pool);
  constexpr std::uintptr_t flags = page_size - 1;
  root_ = reinterpret_cast<Entry*>(read_cr3() & ~flags);  // NOLINT(performance-no-int-to-ptr): mapped to itself
}

bool PageTables::map_image() noexcept {
  for (const ProgramHeader& header : program_headers()) {
    if (header.type != pt_load || header.memory_size == 0) continue;
    const Segment segment = segment_of(header);
    if (!segment.valid || !map(segment.begin, segment.end, segment.access)) return false;
  }
  return true;
}

namespace {

constexpr std::uint64_t write_protect = 1U << 16;

std::uint64_t read_cr0() noexcept {
  std::uint64_t value = 0;
  asm volatile("mov %%cr0, %0" : "=r"(value));
  return value;
}
void write_cr0(std::uint64_t value) noexcept { asm volatile("mov %0, %%cr0" ::"r"(value) : "memory"); }

}  // namespace

void PageTables::activate() noexcept {
  constexpr std::uint64_t no_execute_enable = 1U << 11;
  write_msr(msr_efer, read_msr(msr_efer) | no_execute_enable);
  write_cr0(read_cr0() | write_protect);
  asm volatile("mov %0, %%cr3" ::"r"(root()) : "memory");
  active_ = true;
}

bool PageTables::map_active(std::uintptr_t begin, std::uintptr_t end, Entry page) noexcept {
  constexpr unsigned top_level = 4;
  write_cr0(read_cr0() & ~write_protect);
  const bool done = map_level(root_, top_level, begin, end, page);
  write_cr0(read_cr0() | write_protect);
  for (std::uintptr_t at = begin; at < end; at += page_size) asm volatile("invlpg (%0)" ::"r"(at) : "memory");
  return done;
}

}  // namespace mirage::machine
