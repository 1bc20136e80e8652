// SPDX-License-Identifier: ISC
#pragma once

#include <cstddef>
#include <span>

namespace mirage::runtime {

/// What a target's start code hands to the runtime. The memory named here belongs to the runtime from then on.
struct BootInfo {
  /// Readable and writable memory used for nothing else: normally from the page after the linker's `_end` up to the
  /// end of guest memory. Zeroed or not does not matter. Untouched until allocated from.
  std::span<std::byte> heap;
  /// A second such region (the low memory below 1 MiB, or what a machine has above 4 GiB); may be empty.
  std::span<std::byte> second_heap = {};
  /// The stack in use, lowest byte first, without its guard page: bounds backtraces. May be empty (no backtrace).
  std::span<const std::byte> stack = {};
  /// NUL-terminated, shell-style quoting, at most `command_line_limit` bytes are looked at; nullptr means empty.
  const char* command_line = nullptr;
};

/// Bounds of the command line: longer ones and more arguments are refused with a message and status 64.
inline constexpr std::size_t command_line_limit = 8192;
inline constexpr std::size_t argument_limit = 256;

/// Starts the C library on the given memory and calls `int main(int argc, char** argv)` (argv[0] is "unikernel"),
/// then `platform::exit` with its result. The target must already run on its final stack with a usable FPU; the
/// caller is compiled without stack protector (`[[gnu::no_stack_protector]]`) or never returns.
[[noreturn]] void start(const BootInfo& boot) noexcept;

}  // namespace mirage::runtime
