// SPDX-License-Identifier: ISC
// Bounded first-in first-out queue in place. Refuses at its bound; never allocates.
#pragma once

#include <array>
#include <cstddef>
#include <utility>

namespace mirage {

template <class T, std::size_t Capacity>
class Ring {
 public:
  [[nodiscard]] bool empty() const noexcept { return count_ == 0; }
  [[nodiscard]] bool full() const noexcept { return count_ == Capacity; }
  [[nodiscard]] std::size_t size() const noexcept { return count_; }
  /// False, and the value untouched, when full.
  [[nodiscard]] bool push(T&& value) noexcept {
    if (full()) return false;
    items_[(first_ + count_) % Capacity] = std::move(value);
    ++count_;
    return true;
  }
  /// Precondition: not empty.
  [[nodiscard]] T& front() noexcept { return items_[first_]; }
  [[nodiscard]] T& at(std::size_t index) noexcept { return items_[(first_ + index) % Capacity]; }
  T pop() noexcept {
    T value = std::exchange(items_[first_], T{});
    first_ = (first_ + 1) % Capacity;
    --count_;
    return value;
  }

 private:
  std::array<T, Capacity> items_{};
  std::size_t first_ = 0;
  std::size_t count_ = 0;
};

}  // namespace mirage
