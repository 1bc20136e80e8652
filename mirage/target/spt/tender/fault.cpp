// SPDX-License-Identifier: ISC
#include <array>
#include <cerrno>
#include <cstddef>
#include <string_view>

#include <signal.h>
#include <sys/syscall.h>
#include <ucontext.h>

#include <mirage/target/spt/tender/spt.hpp>

/// Reports a fault of the guest. The handler runs in the guest's cage: after the filter is in place, on its own stack,
/// with the guest's thread pointer. So it makes system calls itself (write(1), exit_group) and uses no libc.
namespace mirage::target::spt {

namespace {

constexpr std::size_t backtrace_limit = 32;

/// End of guest memory, where frames may be; set before the guest runs and only read by the handler.
std::uint64_t guest_end;
alignas(64) std::array<std::byte, 64 * 1024> handler_stack;

long call(long number, long first, const void* second, long third) {
  long result = 0;
  asm volatile("syscall" : "=a"(result) : "a"(number), "D"(first), "S"(second), "d"(third) : "rcx", "r11", "memory");
  return result;
}

/// The report, written at once.
class Report {
 public:
  Report& operator<<(std::string_view text) {
    for (std::size_t i = 0; i < text.size() && size_ < sizeof text_; ++i) {
      text_[size_++] = text[i];
    }
    return *this;
  }
  /// 0x and 16 digits.
  Report& operator<<(std::uint64_t number) {
    *this << "0x";
    for (int shift = 60; shift >= 0; shift -= 4) {
      const char digit = "0123456789abcdef"[number >> shift & 15];
      *this << std::string_view{&digit, 1};
    }
    return *this;
  }
  void write() {
    call(SYS_write, 1, text_, static_cast<long>(size_));
    size_ = 0;
  }

 private:
  char text_[4096];
  std::size_t size_ = 0;
};

std::string_view signal_name(int signal) {
  switch (signal) {
    case SIGSEGV:
      return "SIGSEGV (bad memory access)";
    case SIGBUS:
      return "SIGBUS (bad memory access)";
    case SIGILL:
      return "SIGILL (invalid instruction)";
    case SIGFPE:
      return "SIGFPE (arithmetic)";
    case SIGTRAP:
      return "SIGTRAP (breakpoint)";
    default:
      return "signal";
  }
}

void print_registers(Report& report, const greg_t* registers) {
  struct Name {
    std::string_view name;
    int index;
  };
  static constexpr Name names[] = {{"rax", REG_RAX}, {"rbx", REG_RBX}, {"rcx", REG_RCX}, {"rdx", REG_RDX},
                                   {"rsi", REG_RSI}, {"rdi", REG_RDI}, {"rbp", REG_RBP}, {"rsp", REG_RSP},
                                   {"r8 ", REG_R8},  {"r9 ", REG_R9},  {"r10", REG_R10}, {"r11", REG_R11},
                                   {"r12", REG_R12}, {"r13", REG_R13}, {"r14", REG_R14}, {"r15", REG_R15}};
  int column = 0;
  for (const Name& name : names) {
    report << "  " << name.name << "=" << static_cast<std::uint64_t>(registers[name.index]);
    report << (++column % 4 == 0 ? "\n" : "");
  }
}

/// Follows saved frame pointers; every one must lie in guest memory, aligned and above the one before.
void print_backtrace(Report& report, std::uint64_t instruction, std::uint64_t frame, std::uint64_t stack) {
  report << "  at " << instruction << "\n";
  std::uint64_t lowest = stack > memory_start ? stack : memory_start;
  for (std::size_t i = 0; i < backtrace_limit; ++i) {
    if (frame < lowest || frame % 8 != 0 || frame > guest_end - 16) {
      return;
    }
    const auto* words = reinterpret_cast<const std::uint64_t*>(frame);  // NOLINT(performance-no-int-to-ptr)
    if (words[1] == 0) {
      return;
    }
    report << "  at " << words[1] << "\n";
    lowest = frame + 16;
    frame = words[0];
  }
}

/// First the registers, then the backtrace: should memory be unreadable there, the second fault ends the process.
void handle(int signal, siginfo_t* info, void* context) {
  const greg_t* registers = static_cast<const ucontext_t*>(context)->uc_mcontext.gregs;
  const auto instruction = static_cast<std::uint64_t>(registers[REG_RIP]);
  Report report;
  report << "\nmirage-spt: guest fault: " << signal_name(signal) << ", address "
         << reinterpret_cast<std::uint64_t>(info->si_addr) << ", at " << instruction << "\n";
  print_registers(report, registers);
  report.write();
  print_backtrace(report, instruction, static_cast<std::uint64_t>(registers[REG_RBP]),
                  static_cast<std::uint64_t>(registers[REG_RSP]));
  report.write();
  for (;;) {
    call(SYS_exit_group, 128 + signal, nullptr, 0);  // as a shell shows the signal under a stock tender
  }
}

}  // namespace

tender::Result<> install_fault_handler(std::uint64_t memory_end) {
  guest_end = memory_end;
  stack_t stack{};
  stack.ss_sp = handler_stack.data();
  stack.ss_size = handler_stack.size();
  if (::sigaltstack(&stack, nullptr) != 0) {
    return tender::fail("cannot set the signal stack: ", tender::Errno{errno});
  }
  struct sigaction action{};
  action.sa_sigaction = handle;
  action.sa_flags = static_cast<int>(SA_SIGINFO | SA_ONSTACK | SA_RESETHAND);
  for (const int signal : {SIGSEGV, SIGBUS, SIGILL, SIGFPE, SIGTRAP}) {
    if (::sigaction(signal, &action, nullptr) != 0) {
      return tender::fail("cannot handle signals: ", tender::Errno{errno});
    }
  }
  return {};
}

}  // namespace mirage::target::spt
