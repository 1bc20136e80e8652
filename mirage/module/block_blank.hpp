// SPDX-License-Identifier: ISC
// Whether a disk may be taken for a new store, or a layer: who looks at his own places only overwrites the
// disks of others.
#pragma once

#include <mirage/module/block.hpp>

namespace mirage {

/// Every disk that is in common use has something here: ISO 9660 and JFS begin at 32 KiB, Btrfs at 64 KiB; the second
/// table of a GPT, md's superblocks (at most 128 KiB) and the labels of ZFS (512 KiB) are before the end.
inline constexpr std::uint64_t blank_reach = std::uint64_t{1} << 20;

namespace detail {
/// Whether these sectors are zeros, read in pieces of `memory`.
template <Block B>
Task<Result<bool, BlockError>> is_zero(Shard& /*shard*/, B& disk, std::uint64_t from, std::uint64_t to,
                                       MutableBytes memory) {
  const std::uint64_t size = disk.geometry().sector_size;
  while (from < to) {
    const std::uint64_t count = std::min<std::uint64_t>(to - from, memory.size() / size);
    const MutableBytes piece = memory.first(static_cast<std::size_t>(count * size));
    const BlockResult done = co_await disk.read(from, piece);
    if (!done) co_return Failure{done.error()};
    if (std::ranges::any_of(piece, [](std::byte byte) { return byte != std::byte{}; })) co_return false;
    from += count;
  }
  co_return true;
}
}  // namespace detail

/// Zeros in the first and the last `blank_reach` bytes, or in all of a smaller disk.
template <Block B>
Task<Result<bool, BlockError>> is_blank(Shard& shard, B& disk) {
  const BlockGeometry& geometry = disk.geometry();
  const std::uint64_t reach = std::min(geometry.sectors, blank_reach / geometry.sector_size);
  constexpr std::size_t step = 65536;  // the largest sector
  const std::unique_ptr<std::byte[]> memory(new (std::nothrow) std::byte[step]);
  if (!memory) co_return Failure{BlockError::no_memory};
  const auto front = co_await detail::is_zero(shard, disk, 0, reach, {memory.get(), step});
  if (!front || !*front) co_return front;
  const std::uint64_t last = std::max(reach, geometry.sectors - reach);
  co_return co_await detail::is_zero(shard, disk, last, geometry.sectors, {memory.get(), step});
}

}  // namespace mirage
