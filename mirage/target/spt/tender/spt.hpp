// SPDX-License-Identifier: ISC
#pragma once

#include <cstdint>
#include <span>

#include <mirage/target/spt/abi.hpp>
#include <tender/attach.hpp>
#include <tender/elf.hpp>
#include <tender/error.hpp>
#include <tender/memory.hpp>
#include <tender/options.hpp>
#include <tender/seccomp.hpp>
#include <tender/shard.hpp>

/// mirage-spt: runs an image as a sandboxed process. The tender sets up guest memory, descriptors and a system call
/// filter, then jumps into the image and is never returned to, except to report a fault.
namespace mirage::target::spt {

namespace tender = mirage::tender;

/// The largest block request that is granted beside the base ABI's single block.
inline constexpr std::uint64_t block_request_limit = std::uint64_t{1} << 20;

/// The descriptors that the guest waits with.
struct WaitSet {
  int epoll = -1;
  int timer = -1;
};

/// An epoll set with a timer, every network device and the shard's bell in it.
tender::Result<WaitSet> make_wait_set(const tender::AttachedDevices& devices, const tender::ShardShare& share);

/// What the guest is granted beside the base ABI; nothing when its image does not ask. Without the seed.
struct Grant {
  bool extended = false;
  std::uint64_t memory_end = 0;  ///< of the guest
  solo5::Extension extension{};
};
tender::Result<Grant> negotiate(const tender::Image& image, const tender::AttachedDevices& devices,
                                const tender::ShardShare& share);

/// Writes boot info, with a seed if granted, manifest and command line into low memory.
tender::Result<> write_boot_info(const tender::GuestMemory& memory, const tender::Image& image,
                                 const tender::Options& options, const WaitSet& waits, const Grant& grant);

/// The system calls that the guest may make: those of the base ABI and what was granted.
void allow_calls(tender::SeccompFilter& filter, const tender::AttachedDevices& devices, const WaitSet& waits,
                 const Grant& grant, const tender::ShardShare& share);

/// Has faults of the guest reported on the console: registers and a backtrace within guest memory.
tender::Result<> install_fault_handler(const tender::Image& image, std::uint64_t memory_end);

/// Address of the host's clock_gettime(2) without a system call, or 0.
std::uint64_t find_clock_function();

/// Leaves the tender for good: stack pointer, entry point and its argument are guest addresses. Does not return, but is
/// not declared so: sanitizers would make system calls before a call that does not return.
void launch(std::uint64_t stack, std::uint64_t entry, std::uint64_t argument);

}  // namespace mirage::target::spt
