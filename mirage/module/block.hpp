// SPDX-License-Identifier: ISC
// Module type Block: sectors, many per request. Four calls make a device; what one can do beyond them stands in its
// geometry, and free functions of the same names use it or do without (scatter and gather, zeroes, discard, FUA).
//
// Every implementation and every layer keeps to this:
// - An operation begins when it is awaited. Several may be in flight; they complete in any order, and what overlapping
//   ones leave behind is either one's content, sector by sector. It is never cancelled halfway: it ends when the device
//   has given the memory back, and until then the memory is the device's.
// - "Completed" is what later reads see, not what survives a power cut. flush() makes durable the writes that had
//   COMPLETED when it was submitted; it says nothing of those in flight beside it. A write that completed before no
//   flush may after a power cut be there, be missing, or be torn: each 512 bytes old or new, in any combination.
// - After a failed write the sectors' content is unknown. After a failed flush it is unknown which writes survive, and
//   the next flush may succeed without them: whoever commits by flushes must stop committing (Poison).
#pragma once

#include <algorithm>
#include <concepts>
#include <cstdint>
#include <cstring>
#include <memory>
#include <new>
#include <span>

#include <mirage/module/flow.hpp>
#include <mirage/module/ready.hpp>
#include <mirage/module/start.hpp>

