// SPDX-License-Identifier: ISC
// A load on a disk for some seconds; prints operations per second.
#pragma once

#include <cstdlib>
#include <memory>

#include <mirage/async/scope.hpp>
#include <mirage/module/application.hpp>

template <mirage::Block Disk>
struct Main {
  struct Load {
    bool write = false;
    bool random = false;
    std::size_t size = 0;
    mirage::Time end{};
    std::uint64_t next = 0;
    std::uint64_t state = 1;
    std::uint64_t operations = 0;
    mirage::BlockResult outcome;
  };

  static mirage::Task<int> start(Disk& disk, const Keys& keys) {
    const mirage::Logger log = keys.shard.logger("load");
    Load load{.write = keys.write, .random = keys.random, .size = keys.size};
    mirage::Environment& world = keys.shard.environment();
    const mirage::Time begin = world.monotonic();
    load.end = begin + mirage::Duration{std::chrono::seconds{keys.seconds}};
    {
      mirage::Scope scope{keys.shard};
      for (std::uint32_t i = 0; i < keys.depth; ++i) {
        if (!scope.spawn(worker(disk, load))) load.outcome = mirage::Failure{mirage::BlockError::no_memory};
      }
      co_await scope.join();
    }
    if (!load.outcome) {
      log.error("{}", load.outcome.error());
      co_return 1;
    }
    const auto took = static_cast<std::uint64_t>((world.monotonic() - begin) / std::chrono::microseconds{1});
    log.info("rate {}", load.operations * 1'000'000 / took);
    co_return 0;
  }

 private:
  static std::uint64_t place(Load& load, const mirage::BlockGeometry& geometry) noexcept {
    const std::uint64_t places = geometry.bytes() / load.size;
    load.state = load.state * 6364136223846793005 + 1442695040888963407;
    const std::uint64_t which = load.random ? (load.state >> 20) % places : load.next++ % places;
    return which * (load.size / geometry.sector_size);
  }

  static mirage::Task<void> worker(Disk& disk, Load& load) {
    const std::unique_ptr<std::byte, void (*)(void*)> memory(
        static_cast<std::byte*>(std::aligned_alloc(4096, load.size)), std::free);
    if (!memory) load.outcome = mirage::Failure{mirage::BlockError::no_memory};
    const mirage::MutableBytes bytes{memory.get(), load.size};
    // The clock itself: with a disk that completes at once the turn never ends.
    while (load.outcome && disk.shard().environment().monotonic() < load.end) {
      const std::uint64_t sector = place(load, disk.geometry());
      const mirage::BlockResult done =
          load.write ? co_await disk.write(sector, bytes) : co_await disk.read(sector, bytes);
      if (!done) load.outcome = done;
      ++load.operations;
    }
  }
};
