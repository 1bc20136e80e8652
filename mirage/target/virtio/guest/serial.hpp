// SPDX-License-Identifier: ISC
// The first serial port (16550 at 0x3f8), polled.
#pragma once

#include <span>

namespace mirage::target::virtio {

class SerialPort {
 public:
  /// 115200 baud, 8 bits, FIFO on, no interrupts. Finds out whether there is a port at all.
  void start() noexcept;
  [[nodiscard]] bool present() const noexcept { return present_; }
  /// Blocks while the port is busy, but never for ever: a port that does not drain loses output.
  void write(std::span<const char> text) noexcept;

 private:
  bool present_ = false;
};

}  // namespace mirage::target::virtio
