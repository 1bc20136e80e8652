// SPDX-License-Identifier: ISC
// virtio console, VIRTIO 1.2 section 5.3: output on port 0, written and waited for, for machines without a serial port.
// Deliberately without input, further ports and the control queues.
#pragma once

#include <mirage/device/virtio/queue.hpp>

namespace mirage::virtio {

class ConsoleDevice {
 public:
  static constexpr std::uint16_t queue_size = 16;
  static constexpr std::size_t queue_memory = Queue::memory_size(queue_size);

  ConsoleDevice() noexcept = default;
  ConsoleDevice(const ConsoleDevice&) = delete;
  ConsoleDevice& operator=(const ConsoleDevice&) = delete;

  /// Negotiates and starts the device. Needs no heap: `memory` is page aligned, queue_memory bytes. Transport and
  /// memory outlive this object. False when the device refuses.
  [[nodiscard]] bool start(Transport& transport, MutableBytes memory) noexcept;
  [[nodiscard]] bool started() const noexcept { return started_; }
  /// Returns when the device has taken all of `text`; a device that takes no more for about a second is given up: the
  /// rest and all later output is lost.
  void write(std::span<const char> text) noexcept;

 private:
  static constexpr std::uint16_t transmit_queue = 1;
  Transport* transport_ = nullptr;
  Queue queue_;
  bool started_ = false;
};

}  // namespace mirage::virtio
