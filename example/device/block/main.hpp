// SPDX-License-Identifier: ISC
// What a disk can do: many sectors at once, pieces of memory as one request, several operations in flight, zeroes,
// durable writes; and that accesses beyond the end are refused. It overwrites the first sectors of the disk.
#pragma once

#include <array>
#include <memory>
#include <new>

#include <mirage/async/scope.hpp>
#include <mirage/module/application.hpp>

template <mirage::Block Disk>
struct Main {
  using Outcome = mirage::BlockResult;
  static constexpr std::size_t sectors = 8;

  static mirage::Task<int> start(Disk& disk, const Keys& keys) {
    const mirage::Logger log = keys.shard.logger("application");
    const mirage::BlockGeometry& geometry = disk.geometry();
    log.info("{} sectors of {} bytes{}", geometry.sectors, geometry.sector_size,
             geometry.read_only ? ", read-only" : "");
    const std::size_t size = sectors * geometry.sector_size;
    const std::unique_ptr<std::byte[]> memory(new (std::nothrow) std::byte[2 * size]);
    if (!memory) co_return 1;
    const mirage::MutableBytes out{memory.get(), size};
    const mirage::MutableBytes in{memory.get() + size, size};
    for (std::size_t i = 0; i < size; ++i) out[i] = static_cast<std::byte>(i * 31 + i / 256);
    for (const auto part : {contiguous, pieces, in_flight, durable}) {
      if (const Outcome done = co_await part(disk, log, out, in); !done) {
        log.error("{}", done.error());
        co_return 1;
      }
    }
    co_return co_await refused(disk, log, in) ? 0 : 1;
  }

 private:
  /// One request for all.
  static mirage::Task<Outcome> contiguous(Disk& disk, const mirage::Logger& log, mirage::MutableBytes out,
                                          mirage::MutableBytes in) {
    MIRAGE_CO_CHECK(co_await disk.write(1, out));
    MIRAGE_CO_CHECK(co_await disk.read(1, in));
    if (std::memcmp(out.data(), in.data(), out.size()) != 0) co_return mirage::Failure{mirage::BlockError::io};
    log.info("{} bytes written and read back", out.size());
    co_return Outcome{};
  }

  /// Memory in pieces, the disk in one; the second half becomes zeroes.
  static mirage::Task<Outcome> pieces(Disk& disk, const mirage::Logger& log, mirage::MutableBytes out,
                                      mirage::MutableBytes in) {
    const std::size_t half = out.size() / 2;
    const std::array<mirage::Bytes, 2> swapped{out.subspan(half), out.first(half)};
    MIRAGE_CO_CHECK(co_await mirage::write_gather(disk, 1, swapped));
    MIRAGE_CO_CHECK(co_await mirage::write_zeroes(disk, 1 + sectors / 2, sectors / 2));
    MIRAGE_CO_CHECK(co_await disk.read(1, in));
    if (std::memcmp(out.data() + half, in.data(), half) != 0 || in[half] != std::byte{0} || in.back() != std::byte{0})
      co_return mirage::Failure{mirage::BlockError::io};
    const Outcome discarded = co_await mirage::discard(disk, 1 + sectors / 2, sectors / 2);
    if (!discarded && discarded.error() != mirage::BlockError::unsupported) co_return discarded;
    log.info("pieces and zeroes as they should be; discard: {}", discarded ? "yes" : "no");
    co_return Outcome{};
  }

  static mirage::Task<void> write_one(Disk& disk, std::uint64_t sector, mirage::Bytes bytes, Outcome& outcome) {
    const Outcome done = co_await disk.write(sector, bytes);
    if (!done) outcome = done;
  }
  /// All at once, in whatever order the disk likes.
  static mirage::Task<Outcome> in_flight(Disk& disk, const mirage::Logger& log, mirage::MutableBytes out,
                                         mirage::MutableBytes in) {
    const std::size_t sector = disk.geometry().sector_size;
    Outcome outcome;
    mirage::Scope scope{disk.shard()};
    for (std::size_t i = 0; i < sectors; ++i) {
      if (!scope.spawn(write_one(disk, 1 + i, out.subspan(i * sector, sector), outcome)))
        outcome = mirage::Failure{mirage::BlockError::no_memory};
    }
    co_await scope.join();
    MIRAGE_CO_CHECK(outcome);
    MIRAGE_CO_CHECK(co_await disk.read(1, in));
    if (std::memcmp(out.data(), in.data(), out.size()) != 0) co_return mirage::Failure{mirage::BlockError::io};
    log.info("{} writes in flight, up to {} at once in the device", sectors, disk.geometry().queue_depth);
    co_return Outcome{};
  }

  static mirage::Task<Outcome> durable(Disk& disk, const mirage::Logger& log, mirage::MutableBytes out,
                                       mirage::MutableBytes) {
    const Outcome flushed = co_await disk.flush();
    const Outcome written = co_await mirage::write_durable(disk, 1, out);
    const bool none = disk.geometry().durability == mirage::Durability::none;
    if (flushed.has_value() == none || written.has_value() == none) co_return mirage::Failure{mirage::BlockError::io};
    log.info("durable: {}", none ? "no" : "yes");
    co_return Outcome{};
  }

  static mirage::Task<bool> refused(Disk& disk, const mirage::Logger& log, mirage::MutableBytes memory) {
    const mirage::BlockGeometry& geometry = disk.geometry();
    const mirage::MutableBytes sector = memory.first(geometry.sector_size);
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
