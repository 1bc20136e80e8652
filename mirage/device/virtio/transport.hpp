// SPDX-License-Identifier: ISC
// What a virtio driver asks of the way to its device (PCI modern, PCI legacy, mmio): VIRTIO 1.2 chapter 4. A fake
// transport drives the drivers in tests and fuzzers. Every value that comes out of here is the device's, thus hostile.
#pragma once

#include <cstdint>

#include <mirage/base/bytes.hpp>

namespace mirage::virtio {

/// Device types, VIRTIO 1.2 chapter 5.
enum class DeviceType : std::uint16_t { none = 0, net = 1, block = 2, console = 3, entropy = 4 };

/// Device status bits, section 2.1.
struct Status {
  static constexpr std::uint8_t reset = 0;
  static constexpr std::uint8_t acknowledge = 1;
  static constexpr std::uint8_t driver = 2;
  static constexpr std::uint8_t driver_ok = 4;
  static constexpr std::uint8_t features_ok = 8;
  static constexpr std::uint8_t needs_reset = 64;
  static constexpr std::uint8_t failed = 128;
};

/// A mask with one feature bit.
constexpr std::uint64_t bit(unsigned number) noexcept { return std::uint64_t{1} << number; }

/// Feature bits that all devices share, section 6.
struct Feature {
  static constexpr std::uint64_t any_layout = bit(27);  // legacy only
  static constexpr std::uint64_t indirect = bit(28);
  static constexpr std::uint64_t event_index = bit(29);
  static constexpr std::uint64_t version_1 = bit(32);
};

/// The three areas of a split ring as device addresses. The guest's memory is mapped one to one.
struct RingAddresses {
  std::uint64_t descriptors = 0;
  std::uint64_t available = 0;
  std::uint64_t used = 0;
};

/// Where a queue is notified: its number, and on PCI the place of its register.
struct Doorbell {
  std::uint16_t queue = 0;
  std::uint32_t offset = 0;
};

class Transport {
 public:
  /// False: the device has the legacy interface of section 7.4.
  [[nodiscard]] virtual bool modern() const noexcept = 0;
  [[nodiscard]] virtual std::uint8_t status() noexcept = 0;
  /// Writing Status::reset waits until the device has finished resetting (bounded).
  virtual void set_status(std::uint8_t status) noexcept = 0;
  [[nodiscard]] virtual std::uint64_t device_features() noexcept = 0;
  virtual void set_driver_features(std::uint64_t features) noexcept = 0;
  /// Legacy PCI: a ring has the size that the device says, exactly.
  [[nodiscard]] virtual bool queue_size_is_fixed() const noexcept { return false; }
  /// The largest ring the device takes; 0: no such queue (or in use).
  [[nodiscard]] virtual std::uint16_t queue_limit(std::uint16_t queue) noexcept = 0;
  /// Hands over the ring of doorbell.queue; what else is to know for notify() is filled in. False when the device
  /// cannot address the ring.
  [[nodiscard]] virtual bool enable_queue(Doorbell& doorbell, std::uint16_t size,
                                          const RingAddresses& ring) noexcept = 0;
  virtual void notify(Doorbell doorbell) noexcept = 0;
  /// Reads 1, 2 or 4 bytes of device configuration at once; what the device lacks reads as 0.
  [[nodiscard]] virtual std::uint32_t read_configuration(std::uint32_t offset, unsigned bytes) noexcept = 0;
  /// Another one once the configuration has changed; legacy devices have none.
  [[nodiscard]] virtual std::uint32_t configuration_generation() noexcept = 0;
  /// Acknowledges a level-triggered interrupt, so that the line is released. Nothing to do for messages.
  virtual void acknowledge_interrupt() noexcept = 0;

 protected:
  ~Transport() = default;
};

/// Reads up to 8 bytes of device configuration by accesses of `width` bytes, as wide as a field is and at most 4
/// (sections 4.1.3.1 and 4.2.2.2), again while it changes (section 2.5.1), but not for ever.
[[nodiscard]] std::uint64_t read_configuration(Transport& transport, std::uint32_t offset, std::size_t size,
                                               unsigned width) noexcept;

/// Integer fields of the device configuration: little-endian (legacy: the guest's order), which is our targets' order.
template <class T>
[[nodiscard]] T read_field(Transport& transport, std::uint32_t offset) noexcept {
  return static_cast<T>(read_configuration(transport, offset, sizeof(T), sizeof(T) < 4 ? sizeof(T) : 4));
}

/// Sections 3.1.1 and 3.1.2: reset, acknowledge, features; leaves the device ready for its queues. The device's offer
/// restricted to `wanted` is returned, VERSION_1 included on modern devices; 0 with `failed` set when it refuses.
struct Negotiated {
  bool good = false;
  std::uint64_t features = 0;
  [[nodiscard]] bool has(std::uint64_t feature) const noexcept { return (features & feature) != 0; }
};
[[nodiscard]] Negotiated negotiate(Transport& transport, std::uint64_t wanted) noexcept;

/// Sets DRIVER_OK.
void finish_start(Transport& transport) noexcept;

}  // namespace mirage::virtio
