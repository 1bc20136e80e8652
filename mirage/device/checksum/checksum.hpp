// SPDX-License-Identifier: ISC
// A disk that finds what has changed on the disk below without being written: every 512 bytes have a CRC-32C, which
// knows their place. What does not match is an error when it is read, never data. A power cut leaves old or new content
// of what was not flushed, as Block says. doc/storage.md has the design and the price: 1/64 of the space, and a flush
// for each batch of writes.
#pragma once

#include <mirage/device/checksum/scheme.hpp>
#include <mirage/device/tagged/core.hpp>

namespace mirage::device {

template <Block B>
class Checksum {
 public:
  struct Options {
    bool create = false;          ///< a disk that is_blank() is formatted: all of it is zeroed
    bool allow_volatile = false;  ///< a disk that cannot flush will do: corrupt after a power cut what was written then
    std::size_t tables = 64;      ///< blocks of 4 KiB in memory, each for 252 KiB of data
  };
  Checksum(Shard& shard, B& disk, const Options& options) noexcept
      : disk_(disk), port_(shard, disk), core_(port_, scheme_, options.tables), options_(options) {}
  Checksum(const Checksum&) = delete;
  Checksum& operator=(const Checksum&) = delete;
  [[nodiscard]] Shard& shard() const noexcept { return core_.shard(); }

  Task<Result<void, StartError>> start() {
    MIRAGE_CO_CHECK(require_durability(disk_.geometry(), "checksum", "allow-volatile", options_.allow_volatile));
    MIRAGE_CO_TRY(const bool open, co_await core_.open());
    if (open) co_return Result<void, StartError>{};
    if (!options_.create || disk_.geometry().read_only)
      co_return Failure{StartError{"checksum: the disk is blank (the key create formats it)"}};
    const auto zeroed = co_await mirage::write_zeroes(disk_, 0, disk_.geometry().sectors);
    if (!zeroed) co_return Failure{StartError{"checksum: the disk cannot be zeroed: {}", zeroed.error()}};
    co_return co_await core_.format();
  }

  [[nodiscard]] const BlockGeometry& geometry() const noexcept { return core_.geometry(); }
  auto read(std::uint64_t sector, MutableBytes bytes) { return core_.read(sector, bytes); }
  auto write(std::uint64_t sector, Bytes bytes) { return core_.write(sector, bytes); }
  auto flush() { return core_.flush(); }

  using Counters = tagged::Counters;
  [[nodiscard]] const Counters& counters() const noexcept { return core_.counters(); }
  void visit_counters(CounterVisitor& visitor) const noexcept { visitor.counters("checksum", counters_of(counters())); }

 private:
  B& disk_;
  BlockPortOf<B> port_;
  checksum::Scheme scheme_;
  tagged::Core core_;
  Options options_;
};

}  // namespace mirage::device
