// SPDX-License-Identifier: ISC
#pragma once

#include <cstddef>
#include <cstdint>
#include <span>
#include <string_view>

/// What a target supplies to the guest runtime, and all that the runtime (libc seam, allocator reports, aborts)
/// ever asks of it. Every target defines each function exactly once, in plain link-time style: no tables, no
/// weak fallbacks. All of them must work before libc is up (no malloc, no thread-local storage) and none may throw.
namespace mirage::platform {

/// Nanoseconds since an arbitrary start; never runs backwards, does not count suspended time as negative.
[[nodiscard]] std::uint64_t monotonic_ns() noexcept;

/// Nanoseconds since 1970-01-01T00:00:00Z (Unix time, no leap seconds). May jump.
[[nodiscard]] std::uint64_t wall_ns() noexcept;

/// Writes all of `text` to the console, blocking; output that the console refuses is dropped.
void console_write(std::span<const char> text) noexcept;

/// Ends the guest with `status` (0..255); how the status reaches the host is the target's business.
[[noreturn]] void exit(int status) noexcept;

/// Prints `reason` on a line of its own and ends the guest with status 255. Callable from a fault handler.
[[noreturn]] void abort(std::string_view reason) noexcept;

/// Fills `out` with real entropy (tender's seed, RDSEED/RDRAND, virtio-rng ...) and returns true; returns false
/// and leaves `out` unspecified when there is no source. Never substitutes something weaker. Expected to be called
/// for seeds (tens of bytes), not per random number.
[[nodiscard]] bool entropy(std::span<std::byte> out) noexcept;

/// Sets the thread pointer: FS base on x86_64 (spt: arch_prctl; ring 0: MSR 0xc0000100). Called once, by libc's
/// start. Not called on aarch64, where TPIDR_EL0 is written directly. Returns false when refused.
[[nodiscard]] bool set_thread_pointer(std::uintptr_t pointer) noexcept;

}  // namespace mirage::platform
