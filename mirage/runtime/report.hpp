// SPDX-License-Identifier: ISC
// What a guest prints when it faults: registers and a backtrace, one address per line in the form that
// `mirage symbolize` looks for (`  at 0x0000000000101234`). Nothing here allocates, locks or calls libc.
#pragma once

#include <cstddef>
#include <cstdint>
#include <optional>
#include <span>
#include <string_view>

namespace mirage::runtime {

/// Registers in the order in which they are to be printed.
struct Registers {
  std::string_view names;  ///< three characters for each value: "rax r8"
  std::span<const std::uint64_t> values;
};

/// Where execution stopped.
struct Frame {
  std::uintptr_t pc = 0;
  std::uintptr_t sp = 0;
  std::uintptr_t fp = 0;  ///< frame pointer: rbp, x29
};

struct FaultReport {
  std::string_view kind;                 ///< "page fault", "invalid opcode" ...
  std::optional<std::uint64_t> address;  ///< the address that could not be accessed, when there is one
  std::optional<std::uint64_t> code;     ///< the CPU's error code, when there is one
  Frame frame;
  Registers registers;
};

/// What a backtrace may look at: the stack, and where the code lies.
struct BacktraceBounds {
  std::span<const std::byte> stack;  ///< all of the stack, lowest byte first
  std::uintptr_t text_begin = 0;
  std::uintptr_t text_end = 0;
};

/// Follows frame pointers from `frame` and stores addresses ready to be looked up: the faulting one first, then each
/// call (the return address less one). Reads nothing outside `bounds.stack`, stops at the first frame that does not
/// lie above the one before. A function without a frame of its own (assembly) is recognised by a return address on
/// top of the stack. Returns how many were stored.
std::size_t backtrace(const Frame& frame, const BacktraceBounds& bounds, std::span<std::uintptr_t> out) noexcept;

/// Formats the report and its backtrace into `out`; what does not fit is cut off (2 KiB are plenty).
std::string_view format_fault(const FaultReport& report, const BacktraceBounds& bounds, std::span<char> out) noexcept;

/// Only the backtrace, with a heading line.
std::string_view format_backtrace(const Frame& frame, const BacktraceBounds& bounds, std::span<char> out) noexcept;

}  // namespace mirage::runtime
