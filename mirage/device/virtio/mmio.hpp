// SPDX-License-Identifier: ISC
// virtio over mmio, VIRTIO 1.2 section 4.2: version 2, and version 1 (legacy, section 4.2.4).
#pragma once

#include <mirage/device/virtio/register_window.hpp>
#include <mirage/device/virtio/transport.hpp>

namespace mirage::virtio {

class MmioTransport final : public Transport {
 public:
  MmioTransport() noexcept = default;
  explicit MmioTransport(RegisterWindow window) noexcept;

  /// DeviceType::none when there is no device (id 0), no virtio at all, or an unknown version.
  [[nodiscard]] DeviceType type() const noexcept { return type_; }

  [[nodiscard]] bool modern() const noexcept override { return modern_; }
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
  RegisterWindow window_;
  DeviceType type_ = DeviceType::none;
  bool modern_ = false;
};

}  // namespace mirage::virtio
