// SPDX-License-Identifier: ISC
// The outside world of a shard on virtio: clocks and entropy of the platform, waiting in hlt.
#pragma once

#include <mirage/async/environment.hpp>

namespace mirage::target::virtio {

class Environment final : public mirage::Environment {
 public:
  [[nodiscard]] Time monotonic() noexcept override;
  [[nodiscard]] WallTime wall() noexcept override;
  [[nodiscard]] bool entropy(MutableBytes out) noexcept override;
  /// Halts the processor until a device or the timer interrupts. Devices interrupt only while it sleeps: in between
  /// they are polled.
  void wait(Time deadline) noexcept override;
  [[nodiscard]] std::size_t memory() const noexcept override;
  void write_console(std::string_view text) noexcept override;
};

}  // namespace mirage::target::virtio
