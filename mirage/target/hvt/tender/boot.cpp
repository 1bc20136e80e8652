// SPDX-License-Identifier: ISC
#include <algorithm>
#include <cerrno>
#include <cstring>

#include <sys/random.h>

#include <mirage/target/hvt/tender/boot.hpp>
#include <mirage/target/hvt/tender/move.hpp>

namespace mirage::target::hvt {

namespace {

using mirage::tender::Access;
using mirage::tender::fail;
using mirage::tender::GuestMemory;
using mirage::tender::Result;

constexpr std::uint64_t grantable =
    solo5::vnet_header | solo5::many_blocks | solo5::block_flush | solo5::reseed | solo5::scatter | solo5::segment_udp;

/// Copies `bytes` to `address` and moves it behind them.
void append(const GuestMemory& memory, std::uint64_t& address, std::span<const std::byte> bytes) {
  if (const auto target = memory.window(mirage::tender::GuestAddress{address}, bytes.size(), Access::write)) {
    std::memcpy(target->data(), bytes.data(), bytes.size());
  }
  address += bytes.size();
}

/// The manifest as the guest may see it: the tender's descriptors are none of its business here.
mirage::tender::Manifest without_descriptors(mirage::tender::Manifest manifest) {
  for (auto& entry : manifest.entries()) {
    entry.data = 0;
  }
  return manifest;
}

}  // namespace

Result<Grant> negotiate(const mirage::tender::Image& image, const mirage::tender::AttachedDevices& devices,
                        bool queue) {
  Grant grant;
  if (image.wanted == 0) {
    return grant;
  }
  grant.extended = true;
  solo5::Extension& extension = grant.extension;
  extension.magic = solo5::extension_magic;
  extension.size = sizeof(extension);
  extension.granted = image.wanted & (grantable | (queue ? solo5::block_queue : 0));
  for (const auto& device : devices.all()) {
    const std::uint64_t bit = std::uint64_t{1} << device.index;
    extension.vnet_devices |= device.vnet_header ? bit : 0;
    extension.queue_devices |= queue && queued(device) ? bit : 0;
    extension.flush_devices |= !device.is_net && (extension.granted & solo5::block_flush) != 0 ? bit : 0;
  }
  extension.granted |= mirage::tender::describe_blocks(devices, image.wanted, extension);
  // One bit for all networks: only when every one of them can.
  const bool segments_udp =
      std::ranges::all_of(devices.all(), [](const auto& device) { return !device.vnet_header || device.segment_udp; });
  if (extension.vnet_devices == 0) {
    extension.granted &= ~std::uint64_t{solo5::vnet_header | solo5::segment_udp};
  } else if (!segments_udp) {
    extension.granted &= ~std::uint64_t{solo5::segment_udp};
  }
  if ((extension.granted & solo5::many_blocks) != 0) {
    extension.block_request_limit = block_request_limit;
  }
  if (::getrandom(extension.seed, sizeof(extension.seed), 0) != static_cast<ssize_t>(sizeof(extension.seed))) {
    return fail("cannot get random bytes: ", mirage::tender::Errno{errno});
  }
  return grant;
}

Result<> write_boot_info(const GuestMemory& memory, const mirage::tender::Image& image,
                         const mirage::tender::Options& options, std::uint64_t cycle_frequency, const Grant& grant) {
  const auto manifest = without_descriptors(image.manifest);
  ExtendedBootInfo boot{};
  const std::size_t size = grant.extended ? sizeof(boot) : base_boot_info_size;
  boot.base.memory_size = memory.end();
  boot.base.kernel_end = image.end;
  boot.base.cycle_frequency = cycle_frequency;
  boot.base.manifest = boot_info_address + size;
  boot.base.command_line = boot.base.manifest + manifest.bytes().size();
  boot.extension = grant.extension;
  std::uint64_t address = boot_info_address;
  append(memory, address, std::as_bytes(std::span{&boot, 1}).first(size));
  append(memory, address, manifest.bytes());
  const auto line = memory.window(mirage::tender::GuestAddress{address}, solo5::command_line_size, Access::write);
  return mirage::tender::join_arguments(options.arguments, *line);
}

}  // namespace mirage::target::hvt
