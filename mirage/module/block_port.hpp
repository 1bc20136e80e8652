// SPDX-License-Identifier: ISC
// Any Block behind four virtual functions, as NetPort is for network devices: stores and layers over it are compiled
// once and not per device. A frame per request is nothing beside the request.
#pragma once

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
  virtual Task<BlockResult> read(std::uint64_t sector, MutableBytes bytes) = 0;
  virtual Task<BlockResult> write(std::uint64_t sector, Bytes bytes) = 0;
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
  Task<BlockResult> read(std::uint64_t sector, MutableBytes bytes) override {
    co_return co_await block_.read(sector, bytes);
  }
  Task<BlockResult> write(std::uint64_t sector, Bytes bytes) override {
    co_return co_await block_.write(sector, bytes);
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
  B& block_;
};

}  // namespace mirage
