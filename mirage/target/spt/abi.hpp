// SPDX-License-Identifier: ISC
#pragma once

#include <cstddef>
#include <cstdint>

#include <mirage/target/solo5/manifest.hpp>
#include <mirage/target/solo5/negotiation.hpp>

/// The interface between an spt guest and its tender: Solo5's spt ABI, version 2, and what ours adds to it.
/// The guest is an ordinary user process without libc that may make a handful of system calls.
namespace mirage::target::spt {

inline constexpr std::uint32_t abi_version = 2;

/// Guest memory begins here (hosts do not map lower) ...
inline constexpr std::uint64_t memory_start = 0x10000;
/// ... the boot info stands here, manifest and command line behind it.
inline constexpr std::uint64_t boot_info_address = 0x11000;

/// Passed to the entry point as its only argument (%rdi).
struct BootInfo {
  std::uint64_t memory_size;  // guest memory is [memory_start, memory_size)
  std::uint64_t kernel_end;   // do not rely on it: see the linker's `_end`
  const char* command_line;
  const void* manifest;
  std::int32_t epoll_descriptor;  // holds the timer and every attached network device
  std::int32_t timer_descriptor;  // CLOCK_MONOTONIC, non-blocking
};
static_assert(sizeof(BootInfo) == 40);

/// `epoll_event::data` of the timer; that of a network device is its index in the manifest.
inline constexpr std::uint64_t timer_event = 0xfffffffe;
/// That of a shard's bell (capability `shards`): it only ends the wait.
inline constexpr std::uint64_t bell_event = 0xfffffffd;

/// BootInfo as our tender writes it.
struct ExtendedBootInfo {
  BootInfo base;
  solo5::Extension extension;
};
static_assert(offsetof(ExtendedBootInfo, extension) == sizeof(BootInfo));

}  // namespace mirage::target::spt
