// SPDX-License-Identifier: ISC
#include <asm/prctl.h>
#include <linux/falloc.h>
#include <sys/mman.h>
#include <sys/syscall.h>
#include <time.h>
#include <unistd.h>

#include <mirage/target/spt/tender/spt.hpp>

namespace mirage::target::spt {

using tender::at_most;
using tender::AttachedDevice;
using tender::equal;
using tender::masked;
using tender::range_within;
using tender::SeccompFilter;

namespace {

constexpr std::uint64_t gather_limit = 64;    // pieces of one frame
constexpr std::uint64_t entropy_limit = 256;  // bytes of one getrandom(2): never interrupted, never short

std::uint64_t descriptor_of(const AttachedDevice& device) { return static_cast<std::uint64_t>(device.descriptor); }

/// The argument as the kernel compares it: descriptors are 32-bit there, a guest may leave garbage above.
tender::Condition descriptor(unsigned argument, std::uint64_t value) { return masked(argument, 0xffffffff, value); }

void allow_net(SeccompFilter& filter, const AttachedDevice& device, std::uint64_t granted) {
  const std::uint64_t number = descriptor_of(device);
  filter.allow(SYS_read, {descriptor(0, number)});
  filter.allow(SYS_write, {descriptor(0, number)});
  if ((granted & solo5::scatter) != 0) {
    filter.allow(SYS_readv, {descriptor(0, number), at_most(2, gather_limit)});
    filter.allow(SYS_writev, {descriptor(0, number), at_most(2, gather_limit)});
  }
}

/// Offsets and lengths are bounded, or a guest could grow the file behind its device.
void allow_block(SeccompFilter& filter, const AttachedDevice& device, const Grant& grant) {
  const std::uint64_t number = descriptor_of(device);
  const std::uint64_t size = device.block_size;
  for (const long call : {SYS_pread64, SYS_pwrite64}) {
    if (call == SYS_pwrite64 && device.read_only) {
      continue;
    }
    if ((grant.extension.granted & solo5::many_blocks) != 0) {
      filter.allow(call, {descriptor(0, number), at_most(2, grant.extension.block_request_limit),
                          masked(2, size - 1, 0), range_within(3, 2, device.capacity)});
    } else {
      filter.allow(call, {descriptor(0, number), equal(2, size), at_most(3, device.capacity - size)});
    }
  }
  if ((grant.extension.granted & solo5::block_flush) != 0) {
    filter.allow(SYS_fdatasync, {descriptor(0, number)});
  }
  if ((grant.extension.granted & solo5::block_discard) != 0 && device.discard) {
    filter.allow(SYS_fallocate, {descriptor(0, number), equal(1, FALLOC_FL_PUNCH_HOLE | FALLOC_FL_KEEP_SIZE),
                                 masked(2, size - 1, 0), masked(3, size - 1, 0), range_within(2, 3, device.capacity)});
  }
}

}  // namespace

void allow_calls(SeccompFilter& filter, const tender::AttachedDevices& devices, const WaitSet& waits,
                 const Grant& grant, const tender::ShardShare& share) {
  for (const AttachedDevice& device : devices.all()) {  // the frequent ones first
    if (device.is_net) {
      allow_net(filter, device, grant.extension.granted);
    }
  }
  for (const int bell : share.all_bells()) {
    if (bell != share.bells[share.index]) {
      filter.allow(SYS_write, {descriptor(0, static_cast<std::uint64_t>(bell)), equal(2, sizeof(std::uint64_t))});
    }
  }
  filter.allow(SYS_epoll_pwait, {descriptor(0, static_cast<std::uint64_t>(waits.epoll))});
  filter.allow(SYS_timerfd_settime, {descriptor(0, static_cast<std::uint64_t>(waits.timer))});
  filter.allow(SYS_clock_gettime, {descriptor(0, CLOCK_MONOTONIC)});
  filter.allow(SYS_clock_gettime, {descriptor(0, CLOCK_REALTIME)});
  for (const AttachedDevice& device : devices.all()) {
    if (!device.is_net) {
      allow_block(filter, device, grant);
    }
  }
  filter.allow(SYS_write, {descriptor(0, STDOUT_FILENO)});
#if defined(__x86_64__)
  filter.allow(SYS_arch_prctl, {descriptor(0, ARCH_SET_FS)});
#endif
  if ((grant.extension.granted & solo5::reseed) != 0) {
    filter.allow(SYS_getrandom, {at_most(1, entropy_limit), equal(2, 0)});
  }
  if ((grant.extension.granted & solo5::guard_page) != 0) {
    constexpr std::uint64_t page = 4096;
    filter.allow(SYS_mprotect, {at_most(0, grant.memory_end - page), equal(1, page), equal(2, PROT_NONE)});
  }
  filter.allow(SYS_exit_group);
}

}  // namespace mirage::target::spt
