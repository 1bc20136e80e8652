// SPDX-License-Identifier: ISC
// A partition of a disk as a disk of its own: MBR or GPT, found by number or by GPT name at start. Operations go to the
// disk with their sector shifted, without a frame of their own; what the disk can do, the partition can.
#pragma once

#include <mirage/device/partition/table.hpp>

namespace mirage::device {

template <Block B>
class Partition {
 public:
  /// `which`: see find_partition(). The disk outlives the partition.
  Partition(Shard& shard, B& disk, std::string_view which) noexcept : shard_(shard), disk_(disk), which_(which) {}
  Partition(const Partition&) = delete;
  Partition& operator=(const Partition&) = delete;
  [[nodiscard]] Shard& shard() const noexcept { return shard_; }

  Task<Result<void, StartError>> start() {
    Source source{shard_, disk_};
    const auto found = co_await find_partition(source, which_);
    if (!found) co_return Failure{StartError{"partition '{}': {}", which_, to_string(found.error())}};
    first_ = found->first;
    geometry_ = disk_.geometry();
    geometry_.sectors = found->count;
    co_return Result<void, StartError>{};
  }

  [[nodiscard]] const BlockGeometry& geometry() const noexcept { return geometry_; }
  auto read(std::uint64_t sector, MutableBytes bytes) {
    return disk_.read(shifted(sector, check_range(geometry_, sector, bytes.size())), bytes);
  }
  auto write(std::uint64_t sector, Bytes bytes) {
    return disk_.write(shifted(sector, check_range(geometry_, sector, bytes.size())), bytes);
  }
  auto flush() { return disk_.flush(); }
  auto read_scatter(std::uint64_t sector, MutableBlockPieces pieces)
    requires ScatterBlock<B>
  {
    return disk_.read_scatter(shifted(sector, check_pieces(geometry_, sector, pieces)), pieces);
  }
  auto write_gather(std::uint64_t sector, BlockPieces pieces)
    requires ScatterBlock<B>
  {
    return disk_.write_gather(shifted(sector, check_pieces(geometry_, sector, pieces)), pieces);
  }
  auto discard(std::uint64_t sector, std::uint64_t count)
    requires DiscardBlock<B>
  {
    return disk_.discard(shifted(sector, check_sectors(geometry_, sector, count)), count);
  }
  auto write_zeroes(std::uint64_t sector, std::uint64_t count)
    requires DiscardBlock<B>
  {
    return disk_.write_zeroes(shifted(sector, check_sectors(geometry_, sector, count)), count);
  }
  auto write_durable(std::uint64_t sector, Bytes bytes)
    requires FuaBlock<B>
  {
    return disk_.write_durable(shifted(sector, check_range(geometry_, sector, bytes.size())), bytes);
  }

 private:
  struct Source final : SectorSource {
    Source(Shard& shard, B& disk) noexcept : SectorSource(shard), of(disk) {}
    [[nodiscard]] const BlockGeometry& geometry() const noexcept override { return of.geometry(); }
    Task<BlockResult> read(std::uint64_t sector, MutableBytes bytes) override {
      co_return co_await of.read(sector, bytes);
    }
    B& of;
  };
  /// A sector that the disk refuses as this one must be: so the answer needs no frame.
  [[nodiscard]] std::uint64_t shifted(std::uint64_t sector, const BlockResult& range) const noexcept {
    return range ? first_ + sector : ~std::uint64_t{0};
  }

  Shard& shard_;
  B& disk_;
  std::string_view which_;
  std::uint64_t first_ = 0;
  BlockGeometry geometry_{.sectors = 0};
};

}  // namespace mirage::device
