// SPDX-License-Identifier: ISC
// The little of ACPI that this target needs, read as data: how to switch off (FADT, and \_S5 found in the DSDT's
// bytes), the I/O APICs (MADT), virtio-mmio devices (DSDT devices with _HID "LNRO0005", as QEMU's microvm describes
// them). No AML is interpreted. ACPI 6.5, sections 5.2 and 6.4 (resource descriptors).
#pragma once

#include <array>
#include <cstdint>
#include <span>

#include <mirage/target/virtio/command_line.hpp>
#include <mirage/target/virtio/physical_memory.hpp>

namespace mirage::target::virtio {

struct IoApicInfo {
  std::uint64_t address = 0;
  std::uint32_t first_interrupt = 0;
};

/// Where to write to switch off; an address of 0 means there is none.
struct PowerOff {
  std::uint16_t control_a = 0;  ///< PM1a_CNT port
  std::uint16_t control_b = 0;  ///< PM1b_CNT port
  std::uint8_t type_a = 0;      ///< SLP_TYPx of \_S5
  std::uint8_t type_b = 0;
  std::uint64_t sleep_control = 0;  ///< SLEEP_CONTROL_REG of hardware-reduced machines
  bool sleep_control_is_port = false;
};

struct AcpiInfo {
  static constexpr std::size_t maximum_io_apics = 4;

  PowerOff power_off;
  std::array<IoApicInfo, maximum_io_apics> io_apics{};
  std::size_t io_apic_count = 0;
  MmioDevices mmio;
};

/// Follows the root pointer. Tables with a wrong checksum or length are skipped; what is not found stays empty.
[[nodiscard]] AcpiInfo read_acpi(PhysicalMemory& memory, std::uint64_t rsdp) noexcept;

/// Parts of it, for tests: the body of a DSDT.
void scan_dsdt(Bytes dsdt, AcpiInfo& info) noexcept;

}  // namespace mirage::target::virtio
