// SPDX-License-Identifier: ISC
// A platform for tests of the runtime: the image runs as a plain Linux process.
#include <sys/mman.h>
#include <sys/syscall.h>
#include <time.h>

#include <mirage/runtime/platform.hpp>
#include <mirage/runtime/start.hpp>

namespace {

#ifndef HEAP_MIB
#define HEAP_MIB 64
#endif
#ifndef SECOND_HEAP_MIB
#define SECOND_HEAP_MIB 0
#endif
constexpr std::size_t heap_size = std::size_t{HEAP_MIB} << 20;
constexpr std::size_t second_heap_size = std::size_t{SECOND_HEAP_MIB} << 20;
constexpr std::size_t stack_looked_at = std::size_t{1} << 20;

long linux_call(long number, long a, long b = 0, long c = 0, long d = 0, long e = 0, long f = 0) noexcept {
  long result = 0;
  register long r10 __asm__("r10") = d;
  register long r8 __asm__("r8") = e;
  register long r9 __asm__("r9") = f;
  __asm__ volatile("syscall"
                   : "=a"(result)
                   : "a"(number), "D"(a), "S"(b), "d"(c), "r"(r10), "r"(r8), "r"(r9)
                   : "rcx", "r11", "memory");
  return result;
}

template <class T>
long word(T* pointer) noexcept {
  return reinterpret_cast<long>(pointer);
}

std::span<std::byte> map_memory(std::size_t size) noexcept {
  if (size == 0) return {};
  constexpr long flags = MAP_ANONYMOUS | MAP_PRIVATE | MAP_NORESERVE;
  const long memory = linux_call(SYS_mmap, 0, static_cast<long>(size), PROT_READ | PROT_WRITE, flags, -1, 0);
  return {reinterpret_cast<std::byte*>(memory), size};
}

std::uint64_t read_clock(long clock) noexcept {
  timespec now{};
  linux_call(SYS_clock_gettime, clock, word(&now));
  return static_cast<std::uint64_t>(now.tv_sec) * 1'000'000'000 + static_cast<std::uint64_t>(now.tv_nsec);
}

}  // namespace

namespace mirage::platform {

std::uint64_t monotonic_ns() noexcept { return read_clock(CLOCK_MONOTONIC); }
std::uint64_t wall_ns() noexcept { return read_clock(CLOCK_REALTIME); }

void console_write(std::span<const char> text) noexcept {
  linux_call(SYS_write, 1, word(text.data()), static_cast<long>(text.size()));
}

void exit(int status) noexcept {
  linux_call(SYS_exit_group, status);
  __builtin_trap();
}

void abort(std::string_view reason) noexcept {
  console_write(reason);
  console_write(std::string_view("\n"));
  exit(255);
}

bool entropy(std::span<std::byte> out) noexcept {
#ifdef NO_ENTROPY
  (void)out;
  return false;
#else
  return linux_call(SYS_getrandom, word(out.data()), static_cast<long>(out.size())) == static_cast<long>(out.size());
#endif
}

bool set_thread_pointer(std::uintptr_t pointer) noexcept {
  constexpr long set_fs = 0x1002;
  return linux_call(SYS_arch_prctl, set_fs, static_cast<long>(pointer)) == 0;
}

}  // namespace mirage::platform

/// The kernel's stack: argc, argv. All arguments are joined to one command line, which may hold quotes.
extern "C" [[noreturn]] [[gnu::no_stack_protector]] void test_start(const std::uintptr_t* stack) {
  static char line[mirage::runtime::command_line_limit + 2];
  std::size_t used = 0;
  for (std::size_t i = 1; i < stack[0]; ++i) {
    for (const char* c = reinterpret_cast<const char*>(stack[1 + i]); *c != '\0'; ++c) {
      if (used < sizeof line - 2) line[used++] = *c;
    }
    line[used++] = ' ';
  }
  const auto top = reinterpret_cast<std::uintptr_t>(stack);
  mirage::runtime::start({.heap = map_memory(heap_size),
                          .second_heap = map_memory(second_heap_size),
                          .stack = {reinterpret_cast<const std::byte*>(top - stack_looked_at), stack_looked_at},
                          .command_line = line});
}

__asm__(".globl _start\n_start: xor %ebp, %ebp\n mov %rsp, %rdi\n and $-16, %rsp\n call test_start\n");
