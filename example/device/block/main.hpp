// SPDX-License-Identifier: ISC
// Writes a pattern to a disk, reads it back, and shows that accesses beyond the end are refused.
// It overwrites the first sectors of the disk it is given.
#pragma once

#include <array>
#include <memory>
#include <new>

#include <mirage/module/application.hpp>

template <mirage::Block Disk>
struct Main {
  static mirage::Task<int> start(Disk& disk, const Keys& keys) {
    const mirage::Logger log = keys.shard.logger("application");
    const mirage::BlockGeometry& geometry = disk.geometry();
    log.info("{} sectors of {} bytes{}", geometry.sectors, geometry.sector_size,
             geometry.read_only ? ", read-only" : "");
    constexpr std::size_t sectors = 8;
    const std::size_t size = sectors * geometry.sector_size;
    const std::unique_ptr<std::byte[]> out(new (std::nothrow) std::byte[size]);
    const std::unique_ptr<std::byte[]> in(new (std::nothrow) std::byte[size]);
    if (!out || !in) co_return 1;
    for (std::size_t i = 0; i < size; ++i) out[i] = static_cast<std::byte>(i * 31 + i / 256);

    if (auto written = co_await disk.write(1, mirage::Bytes{out.get(), size}); !written) {
      log.error("write: {}", written.error());
      co_return 1;
    }
    if (auto flushed = co_await disk.flush(); !flushed) log.info("flush: {}", flushed.error());
    if (auto read = co_await disk.read(1, mirage::MutableBytes{in.get(), size}); !read) {
      log.error("read: {}", read.error());
      co_return 1;
    }
    if (std::memcmp(out.get(), in.get(), size) != 0) {
      log.error("what was read differs from what was written");
      co_return 1;
    }
    log.info("{} bytes written and read back", size);
    co_return co_await refused(disk, log, in.get()) ? 0 : 1;
  }

 private:
  static mirage::Task<bool> refused(Disk& disk, const mirage::Logger& log, std::byte* memory) {
    const mirage::BlockGeometry& geometry = disk.geometry();
    const mirage::MutableBytes sector{memory, geometry.sector_size};
    const auto beyond = co_await disk.read(geometry.sectors, sector);
    const auto wrapped = co_await disk.read(~std::uint64_t{0}, sector);
    const auto odd = co_await disk.read(0, sector.first(1));
    if (beyond || wrapped || odd) {
      log.error("an access out of bounds was not refused");
      co_return false;
    }
    log.info("out of bounds: {}; odd length: {}", beyond.error(), odd.error());
    co_return true;
  }
};
