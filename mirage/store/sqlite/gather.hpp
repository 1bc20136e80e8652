// SPDX-License-Identifier: ISC
// The writes of an atomic batch, copied as they come: SQLite's pages may change before the batch is complete.
#pragma once

#include <algorithm>
#include <cstdint>
#include <cstdlib>
#include <cstring>
#include <memory>
#include <new>
#include <span>

#include <mirage/module/file.hpp>

namespace mirage::store::sqlite {

class Gather {
 public:
  void begin() noexcept {
    active_ = true;
    used_ = count_ = 0;
  }
  void end() noexcept { active_ = false; }
  [[nodiscard]] bool active() const noexcept { return active_; }

  /// unsupported: more than `limit` bytes altogether.
  Result<void, FileError> add(std::uint64_t offset, Bytes bytes, std::size_t limit) noexcept {
    if (bytes.size() > limit - std::min(limit, used_)) return Failure{FileError::unsupported};
    if (!reserve_bytes(used_ + bytes.size()) || !reserve_items(count_ + 1)) return Failure{FileError::no_memory};
    std::memcpy(memory_.get() + used_, bytes.data(), bytes.size());
    const Bytes copy{memory_.get() + used_, bytes.size()};
    used_ += bytes.size();
    FileChange* last = count_ == 0 ? nullptr : &items_[count_ - 1];
    if (last != nullptr && last->offset + last->bytes.size() == offset) {
      last->bytes = {last->bytes.data(), last->bytes.size() + copy.size()};  // they lie together
    } else {
      items_[count_++] = {.offset = offset, .bytes = copy};
    }
    return {};
  }
  [[nodiscard]] std::span<const FileChange> changes() const noexcept { return {items_.get(), count_}; }
  /// The size of a file of `size` bytes after the writes.
  [[nodiscard]] std::uint64_t size_after(std::uint64_t size) const noexcept {
    for (const FileChange& each : changes()) size = std::max(size, each.offset + each.bytes.size());
    return size;
  }

 private:
  [[nodiscard]] bool reserve_bytes(std::size_t size) noexcept {
    if (size <= room_) return true;
    const std::size_t wanted = std::max({size, 2 * room_, std::size_t{65536}});
    std::unique_ptr<std::byte[]> moved{new (std::nothrow) std::byte[wanted]};
    if (moved == nullptr) return false;
    if (used_ != 0) std::memcpy(moved.get(), memory_.get(), used_);
    for (std::size_t i = 0; i < count_; ++i) {
      items_[i].bytes = {moved.get() + (items_[i].bytes.data() - memory_.get()), items_[i].bytes.size()};
    }
    memory_ = std::move(moved);
    room_ = wanted;
    return true;
  }
  [[nodiscard]] bool reserve_items(std::size_t count) noexcept {
    if (count <= most_) return true;
    const std::size_t wanted = std::max(2 * most_, std::size_t{32});
    std::unique_ptr<FileChange[]> moved{new (std::nothrow) FileChange[wanted]};
    if (moved == nullptr) return false;
    std::copy_n(items_.get(), count_, moved.get());
    items_ = std::move(moved);
    most_ = wanted;
    return true;
  }

  std::unique_ptr<std::byte[]> memory_;
  std::unique_ptr<FileChange[]> items_;
  std::size_t used_ = 0, room_ = 0, count_ = 0, most_ = 0;
  bool active_ = false;
};

}  // namespace mirage::store::sqlite
