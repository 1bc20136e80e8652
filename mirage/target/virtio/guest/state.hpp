// SPDX-License-Identifier: ISC
// All mutable state of a virtio guest below the shard: one object, because mirage::platform's functions and interrupt
// entry have no argument to find it by.
#pragma once

#include <array>
#include <cstdint>
#include <optional>

#include <mirage/device/virtio/console.hpp>
#include <mirage/device/virtio/entropy.hpp>
#include <mirage/machine/x86_64/clock.hpp>
#include <mirage/machine/x86_64/descriptor_tables.hpp>
#include <mirage/machine/x86_64/interrupt.hpp>
#include <mirage/machine/x86_64/paging.hpp>
#include <mirage/target/virtio/acpi.hpp>
#include <mirage/target/virtio/guest/device_list.hpp>
#include <mirage/target/virtio/guest/serial.hpp>
#include <mirage/target/virtio/start_info.hpp>

namespace mirage::target::virtio {

/// Output over virtio-console, on machines without a serial port.
struct VirtioConsole {
  Attachment attachment;
  mirage::virtio::ConsoleDevice device;
};

/// Memory of the machine as the guest sees it: the boot map of the first GiB until the page tables are in force, then
/// whatever they map; ACPI's tables are mapped read-only on demand.
class MachineMemory final : public PhysicalMemory {
 public:
  [[nodiscard]] Bytes view(std::uint64_t address, std::size_t size) noexcept override;
};

struct State {
  machine::DescriptorTables descriptor_tables;
  machine::Clock clock;
  machine::LocalApic local_apic;
  std::optional<machine::PageTables> page_tables;
  SerialPort serial;
  StartInfo start_info;
  AcpiInfo acpi;
  std::array<machine::IoApic, AcpiInfo::maximum_io_apics> io_apics;
  std::size_t io_apic_count = 0;
  /// Entropy is asked for before there is a heap.
  alignas(machine::page_size) std::array<std::byte, mirage::virtio::entropy_queue_memory> entropy_queue{};
  DeviceList devices;
  alignas(machine::page_size) std::array<std::byte, mirage::virtio::ConsoleDevice::queue_memory> console_queue{};
  alignas(VirtioConsole) std::array<std::byte, sizeof(VirtioConsole)> console_storage{};
  VirtioConsole* console = nullptr;  ///< in console_storage, once there is one
  bool unrouted_interrupts = false;  ///< some device's interrupts reach nobody
};

extern State state;

/// Maps a device's registers, uncached; false when the range touches usable memory or the tables are full.
[[nodiscard]] bool map_device(std::uint64_t address, std::uint64_t size) noexcept;

/// Writes to the serial port, else to the virtio console, else nowhere.
void write_console(std::span<const char> text) noexcept;

/// Looks for a virtio console when there is no serial port. Interrupts and clock must be set up.
void find_console() noexcept;

/// Switches the machine off, by whatever means it has.
[[noreturn]] void power_off() noexcept;

}  // namespace mirage::target::virtio
