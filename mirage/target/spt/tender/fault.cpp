// SPDX-License-Identifier: ISC
#include <algorithm>
#include <array>
#include <cerrno>
#include <cstddef>
#include <string_view>

#include <signal.h>
#include <sys/syscall.h>
#include <ucontext.h>

#include <mirage/runtime/report.hpp>
#include <mirage/target/spt/tender/spt.hpp>

/// Reports a fault of the guest. The handler runs in the guest's cage: after the filter is in place, on its own stack,
/// with the guest's thread pointer. So it makes system calls itself (write(1), exit_group) and uses no libc.
namespace mirage::target::spt {

namespace {

/// What the handler knows of the guest; written before the guest runs.
struct Known {
  std::array<tender::Segment, tender::Image::segment_limit> segments;
  std::size_t segment_count = 0;
  std::uint64_t text_begin = ~std::uint64_t{0};
  std::uint64_t text_end = 0;
  std::uint64_t memory_end = 0;
};
Known known;
alignas(64) std::array<std::byte, 64 * 1024> handler_stack;

long call(long number, long first, const void* second, std::size_t third) {
  long result = 0;
  asm volatile("syscall" : "=a"(result) : "a"(number), "D"(first), "S"(second), "d"(third) : "rcx", "r11", "memory");
  return result;
}

std::string_view kind_of(int signal) {
  switch (signal) {
    case SIGSEGV:
      return "bad memory access (SIGSEGV)";
    case SIGBUS:
      return "bad memory access (SIGBUS)";
    case SIGILL:
      return "invalid instruction (SIGILL)";
    case SIGFPE:
      return "arithmetic (SIGFPE)";
    default:
      return "breakpoint (SIGTRAP)";
  }
}

/// Readable memory from the stack pointer upwards: to the end of its segment, or to the next one. Empty when the stack
/// pointer is outside the guest or on the guard page of the first stack: then there is no backtrace. A guest may have
/// made guard pages of its own, for stacks on the heap: the page of the fault is not read, and when it is the one that
/// such a stack has grown onto, its frames lie above it.
std::span<const std::byte> readable_stack(const runtime::Frame& frame, std::uint64_t fault) {
  std::uint64_t stack = frame.sp;
  constexpr std::uint64_t page_size = 4096;
  const std::uint64_t page = fault & ~(page_size - 1);
  std::uint64_t end = known.memory_end;
  for (std::size_t i = 0; i < known.segment_count; ++i) {
    const tender::Segment& segment = known.segments[i];
    if (stack >= segment.start && stack < segment.end) {
      end = segment.read ? segment.end : stack;
    } else if (stack < segment.start && segment.start < end) {
      end = segment.start;
    }
  }
  // What was to be executed can be read.
  if (fault != frame.pc && page + page_size > stack && page < end) {
    if (frame.fp >= page + page_size) {
      stack = std::max(stack, page + page_size);
    } else {
      end = page;
    }
  }
  if (stack < memory_start || stack >= end) {
    return {};
  }
  return {reinterpret_cast<const std::byte*>(stack), end - stack};  // NOLINT(performance-no-int-to-ptr)
}

void handle(int signal, siginfo_t* info, void* context) {
  const greg_t* saved = static_cast<const ucontext_t*>(context)->uc_mcontext.gregs;
  const auto value = [&](int index) { return static_cast<std::uint64_t>(saved[index]); };
  const std::uint64_t registers[] = {value(REG_RAX), value(REG_RBX), value(REG_RCX), value(REG_RDX), value(REG_RSI),
                                     value(REG_RDI), value(REG_RBP), value(REG_RSP), value(REG_R8),  value(REG_R9),
                                     value(REG_R10), value(REG_R11), value(REG_R12), value(REG_R13), value(REG_R14),
                                     value(REG_R15), value(REG_RIP), value(REG_EFL)};
  const runtime::FaultReport report{
      .kind = kind_of(signal),
      .address = reinterpret_cast<std::uint64_t>(info->si_addr),
      .code = std::nullopt,
      .frame = {.pc = value(REG_RIP), .sp = value(REG_RSP), .fp = value(REG_RBP)},
      .registers = {"raxrbxrcxrdxrsirdirbprsp r8 r9r10r11r12r13r14r15ripefl", registers},
  };
  const runtime::BacktraceBounds bounds{readable_stack(report.frame, report.address.value_or(0)), known.text_begin,
                                        known.text_end};
  std::array<char, 4096> text;
  const std::string_view formatted = runtime::format_fault(report, bounds, text);
  call(SYS_write, 1, formatted.data(), formatted.size());
  for (;;) {
    call(SYS_exit_group, 128 + signal, nullptr, 0);  // as a shell shows the signal under a stock tender
  }
}

}  // namespace

tender::Result<> install_fault_handler(const tender::Image& image, std::uint64_t memory_end) {
  for (const tender::Segment& segment : image.segments()) {
    known.segments[known.segment_count++] = segment;
    if (segment.execute) {
      known.text_begin = std::min(known.text_begin, segment.start);
      known.text_end = std::max(known.text_end, segment.end);
    }
  }
  known.memory_end = memory_end;
  stack_t stack{};
  stack.ss_sp = handler_stack.data();
  stack.ss_size = handler_stack.size();
  if (::sigaltstack(&stack, nullptr) != 0) {
    return tender::fail("cannot set the signal stack: ", tender::Errno{errno});
  }
  struct sigaction action{};
  action.sa_sigaction = handle;
  action.sa_flags = SA_SIGINFO | SA_ONSTACK;
  ::sigfillset(&action.sa_mask);  // a fault within the handler then ends the process
  for (const int signal : {SIGSEGV, SIGBUS, SIGILL, SIGFPE, SIGTRAP}) {
    if (::sigaction(signal, &action, nullptr) != 0) {
      return tender::fail("cannot handle signals: ", tender::Errno{errno});
    }
  }
  return {};
}

}  // namespace mirage::target::spt
