// SPDX-License-Identifier: ISC
// GDT, TSS and IDT of the guest's own. Every exception ends the guest with a fault report (fault.cpp): it runs on the
// interrupt stack 1, double faults, NMI and machine checks on interrupt stack 2, so that a stack that has run out can
// be reported. Interrupts do nothing but wake halt_until_interrupt(): drivers poll. Intel SDM volume 3, chapters 5-7.
#pragma once

#include <array>
#include <cstddef>
#include <cstdint>

namespace mirage::machine {

/// 16-byte interrupt gate.
struct Gate {
  std::uint16_t offset_low = 0;
  std::uint16_t selector = 0;
  std::uint8_t stack = 0;  ///< interrupt stack table index, 0: none
  std::uint8_t type = 0;   ///< 0x8e: present interrupt gate
  std::uint16_t offset_middle = 0;
  std::uint32_t offset_high = 0;
  std::uint32_t reserved = 0;
};
static_assert(sizeof(Gate) == 16);

/// 64-bit task state segment.
struct [[gnu::packed]] TaskState {
  std::uint32_t reserved0 = 0;
  std::uint64_t privilege_stack[3] = {};
  std::uint64_t reserved1 = 0;
  std::uint64_t interrupt_stack[7] = {};
  std::uint64_t reserved2 = 0;
  std::uint16_t reserved3 = 0;
  std::uint16_t io_map = 0;  ///< install() sets it
};
static_assert(sizeof(TaskState) == 104);

inline constexpr std::uint16_t code_selector = 0x08;
inline constexpr std::uint16_t data_selector = 0x10;
inline constexpr std::uint16_t task_selector = 0x18;

inline constexpr std::uint8_t wake_vector = 32;  ///< every device
inline constexpr std::uint8_t timer_vector = 33;
inline constexpr std::uint8_t spurious_vector = 47;  ///< low four bits set, as old APICs want
inline constexpr std::size_t vector_count = 48;

/// All tables and the two fault stacks (about 13 KiB). A target has one, in static memory, and never moves it.
struct alignas(16) DescriptorTables {
  std::array<std::uint64_t, 5> gdt{};
  TaskState task;
  alignas(16) std::array<Gate, vector_count> idt{};
  alignas(16) std::array<std::byte, 8192> fault_stack{};
  alignas(16) std::array<std::byte, 4096> double_fault_stack{};
};

/// Fills the tables and loads GDTR, TR, IDTR and the segment registers (FS and GS bases are kept). From here on faults
/// are reported. Interrupts stay disabled. Vectors 32 to 47 wake the processor and do nothing else.
void install(DescriptorTables& tables) noexcept;

}  // namespace mirage::machine
