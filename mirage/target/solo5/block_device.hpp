// SPDX-License-Identifier: ISC
// What the block devices of spt and hvt guests have in common: ranges, splitting into the tender's requests, pieces, a
// copy for memory that direct I/O on the host cannot use, and what a tender tells of a device. How a request reaches
// the tender is the target's. Operations are complete when they return.
#pragma once

#include <cstdlib>
#include <memory>

#include <mirage/async/shard.hpp>
#include <mirage/module/block.hpp>
#include <mirage/target/solo5/manifest.hpp>
#include <mirage/target/solo5/negotiation.hpp>

namespace mirage::target::solo5 {

class BlockDevice {
 public:
  using Done = Ready<BlockResult>;

  BlockDevice(const BlockDevice&) = delete;
  BlockDevice& operator=(const BlockDevice&) = delete;

  [[nodiscard]] const BlockGeometry& geometry() const noexcept { return geometry_; }
  Done read(std::uint64_t sector, MutableBytes bytes) noexcept { return read_scatter(sector, {&bytes, 1}); }
  Done write(std::uint64_t sector, Bytes bytes) noexcept { return write_gather(sector, {&bytes, 1}); }
  Done read_scatter(std::uint64_t sector, MutableBlockPieces pieces) noexcept;
  Done write_gather(std::uint64_t sector, BlockPieces pieces) noexcept;
  Done flush() noexcept;
  Done discard(std::uint64_t sector, std::uint64_t count) noexcept;
  /// The host punches a hole, which reads as zeroes.
  Done write_zeroes(std::uint64_t sector, std::uint64_t count) noexcept { return discard(sector, count); }
  [[nodiscard]] Shard& shard() const noexcept { return shard_; }

 protected:
  explicit BlockDevice(Shard& shard) noexcept : shard_(shard) {}
  ~BlockDevice() = default;
  /// Takes over what the manifest and the tender say. `stock_limit`: bytes of one request in the base ABI.
  void describe(const ManifestEntry& entry, std::size_t index, const Extension* extension,
                std::size_t stock_limit) noexcept;
  void set_queue_depth(std::uint32_t depth) noexcept { geometry_.queue_depth = depth; }

 private:
  /// One request: whole sectors within the device, at most the granted size, in usable memory. False: it failed.
  [[nodiscard]] virtual bool move(bool to_device, std::uint64_t offset, std::byte* memory,
                                  std::size_t size) noexcept = 0;
  [[nodiscard]] virtual bool flush_host() noexcept = 0;
  [[nodiscard]] virtual BlockResult punch(std::uint64_t offset, std::uint64_t size) noexcept = 0;

  [[nodiscard]] BlockResult transfer(bool to_device, std::uint64_t offset, std::byte* memory,
                                     std::size_t size) noexcept;
  [[nodiscard]] bool move_copied(bool to_device, std::uint64_t offset, std::byte* memory, std::size_t size) noexcept;

  struct Free {
    void operator()(std::byte* memory) const noexcept { std::free(memory); }
  };
  Shard& shard_;
  std::size_t request_limit_ = 0;
  std::unique_ptr<std::byte, Free> bounce_;
  BlockGeometry geometry_;
};

}  // namespace mirage::target::solo5
