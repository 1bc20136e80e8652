// SPDX-License-Identifier: ISC
#include <algorithm>
#include <bit>
#include <cerrno>

#include <fcntl.h>
#include <linux/stat.h>  // musl has no statx(2)
#include <sys/file.h>
#include <sys/random.h>
#include <sys/stat.h>
#include <sys/syscall.h>
#include <unistd.h>

#include <tender/attach.hpp>
#include <tender/file.hpp>
#include <tender/tap.hpp>

namespace mirage::tender {

namespace {

constexpr std::uint16_t default_block_size = 512;

Result<> attach_net(ManifestEntry& entry, const DeviceOption& option, const WantedOffloads& wanted,
                    AttachedDevice& device) {
  auto port = open_net(option.source, wanted);
  if (!port) {
    return std::unexpected{port.error()};
  }
  const auto mac = option.mac ? Result<MacAddress>{*option.mac} : random_mac();
  if (!mac) {
    return std::unexpected{mac.error()};
  }
  device.kind = port->kind;
  device.vnet_header = port->vnet_header;
  device.segment_udp = port->segment_udp;
  device.mtu = option.mtu.value_or(port->mtu);
  device.descriptor = port->descriptor.release();
  std::ranges::copy(*mac, entry.net.mac);
  entry.net.mtu = device.mtu;
  return {};
}

/// Opens the file and keeps other guests from using it at the same time.
Result<File> open_block(const DeviceOption& option, const WantedOffloads& wanted, AttachedDevice& device) {
  if (option.direct && !wanted.block_limits) {
    return fail("the image cannot use direct I/O: leave --block-direct out");
  }
  const int flags = option.direct ? O_DIRECT : 0;
  // A disk that is mounted, or that another program has for itself, is not the guest's to write: open(2), O_EXCL.
  struct stat status{};
  const bool is_disk = !option.read_only && ::stat(option.source, &status) == 0 && S_ISBLK(status.st_mode);
  auto file = File::open(option.source, (option.read_only ? O_RDONLY : O_RDWR) | flags | (is_disk ? O_EXCL : 0));
  if (!file && is_disk && errno == EBUSY) {
    return fail(Quoted{option.source}, " is in use: it is mounted, or another program has the disk for itself");
  }
  const bool refused = !file && (errno == EACCES || errno == EROFS || errno == EPERM);
  if ((refused || option.read_only) && wanted.block_limits) {
    device.read_only = true;
    file = File::open(option.source, O_RDONLY | flags);
  }
  if (!file) {
    return file;
  }
  if (::flock(file->get(), (device.read_only ? LOCK_SH : LOCK_EX) | LOCK_NB) != 0) {
    if (errno == EWOULDBLOCK) {
      return fail(Quoted{option.source}, " is in use by another guest");
    }
    return fail("cannot lock ", Quoted{option.source}, ": ", Errno{errno});
  }
  return file;
}

/// What direct I/O asks of memory and of offsets, statx(2).
Result<> align_block(const DeviceOption& option, AttachedDevice& device) {
  if (!option.direct) {
    return {};
  }
  struct statx status{};
  std::uint32_t offset = 512;
  device.alignment = 4096;
  if (::syscall(SYS_statx, device.descriptor, "", AT_EMPTY_PATH, STATX_DIOALIGN, &status) == 0 &&
      (status.stx_mask & STATX_DIOALIGN) != 0 && std::has_single_bit(status.stx_dio_mem_align)) {
    device.alignment = status.stx_dio_mem_align;
    offset = status.stx_dio_offset_align;
  }
  if (offset > device.block_size) {
    return fail("direct I/O moves ", offset, " bytes at least: add --block-sector-size:", option.name, "=", offset);
  }
  return {};
}

/// Holes behind the end of a file change nothing: they show whether the file system can punch them.
bool can_discard(const AttachedDevice& device) {
  struct stat status{};
  return !device.read_only && ::fstat(device.descriptor, &status) == 0 && S_ISREG(status.st_mode) &&
         ::fallocate(device.descriptor, FALLOC_FL_PUNCH_HOLE | FALLOC_FL_KEEP_SIZE, static_cast<off_t>(device.capacity),
                     device.block_size) == 0;
}

Result<> attach_block(ManifestEntry& entry, const DeviceOption& option, const WantedOffloads& wanted,
                      AttachedDevice& device) {
  auto file = open_block(option, wanted, device);
  if (!file) {
    return std::unexpected{file.error()};
  }
  const auto end = ::lseek(file->get(), 0, SEEK_END);
  if (end < 0) {
    return fail(Quoted{option.source}, " cannot be a block device: ", Errno{errno});
  }
  device.capacity = static_cast<std::uint64_t>(end);
  device.block_size = option.block_size != 0 ? option.block_size : default_block_size;
  // The wording of Solo5's tender is kept inside ours: its test-suite looks for it.
  if (device.capacity % device.block_size != 0) {
    return fail(Quoted{option.source}, ": Backing storage size must be block aligned (", device.block_size, " bytes)");
  }
  if (device.capacity == 0) {
    return fail(Quoted{option.source}, ": Backing storage must be at least 1 block (", device.block_size, " bytes)");
  }
  device.descriptor = file->release();
  entry.block.capacity = device.capacity;
  entry.block.block_size = device.block_size;
  device.discard = can_discard(device);
  return align_block(option, device);
}

/// Names the devices that the manifest declares, for an error's end.
Line declared(const Manifest& manifest) {
  Line line;
  for (const ManifestEntry& entry : manifest.entries().subspan(1)) {
    line << (line.text().empty() ? "" : ", ") << device_type_name(entry.type) << " " << Quoted{entry.name_view()};
  }
  if (line.text().empty()) {
    line << "no device";
  }
  return line;
}

Result<> attach_device(Manifest& manifest, const DeviceOption& option, const WantedOffloads& wanted,
                       AttachedDevice& device) {
  const DeviceType type = option.is_net ? DeviceType::net : DeviceType::block;
  ManifestEntry* entry = manifest.find(option.name, type);
  if (entry == nullptr) {
    return fail("the image declares no ", device_type_name(static_cast<std::uint32_t>(type)), " ", Quoted{option.name},
                "; it declares ", declared(manifest).text());
  }
  device.index = static_cast<unsigned>(entry - manifest.entries().data());
  device.is_net = option.is_net;
  const auto attached =
      option.is_net ? attach_net(*entry, option, wanted, device) : attach_block(*entry, option, wanted, device);
  if (!attached) {
    return fail(option.is_net ? "network " : "block device ", Quoted{option.name}, ": ", attached.error().text());
  }
  entry->descriptor = device.descriptor;
  entry->attached = 1;
  return {};
}

}  // namespace

Result<MacAddress> random_mac() {
  MacAddress mac;
  if (::getrandom(mac.data(), mac.size(), 0) != static_cast<ssize_t>(mac.size())) {
    return fail("cannot get random bytes: ", Errno{errno});
  }
  mac[0] = static_cast<std::uint8_t>((mac[0] & 0xfe) | 2);
  return mac;
}

WantedOffloads wanted_offloads(std::uint64_t wanted) {
  return {.vnet_header = (wanted & mirage::target::solo5::vnet_header) != 0,
          .segment_udp = (wanted & mirage::target::solo5::segment_udp) != 0,
          .block_limits = (wanted & mirage::target::solo5::block_limits) != 0};
}

std::uint64_t describe_blocks(const AttachedDevices& devices, std::uint64_t wanted,
                              mirage::target::solo5::Extension& extension) {
  extension.block_alignment = 1;
  for (const AttachedDevice& device : devices.all()) {
    const std::uint64_t bit = std::uint64_t{!device.is_net} << device.index;
    extension.discard_devices |= device.discard ? bit : 0;
    extension.read_only_devices |= device.read_only ? bit : 0;
    extension.block_alignment = std::max<std::uint64_t>(extension.block_alignment, device.alignment);
  }
  const std::uint64_t discard = extension.discard_devices != 0 ? mirage::target::solo5::block_discard : 0;
  return wanted & (mirage::target::solo5::block_limits | discard);
}

Result<AttachedDevices> attach_devices(Manifest& manifest, const Options& options, const WantedOffloads& wanted) {
  AttachedDevices devices;
  for (const DeviceOption& option : options.devices()) {
    AttachedDevice& device = devices.storage[devices.count];
    if (const auto attached = attach_device(manifest, option, wanted, device); !attached) {
      return std::unexpected{attached.error()};
    }
    ++devices.count;
  }
  for (const ManifestEntry& entry : manifest.entries().subspan(1)) {
    if (entry.attached == 0) {
      return fail("the image needs ", device_type_name(entry.type), " ", Quoted{entry.name_view()}, ": add ",
                  entry.is(DeviceType::net) ? "--net:" : "--block:", entry.name_view(),
                  entry.is(DeviceType::net) ? "=IFACE" : "=FILE");
    }
  }
  return devices;
}

}  // namespace mirage::tender
