// SPDX-License-Identifier: ISC
#include <bitset>

#include <mirage/target/virtio/guest/device_list.hpp>
#include <mirage/target/virtio/guest/pci_access.hpp>
#include <mirage/target/virtio/guest/state.hpp>

namespace mirage::target::virtio {

namespace {

using mirage::virtio::PciAddress;

constexpr std::uint32_t no_function = 0xffff'ffff;
constexpr std::uint8_t at_id = 0x00;
constexpr std::uint8_t at_header_type = 0x0c;
constexpr std::uint8_t at_buses = 0x18;
constexpr std::uint32_t header_bridge = 1;
constexpr std::uint32_t header_multifunction = 0x80;

}  // namespace

void DeviceList::add(const FoundDevice& device) noexcept {
  if (device.type != DeviceType::none && count_ < found_.size()) found_[count_++] = device;
}

void DeviceList::scan_pci() noexcept {
  const PciPorts& access = pci_ports;
  if (access.read({0, 0, 0}, at_id) == no_function) return;
  std::bitset<256> buses;
  buses[0] = true;
  // Bridges lead to higher numbers only, so one pass over the bits sees every bus.
  for (unsigned bus = 0; bus < 256; ++bus) {
    if (!buses[bus]) continue;
    for (std::uint8_t device = 0; device < 32; ++device) {
      unsigned functions = 1;
      for (std::uint8_t function = 0; function < functions; ++function) {
        const PciAddress address{static_cast<std::uint8_t>(bus), device, function};
        if (access.read(address, at_id) == no_function) continue;
        const std::uint32_t header = access.read(address, at_header_type) >> 16 & 0xff;
        if (function == 0 && (header & header_multifunction) != 0) functions = 8;
        if ((header & ~header_multifunction) == header_bridge) {
          const std::uint32_t secondary = access.read(address, at_buses) >> 8 & 0xff;
          if (secondary > bus) buses[secondary] = true;
        }
        add({.type = mirage::virtio::pci_device_type(access, address),
             .is_pci = true,
             .held = false,
             .wakeable = nullptr,
             .pci = address,
             .mmio = {}});
      }
    }
  }
}

void DeviceList::scan_mmio() noexcept {
  for (const MmioDevice& device : state.acpi.mmio.all()) {
    if (!map_device(device.address, device.size)) continue;
    const mirage::virtio::MmioTransport transport{{device.address, device.size}};
    add({.type = transport.type(), .is_pci = false, .held = false, .wakeable = nullptr, .pci = {}, .mmio = device});
  }
}

std::span<FoundDevice> DeviceList::devices() noexcept {
  if (!scanned_) {
    scanned_ = true;
    scan_pci();
    scan_mmio();
  }
  return found();
}

}  // namespace mirage::target::virtio
