// SPDX-License-Identifier: ISC
#include <doctest/doctest.h>

#include <mirage/device/block_fault/block_fault.hpp>
#include <mirage/device/power_cut/power_cut.hpp>
#include <mirage/module/check/block.hpp>
#include <mirage/module/check/virtual_environment.hpp>

using namespace mirage;

namespace {

struct Rig {
  explicit Rig(const device::BlockFaultOptions& options) : fault(shard, disk, options) {}
  check::VirtualEnvironment environment;
  Shard shard{environment};
  device::PowerCut disk{shard, 16};
  device::BlockFault<device::PowerCut> fault;
  std::array<std::byte, 2048> memory{};
};

}  // namespace

TEST_CASE("block fault: without faults it is the disk, late") {
  Rig rig{{.latency = 5ms}};
  const Time before = rig.shard.now();
  CHECK(run(rig.shard, check::check_block(rig.shard, rig.fault)) == std::string_view{});
  CHECK(rig.shard.now() - before >= 100ms);
  CHECK(rig.fault.counters().errors == 0);
}

TEST_CASE("block fault: errors leave the disk alone, torn writes some of it") {
  Rig rig{{.write_error = 1'000'000}};
  rig.memory.fill(std::byte{1});
  CHECK(run(rig.shard, rig.fault.write(0, rig.memory))->error() == BlockError::io);
  CHECK(rig.disk.events() == 0);
  rig.fault.set_options({.torn_write = 1'000'000});
  CHECK(run(rig.shard, rig.fault.write(0, rig.memory))->error() == BlockError::io);
  CHECK(rig.disk.events() < 4);
  CHECK(rig.fault.counters().torn == 1);
  CHECK(run(rig.shard, rig.fault.write(15, rig.memory))->error() == BlockError::out_of_range);
}

TEST_CASE("block fault: flushes that fail, flushes that lie, bits that rot") {
  Rig rig{{.flush_error = 1'000'000}};
  CHECK(run(rig.shard, rig.fault.flush())->error() == BlockError::io);
  rig.fault.set_options({.lost_flush = 1'000'000});
  CHECK(run(rig.shard, rig.fault.flush())->has_value());
  CHECK(rig.disk.events() == 0);
  rig.fault.set_options({.bit_rot = 1'000'000});
  REQUIRE(run(rig.shard, rig.fault.read(0, rig.memory))->has_value());
  unsigned bits = 0;
  for (const std::byte byte : rig.memory) bits += static_cast<unsigned>(std::popcount(std::to_integer<unsigned>(byte)));
  CHECK(bits == 1);
}

TEST_CASE("block fault: a seed is a sequence") {
  const auto outcomes = [](std::uint64_t seed) {
    Rig rig{{.seed = seed, .read_error = 500'000}};
    std::string out;
    for (int i = 0; i < 64; ++i) out += run(rig.shard, rig.fault.read(0, rig.memory))->has_value() ? '.' : 'x';
    return out;
  };
  CHECK(outcomes(1) == outcomes(1));
  CHECK(outcomes(1) != outcomes(2));
}
