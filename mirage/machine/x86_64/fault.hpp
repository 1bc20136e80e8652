// SPDX-License-Identifier: ISC
// What trap.S collects when an exception happens.
#pragma once

#include <cstdint>
#include <string_view>

namespace mirage::machine {

/// Registers in the order in which trap.S pushes them, lowest address first.
struct TrapFrame {
  std::uint64_t rax, rbx, rcx, rdx, rbp, rsi, rdi, r8, r9, r10, r11, r12, r13, r14, r15;
  std::uint64_t vector;
  std::uint64_t error_code;  ///< 0 where the processor pushes none
  std::uint64_t rip, cs, rflags, rsp, ss;
};
static_assert(sizeof(TrapFrame) == 22 * 8);

/// "page fault", "invalid opcode" ...; never empty.
[[nodiscard]] std::string_view exception_name(std::uint64_t vector) noexcept;

}  // namespace mirage::machine

/// Ends the guest with a fault report (runtime::panic, status 255). Runs on a fault stack.
extern "C" [[noreturn]] void mirage_machine_trap(const mirage::machine::TrapFrame* frame) noexcept;
