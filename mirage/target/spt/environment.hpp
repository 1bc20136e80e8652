// SPDX-License-Identifier: ISC
// The outside world of a shard on spt: clocks and entropy of the platform, waiting by epoll_pwait.
#pragma once

#include <mirage/async/environment.hpp>

namespace mirage {
class Shard;
}

namespace mirage::target::spt {

class Environment final : public mirage::Environment {
 public:
  [[nodiscard]] Time monotonic() noexcept override;
  [[nodiscard]] WallTime wall() noexcept override;
  [[nodiscard]] bool entropy(MutableBytes out) noexcept override;
  /// Sleeps in the tender's epoll set, which holds every network device and a timer of nanosecond resolution.
  void wait(Time deadline) noexcept override;
  [[nodiscard]] std::size_t memory() const noexcept override;
  void write_console(std::string_view text) noexcept override;
  /// At level debug: what the tender grants beside the base ABI.
  void log_capabilities(Shard& shard) const noexcept;

 private:
  /// Arms the timer unless it is armed for that deadline already.
  void arm(Time deadline) noexcept;

  Time armed_ = never;
};

}  // namespace mirage::target::spt
