// SPDX-License-Identifier: ISC
// What Block gives to a device of four calls, and what it asks of stores.
#include <vector>

#include <doctest/doctest.h>

#include <mirage/module/check/block.hpp>
#include <mirage/module/check/virtual_environment.hpp>

using namespace mirage;

namespace {

/// Four calls and nothing more, as a user writes a device.
class Plain {
 public:
  explicit Plain(Shard& shard, std::uint32_t sector_size, Durability durability = Durability::flush)
      : shard_(shard), memory_(16 * std::size_t{sector_size}) {
    geometry.sector_size = sector_size;
    geometry.sectors = 16;
    geometry.durability = durability;
  }
  [[nodiscard]] Shard& shard() noexcept { return shard_; }
  struct Geometry : BlockGeometry {
    [[nodiscard]] const BlockGeometry& operator()() const noexcept { return *this; }
  } geometry;

  Ready<BlockResult> read(std::uint64_t sector, MutableBytes bytes) noexcept {
    const auto range = check_range(geometry, sector, bytes.size());
    if (range && !bytes.empty()) std::memcpy(bytes.data(), &memory_[sector * geometry.sector_size], bytes.size());
    return Ready{range};
  }
  Ready<BlockResult> write(std::uint64_t sector, Bytes bytes) noexcept {
    ++writes;
    if (geometry.read_only) return Ready<BlockResult>{Failure{BlockError::read_only}};
    const auto range = check_range(geometry, sector, bytes.size());
    if (range && !bytes.empty()) std::memcpy(&memory_[sector * geometry.sector_size], bytes.data(), bytes.size());
    return Ready{range};
  }
  Ready<BlockResult> flush() noexcept {
    ++flushes;
    return Ready{geometry.durability == Durability::none ? BlockResult{Failure{BlockError::unsupported}}
                                                         : BlockResult{}};
  }
  unsigned writes = 0;
  unsigned flushes = 0;

 private:
  Shard& shard_;
  std::vector<std::byte> memory_;
};
static_assert(Block<Plain> && !ScatterBlock<Plain> && !DiscardBlock<Plain> && !FuaBlock<Plain>);

constexpr BlockGeometry four{.sector_size = 512, .sectors = 4};
static_assert(check_range(four, 4, 0) && check_range(four, 0, 2048) && check_range(four, 3, 512));
static_assert(check_range(four, 5, 0).error() == BlockError::out_of_range);
static_assert(check_range(four, 3, 1024).error() == BlockError::out_of_range);
static_assert(check_range(four, ~std::uint64_t{0}, 512).error() == BlockError::out_of_range);
static_assert(check_range(four, 0, 513).error() == BlockError::unaligned);

}  // namespace

TEST_CASE("block: a device of four calls has the others") {
  check::VirtualEnvironment environment;
  Shard shard{environment};
  for (const std::uint32_t sector_size : {512U, 4096U}) {
    for (const Durability durability : {Durability::none, Durability::flush}) {
      Plain disk{shard, sector_size, durability};
      CHECK(run(shard, check::check_block(shard, disk)) == std::string_view{});
    }
  }
  Plain disk{shard, 512};
  disk.geometry.read_only = true;
  CHECK(run(shard, check::check_read_only_block(shard, disk)) == std::string_view{});
}

TEST_CASE("block: what is refused has moved nothing") {
  check::VirtualEnvironment environment;
  Shard shard{environment};
  Plain disk{shard, 512, Durability::none};
  std::array<std::byte, 1024> memory{};
  const std::array<Bytes, 2> pieces{Bytes{memory}.first(512), Bytes{memory}};
  CHECK(run(shard, mirage::write_gather(disk, 14, BlockPieces{pieces}))->error() == BlockError::out_of_range);
  CHECK(run(shard, mirage::write_durable(disk, 0, Bytes{memory}))->error() == BlockError::unsupported);
  CHECK(disk.writes == 0);
  Plain durable{shard, 512};
  CHECK(run(shard, mirage::write_durable(durable, 0, Bytes{memory}))->has_value());
  CHECK(durable.writes == 1);
  CHECK(durable.flushes == 1);
}

TEST_CASE("block: the first failure poisons") {
  Poison poison;
  CHECK(poison.check());
  CHECK(poison.note({}));
  CHECK(poison.note(Failure{BlockError::io}).error() == BlockError::io);
  CHECK(poison.note({}));
  CHECK(poison.note(Failure{BlockError::no_memory}).error() == BlockError::no_memory);
  CHECK(poison.check().error() == BlockError::io);
}

TEST_CASE("block: a durable store asks for durability and names the mend") {
  BlockGeometry geometry;
  const auto refused = require_durability(geometry, "tree", "data-allow-volatile", false);
  REQUIRE_FALSE(refused);
  CHECK(refused.error().text().find("or accept that by --data-allow-volatile") != std::string_view::npos);
  CHECK(require_durability(geometry, "tree", "data-allow-volatile", true));
  geometry.durability = Durability::flush;
  CHECK(require_durability(geometry, "tree", "data-allow-volatile", false));
}
