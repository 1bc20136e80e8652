// SPDX-License-Identifier: ISC
// Any Block behind four virtual functions, as NetPort is for network devices: stores and layers over it are compiled
// once and not per device. A request that the device completes at once (what the host has in memory) costs no frame.
#pragma once

#include <mirage/async/quick.hpp>
#include <mirage/module/block.hpp>

namespace mirage {

/// A FuaBlock itself; its geometry says whether the device is one.
class BlockPort {
 public:
  explicit BlockPort(Shard& shard) noexcept : shard_(shard) {}
  BlockPort(const BlockPort&) = delete;
  BlockPort& operator=(const BlockPort&) = delete;
  [[nodiscard]] Shard& shard() const noexcept { return shard_; }
  [[nodiscard]] virtual const BlockGeometry& geometry() const noexcept = 0;
  virtual Quick<BlockResult> read(std::uint64_t sector, MutableBytes bytes) = 0;
  virtual Quick<BlockResult> write(std::uint64_t sector, Bytes bytes) = 0;
  virtual Task<BlockResult> flush() = 0;
  virtual Task<BlockResult> write_durable(std::uint64_t sector, Bytes bytes) = 0;

 protected:
  ~BlockPort() = default;

 private:
  Shard& shard_;
};

/// Refers to the block, which must outlive it.
template <Block B>
class BlockPortOf final : public BlockPort {
 public:
  BlockPortOf(Shard& shard, B& block) noexcept : BlockPort(shard), block_(block) {}
  [[nodiscard]] const BlockGeometry& geometry() const noexcept override { return block_.geometry(); }
  Quick<BlockResult> read(std::uint64_t sector, MutableBytes bytes) override {
    return start([this, sector, bytes] { return block_.read(sector, bytes); });
  }
  Quick<BlockResult> write(std::uint64_t sector, Bytes bytes) override {
    return start([this, sector, bytes] { return block_.write(sector, bytes); });
  }
  Task<BlockResult> flush() override { co_return co_await block_.flush(); }
  Task<BlockResult> write_durable(std::uint64_t sector, Bytes bytes) override {
    if constexpr (FuaBlock<B>) {
      if (block_.geometry().durability == Durability::fua) co_return co_await block_.write_durable(sector, bytes);
    }
    if (block_.geometry().durability == Durability::none) co_return Failure{BlockError::unsupported};
    MIRAGE_CO_CHECK(co_await block_.write(sector, bytes));
    co_return co_await block_.flush();
  }

 private:
  template <class Make>
  Quick<BlockResult> start(Make make) {
    if constexpr (std::convertible_to<decltype(make()), Quick<BlockResult>>) {
      return make();
    } else {
      auto operation = make();
      if constexpr (requires { operation.await_ready(); }) {
        if (operation.await_ready()) return BlockResult{operation.await_resume()};
      }
      // It would have to wait and has not begun to: the same once more, in a frame.
      return wait_for(shard(), make);
    }
  }
  template <class Make>
  static Task<BlockResult> wait_for(Shard& /*shard*/, Make make) {
    co_return co_await make();
  }
  B& block_;
};

}  // namespace mirage
