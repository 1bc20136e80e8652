// SPDX-License-Identifier: ISC
// An intrusive chained hash index of a fixed number of buckets over items that live elsewhere.
#pragma once

#include <bit>
#include <cstddef>
#include <cstdint>
#include <memory>
#include <new>
#include <utility>

namespace mirage::net::forward {

/// Items chain through their member `next`; each may be in as many indices as it has such members.
template <class T, T* T::* next>
class Chains {
 public:
  /// Takes memory for about one bucket per item; false when there is none.
  [[nodiscard]] bool start(std::size_t items) noexcept {
    mask_ = std::bit_ceil(items) - 1;
    heads_.reset(new (std::nothrow) T* [mask_ + 1] {});  // NOLINT
    return heads_ != nullptr;
  }
  /// Null when no item of that hash matches.
  template <class Match>
  [[nodiscard]] T* find(std::uint64_t hash, Match&& matches) const noexcept {
    for (T* item = heads_[hash & mask_]; item != nullptr; item = item->*next) {
      if (matches(std::as_const(*item))) return item;
    }
    return nullptr;
  }
  void insert(std::uint64_t hash, T& item) noexcept { item.*next = std::exchange(heads_[hash & mask_], &item); }
  /// Precondition: the item was inserted with this hash.
  void remove(std::uint64_t hash, T& item) noexcept {
    T** link = &heads_[hash & mask_];
    while (*link != &item) link = &((*link)->*next);
    *link = std::exchange(item.*next, nullptr);
  }

 private:
  std::unique_ptr<T*[]> heads_;  // NOLINT: sized at run time
  std::size_t mask_ = 0;
};

}  // namespace mirage::net::forward
