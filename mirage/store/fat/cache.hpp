// SPDX-License-Identifier: ISC
// Sectors of tables and directories in memory. Changed ones stay until the store writes them: it decides on the order.
#pragma once

#include <cstdint>
#include <memory>
#include <span>

#include <mirage/base/bytes.hpp>

namespace mirage::store::fat {

class Cache {
 public:
  struct Slot {
    static constexpr std::uint32_t none = 0xffffffff;
    std::uint32_t sector = none;
    bool dirty = false;
    std::uint64_t used = 0;
    MutableBytes bytes;
  };

  /// False when there is no memory.
  [[nodiscard]] bool create(std::uint32_t sector_size) noexcept;

  /// nullptr: not there. A slot stays what it is until the next victim(), a dirty one until it is clean.
  [[nodiscard]] Slot* find(std::uint32_t sector) noexcept;
  /// The clean slot that was not used for the longest time, emptied. Precondition: may_change().
  [[nodiscard]] Slot& victim() noexcept;
  void mark(Slot& slot) noexcept {
    if (!slot.dirty) ++dirty_;
    slot.dirty = true;
  }
  void clean(Slot& slot) noexcept {
    if (slot.dirty) --dirty_;
    slot.dirty = false;
  }
  /// Forgets what was changed and not written.
  void drop_changes() noexcept;
  /// Whether there is room for an operation's next changes without writing those that are there.
  [[nodiscard]] bool may_change() const noexcept { return dirty_ + 4 <= count_ / 2; }
  [[nodiscard]] bool changed() const noexcept { return dirty_ != 0; }
  [[nodiscard]] std::span<Slot> slots() noexcept { return {slots_.get(), count_}; }

 private:
  static constexpr std::size_t memory_size = 32 * 1024;
  std::unique_ptr<std::byte[]> memory_;
  std::unique_ptr<Slot[]> slots_;
  std::size_t count_ = 0;
  std::size_t dirty_ = 0;
  std::size_t last_ = 0;  // found last: mostly found next
  std::uint64_t clock_ = 0;
};

}  // namespace mirage::store::fat
