// SPDX-License-Identifier: ISC
// Conformance check of the module type Block, for the tests of every implementation. Overwrites the device.
#pragma once

#include <array>
#include <string_view>

#include <mirage/module/block.hpp>

namespace mirage::check {

/// Empty when the device conforms, else the first rule that it breaks. The device must be writable, with at least four
/// sectors of at most 4096 bytes.
template <Block B>
Task<std::string_view> check_block(Shard&, B& block) {
  const BlockGeometry geometry = block.geometry();
  if (geometry.sectors < 4 || geometry.sector_size > 4096 || geometry.read_only) co_return "unsuitable device";
  std::array<std::byte, 8192> out;
  std::array<std::byte, 8192> in{};
  for (std::size_t i = 0; i < out.size(); ++i) out[i] = static_cast<std::byte>(i * 7 + i / 256);
  const Bytes two = Bytes{out}.first(2 * geometry.sector_size);
  const MutableBytes back = MutableBytes{in}.first(two.size());
  if (!co_await block.write(1, two)) co_return "two sectors were not written";
  if (!co_await block.read(1, back)) co_return "two sectors were not read";
  if (!std::equal(two.begin(), two.end(), back.begin())) co_return "what was read is not what was written";
  const std::uint64_t last = geometry.sectors - 1;
  if (!co_await block.write(last, two.first(geometry.sector_size))) co_return "the last sector was not written";
  if (!co_await block.read(last, back.first(geometry.sector_size))) co_return "the last sector was not read";
  const auto error_of = [](const Result<void, BlockError>& result) {
    return result ? std::optional<BlockError>{} : std::optional{result.error()};
  };
  if (error_of(co_await block.write(last, two)) != BlockError::out_of_range)
    co_return "a write across the end was accepted";
  if (error_of(co_await block.read(geometry.sectors, back)) != BlockError::out_of_range)
    co_return "a read beyond the end was accepted";
  if (error_of(co_await block.read(~std::uint64_t{0}, back)) != BlockError::out_of_range)
    co_return "a sector number that wraps was accepted";
  if (error_of(co_await block.read(0, back.first(1))) != BlockError::unaligned)
    co_return "a part of a sector was accepted";
  const auto flushed = error_of(co_await block.flush());
  if ((geometry.durability == Durability::none) != (flushed == BlockError::unsupported))
    co_return "flush does not match the durability";
  co_return "";
}

}  // namespace mirage::check
