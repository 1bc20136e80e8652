// SPDX-License-Identifier: ISC
#include <array>
#include <cstddef>
#include <cstring>

#include <mirage/machine/x86_64/cpu.hpp>
#include <mirage/machine/x86_64/fault.hpp>
#include <mirage/machine/x86_64/image.hpp>
#include <mirage/runtime/panic.hpp>

namespace mirage::machine {

namespace {

constexpr std::uint64_t double_fault = 8;
constexpr std::uint64_t page_fault = 14;

/// By vector, a line each: a table of views is as large again.
constexpr std::string_view names =
    "divide error\n"
    "debug exception\n"
    "non-maskable interrupt\n"
    "breakpoint\n"
    "overflow\n"
    "bound range\n"
    "invalid opcode\n"
    "no FPU\n"
    "double fault\n"
    "coprocessor\n"
    "invalid TSS\n"
    "segment not present\n"
    "stack fault\n"
    "general protection\n"
    "page fault\n"
    "exception 15\n"
    "x87 fault\n"
    "alignment check\n"
    "machine check\n"
    "SIMD fault\n"
    "virtualization\n"
    "control protection\n";

/// The order in which registers are printed.
struct RegisterOf {
  char name[7];
  std::uint8_t offset;  ///< in TrapFrame
};
constexpr std::array<RegisterOf, 18> order{{
    {"rax", offsetof(TrapFrame, rax)},
    {"rbx", offsetof(TrapFrame, rbx)},
    {"rcx", offsetof(TrapFrame, rcx)},
    {"rdx", offsetof(TrapFrame, rdx)},
    {"rsi", offsetof(TrapFrame, rsi)},
    {"rdi", offsetof(TrapFrame, rdi)},
    {"rbp", offsetof(TrapFrame, rbp)},
    {"rsp", offsetof(TrapFrame, rsp)},
    {"r8", offsetof(TrapFrame, r8)},
    {"r9", offsetof(TrapFrame, r9)},
    {"r10", offsetof(TrapFrame, r10)},
    {"r11", offsetof(TrapFrame, r11)},
    {"r12", offsetof(TrapFrame, r12)},
    {"r13", offsetof(TrapFrame, r13)},
    {"r14", offsetof(TrapFrame, r14)},
    {"r15", offsetof(TrapFrame, r15)},
    {"rip", offsetof(TrapFrame, rip)},
    {"rflags", offsetof(TrapFrame, rflags)},
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
  std::string_view rest = names;
  for (; vector > 0 && !rest.empty(); --vector) rest.remove_prefix(rest.find('\n') + 1);
  return rest.empty() ? "reserved exception" : rest.substr(0, rest.find('\n'));
}

}  // namespace mirage::machine

extern "C" void mirage_machine_trap(const mirage::machine::TrapFrame* frame) noexcept {
  using namespace mirage;
  using namespace mirage::machine;
  std::array<runtime::NamedRegister, order.size()> registers;
  for (std::size_t i = 0; i < order.size(); ++i) {
    registers[i].name = order[i].name;
    std::memcpy(&registers[i].value, reinterpret_cast<const std::byte*>(frame) + order[i].offset,
                sizeof(std::uint64_t));
  }
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
