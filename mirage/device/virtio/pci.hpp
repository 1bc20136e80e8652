// SPDX-License-Identifier: ISC
// virtio over PCI, VIRTIO 1.2 section 4.1: modern (capabilities) and legacy (one I/O port range, section 4.1.4.8).
// The target supplies configuration space, ports and the mapping of BARs; nothing here is specific to a machine.
#pragma once

#include <cstdint>
#include <optional>

#include <mirage/device/virtio/register_window.hpp>
#include <mirage/device/virtio/transport.hpp>

namespace mirage::virtio {

/// Bus, device, function.
struct PciAddress {
  std::uint8_t bus = 0;
  std::uint8_t device = 0;
  std::uint8_t function = 0;
};

/// What the machine lets drivers do.
class PciAccess {
 public:
  /// A doubleword of configuration space; `offset` is a multiple of 4 below 256. All ones: no such function.
  [[nodiscard]] virtual std::uint32_t read(PciAddress address, std::uint8_t offset) const noexcept = 0;
  virtual void write(PciAddress address, std::uint8_t offset, std::uint32_t value) const noexcept = 0;
  /// Maps registers; an empty window when that is not possible or not allowed.
  [[nodiscard]] virtual RegisterWindow map(std::uint64_t address, std::uint32_t size) const noexcept = 0;
  [[nodiscard]] virtual std::uint32_t read_port(std::uint16_t port, unsigned bytes) const noexcept = 0;
  virtual void write_port(std::uint16_t port, unsigned bytes, std::uint32_t value) const noexcept = 0;

 protected:
  ~PciAccess() = default;
};

/// A message-signalled interrupt.
struct Message {
  std::uint64_t address = 0;
  std::uint32_t data = 0;
};

inline constexpr std::uint16_t pci_virtio_vendor = 0x1af4;

/// The virtio device type of a PCI function: none for other functions.
[[nodiscard]] DeviceType pci_device_type(const PciAccess& access, PciAddress address) noexcept;

class PciTransport final : public Transport {
 public:
  PciTransport() noexcept = default;
  PciTransport(const PciTransport&) = delete;
  PciTransport& operator=(const PciTransport&) = delete;

  /// Finds the device's registers (modern if it has them, else legacy) and enables decoding and bus mastering. False
  /// when neither interface is usable. May be called again for another device.
  [[nodiscard]] bool open(const PciAccess& access, PciAddress address) noexcept;
  /// Sends all interrupts of the device as `message` by MSI-X. False when it has none: then they come by
  /// interrupt_line(). Call between open() and the start of the first queue.
  [[nodiscard]] bool use_messages(const Message& message) noexcept;
  /// What firmware wrote into the interrupt line register; 255: not connected.
  [[nodiscard]] std::uint8_t interrupt_line() noexcept;

  [[nodiscard]] bool modern() const noexcept override { return modern_; }
  [[nodiscard]] bool queue_size_is_fixed() const noexcept override { return !modern_; }
  [[nodiscard]] std::uint8_t status() noexcept override;
  void set_status(std::uint8_t status) noexcept override;
  [[nodiscard]] std::uint64_t device_features() noexcept override;
  void set_driver_features(std::uint64_t features) noexcept override;
  [[nodiscard]] std::uint16_t queue_limit(std::uint16_t queue) noexcept override;
  [[nodiscard]] bool enable_queue(Doorbell& doorbell, std::uint16_t size, const RingAddresses& ring) noexcept override;
  void notify(Doorbell doorbell) noexcept override;
  [[nodiscard]] std::uint32_t read_configuration(std::uint32_t offset, unsigned bytes) noexcept override;
  [[nodiscard]] std::uint32_t configuration_generation() noexcept override;
  void acknowledge_interrupt() noexcept override;

 private:
  // Not inlined: an access takes long anyway.
  [[nodiscard, gnu::noinline]] std::uint32_t read_register(unsigned offset) noexcept {
    return access_->read(address_, static_cast<std::uint8_t>(offset));
  }
  [[gnu::noinline]] void write_register(unsigned offset, std::uint32_t value) noexcept {
    access_->write(address_, static_cast<std::uint8_t>(offset), value);
  }
  [[nodiscard]] std::uint64_t bar_address(unsigned bar) noexcept;
  [[nodiscard]] RegisterWindow map_capability(std::uint8_t capability) noexcept;
  void read_capability(std::uint8_t capability) noexcept;
  void read_capabilities() noexcept;
  [[nodiscard]] bool open_legacy() noexcept;
  [[nodiscard, gnu::noinline]] std::uint32_t read_legacy(std::uint16_t offset, unsigned bytes) noexcept;
  [[gnu::noinline]] void write_legacy(std::uint16_t offset, unsigned bytes, std::uint32_t value) noexcept;

  const PciAccess* access_ = nullptr;
  PciAddress address_;
  RegisterWindow common_;
  RegisterWindow notify_;
  RegisterWindow interrupt_;
  RegisterWindow device_;
  std::uint32_t notify_multiplier_ = 0;
  std::uint16_t ports_ = 0;
  std::uint8_t message_capability_ = 0;
  bool modern_ = false;
  bool messages_ = false;
};

}  // namespace mirage::virtio
