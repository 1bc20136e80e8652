// SPDX-License-Identifier: ISC
#include <cstddef>

#include <mirage/machine/x86_64/cpu.hpp>
#include <mirage/machine/x86_64/fault.hpp>
#include <mirage/machine/x86_64/image.hpp>
#include <mirage/runtime/panic.hpp>

namespace mirage::machine {

namespace {

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

/// Of the members of TrapFrame.
constexpr std::string_view register_names = "raxrbxrcxrdxrbprsirdi r8 r9r10r11r12r13r14r15vecerrrip cseflrsp ss";
static_assert(register_names.size() == 3 * sizeof(TrapFrame) / sizeof(std::uint64_t));

/// By vector, a bit each.
constexpr std::uint64_t with_error_code = 0x6022'7d00;

/// Names what the address tells: these are the faults that the guest's page tables exist for.
std::string_view page_fault_kind(const TrapFrame& frame, std::uintptr_t address) noexcept {
  constexpr std::uint64_t was_present = 1;
  constexpr std::uint64_t was_write = 2;
  constexpr std::uint64_t was_fetch = 16;
  if (address < page_size) return "null pointer";
  const auto stack = reinterpret_cast<std::uintptr_t>(mirage_stack_begin);
  if (address < stack && stack - address <= 16 * page_size) return "stack overflow";
  if ((frame.error_code & was_fetch) != 0) return "execution of data";
  if ((frame.error_code & (was_present | was_write)) == (was_present | was_write)) {
    return "write to read-only memory";
  }
  return (frame.error_code & was_write) != 0 ? "write to unmapped memory" : "read from unmapped memory";
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
  runtime::FaultReport report{};
  report.kind = exception_name(frame->vector);
  report.frame = {frame->rip, frame->rsp, frame->rbp};
  report.registers = {register_names, {&frame->rax, sizeof(TrapFrame) / sizeof(std::uint64_t)}};
  if (frame->vector == page_fault) {
    report.address = read_cr2();
    report.kind = page_fault_kind(*frame, *report.address);
  }
  if ((with_error_code >> frame->vector & 1) != 0) report.code = frame->error_code;
  runtime::panic(report);
}
