// SPDX-License-Identifier: ISC
// For tests: a world whose time passes only by waiting, so hours go by in no time and every run is the same.
#pragma once

#include <string>

#include <mirage/async/environment.hpp>

namespace mirage::check {

class VirtualEnvironment final : public Environment {
 public:
  explicit VirtualEnvironment(std::uint64_t seed = 1) noexcept : seed_(seed) {}
  [[nodiscard]] Time monotonic() noexcept override { return now; }
  [[nodiscard]] WallTime wall() noexcept override { return wall_start + now.time_since_epoch(); }
  /// Reproducible, not random.
  [[nodiscard]] bool entropy(MutableBytes out) noexcept override {
    for (std::byte& byte : out) {
      seed_ = seed_ * 6364136223846793005 + 1442695040888963407;
      byte = static_cast<std::byte>(seed_ >> 56);
    }
    return true;
  }
  /// With nothing to wait for, an hour passes: a test that hangs ends by its own patience.
  void wait(Time deadline) noexcept override {
    if (deadline == never) {
      now += 1h;
    } else if (deadline > now) {
      now = deadline;
    }
  }
  void write_console(std::string_view text) noexcept override { console += text; }

  Time now{Duration{1s}};
  WallTime wall_start{Duration{1'700'000'000s}};
  std::string console;

 private:
  std::uint64_t seed_;
};

}  // namespace mirage::check
