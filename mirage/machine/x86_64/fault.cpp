// SPDX-License-Identifier: ISC
#include <array>

#include <mirage/machine/x86_64/cpu.hpp>
#include <mirage/machine/x86_64/fault.hpp>
#include <mirage/machine/x86_64/image.hpp>
#include <mirage/runtime/panic.hpp>

namespace mirage::machine {

namespace {

constexpr std::uint64_t double_fault = 8;
constexpr std::uint64_t page_fault = 14;

constexpr std::array<std::string_view, 22> names{"divide error",
                                                 "debug exception",
                                                 "non-maskable interrupt",
                                                 "breakpoint",
                                                 "overflow",
                                                 "bound range",
                                                 "invalid opcode",
                                                 "no FPU",
                                                 "double fault",
                                                 "coprocessor",
                                                 "invalid TSS",
                                                 "segment not present",
                                                 "stack fault",
                                                 "general protection",
                                                 "page fault",
                                                 "exception 15",
                                                 "x87 fault",
                                                 "alignment check",
                                                 "machine check",
                                                 "SIMD fault",
                                                 "virtualization",
                                                 "control protection"};

/// The order in which registers are printed.
struct RegisterOf {
  char name[8];
  std::uint64_t TrapFrame::* value;
};
constexpr std::array<RegisterOf, 18> order{{
    {"rax", &TrapFrame::rax},
    {"rbx", &TrapFrame::rbx},
    {"rcx", &TrapFrame::rcx},
    {"rdx", &TrapFrame::rdx},
    {"rsi", &TrapFrame::rsi},
    {"rdi", &TrapFrame::rdi},
    {"rbp", &TrapFrame::rbp},
    {"rsp", &TrapFrame::rsp},
    {"r8", &TrapFrame::r8},
    {"r9", &TrapFrame::r9},
    {"r10", &TrapFrame::r10},
    {"r11", &TrapFrame::r11},
    {"r12", &TrapFrame::r12},
    {"r13", &TrapFrame::r13},
    {"r14", &TrapFrame::r14},
    {"r15", &TrapFrame::r15},
    {"rip", &TrapFrame::rip},
    {"rflags", &TrapFrame::rflags},
}};

bool has_error_code(std::uint64_t vector) noexcept {
  return vector == double_fault || (vector >= 10 && vector <= 14) || vector == 17 || vector == 21 || vector >= 29;
}

/// Names what the address tells: these are the faults that the guest's page tables exist for.
std::string_view page_fault_kind(const TrapFrame& frame, std::uintptr_t address) noexcept {
  constexpr std::uint64_t was_present = 1;
  constexpr std::uint64_t was_write = 2;
  constexpr std::uint64_t was_fetch = 16;
  if (address < page_size) return "page fault: null pointer";
  const auto stack = reinterpret_cast<std::uintptr_t>(mirage_stack_begin);
  if (address < stack && stack - address <= 16 * page_size) return "page fault: stack overflow";
  if ((frame.error_code & was_fetch) != 0) return "page fault: execution of data";
  if ((frame.error_code & (was_present | was_write)) == (was_present | was_write)) {
    return "page fault: write to read-only memory";
  }
  return (frame.error_code & was_write) != 0 ? "page fault: write to unmapped memory"
                                             : "page fault: read from unmapped memory";
}

}  // namespace

std::string_view exception_name(std::uint64_t vector) noexcept {
  return vector < names.size() ? names[vector] : "reserved exception";
}

}  // namespace mirage::machine

extern "C" void mirage_machine_trap(const mirage::machine::TrapFrame* frame) noexcept {
  using namespace mirage;
  using namespace mirage::machine;
  std::array<runtime::NamedRegister, order.size()> registers;
  for (std::size_t i = 0; i < order.size(); ++i) registers[i] = {order[i].name, frame->*order[i].value};
  runtime::FaultReport report{};
  report.kind = exception_name(frame->vector);
  report.frame = {frame->rip, frame->rsp, frame->rbp};
  report.registers = registers;
  if (frame->vector == page_fault) {
    report.address = read_cr2();
    report.kind = page_fault_kind(*frame, *report.address);
  }
  if (has_error_code(frame->vector)) report.code = frame->error_code;
  runtime::panic(report);
}
