// SPDX-License-Identifier: ISC
#include <doctest/doctest.h>

#include <mirage/async/scope.hpp>
#include <mirage/device/ramdisk/ramdisk.hpp>
#include <mirage/module/check/block.hpp>

using namespace mirage;

namespace {
class Still final : public Environment {
 public:
  Time monotonic() noexcept override { return {}; }
  WallTime wall() noexcept override { return {}; }
  bool entropy(MutableBytes) noexcept override { return false; }
  void wait(Time) noexcept override {}
  void write_console(std::string_view) noexcept override {}
};
}  // namespace

TEST_CASE("a ramdisk is a block device") {
  static_assert(ScatterBlock<device::Ramdisk> && DiscardBlock<device::Ramdisk> && !FuaBlock<device::Ramdisk>);
  Still environment;
  Shard shard{environment};
  device::Ramdisk disk{shard, 16};
  const auto started = run(shard, disk.start());
  REQUIRE(started);
  REQUIRE(started->has_value());
  CHECK(run(shard, check::check_block(shard, disk)) == std::string_view{});
}

TEST_CASE("a ramdisk that cannot fit says so") {
  Still environment;
  Shard shard{environment};
  device::Ramdisk disk{shard, ~std::uint64_t{0} / 4};
  const auto started = run(shard, disk.start());
  REQUIRE(started);
  CHECK_FALSE(started->has_value());
}
