// SPDX-License-Identifier: ISC
// The outside world of a shard on hvt: clocks and entropy of the platform, waiting by the poll hypercall.
#pragma once

#include <mirage/async/environment.hpp>
#include <mirage/async/shard.hpp>

namespace mirage::target::hvt {

class Environment final : public mirage::Environment {
 public:
  [[nodiscard]] Time monotonic() noexcept override;
  [[nodiscard]] WallTime wall() noexcept override;
  [[nodiscard]] bool entropy(MutableBytes out) noexcept override;
  /// Sleeps in the tender until a network device is ready or the time has come; the processor is not used meanwhile.
  void wait(Time deadline) noexcept override;
  [[nodiscard]] std::size_t memory() const noexcept override;
  void write_console(std::string_view text) noexcept override;
  /// What the tender and the processor offer, at log level debug.
  void log_capabilities(Shard& shard) const noexcept;
};

}  // namespace mirage::target::hvt
