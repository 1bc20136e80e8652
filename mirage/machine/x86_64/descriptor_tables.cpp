// SPDX-License-Identifier: ISC
#include <mirage/machine/x86_64/descriptor_tables.hpp>

/// The stubs of trap.S: one of four bytes per exception, then the one that only wakes.
extern "C" {
extern const std::byte mirage_exception_stubs[];  // NOLINT
extern const std::byte mirage_wake_stub[];        // NOLINT
}

namespace mirage::machine {

namespace {

constexpr std::size_t exception_count = 32;
constexpr std::size_t stub_size = 4;
constexpr std::uint8_t interrupt_gate = 0x8e;
constexpr std::uint64_t code_descriptor = 0x00af'9b00'0000'ffff;
constexpr std::uint64_t data_descriptor = 0x00cf'9300'0000'ffff;

Gate gate_to(const std::byte* handler, std::uint8_t stack) {
  const auto address = reinterpret_cast<std::uintptr_t>(handler);
  return {static_cast<std::uint16_t>(address),
          code_selector,
          stack,
          interrupt_gate,
          static_cast<std::uint16_t>(address >> 16),
          static_cast<std::uint32_t>(address >> 32),
          0};
}

/// NMI, double fault and machine check may come in the middle of another fault.
constexpr bool second_stack(std::size_t vector) { return vector == 2 || vector == 8 || vector == 18; }

void fill(DescriptorTables& tables) {
  const auto task = reinterpret_cast<std::uintptr_t>(&tables.task);
  constexpr std::uint64_t limit = sizeof(TaskState) - 1;
  tables.gdt = {0, code_descriptor, data_descriptor,
                limit | (task & 0xff'ffff) << 16 | std::uint64_t{0x89} << 40 | (task >> 24 & 0xff) << 56, task >> 32};
  tables.task.interrupt_stack[0] = reinterpret_cast<std::uintptr_t>(tables.fault_stack.end());
  tables.task.interrupt_stack[1] = reinterpret_cast<std::uintptr_t>(tables.double_fault_stack.end());
  tables.task.io_map = sizeof(TaskState);
  for (std::size_t i = 0; i < vector_count; ++i) {
    tables.idt[i] = i < exception_count ? gate_to(mirage_exception_stubs + i * stub_size, second_stack(i) ? 2 : 1)
                                        : gate_to(mirage_wake_stub, 0);
  }
}

struct [[gnu::packed]] TableRegister {
  std::uint16_t limit;
  std::uint64_t base;
};

}  // namespace

void install(DescriptorTables& tables) noexcept {
  fill(tables);
  const TableRegister gdt{sizeof(tables.gdt) - 1, reinterpret_cast<std::uintptr_t>(tables.gdt.data())};
  const TableRegister idt{sizeof(tables.idt) - 1, reinterpret_cast<std::uintptr_t>(tables.idt.data())};
  // FS and GS are left alone: loading them would clear their bases (the thread pointer).
  asm volatile(
      "lgdt %0\n\t"
      "pushq %q1\n\t"
      "leaq 1f(%%rip), %%rax\n\t"
      "pushq %%rax\n\t"
      "lretq\n"
      "1:\n\t"
      "movl %k2, %%eax\n\t"
      "movl %%eax, %%ds\n\t"
      "movl %%eax, %%es\n\t"
      "movl %%eax, %%ss\n\t"
      "ltr %w3\n\t"
      "lidt %4"
      :
      : "m"(gdt), "r"(std::uint64_t{code_selector}), "r"(std::uint32_t{data_selector}), "r"(task_selector), "m"(idt)
      : "rax", "memory");
}

}  // namespace mirage::machine
