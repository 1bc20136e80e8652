// SPDX-License-Identifier: ISC
#include <mirage/target/solo5/test/notes.hpp>

#include "image.hpp"

[[gnu::section(".note.solo5.abi"), gnu::used]] static const auto abi_note =
    probe::solo5::abi_note(probe::solo5::AbiTarget::hvt, probe::hvt::abi_version);

extern "C" [[noreturn]] void probe_start(const probe::hvt::BootInfo* boot, std::uint64_t stack) {
  const auto* text = reinterpret_cast<const char*>(boot->command_line);
  std::size_t size = 0;
  while (text[size] != '\0') {
    ++size;
  }
  probe::expect(stack == boot->memory_size - 8, "initial stack pointer");
  probe::exit(probe::run(*boot, std::string_view{text, size}));
}

asm(".globl _start\n"
    ".type _start, @function\n"
    "_start: mov %rsp, %rsi\n"
    "lea mirage_stack_end(%rip), %rsp\n"
    "xor %ebp, %ebp\n"
    "call probe_start\n"
    "ud2\n");
