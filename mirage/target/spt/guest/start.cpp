// SPDX-License-Identifier: ISC
#include <mirage/runtime/start.hpp>
#include <mirage/target/spt/guest/boot.hpp>
#include <mirage/target/spt/guest/system_call.hpp>
#include <mirage/target/spt/guest/wanted.hpp>

extern "C" {
extern std::byte _end[];                // NOLINT: the linker's name
extern std::byte mirage_stack_begin[];  // lowest usable byte
extern std::byte mirage_stack_end[];    // initial stack pointer

// Notes. The manifest comes from the configuration.
[[gnu::section(".note.solo5.abi"), gnu::used]] extern const mirage::target::solo5::AbiNote mirage_abi_note =
    mirage::target::solo5::abi_note(mirage::target::solo5::AbiTarget::spt, mirage::target::spt::abi_version);
[[gnu::section(".note.mirage"), gnu::used]] extern const mirage::target::solo5::MirageNote mirage_note =
    mirage::target::solo5::mirage_note(mirage::target::spt::wanted_by_all);

[[noreturn, gnu::no_stack_protector]] void mirage_spt_start(const mirage::target::spt::BootInfo* boot);
}

namespace mirage::target::spt {

namespace {

constexpr std::uintptr_t page_size = 4096;

/// Memory from `begin` to `end`, whole pages; empty when there is none.
std::span<std::byte> pages(std::uintptr_t begin, std::uintptr_t end) noexcept {
  begin = (begin + page_size - 1) & ~(page_size - 1);
  end &= ~(page_size - 1);
  if (begin >= end) return {};
  return {reinterpret_cast<std::byte*>(begin), end - begin};  // NOLINT(performance-no-int-to-ptr)
}

}  // namespace

}  // namespace mirage::target::spt

void mirage_spt_start(const mirage::target::spt::BootInfo* boot) {
  using namespace mirage::target;
  if (reinterpret_cast<std::uintptr_t>(boot) != spt::boot_info_address) __builtin_trap();
  const auto command_line_end = reinterpret_cast<std::uintptr_t>(boot->command_line) + solo5::command_line_size;
  mirage::runtime::start({
      .heap = spt::pages(reinterpret_cast<std::uintptr_t>(_end), boot->memory_size),
      .second_heap = spt::pages(command_line_end, solo5::lowest_image_address),
      .stack = {mirage_stack_begin, mirage_stack_end},
      .command_line = boot->command_line,
  });
}
