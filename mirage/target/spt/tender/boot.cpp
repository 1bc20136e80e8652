// SPDX-License-Identifier: ISC
#include <algorithm>
#include <cerrno>
#include <cstring>

#include <sys/epoll.h>
#include <sys/mman.h>
#include <sys/random.h>
#include <sys/timerfd.h>
#include <unistd.h>

#include <mirage/target/spt/tender/spt.hpp>

namespace mirage::target::spt {

using tender::Errno;
using tender::fail;
using tender::GuestAddress;
using tender::Result;

namespace {

Result<> watch(int epoll, int descriptor, std::uint64_t data, std::uint32_t events = EPOLLIN) {
  epoll_event event{};
  event.events = events;
  event.data.u64 = data;
  if (::epoll_ctl(epoll, EPOLL_CTL_ADD, descriptor, &event) != 0) {
    return fail("cannot watch descriptor ", descriptor, ": ", Errno{errno});
  }
  return {};
}

/// The memory that shards share lies where the host likes, outside of guest memory, and is never executable.
Result<> grant_share(const tender::ShardShare& share, solo5::Extension& extension) {
  if (share.count == 1) {
    return {};
  }
  void* memory = ::mmap(nullptr, mailbox_size(share.count), PROT_READ | PROT_WRITE, MAP_SHARED, share.memory, 0);
  if (memory == MAP_FAILED) {
    return fail("cannot map the memory that shards share: ", Errno{errno});
  }
  extension.granted |= solo5::shards;
  extension.shard_memory = reinterpret_cast<std::uintptr_t>(memory);
  extension.shard_index = share.index;
  extension.shard_count = share.count;
  std::ranges::copy(share.bells, std::begin(extension.shard_bells));
  return {};
}

/// Into the boot info and nowhere else: the guest wipes it as it uses it, and no copy is to be left in its address
/// space.
Result<> write_seed(std::span<std::byte> boot_info) {
  constexpr std::size_t offset = offsetof(ExtendedBootInfo, extension) + offsetof(solo5::Extension, seed);
  if (::getrandom(boot_info.data() + offset, solo5::seed_size, 0) != static_cast<ssize_t>(solo5::seed_size)) {
    return fail("cannot get random bytes: ", Errno{errno});
  }
  return {};
}

}  // namespace

Result<WaitSet> make_wait_set(const tender::AttachedDevices& devices, const tender::ShardShare& share) {
  const WaitSet waits{::epoll_create1(EPOLL_CLOEXEC), ::timerfd_create(CLOCK_MONOTONIC, TFD_NONBLOCK | TFD_CLOEXEC)};
  if (waits.epoll < 0 || waits.timer < 0) {
    return fail("cannot create the wait set: ", Errno{errno});
  }
  if (const auto watched = watch(waits.epoll, waits.timer, timer_event); !watched) {
    return std::unexpected{watched.error()};
  }
  for (const auto& device : devices.all()) {
    if (!device.is_net) {
      continue;
    }
    if (const auto watched = watch(waits.epoll, device.descriptor, device.index); !watched) {
      return std::unexpected{watched.error()};
    }
  }
  if (share.count > 1) {  // edges: nobody reads it, every write is an event
    const auto watched = watch(waits.epoll, share.bells[share.index], bell_event, EPOLLIN | EPOLLET);
    if (!watched) {
      return std::unexpected{watched.error()};
    }
  }
  return waits;
}

Result<Grant> negotiate(const tender::Image& image, const tender::AttachedDevices& devices,
                        const tender::ShardShare& share) {
  Grant grant;
  if (image.wanted == 0) {
    return grant;
  }
  grant.extended = true;
  solo5::Extension& extension = grant.extension;
  extension.magic = solo5::extension_magic;
  extension.size = sizeof extension;
  bool segment_udp = true;  // one bit for all: only when every network can
  for (const auto& device : devices.all()) {
    segment_udp = segment_udp && (!device.vnet_header || device.segment_udp);
    auto& mask = device.is_net ? extension.vnet_devices : extension.flush_devices;
    mask |= std::uint64_t{!device.is_net || device.vnet_header} << device.index;
  }
  extension.clock_function = (image.wanted & solo5::fast_clock) != 0 ? find_clock_function() : 0;
  extension.block_request_limit = (image.wanted & solo5::many_blocks) != 0 ? block_request_limit : 0;
  extension.granted =
      image.wanted & (solo5::many_blocks | solo5::block_flush | solo5::reseed | solo5::fault_report | solo5::scatter |
                      solo5::guard_page | (extension.vnet_devices != 0 ? solo5::vnet_header : 0) |
                      (extension.vnet_devices != 0 && segment_udp ? solo5::segment_udp : 0) |
                      (extension.clock_function != 0 ? solo5::fast_clock : 0));
  extension.granted |= tender::describe_blocks(devices, image.wanted, extension);
  if (const auto shared = grant_share(share, extension); !shared) {
    return std::unexpected{shared.error()};
  }
  return grant;
}

Result<> write_boot_info(const tender::GuestMemory& memory, const tender::Image& image, const tender::Options& options,
                         const WaitSet& waits, const Grant& grant) {
  const auto manifest = image.manifest.bytes();
  const std::size_t head = grant.extended ? sizeof(ExtendedBootInfo) : sizeof(BootInfo);
  const std::uint64_t manifest_address = boot_info_address + head;
  const std::uint64_t command_line_address = manifest_address + manifest.size();
  const auto area = memory.window(GuestAddress{boot_info_address}, head + manifest.size() + solo5::command_line_size,
                                  tender::Access::write);
  if (!area) {
    return fail("no room for the boot info");
  }
  ExtendedBootInfo info{};
  info.base.memory_size = memory.end();
  info.base.kernel_end = image.end;
  std::memcpy(&info.base.command_line, &command_line_address, sizeof command_line_address);
  std::memcpy(&info.base.manifest, &manifest_address, sizeof manifest_address);
  info.base.epoll_descriptor = waits.epoll;
  info.base.timer_descriptor = waits.timer;
  info.extension = grant.extension;
  std::memcpy(area->data(), &info, head);
  if (const auto seeded = grant.extended ? write_seed(*area) : Result<>{}; !seeded) {
    return seeded;
  }
  std::ranges::copy(manifest, area->begin() + static_cast<std::ptrdiff_t>(head));
  return tender::join_arguments(options.arguments, area->last(solo5::command_line_size));
}

}  // namespace mirage::target::spt