namespace mirage {

enum class BlockError : std::uint8_t {
  out_of_range,  ///< the range leaves the device
  unaligned,     ///< the length is no multiple of the sector size
  read_only,
  unsupported,  ///< the device cannot do this (flush, discard ...)
  io,           ///< the device reports a failure
  cancelled,
  no_memory,
};

[[nodiscard]] constexpr std::string_view to_string(BlockError error) noexcept {
  switch (error) {
    case BlockError::out_of_range:
      return "beyond the end of the device";
    case BlockError::unaligned:
      return "not a whole number of sectors";
    case BlockError::read_only:
      return "read-only device";
    case BlockError::unsupported:
      return "not supported by the device";
    case BlockError::io:
      return "input/output error";
    case BlockError::cancelled:
      return "cancelled";
    case BlockError::no_memory:
      return "out of memory";
  }
  return "?";
}

inline void append_value(TextWriter& out, BlockError error) noexcept { out.append(to_string(error)); }

using BlockResult = Result<void, BlockError>;

/// How a write becomes durable: not at all, by flush(), or by flush() and by write_durable() for itself (FUA).
enum class Durability : std::uint8_t { none, flush, fua };

/// A device as data: what it holds and what it can do. Does not change after start().
struct BlockGeometry {
  std::uint32_t sector_size = 512;  ///< bytes, a power of two from 512 to 65536
  std::uint64_t sectors = 0;
  Durability durability = Durability::none;
  bool read_only = false;
  bool discard = false;       ///< discard() exists
  bool write_zeroes = false;  ///< write_zeroes() exists: zeroes without moving them
  /// Operations that are worth having in flight; 1: one completes before the next begins.
  std::uint32_t queue_depth = 1;
  /// Bytes that one request of the device moves; longer operations are split by the device, so this is advice.
  std::uint64_t maximum_transfer = std::uint64_t{1} << 20;
  /// Memory with this alignment (bytes, a power of two) is moved without a copy; other memory is moved all the same.
  std::uint32_t alignment = 1;
  [[nodiscard]] constexpr std::uint64_t bytes() const noexcept { return sectors * sector_size; }
};

/// Pieces of memory of one operation, contiguous on the device: each a whole number of sectors. The pieces and the
/// memory stay valid until the operation completes.
using BlockPieces = std::span<const Bytes>;
using MutableBlockPieces = std::span<const MutableBytes>;

/// read/write: `bytes` is a whole number of sectors, starting at `sector`; many sectors are one request.
template <class B>
concept Block = requires(B& block, const B& constant, std::uint64_t sector, MutableBytes in, Bytes out) {
  { constant.geometry() } noexcept -> std::same_as<const BlockGeometry&>;
  { block.read(sector, in) } -> AwaitableOf<BlockResult>;
  { block.write(sector, out) } -> AwaitableOf<BlockResult>;
  { block.flush() } -> AwaitableOf<BlockResult>;
};

/// Moves several pieces as one request.
template <class B>
concept ScatterBlock = Block<B> && requires(B& block, std::uint64_t sector, MutableBlockPieces in, BlockPieces out) {
  { block.read_scatter(sector, in) } -> AwaitableOf<BlockResult>;
  { block.write_gather(sector, out) } -> AwaitableOf<BlockResult>;
};
/// discard(sector, count): the content is no longer wanted; afterwards each sector reads as it was or as zeroes, until
/// it is written again. write_zeroes(sector, count): like writing zeroes. Each may answer `unsupported` whatever the
/// geometry says: a host's file system can lack what its interface has.
template <class B>
concept DiscardBlock = Block<B> && requires(B& block, std::uint64_t sector, std::uint64_t count) {
  { block.discard(sector, count) } -> AwaitableOf<BlockResult>;
  { block.write_zeroes(sector, count) } -> AwaitableOf<BlockResult>;
};
/// write_durable(sector, bytes): complete when these bytes are durable; says nothing of other writes.
template <class B>
concept FuaBlock = Block<B> && requires(B& block, std::uint64_t sector, Bytes out) {
  { block.write_durable(sector, out) } -> AwaitableOf<BlockResult>;
};

/// The checks every implementation makes first.
[[nodiscard]] constexpr BlockResult check_sectors(const BlockGeometry& geometry, std::uint64_t sector,
                                                  std::uint64_t count) noexcept {
  if (sector > geometry.sectors || count > geometry.sectors - sector) return Failure{BlockError::out_of_range};
  return {};
}
[[nodiscard]] constexpr BlockResult check_range(const BlockGeometry& geometry, std::uint64_t sector,
                                                std::size_t bytes) noexcept {
  if (bytes % geometry.sector_size != 0) return Failure{BlockError::unaligned};
  return check_sectors(geometry, sector, bytes / geometry.sector_size);
}
template <class Piece>
[[nodiscard]] constexpr BlockResult check_pieces(const BlockGeometry& geometry, std::uint64_t sector,
                                                 std::span<const Piece> pieces) noexcept {
  std::uint64_t count = 0;
  for (const Piece& piece : pieces) {
    if (piece.size() % geometry.sector_size != 0) return Failure{BlockError::unaligned};
    const std::uint64_t more = piece.size() / geometry.sector_size;
    if (more > geometry.sectors - count) return Failure{BlockError::out_of_range};
    count += more;
  }
  return check_sectors(geometry, sector, count);
}

/// The first failure of a write or a flush, kept: a store checks it before it commits and notes each outcome in it.
class Poison {
 public:
  BlockResult note(BlockResult outcome) noexcept {
    if (!outcome && state_) state_ = outcome;
    return outcome;
  }
  /// The error that ended committing, if any.
  [[nodiscard]] BlockResult check() const noexcept { return state_; }

