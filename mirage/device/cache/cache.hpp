// SPDX-License-Identifier: ISC
// A disk with memory: sectors that were read or written lately are served from it, writes stay there until a flush, or
// until half of it is waiting for the disk; then they go in order, neighbours together. Large writes and durable ones
// (FUA) go through. After a failed write or flush there is no more writing, and what did not reach the disk is still
// read. Memory that is not flushed is gone when the image ends, as Block says of every write.
#pragma once

#include <mirage/device/cache/core.hpp>

namespace mirage::device {

template <Block B>
class Cache {
 public:
  /// `bytes`: of memory, 128 KiB at least; a few more for the account of it.
  Cache(Shard& shard, B& disk, std::size_t bytes) noexcept : port_(shard, disk), core_(port_, bytes) {}
  Cache(const Cache&) = delete;
  Cache& operator=(const Cache&) = delete;
  [[nodiscard]] Shard& shard() const noexcept { return core_.shard(); }
  Task<Result<void, StartError>> start() { co_return core_.start(); }

  [[nodiscard]] const BlockGeometry& geometry() const noexcept { return core_.geometry(); }
  auto read(std::uint64_t sector, MutableBytes bytes) { return core_.read(sector, bytes); }
  auto write(std::uint64_t sector, Bytes bytes) { return core_.write(sector, bytes); }
  auto write_durable(std::uint64_t sector, Bytes bytes) { return core_.write_durable(sector, bytes); }
  auto flush() { return core_.flush(); }

  using Counters = cache::Counters;
  [[nodiscard]] const Counters& counters() const noexcept { return core_.counters(); }
  /// Lines that hold what the disk does not have.
  [[nodiscard]] std::size_t dirty_lines() const noexcept { return core_.dirty_lines(); }
  void visit_counters(CounterVisitor& visitor) const noexcept {
    visitor.counters("cache", counters_of(counters()));
    visitor.gauge("cache", "dirty_lines", core_.dirty_lines());
  }

 private:
  BlockPortOf<B> port_;
  cache::Core core_;
};

}  // namespace mirage::device
