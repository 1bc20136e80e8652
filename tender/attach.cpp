// SPDX-License-Identifier: ISC
#include <algorithm>
#include <cerrno>

#include <fcntl.h>
#include <sys/file.h>
#include <sys/random.h>
#include <unistd.h>

#include <tender/attach.hpp>
#include <tender/file.hpp>
#include <tender/tap.hpp>

namespace mirage::tender {

namespace {

constexpr std::uint16_t default_block_size = 512;

/// A random address with the local bit set and the group bit clear.
Result<MacAddress> random_mac() {
  MacAddress mac;
  if (::getrandom(mac.data(), mac.size(), 0) != static_cast<ssize_t>(mac.size())) {
    return fail("cannot get random bytes: ", Errno{errno});
  }
  mac[0] = static_cast<std::uint8_t>((mac[0] & 0xfe) | 2);
  return mac;
}

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
Result<File> open_block(const char* path) {
  auto file = File::open(path, O_RDWR);
  if (!file) {
    return file;
  }
  if (::flock(file->get(), LOCK_EX | LOCK_NB) != 0 && errno == EWOULDBLOCK) {
    return fail(Quoted{path}, " is in use by another guest");
  }
  return file;
}

Result<> attach_block(ManifestEntry& entry, const DeviceOption& option, AttachedDevice& device) {
  auto file = open_block(option.source);
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
  return {};
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
      option.is_net ? attach_net(*entry, option, wanted, device) : attach_block(*entry, option, device);
  if (!attached) {
    return fail(option.is_net ? "network " : "block device ", Quoted{option.name}, ": ", attached.error().text());
  }
  entry->descriptor = device.descriptor;
  entry->attached = 1;
  return {};
}

}  // namespace

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
