// SPDX-License-Identifier: ISC
#include <mirage/target/solo5/test/notes.hpp>

#include "image.hpp"

[[gnu::section(".note.solo5.abi"), gnu::used]] static const auto abi_note =
    probe::solo5::abi_note(probe::solo5::AbiTarget::spt, probe::spt::abi_version);

extern "C" [[noreturn]] void probe_start(const probe::spt::BootInfo* boot) {
  const char* text = boot->command_line;
  std::size_t size = 0;
  while (text[size] != '\0') {
    ++size;
  }
  probe::exit(probe::run(*boot, std::string_view{text, size}));
}

// The tender's stack pointer is aligned as if a call had just been made (memory size minus 8).
asm(".globl _start\n"
    ".type _start, @function\n"
    "_start: lea mirage_stack_end(%rip), %rsp\n"
    "xor %ebp, %ebp\n"
    "call probe_start\n"
    "ud2\n");
