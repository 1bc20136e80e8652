// SPDX-License-Identifier: ISC
// The system calls an spt guest may make: the base ABI's, and those that our tender grants (negotiation.hpp).
#pragma once

#include <cstddef>
#include <cstdint>

namespace mirage::target::spt::call {

enum class Number : long {
  read = 0,
  write = 1,
  mprotect = 10,
  pread64 = 17,
  pwrite64 = 18,
  readv = 19,
  writev = 20,
  fdatasync = 75,
  arch_prctl = 158,
  clock_gettime = 228,
  exit_group = 231,
  epoll_pwait = 281,
  fallocate = 285,
  timerfd_settime = 286,
  getrandom = 318,
};

inline constexpr long error_again = -11;
inline constexpr long error_interrupted = -4;
inline constexpr long error_bad_state = -77;
inline constexpr long error_unsupported = -95;
inline constexpr long error_reset = -104;
inline constexpr int clock_realtime = 0;
inline constexpr int clock_monotonic = 1;
inline constexpr long set_fs = 0x1002;
inline constexpr long punch_hole = 3;  // FALLOC_FL_PUNCH_HOLE | FALLOC_FL_KEEP_SIZE
inline constexpr long timer_absolute = 1;

struct Timespec {
  std::int64_t seconds;
  std::int64_t nanoseconds;
};
struct TimerSpec {
  Timespec interval;
  Timespec value;
};
struct [[gnu::packed]] EpollEvent {
  std::uint32_t events;
  std::uint64_t data;
};
static_assert(sizeof(EpollEvent) == 12);
struct IoVector {
  const void* base;
  std::size_t size;
};

/// The result, or minus an errno value.
inline long make(Number number, long a = 0, long b = 0, long c = 0, long d = 0, long e = 0, long f = 0) noexcept {
  register long r10 asm("r10") = d;
  register long r8 asm("r8") = e;
  register long r9 asm("r9") = f;
  long result = 0;
  asm volatile("syscall"
               : "=a"(result)
               : "a"(number), "D"(a), "S"(b), "d"(c), "r"(r10), "r"(r8), "r"(r9)
               : "rcx", "r11", "memory");
  return result;
}

inline long address(const void* pointer) noexcept {
  return static_cast<long>(reinterpret_cast<std::uintptr_t>(pointer));
}

}  // namespace mirage::target::spt::call
