// SPDX-License-Identifier: ISC
#include <string>

#include <doctest/doctest.h>

#include <mirage/device/key_option/key_option.hpp>
#include <mirage/module/check/block.hpp>
#include <mirage/module/check/virtual_environment.hpp>

using namespace mirage;

TEST_CASE("key_option: digits become the first bytes of a read-only sector") {
  check::VirtualEnvironment environment;
  Shard shard{environment};
  device::KeyOption disk{shard, "00ffA5a5"};
  REQUIRE(run(shard, disk.start())->has_value());
  std::array<std::byte, 512> sector{};
  REQUIRE(disk.read(0, sector).await_resume());
  CHECK(load_big<std::uint32_t>(sector, 0) == 0x00ffa5a5);
  CHECK(load_big<std::uint32_t>(sector, 4) == 0);
  CHECK(run(shard, check::check_read_only_block(shard, disk)) == std::string_view{});
}

TEST_CASE("key_option: anything else is refused") {
  check::VirtualEnvironment environment;
  Shard shard{environment};
  const std::string long_one(1026, '0');
  for (const std::string_view hex : {std::string_view{}, std::string_view{"0"}, std::string_view{"0g"},
                                     std::string_view{"0x00"}, std::string_view{long_one}}) {
    device::KeyOption disk{shard, hex};
    CHECK_FALSE(run(shard, disk.start())->has_value());
  }
}
