// SPDX-License-Identifier: ISC
#include <mirage/machine/x86_64/cpu.hpp>
#include <mirage/target/virtio/guest/pci_access.hpp>
#include <mirage/target/virtio/guest/state.hpp>

namespace mirage::target::virtio {

namespace {

constexpr std::uint16_t address_port = 0xcf8;
constexpr std::uint16_t data_port = 0xcfc;

void select(mirage::virtio::PciAddress address, std::uint8_t offset) noexcept {
  machine::out32(address_port, 1U << 31 | std::uint32_t{address.bus} << 16 | std::uint32_t{address.device} << 11 |
                                   std::uint32_t{address.function} << 8 | (offset & 0xfcU));
}

}  // namespace

std::uint32_t PciPorts::read(mirage::virtio::PciAddress address, std::uint8_t offset) const noexcept {
  select(address, offset);
  return machine::in32(data_port);
}

void PciPorts::write(mirage::virtio::PciAddress address, std::uint8_t offset, std::uint32_t value) const noexcept {
  select(address, offset);
  machine::out32(data_port, value);
}

mirage::virtio::RegisterWindow PciPorts::map(std::uint64_t address, std::uint32_t size) const noexcept {
  if (!map_device(address, size)) return {};
  return {address, size};
}

std::uint32_t PciPorts::read_port(std::uint16_t port, unsigned bytes) const noexcept {
  return bytes == 1 ? machine::in8(port) : bytes == 2 ? machine::in16(port) : machine::in32(port);
}

void PciPorts::write_port(std::uint16_t port, unsigned bytes, std::uint32_t value) const noexcept {
  if (bytes == 1) return machine::out8(port, static_cast<std::uint8_t>(value));
  if (bytes == 2) return machine::out16(port, static_cast<std::uint16_t>(value));
  machine::out32(port, value);
}

}  // namespace mirage::target::virtio
