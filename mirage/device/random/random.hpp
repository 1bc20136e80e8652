// SPDX-License-Identifier: ISC
// The shard's generator as a module: refuses to start without entropy.
#pragma once

#include <mirage/module/random.hpp>
#include <mirage/module/start.hpp>

namespace mirage::device {

class ShardRandom {
 public:
  explicit ShardRandom(Shard& shard) noexcept : shard_(shard) {}
  [[nodiscard]] Shard& shard() noexcept { return shard_; }
  Task<Result<void, StartError>> start() {
    if (!shard_.seed_random()) {
      co_return Failure{
          StartError{"no source of entropy: the processor has neither RDRAND nor RDSEED and the host gave no "
                     "seed (under QEMU: -cpu max, or -device virtio-rng-pci)"}};
    }
    co_return Result<void, StartError>{};
  }
  void fill(MutableBytes out) noexcept { shard_.random().fill(out); }

 private:
  Shard& shard_;
};

}  // namespace mirage::device
