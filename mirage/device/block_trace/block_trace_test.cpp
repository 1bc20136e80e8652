// SPDX-License-Identifier: ISC
#include <doctest/doctest.h>

#include <mirage/device/block_trace/block_trace.hpp>
#include <mirage/device/ramdisk/ramdisk.hpp>
#include <mirage/module/check/block.hpp>
#include <mirage/module/check/virtual_environment.hpp>

using namespace mirage;

TEST_CASE("block trace: conforms, counts and shows") {
  check::VirtualEnvironment environment;
  Shard shard{environment};
  device::Ramdisk disk{shard, 16};
  REQUIRE(run(shard, disk.start())->has_value());
  device::BlockTrace trace{shard, disk, "disk"};
  using Trace = decltype(trace);
  static_assert(ScatterBlock<Trace> && DiscardBlock<Trace> && !FuaBlock<Trace>);
  CHECK(run(shard, check::check_block(shard, trace)) == std::string_view{});
  shard.log().set_default(LogLevel::debug);
  const auto before = trace.counters(Trace::writing);
  std::array<std::byte, 1024> memory{};
  REQUIRE(run(shard, trace.write(3, memory))->has_value());
  REQUIRE_FALSE(run(shard, trace.write(15, memory))->has_value());
  const auto& after = trace.counters(Trace::writing);
  CHECK(after.operations == before.operations + 2);
  CHECK(after.sectors == before.sectors + 4);
  CHECK(after.failures == before.failures + 1);
  CHECK(environment.console.find("disk: write 3+2: done, 0 us") != std::string::npos);
  CHECK(environment.console.find("disk: write 15+2: beyond the end of the device") != std::string::npos);
}