 private:
  BlockResult state_;
};

/// What a durable store asks in its start(): an error that names the mend, unless the device can make writes durable or
/// the user allows a volatile one by the key `key` (without dashes).
[[nodiscard]] inline Result<void, StartError> require_durability(const BlockGeometry& geometry, std::string_view store,
                                                                 std::string_view key, bool allowed) noexcept {
  if (geometry.durability != Durability::none || allowed || geometry.read_only) return {};
  return Failure{
      StartError{"{}: this block device cannot flush, a crash may lose what was acknowledged: use one that can, "
                 "or accept that by --{}",
                 store, key}};
}

namespace detail {
template <class B, class Piece>
Task<BlockResult> move_pieces(B& block, std::uint64_t sector, std::span<const Piece> pieces) {
  // Checked as a whole first: an operation that is refused has moved nothing.
  MIRAGE_CO_CHECK(check_pieces(block.geometry(), sector, pieces));
  for (const Piece& piece : pieces) {
    if constexpr (std::same_as<Piece, Bytes>) {
      MIRAGE_CO_CHECK(co_await block.write(sector, piece));
    } else {
      MIRAGE_CO_CHECK(co_await block.read(sector, piece));
    }
    sector += piece.size() / block.geometry().sector_size;
  }
  co_return BlockResult{};
}
}  // namespace detail

/// Reads consecutive sectors into several pieces, as one request where the device can.
template <Block B>
  requires ScatterBlock<B> || CarriesShard<B>
[[nodiscard]] auto read_scatter(B& block, std::uint64_t sector, MutableBlockPieces pieces) {
  if constexpr (ScatterBlock<B>) {
    return block.read_scatter(sector, pieces);
  } else {
    return detail::move_pieces(block, sector, pieces);
  }
}

/// Writes several pieces to consecutive sectors, as one request where the device can.
template <Block B>
  requires ScatterBlock<B> || CarriesShard<B>
[[nodiscard]] auto write_gather(B& block, std::uint64_t sector, BlockPieces pieces) {
  if constexpr (ScatterBlock<B>) {
    return block.write_gather(sector, pieces);
  } else {
    return detail::move_pieces(block, sector, pieces);
  }
}

/// Tells the device that the content is no longer wanted; `unsupported` from a device that does not care.
template <Block B>
[[nodiscard]] auto discard(B& block, std::uint64_t sector, std::uint64_t count) {
  if constexpr (DiscardBlock<B>) {
    return block.discard(sector, count);
  } else {
    const BlockResult range = check_sectors(block.geometry(), sector, count);
    return Ready<BlockResult>{range ? Failure{BlockError::unsupported} : range};
  }
}

/// Writes zeroes: without moving them where the device can, else from memory of its own.
template <Block B>
  requires CarriesShard<B>
[[nodiscard]] Task<BlockResult> write_zeroes(B& block, std::uint64_t sector, std::uint64_t count) {
  const BlockGeometry& geometry = block.geometry();
  MIRAGE_CO_CHECK(check_sectors(geometry, sector, count));
  if constexpr (DiscardBlock<B>) {
    const BlockResult done = geometry.write_zeroes ? co_await block.write_zeroes(sector, count)
                                                   : BlockResult{Failure{BlockError::unsupported}};
    if (done || done.error() != BlockError::unsupported) co_return done;
  }
  const std::uint64_t step = std::min<std::uint64_t>(count, 65536 / geometry.sector_size);
  const std::unique_ptr<std::byte[]> zeroes(new (std::nothrow) std::byte[step * geometry.sector_size]());
  if (!zeroes) co_return Failure{BlockError::no_memory};
  while (count != 0) {
    const std::uint64_t part = std::min(count, step);
    MIRAGE_CO_CHECK(co_await block.write(sector, Bytes{zeroes.get(), part * geometry.sector_size}));
    sector += part;
    count -= part;
  }
  co_return BlockResult{};
}

/// Complete when `bytes` are durable: by FUA where the device has it, else by a flush after the write. `unsupported`,
/// and nothing written, on a device without durability.
template <Block B>
  requires CarriesShard<B>
[[nodiscard]] Task<BlockResult> write_durable(B& block, std::uint64_t sector, Bytes bytes) {
  if (block.geometry().durability == Durability::none) co_return Failure{BlockError::unsupported};
  if constexpr (FuaBlock<B>) {
    if (block.geometry().durability == Durability::fua) co_return co_await block.write_durable(sector, bytes);
  }
  MIRAGE_CO_CHECK(co_await block.write(sector, bytes));
  co_return co_await block.flush();
}

}  // namespace mirage
