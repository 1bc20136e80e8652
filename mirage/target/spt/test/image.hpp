// SPDX-License-Identifier: ISC
// The least that a program needs to be an spt image, written from the ABI alone: no runtime, no libc. For test images.
#pragma once

#include <cstddef>
#include <cstdint>
#include <span>
#include <string_view>

#include <mirage/target/solo5/test/console.hpp>
#include <mirage/target/spt/abi.hpp>

namespace probe {

namespace spt = mirage::target::spt;
namespace solo5 = mirage::target::solo5;

inline long call(long number, long a = 0, long b = 0, long c = 0, long d = 0, long e = 0) {
  register long r10 asm("r10") = d;
  register long r8 asm("r8") = e;
  long result = 0;
  asm volatile("syscall"
               : "=a"(result)
               : "a"(number), "D"(a), "S"(b), "d"(c), "r"(r10), "r"(r8)
               : "rcx", "r11", "memory");
  return result;
}

inline long address(const void* pointer) { return static_cast<long>(reinterpret_cast<std::uintptr_t>(pointer)); }

[[noreturn]] inline void exit(int status) {
  for (;;) {
    call(231, status);
  }
}

inline void print(std::string_view text) { call(1, 1, address(text.data()), static_cast<long>(text.size())); }

/// What the image does; its result is the exit status. `words` is the command line.
int run(const spt::BootInfo& boot, std::string_view command_line);

}  // namespace probe
