// SPDX-License-Identifier: ISC
// The shard's clocks as a module.
#pragma once

#include <mirage/async/shard.hpp>
#include <mirage/module/clock.hpp>

namespace mirage::device {

class ShardClock {
 public:
  explicit ShardClock(Shard& shard) noexcept : shard_(shard) {}
  [[nodiscard]] Time now() const noexcept { return shard_.now(); }
  [[nodiscard]] WallTime wall() const noexcept { return shard_.wall(); }

 private:
  Shard& shard_;
};

}  // namespace mirage::device
