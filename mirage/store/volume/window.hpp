// SPDX-License-Identifier: ISC
// One chunk of a file in memory, sector by sector: what is known of it and what is to be written. It joins small and
// adjacent writes into few, and lets bytes be written that are no whole sectors.
#pragma once

#include <bitset>
#include <cstdint>
#include <memory>
#include <new>
#include <optional>

#include <mirage/store/volume/header.hpp>

namespace mirage::store::volume {

class Window {
 public:
  static constexpr std::uint64_t nowhere = ~std::uint64_t{0};
  static constexpr std::size_t most = chunk_size / 512;
  /// Sectors [first, first + count) of the chunk.
  struct Run {
    std::size_t first = 0;
    std::size_t count = 0;
  };

  [[nodiscard]] bool allocate(std::uint32_t sector) noexcept {
    sector_ = sector;
    memory_.reset(new (std::nothrow) std::byte[chunk_size]);
    return memory_ != nullptr;
  }
  [[nodiscard]] std::uint64_t chunk() const noexcept { return chunk_; }
  /// Forgets everything. Precondition: nothing is dirty, or it is not wanted any more.
  void move_to(std::uint64_t chunk) noexcept {
    chunk_ = chunk;
    known_.reset();
    dirty_.reset();
  }
  [[nodiscard]] MutableBytes bytes() noexcept { return {memory_.get(), chunk_size}; }
  [[nodiscard]] MutableBytes bytes(const Run& run) noexcept {
    return bytes().subspan(run.first * sector_, run.count * sector_);
  }
  void note_known(const Run& run) noexcept { set(known_, run); }
  void note_dirty(const Run& run) noexcept { set(dirty_, run); }
  void note_clean(const Run& run) noexcept {
    for (std::size_t i = run.first; i < run.first + run.count; ++i) dirty_.reset(i);
  }
  /// The first run of dirty sectors.
  [[nodiscard]] std::optional<Run> dirty() const noexcept { return first_run(dirty_, true, {0, chunk_size / sector_}); }
  [[nodiscard]] std::size_t dirty_count() const noexcept { return dirty_.count(); }
  /// The first run within `run` that is not known.
  [[nodiscard]] std::optional<Run> unknown(const Run& run) const noexcept { return first_run(known_, false, run); }
  [[nodiscard]] bool known(std::size_t sector) const noexcept { return known_[sector]; }
  /// The sectors that hold [offset, offset + size) of the chunk.
  [[nodiscard]] Run covering(std::size_t offset, std::size_t size) const noexcept {
    const std::size_t first = offset / sector_;
    return {first, (offset + size + sector_ - 1) / sector_ - first};
  }

 private:
  using Flags = std::bitset<most>;
  static void set(Flags& flags, const Run& run) noexcept {
    for (std::size_t i = run.first; i < run.first + run.count; ++i) flags.set(i);
  }
  static std::optional<Run> first_run(const Flags& flags, bool wanted, const Run& within) noexcept {
    const std::size_t end = within.first + within.count;
    std::size_t first = within.first;
    while (first < end && flags[first] != wanted) ++first;
    std::size_t last = first;
    while (last < end && flags[last] == wanted) ++last;
    if (first == last) return std::nullopt;
    return Run{first, last - first};
  }
  std::uint32_t sector_ = 512;
  std::uint64_t chunk_ = nowhere;
  std::unique_ptr<std::byte[]> memory_;
  Flags known_;
  Flags dirty_;
};

}  // namespace mirage::store::volume
