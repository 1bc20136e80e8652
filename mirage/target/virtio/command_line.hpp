// SPDX-License-Identifier: ISC
// The kernel command line of a virtio guest: QEMU's microvm without ACPI appends words that describe its devices; they
// are taken out before the application's arguments are parsed.
#pragma once

#include <algorithm>
#include <array>
#include <cstdint>
#include <optional>
#include <span>
#include <string_view>

namespace mirage::target::virtio {

/// A virtio-mmio device: registers at [address, address + size), and its (global system) interrupt.
struct MmioDevice {
  std::uint64_t address = 0;
  std::uint32_t size = 0;
  std::uint32_t interrupt = 0;
};

/// At most so many are kept; more are ignored.
inline constexpr std::size_t maximum_mmio_devices = 32;

struct MmioDevices {
  std::array<MmioDevice, maximum_mmio_devices> items{};
  std::size_t count = 0;

  [[nodiscard]] std::span<const MmioDevice> all() const noexcept { return std::span(items).first(count); }
  /// A device that is described twice, by ACPI and on the command line (Firecracker does), is one.
  void add(const MmioDevice& device) noexcept {
    const bool known = std::ranges::contains(all(), device.address, &MmioDevice::address);
    if (!known && count < items.size()) items[count++] = device;
  }
};

/// `SIZE@ADDRESS:IRQ[:ID]` as in Linux' virtio_mmio.device: numbers in C notation, SIZE with an optional K, M or G.
[[nodiscard]] std::optional<MmioDevice> parse_mmio_device(std::string_view text) noexcept;

/// Copies the words of `line` to `out` except `virtio_mmio.device=...`, which are collected (malformed ones are
/// dropped). Words keep their quoting and the white space before them. Returns the number of characters written.
/// Precondition: out.size() >= line.size().
[[nodiscard]] std::size_t strip_command_line(std::string_view line, std::span<char> out, MmioDevices& devices) noexcept;

}  // namespace mirage::target::virtio
