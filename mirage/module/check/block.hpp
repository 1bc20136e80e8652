// SPDX-License-Identifier: ISC
// Conformance check of the module type Block, for the tests of every implementation. Overwrites the device.
#pragma once

#include <array>
#include <optional>
#include <string_view>

#include <mirage/async/scope.hpp>
#include <mirage/module/block.hpp>

namespace mirage::check {

namespace detail {

constexpr std::size_t check_sector_limit = 4096;

inline std::optional<BlockError> error_of(const BlockResult& result) noexcept {
  return result ? std::optional<BlockError>{} : std::optional{result.error()};
}

/// Memory of the check: up to four sectors each way, and a pattern.
struct BlockMemory {
  explicit BlockMemory(std::uint32_t sector) noexcept : sector_size(sector) {
    for (std::size_t i = 0; i < out.size(); ++i) out[i] = static_cast<std::byte>(i * 7 + i / 256 + 1);
  }
  [[nodiscard]] Bytes written(std::size_t first, std::size_t count) const noexcept {
    return Bytes{out}.subspan(first * sector_size, count * sector_size);
  }
  [[nodiscard]] MutableBytes room(std::size_t first, std::size_t count) noexcept {
    return MutableBytes{in}.subspan(first * sector_size, count * sector_size);
  }
  [[nodiscard]] bool equal(std::size_t in_first, std::size_t out_first, std::size_t count) noexcept {
    return std::ranges::equal(room(in_first, count), written(out_first, count));
  }
  std::size_t sector_size;
  alignas(check_sector_limit) std::array<std::byte, 4 * check_sector_limit> out;
  alignas(check_sector_limit) std::array<std::byte, 4 * check_sector_limit> in{};
};

template <Block B>
Task<std::string_view> check_moves(Shard&, B& block, BlockMemory& memory) {
  if (!co_await block.write(1, memory.written(0, 2))) co_return "two sectors were not written";
  if (!co_await block.read(1, memory.room(0, 2))) co_return "two sectors were not read";
  if (!memory.equal(0, 0, 2)) co_return "what was read is not what was written";
  const std::uint64_t last = block.geometry().sectors - 1;
  if (!co_await block.write(last, memory.written(0, 1))) co_return "the last sector was not written";
  if (!co_await block.read(last, memory.room(0, 1))) co_return "the last sector was not read";
  if (!memory.equal(0, 0, 1)) co_return "the last sector holds something else";
  if (!co_await block.read(0, {}) || !co_await block.write(0, {})) co_return "an empty operation failed";
  // No implementation may ask for aligned memory: it copies where the hardware asks.
  const MutableBytes odd = MutableBytes{memory.in}.subspan(1, 2 * memory.sector_size);
  if (!co_await block.read(1, odd)) co_return "memory at an odd address was not accepted";
  if (!std::ranges::equal(odd, memory.written(0, 2))) co_return "a read to an odd address is wrong";
  co_return "";
}

template <Block B>
Task<std::string_view> check_refusals(Shard&, B& block, BlockMemory& memory) {
  const std::uint64_t sectors = block.geometry().sectors;
  const Bytes two = memory.written(0, 2);
  const MutableBytes back = memory.room(0, 2);
  if (error_of(co_await block.write(sectors - 1, two)) != BlockError::out_of_range)
    co_return "a write across the end was accepted";
  if (error_of(co_await block.read(sectors, back)) != BlockError::out_of_range)
    co_return "a read beyond the end was accepted";
  if (error_of(co_await block.read(~std::uint64_t{0}, back)) != BlockError::out_of_range)
    co_return "a sector number that wraps was accepted";
  if (error_of(co_await block.read(0, back.first(1))) != BlockError::unaligned)
    co_return "a part of a sector was accepted";
  if (error_of(co_await mirage::discard(block, sectors, 1)) != BlockError::out_of_range)
    co_return "a discard beyond the end was accepted";
  if (error_of(co_await mirage::write_zeroes(block, sectors - 1, 2)) != BlockError::out_of_range)
    co_return "zeroes across the end were accepted";
  if (error_of(co_await mirage::write_zeroes(block, 1, ~std::uint64_t{0})) != BlockError::out_of_range)
    co_return "a number of zeroes that wraps was accepted";
  co_return "";
}

template <Block B>
Task<std::string_view> check_pieces(Shard&, B& block, BlockMemory& memory) {
  const std::array out{memory.written(2, 1), memory.written(0, 2)};
  if (!co_await mirage::write_gather(block, 0, BlockPieces{out})) co_return "pieces were not gathered";
  const std::array in{memory.room(0, 2), MutableBytes{}, memory.room(3, 1)};
  if (!co_await mirage::read_scatter(block, 0, MutableBlockPieces{in})) co_return "pieces were not scattered";
  if (!memory.equal(0, 2, 1) || !memory.equal(1, 0, 1) || !memory.equal(3, 1, 1))
    co_return "the pieces hold something else";
  const std::array odd{memory.written(0, 1), memory.written(1, 1).first(1)};
  if (error_of(co_await mirage::write_gather(block, 0, BlockPieces{odd})) != BlockError::unaligned)
    co_return "a piece of a sector was accepted";
  const std::uint64_t last = block.geometry().sectors - 1;
  if (error_of(co_await mirage::write_gather(block, last, BlockPieces{out})) != BlockError::out_of_range)
    co_return "pieces across the end were accepted";
  co_return "";
}

template <Block B>
Task<std::string_view> check_zeroes(Shard&, B& block, BlockMemory& memory) {
  if (!co_await block.write(0, memory.written(0, 4))) co_return "four sectors were not written";
  if (!co_await mirage::write_zeroes(block, 1, 2)) co_return "zeroes were not written";
  if (!co_await block.read(0, memory.room(0, 4))) co_return "four sectors were not read";
  const auto zero = [](MutableBytes bytes) {
    return std::ranges::all_of(bytes, [](std::byte b) { return b == std::byte{0}; });
  };
  if (!memory.equal(0, 0, 1) || !memory.equal(3, 3, 1)) co_return "zeroes went beyond their range";
  if (!zero(memory.room(1, 2))) co_return "zeroes are not zero";
  if (!co_await block.write(0, memory.written(0, 4))) co_return "four sectors were not written again";
  const BlockResult discarded = co_await mirage::discard(block, 1, 1);
  if (!discarded && discarded.error() != BlockError::unsupported) co_return "a discard failed";
  if (discarded && !block.geometry().discard) co_return "a discard without the capability";
  if (!co_await block.read(0, memory.room(0, 4))) co_return "four sectors were not read again";
  if (!memory.equal(0, 0, 1) || !memory.equal(2, 2, 2)) co_return "a discard went beyond its range";
  if (!memory.equal(1, 1, 1) && !zero(memory.room(1, 1))) co_return "a discarded sector holds something else";
  co_return "";
}

template <Block B>
Task<std::string_view> check_durability(Shard&, B& block, BlockMemory& memory) {
  const auto flushed = error_of(co_await block.flush());
  const bool none = block.geometry().durability == Durability::none;
  if (none ? flushed != BlockError::unsupported : flushed.has_value()) co_return "flush does not match the durability";
  const auto durable = error_of(co_await mirage::write_durable(block, 0, memory.written(1, 1)));
  if (none ? durable != BlockError::unsupported : durable.has_value())
    co_return "a durable write does not match the durability";
  if (none) co_return "";
  if (!co_await block.read(0, memory.room(0, 1)) || !memory.equal(0, 1, 1)) co_return "a durable write is not there";
  co_return "";
}

template <Block B>
Task<void> move_one(Shard&, B& block, std::uint64_t sector, Bytes out, MutableBytes in, unsigned& good) {
  if (!out.empty()) {
    if (co_await block.write(sector, out)) ++good;
  } else if (co_await block.read(sector, in)) {
    ++good;
  }
}

/// Four writes at once, then four reads, a flush beside them.
template <Block B>
Task<std::string_view> check_many(Shard& shard, B& block, BlockMemory& memory) {
  for (const bool write : {true, false}) {
    unsigned good = 0;
    Scope scope{shard};
    for (std::size_t i = 0; i < 4; ++i) {
      const Bytes out = write ? memory.written(3 - i, 1) : Bytes{};
      if (!scope.spawn(move_one(shard, block, i, out, memory.room(i, 1), good))) ++good;
    }
    (void)co_await block.flush();
    co_await scope.join();
    if (good != 4) co_return "operations in flight together failed";
  }
  for (std::size_t i = 0; i < 4; ++i) {
    if (!memory.equal(i, 3 - i, 1)) co_return "operations in flight together were mixed up";
  }
  co_return "";
}

}  // namespace detail

/// Empty when the device conforms, else the first rule that it breaks. The device must be writable, with at least four
/// sectors of at most 4096 bytes.
template <Block B>
  requires CarriesShard<B>
Task<std::string_view> check_block(Shard& shard, B& block) {
  const BlockGeometry geometry = block.geometry();
  if (geometry.sectors < 4 || geometry.sector_size > detail::check_sector_limit || geometry.read_only)
    co_return "unsuitable device";
  const std::unique_ptr<detail::BlockMemory> memory(new (std::nothrow) detail::BlockMemory(geometry.sector_size));
  if (!memory) co_return "no memory";
  for (const auto check : {detail::check_moves<B>, detail::check_refusals<B>, detail::check_pieces<B>,
                           detail::check_zeroes<B>, detail::check_durability<B>, detail::check_many<B>}) {
    const std::string_view broken = co_await check(shard, block, *memory);
    if (!broken.empty()) co_return broken;
  }
  co_return "";
}

/// The same for a read-only device of at least one sector: nothing changes it.
template <Block B>
  requires CarriesShard<B>
Task<std::string_view> check_read_only_block(Shard& shard, B& block) {
  const BlockGeometry geometry = block.geometry();
  if (geometry.sectors < 1 || geometry.sector_size > detail::check_sector_limit || !geometry.read_only)
    co_return "unsuitable device";
  const std::unique_ptr<detail::BlockMemory> memory(new (std::nothrow) detail::BlockMemory(geometry.sector_size));
  if (!memory) co_return "no memory";
  if (!co_await block.read(0, memory->room(0, 1))) co_return "a sector was not read";
  const Bytes sector = memory->written(0, 1);
  if (detail::error_of(co_await block.write(0, sector)) != BlockError::read_only) co_return "a write was accepted";
  if (detail::error_of(co_await write_gather(block, 0, BlockPieces{&sector, 1})) != BlockError::read_only)
    co_return "a gathered write was accepted";
  if (detail::error_of(co_await write_zeroes(block, 0, 1)) != BlockError::read_only) co_return "zeroes were accepted";
  if (co_await discard(block, 0, 1)) co_return "a discard was accepted";
  if (!co_await block.read(0, memory->room(1, 1))) co_return "a sector was not read again";
  if (!std::ranges::equal(memory->room(0, 1), memory->room(1, 1))) co_return "the sector changed";
  (void)shard;
  co_return "";
}

}  // namespace mirage::check
