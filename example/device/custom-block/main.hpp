// SPDX-License-Identifier: ISC
// Uses the project's own block device as it would any other.
#pragma once

#include <array>

#include <mirage/module/application.hpp>

template <mirage::Block Disk>
struct Main {
  static mirage::Task<int> start(Disk& disk, const Keys& keys) {
    const mirage::Logger log = keys.shard.logger("application");
    std::array<std::byte, 512> page{};
    page.fill(std::byte{0x5a});
    if (auto written = co_await disk.write(3, page); !written) {
      log.error("write: {}", written.error());
      co_return 1;
    }
    page.fill(std::byte{0});
    if (auto read = co_await disk.read(3, page); !read || page[511] != std::byte{0x5a}) {
      log.error("read back something else");
      co_return 1;
    }
    log.info("a mirrored disk of {} sectors: written to both, read back", disk.geometry().sectors);
    co_return 0;
  }
};
