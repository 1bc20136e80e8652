// SPDX-License-Identifier: ISC
// How a guest ends when it cannot go on. Only in guests: defined in runtime/guest.
#pragma once

#include <string_view>

#include <mirage/runtime/heap.hpp>
#include <mirage/runtime/report.hpp>

namespace mirage::runtime {

/// Prints a backtrace of the caller, then ends the guest through platform::abort(reason). When a panic happens within
/// a panic only the reason is printed.
[[noreturn]] void panic(std::string_view reason) noexcept;

/// For fault handlers: prints the report with a backtrace, then ends the guest through platform::abort(report.kind).
/// Needs about 3 KiB of stack.
[[noreturn]] void panic(const FaultReport& report) noexcept;

/// Memory in use by malloc and operator new.
[[nodiscard]] HeapStatistics heap_statistics() noexcept;

}  // namespace mirage::runtime
