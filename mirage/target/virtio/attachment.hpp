// SPDX-License-Identifier: ISC
// A device found on the machine and the way to it: what Net and Block have in common.
#pragma once

#include <optional>

#include <mirage/device/virtio/mmio.hpp>
#include <mirage/device/virtio/pci.hpp>

namespace mirage::target::virtio {

using mirage::virtio::DeviceType;

/// Something that can end the processor's sleep.
class Wakeable {
 public:
  /// Before the sleep: asks for interrupts. True when there is work already: then nobody sleeps.
  [[nodiscard]] virtual bool arm() noexcept = 0;
  /// After it. `quiet`: no device has work, so that it was a deadline, or a device that tells of itself.
  virtual void disarm(bool quiet) noexcept = 0;

 protected:
  ~Wakeable() = default;
};

/// Holds one device of the machine. Devices are numbered in the order in which the machine lists them (PCI by address,
/// then mmio), and each is handed out once.
class Attachment {
 public:
  Attachment() noexcept = default;
  Attachment(const Attachment&) = delete;
  Attachment& operator=(const Attachment&) = delete;
  ~Attachment() { release(); }

  /// Opens the first device of that type that nobody holds, not earlier than number `from`, and routes its interrupts.
  /// Every sleep includes `wakeable` until it is released. The device's number, or nullopt when there is none (left).
  [[nodiscard]] std::optional<std::size_t> open(DeviceType type, Wakeable* wakeable, std::size_t from = 0) noexcept;
  /// Gives the device back; the driver has reset it.
  void release() noexcept;
  /// Precondition: open() succeeded.
  [[nodiscard]] mirage::virtio::Transport& transport() noexcept { return *transport_; }
  /// "pci" or "mmio", "legacy-pci" or "legacy-mmio".
  [[nodiscard]] std::string_view description() const noexcept;

 private:
  [[nodiscard]] bool open_at(std::size_t number) noexcept;
  static constexpr std::size_t nothing = SIZE_MAX;
  std::size_t number_ = nothing;
  mirage::virtio::PciTransport pci_;
  mirage::virtio::MmioTransport mmio_;
  mirage::virtio::Transport* transport_ = nullptr;
};

}  // namespace mirage::target::virtio
