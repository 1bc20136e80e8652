// SPDX-License-Identifier: ISC
// A virtio device for tests: a transport whose other side reads and writes the rings as a device would, through the
// addresses that the driver gave it. Deliberately able to misbehave.
#pragma once

#include <array>
#include <cstring>
#include <functional>
#include <vector>

#include <mirage/device/virtio/transport.hpp>

namespace mirage::virtio::test {

struct FakeChain {
  std::uint16_t head = 0;
  std::vector<std::span<std::byte>> readable;
  std::vector<std::span<std::byte>> writable;

  [[nodiscard]] std::vector<std::byte> read_all() const {
    std::vector<std::byte> all;
    for (const auto& part : readable) all.insert(all.end(), part.begin(), part.end());
    return all;
  }
  /// Copies as much of `bytes` as fits into the writable parts; the number of bytes copied.
  std::uint32_t write_all(std::span<const std::byte> bytes) const {
    std::uint32_t done = 0;
    for (const auto& part : writable) {
      const std::size_t size = std::min(part.size(), bytes.size() - done);
      std::memcpy(part.data(), bytes.data() + done, size);
      done += static_cast<std::uint32_t>(size);
    }
    return done;
  }
};

class FakeDevice final : public Transport {
 public:
  static constexpr std::uint16_t queues = 16;
  struct Ring {
    std::uint16_t limit = 256;
    std::uint16_t size = 0;
    RingAddresses at;
    std::uint16_t next_available = 0;
    std::uint16_t used = 0;
    unsigned notifications = 0;
  };

  bool is_modern = true;
  bool fixed_size = false;
  bool refuse_features = false;
  std::uint64_t offered = Feature::version_1;
  std::uint64_t accepted = 0;
  std::uint8_t state = 0;
  unsigned acknowledged = 0;
  std::function<void(std::uint16_t)> on_notify;
  std::function<void()> on_status;                                    ///< before the driver reads it
  std::function<void(std::uint32_t offset, unsigned bytes)> on_read;  ///< after it has read configuration
  std::uint32_t generation = 0;
  unsigned resets = 0;
  std::array<Ring, queues> rings{};
  std::array<std::byte, 64> configuration{};

  bool modern() const noexcept override { return is_modern; }
  bool queue_size_is_fixed() const noexcept override { return fixed_size; }
  std::uint8_t status() noexcept override {
    if (on_status) on_status();
    return refuse_features ? static_cast<std::uint8_t>(state & ~Status::features_ok) : state;
  }
  void set_status(std::uint8_t status) noexcept override {
    state = status;
    if (status != Status::reset) return;
    ++resets;
    for (Ring& ring : rings) {
      ring.size = ring.next_available = ring.used = 0;
      ring.at = {};
    }
  }
  std::uint64_t device_features() noexcept override { return offered; }
  void set_driver_features(std::uint64_t features) noexcept override { accepted = features; }
  std::uint16_t queue_limit(std::uint16_t queue) noexcept override { return queue < queues ? rings[queue].limit : 0; }
  bool enable_queue(Doorbell& doorbell, std::uint16_t size, const RingAddresses& ring) noexcept override {
    rings[doorbell.queue].size = size;
    rings[doorbell.queue].at = ring;
    return true;
  }
  void notify(Doorbell doorbell) noexcept override {
    ++rings[doorbell.queue].notifications;
    if (on_notify) on_notify(doorbell.queue);
  }
  std::uint32_t read_configuration(std::uint32_t offset, unsigned bytes) noexcept override {
    std::uint32_t value = 0;
    if (offset + bytes <= configuration.size()) std::memcpy(&value, &configuration[offset], bytes);
    if (on_read) on_read(offset, bytes);
    return value;
  }
  std::uint32_t configuration_generation() noexcept override { return generation; }
  void acknowledge_interrupt() noexcept override { ++acknowledged; }

  /// The next request of the driver.
  bool pop(std::uint16_t queue, FakeChain& chain) {
    Ring& ring = rings[queue];
    if (ring.next_available == load16(ring.at.available + 2)) return false;
    chain = {};
    chain.head = load16(ring.at.available + 4 + 2 * (ring.next_available++ % ring.size));
    walk(ring.at.descriptors, chain.head, chain);
    return true;
  }
  /// Reports a request as done; `id` is whatever the test likes.
  void push(std::uint16_t queue, std::uint32_t id, std::uint32_t length) {
    Ring& ring = rings[queue];
    const std::uint64_t element = ring.at.used + 4 + 8 * (ring.used % ring.size);
    store(element, id);
    store(element + 4, length);
    set_used_index(queue, static_cast<std::uint16_t>(ring.used + 1));
  }
  void set_used_index(std::uint16_t queue, std::uint16_t index) {
    rings[queue].used = index;
    store(rings[queue].at.used + 2, index);
  }
  void set_available_event(std::uint16_t queue, std::uint16_t event) {
    store(rings[queue].at.used + 4 + 8 * std::uint64_t{rings[queue].size}, event);
  }
  void set_no_notify(std::uint16_t queue, bool off) {
    store(rings[queue].at.used, static_cast<std::uint16_t>(off ? 1 : 0));
  }
  std::uint16_t used_event(std::uint16_t queue) {
    return load16(rings[queue].at.available + 4 + 2 * std::uint64_t{rings[queue].size});
  }
  std::uint16_t available_flags(std::uint16_t queue) { return load16(rings[queue].at.available); }

 private:
  static std::byte* memory(std::uint64_t address) { return reinterpret_cast<std::byte*>(address); }
  template <class T>
  static T load(std::uint64_t address) {
    T value{};
    std::memcpy(&value, memory(address), sizeof value);
    return value;
  }
  static std::uint16_t load16(std::uint64_t address) { return load<std::uint16_t>(address); }
  template <class T>
  static void store(std::uint64_t address, T value) {
    std::memcpy(memory(address), &value, sizeof value);
  }
  static void walk(std::uint64_t table, std::uint16_t index, FakeChain& chain) {
    for (unsigned i = 0; i < 1024; ++i) {
      const std::uint64_t at = table + 16 * std::uint64_t{index};
      const auto address = load<std::uint64_t>(at);
      const auto length = load<std::uint32_t>(at + 8);
      const auto flags = load16(at + 12);
      if ((flags & 4) != 0) {
        walk(address, 0, chain);
        return;
      }
      ((flags & 2) != 0 ? chain.writable : chain.readable).push_back({memory(address), length});
      if ((flags & 1) == 0) return;
      index = load16(at + 14);
    }
  }
};

}  // namespace mirage::virtio::test
