// SPDX-License-Identifier: ISC
#include <mirage/target/spt/tender/spt.hpp>

namespace mirage::target::spt {

void launch(std::uint64_t stack, std::uint64_t entry, std::uint64_t argument) {
#if defined(__x86_64__)
  // Registers other than those of the ABI are cleared: a guest sees no address of the tender's, and frame pointers end.
  asm volatile(
      "mov %0, %%rsp\n\t"
      "mov %1, %%rax\n\t"
      "mov %2, %%rdi\n\t"
      "xor %%ebx, %%ebx\n\t"
      "xor %%ecx, %%ecx\n\t"
      "xor %%edx, %%edx\n\t"
      "xor %%esi, %%esi\n\t"
      "xor %%ebp, %%ebp\n\t"
      "xor %%r8d, %%r8d\n\t"
      "xor %%r9d, %%r9d\n\t"
      "xor %%r10d, %%r10d\n\t"
      "xor %%r11d, %%r11d\n\t"
      "xor %%r12d, %%r12d\n\t"
      "xor %%r13d, %%r13d\n\t"
      "xor %%r14d, %%r14d\n\t"
      "xor %%r15d, %%r15d\n\t"
      "cld\n\t"
      "jmp *%%rax"
      :
      : "r"(stack), "r"(entry), "r"(argument)
      : "memory");
#else
#error "unsupported architecture"
#endif
  __builtin_unreachable();
}

}  // namespace mirage::target::spt
