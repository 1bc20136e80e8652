// SPDX-License-Identifier: ISC
// The virtio devices of the machine, found once, when the first is asked for.
#pragma once

#include <array>
#include <span>

#include <mirage/target/virtio/attachment.hpp>
#include <mirage/target/virtio/command_line.hpp>

namespace mirage::target::virtio {

struct FoundDevice {
  DeviceType type = DeviceType::none;
  bool is_pci = false;
  bool held = false;
  Wakeable* wakeable = nullptr;
  mirage::virtio::PciAddress pci;
  MmioDevice mmio;
};

class DeviceList {
 public:
  static constexpr std::size_t maximum = 32;
  /// Scans at the first call: PCI (bus 0 and what lies behind its bridges), then the mmio devices that ACPI or the
  /// command line describe.
  [[nodiscard]] std::span<FoundDevice> devices() noexcept;
  /// Does not scan.
  [[nodiscard]] std::span<FoundDevice> found() noexcept { return std::span(found_).first(count_); }

 private:
  void scan_pci() noexcept;
  void scan_mmio() noexcept;
  void add(const FoundDevice& device) noexcept;
  std::array<FoundDevice, maximum> found_{};
  std::size_t count_ = 0;
  bool scanned_ = false;
};

}  // namespace mirage::target::virtio
