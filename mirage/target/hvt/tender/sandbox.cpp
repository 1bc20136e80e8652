// SPDX-License-Identifier: ISC
#include <array>
#include <ctime>

#include <fcntl.h>
#include <sys/mman.h>
#include <sys/syscall.h>
#include <sys/time.h>
#include <unistd.h>

#include <mirage/target/hvt/abi.hpp>
#include <mirage/target/hvt/tender/block_queue.hpp>
#include <mirage/target/hvt/tender/machine.hpp>
#include <mirage/target/hvt/tender/sandbox.hpp>
#include <tender/privilege.hpp>
#include <tender/seccomp.hpp>

namespace mirage::target::hvt {

namespace {

using mirage::tender::at_most;
using mirage::tender::AttachedDevice;
using mirage::tender::Condition;
using mirage::tender::equal;
using mirage::tender::masked;
using mirage::tender::range_within;
using mirage::tender::Result;
using mirage::tender::SeccompFilter;

// Descriptors are 32-bit there: what stands above does not count.
Condition is(unsigned argument, int descriptor) {
  return masked(argument, 0xffffffff, static_cast<std::uint32_t>(descriptor));
}

void allow_machine(SeccompFilter& filter, const Confinement& confinement) {
  for (const unsigned long command : Machine::run_commands) {
    filter.allow(SYS_ioctl, {is(0, confinement.processor), masked(1, 0xffffffff, command)});
  }
  if (confinement.debugger < 0 && confinement.core_file < 0) {
    return;
  }
  for (const unsigned long command : Machine::debug_commands) {
    filter.allow(SYS_ioctl, {is(0, confinement.processor), masked(1, 0xffffffff, command)});
  }
}

void allow_device(SeccompFilter& filter, const AttachedDevice& device, std::uint64_t granted) {
  if (device.is_net) {
    filter.allow(SYS_read, {is(0, device.descriptor)});
    filter.allow(SYS_write, {is(0, device.descriptor), at_most(2, vnet_header_size + large_frame_size)});
    if ((granted & solo5::scatter) != 0) {
      filter.allow(SYS_readv, {is(0, device.descriptor), at_most(2, vector_limit)});
      filter.allow(SYS_writev, {is(0, device.descriptor), at_most(2, vector_limit)});
    }
    return;
  }
  filter.allow(SYS_pread64, {is(0, device.descriptor), range_within(3, 2, device.capacity)});
  if (!device.read_only) {
    filter.allow(SYS_pwrite64, {is(0, device.descriptor), range_within(3, 2, device.capacity)});
  }
  if ((granted & solo5::block_flush) != 0) {
    filter.allow(SYS_fdatasync, {is(0, device.descriptor)});
  }
  if ((granted & solo5::block_discard) != 0 && device.discard) {
    filter.allow(SYS_fallocate, {is(0, device.descriptor), equal(1, FALLOC_FL_PUNCH_HOLE | FALLOC_FL_KEEP_SIZE),
                                 range_within(2, 3, device.capacity)});
  }
}

void allow_debugger(SeccompFilter& filter, const Confinement& confinement) {
  if (confinement.debugger < 0) {
    return;
  }
  filter.allow(SYS_recvfrom, {is(0, confinement.debugger), equal(4, 0)});
  filter.allow(SYS_write, {is(0, confinement.debugger)});
  filter.allow(SYS_close, {is(0, confinement.debugger)});
  // Breakpoints are written into text, which the tender has mapped read-only.
  filter.allow(SYS_mprotect, {masked(2, ~std::uint64_t{PROT_READ | PROT_WRITE}, 0),
                              range_within(0, 1, confinement.memory_start + confinement.memory_size)});
}

void allow_core_dump(SeccompFilter& filter, const Confinement& confinement) {
  if (confinement.core_file < 0) {
    return;
  }
  filter.allow(SYS_pwrite64, {is(0, confinement.core_file)});
  filter.allow(SYS_ftruncate, {is(0, confinement.core_file)});
  filter.allow(SYS_linkat, {is(0, AT_FDCWD), is(2, confinement.core_directory), equal(4, AT_SYMLINK_FOLLOW)});
}

Result<> close_others(const Confinement& confinement) {
  std::array<int, solo5::manifest_limit + 6> keep;
  std::size_t count = 0;
  for (const int descriptor : {confinement.processor, confinement.wait_set, confinement.block_queue,
                               confinement.debugger, confinement.core_file, confinement.core_directory}) {
    keep[count++] = descriptor;
  }
  for (const AttachedDevice& device : confinement.devices.all()) {
    keep[count++] = device.descriptor;
  }
  return mirage::tender::close_other_descriptors(std::span{keep}.first(count));
}

}  // namespace

Result<> filter_calls(const Confinement& confinement) {
  SeccompFilter filter;
  allow_machine(filter, confinement);
  for (const AttachedDevice& device : confinement.devices.all()) {
    allow_device(filter, device, confinement.granted);
  }
  filter.allow(SYS_epoll_pwait2, {is(0, confinement.wait_set)});
  filter.allow(SYS_epoll_pwait, {is(0, confinement.wait_set)});  // where the kernel has no epoll_pwait2
  if (confinement.block_queue >= 0) {
    // Hands over what is prepared, never waits. What the ring may do with whom, it knows itself.
    filter.allow(SYS_io_uring_enter,
                 {is(0, confinement.block_queue), at_most(1, BlockQueue::depth), equal(2, 0), equal(3, 0)});
  }
  // When the vDSO cannot answer.
  filter.allow(SYS_clock_gettime, {is(0, CLOCK_MONOTONIC)});
  filter.allow(SYS_clock_gettime, {is(0, CLOCK_REALTIME)});
  filter.allow(SYS_write, {is(0, STDOUT_FILENO)});
  filter.allow(SYS_write, {is(0, STDERR_FILENO)});
  if ((confinement.granted & solo5::reseed) != 0) {
    filter.allow(SYS_getrandom, {at_most(1, entropy_limit), equal(2, 0)});
  }
  allow_debugger(filter, confinement);
  allow_core_dump(filter, confinement);
  filter.allow(SYS_setitimer, {equal(0, ITIMER_REAL)});  // ends the tender when a signal has and nobody listens
  filter.allow(SYS_rt_sigreturn);
  filter.allow(SYS_exit_group);
#if __has_feature(address_sanitizer)
  filter.allow(SYS_sigaltstack, {equal(0, 0)});  // asked for before every function that does not return
#endif
  return filter.install();
}

Result<> drop_rights(const Confinement& confinement) {
  return close_others(confinement).and_then([] { return mirage::tender::drop_privileges(); }).and_then([] {
    return mirage::tender::restrict_process();
  });
}

}  // namespace mirage::target::hvt
