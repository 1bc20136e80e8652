// SPDX-License-Identifier: ISC
// PCI through configuration mechanism 1 (ports 0xcf8 and 0xcfc), as on pc and q35.
#pragma once

#include <mirage/device/virtio/pci.hpp>

namespace mirage::target::virtio {

class PciPorts final : public mirage::virtio::PciAccess {
 public:
  [[nodiscard]] std::uint32_t read(mirage::virtio::PciAddress address, std::uint8_t offset) const noexcept override;
  void write(mirage::virtio::PciAddress address, std::uint8_t offset, std::uint32_t value) const noexcept override;
  [[nodiscard]] mirage::virtio::RegisterWindow map(std::uint64_t address, std::uint32_t size) const noexcept override;
  [[nodiscard]] std::uint32_t read_port(std::uint16_t port, unsigned bytes) const noexcept override;
  void write_port(std::uint16_t port, unsigned bytes, std::uint32_t value) const noexcept override;
};

/// Stateless.
inline constexpr PciPorts pci_ports;

}  // namespace mirage::target::virtio
