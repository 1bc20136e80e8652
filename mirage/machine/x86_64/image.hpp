// SPDX-License-Identifier: ISC
// The running image as its own ELF headers and linker script describe it. The linker script of every ring-0 target
// keeps the file header and program headers in the first PT_LOAD (so that `__ehdr_start` exists), gives each kind of
// section a PT_LOAD with the right flags, puts a PT_LOAD with flags 0 below the stack's, and defines
// `mirage_stack_begin`, `mirage_stack_end` (the usable stack) and `_end` (page aligned end of everything).
#pragma once

#include <cstddef>
#include <cstdint>
#include <span>

#include <mirage/machine/x86_64/paging.hpp>

extern "C" {
extern std::byte __ehdr_start[];        // NOLINT: the linker's name
extern std::byte _end[];                // NOLINT: the linker's name
extern std::byte mirage_stack_begin[];  // lowest usable byte
extern std::byte mirage_stack_end[];    // initial stack pointer
}

namespace mirage::machine {

/// One loaded segment, page aligned outwards.
struct Segment {
  std::uintptr_t begin;
  std::uintptr_t end;
  Access access;
  bool valid;  ///< false: the flags ask for W+X
};

/// ELF64 program header (System V ABI, chapter 5).
struct ProgramHeader {
  std::uint32_t type, flags;
  std::uint64_t offset, virtual_address, physical_address, file_size, memory_size, alignment;
};
static_assert(sizeof(ProgramHeader) == 56);

inline constexpr std::uint32_t pt_load = 1;

/// Program headers of the running image.
[[nodiscard]] inline std::span<const ProgramHeader> program_headers() noexcept {
  const auto* file = __ehdr_start;
  const auto offset = *reinterpret_cast<const std::uint64_t*>(file + 32);
  const auto count = *reinterpret_cast<const std::uint16_t*>(file + 56);
  return {reinterpret_cast<const ProgramHeader*>(file + offset), count};
}

/// What a program header asks for.
[[nodiscard]] constexpr Segment segment_of(const ProgramHeader& header) noexcept {
  constexpr std::uint32_t execute = 1;
  constexpr std::uint32_t write = 2;
  constexpr std::uint32_t read = 4;
  const std::uint32_t flags = header.flags & (execute | write | read);
  const Access access = flags == 0               ? Access::none
                        : (flags & write) != 0   ? Access::read_write
                        : (flags & execute) != 0 ? Access::read_execute
                                                 : Access::read;
  return {page_down(header.virtual_address), page_up(header.virtual_address + header.memory_size), access,
          (flags & (write | execute)) != (write | execute)};
}

[[nodiscard]] inline std::uintptr_t image_begin() noexcept { return reinterpret_cast<std::uintptr_t>(__ehdr_start); }
[[nodiscard]] inline std::uintptr_t image_end() noexcept { return page_up(reinterpret_cast<std::uintptr_t>(_end)); }
[[nodiscard]] inline std::span<std::byte> image_stack() noexcept { return {mirage_stack_begin, mirage_stack_end}; }

}  // namespace mirage::machine
