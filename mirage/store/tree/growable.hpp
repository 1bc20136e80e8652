// SPDX-License-Identifier: ISC
// An array that grows; no memory is a value. For plain data.
#pragma once

#include <algorithm>
#include <cstdlib>
#include <span>
#include <type_traits>
#include <utility>

namespace mirage::store::tree {

template <class T>
  requires std::is_trivially_copyable_v<T>
class Growable {
 public:
  Growable() noexcept = default;
  Growable(Growable&& other) noexcept
      : items_(std::exchange(other.items_, nullptr)),
        size_(std::exchange(other.size_, 0)),
        capacity_(std::exchange(other.capacity_, 0)) {}
  Growable& operator=(Growable&& other) noexcept {
    std::swap(items_, other.items_);
    std::swap(size_, other.size_);
    std::swap(capacity_, other.capacity_);
    return *this;
  }
  ~Growable() { std::free(items_); }

  /// Room for `count` items in all. False: no memory, nothing changed.
  [[nodiscard]] bool reserve(std::size_t count) noexcept {
    if (count <= capacity_) return true;
    const std::size_t wanted = std::max(count, capacity_ + capacity_ / 2);
    void* moved = std::realloc(items_, wanted * sizeof(T));
    if (moved == nullptr) return false;
    items_ = static_cast<T*>(moved);
    capacity_ = wanted;
    return true;
  }
  [[nodiscard]] bool push_back(const T& item) noexcept {
    if (!reserve(size_ + 1)) return false;
    items_[size_++] = item;
    return true;
  }
  /// `count` items of value `item`.
  [[nodiscard]] bool assign(std::size_t count, const T& item) noexcept {
    size_ = 0;
    if (!reserve(count)) return false;
    std::fill_n(items_, count, item);
    size_ = count;
    return true;
  }
  void clear() noexcept { size_ = 0; }
  void resize_down(std::size_t size) noexcept { size_ = size; }

  [[nodiscard]] std::size_t size() const noexcept { return size_; }
  [[nodiscard]] bool empty() const noexcept { return size_ == 0; }
  [[nodiscard]] T& operator[](std::size_t index) noexcept { return items_[index]; }
  [[nodiscard]] const T& operator[](std::size_t index) const noexcept { return items_[index]; }
  [[nodiscard]] T& back() noexcept { return items_[size_ - 1]; }
  [[nodiscard]] T* begin() noexcept { return items_; }
  [[nodiscard]] T* end() noexcept { return items_ + size_; }
  [[nodiscard]] const T* begin() const noexcept { return items_; }
  [[nodiscard]] const T* end() const noexcept { return items_ + size_; }
  [[nodiscard]] std::span<T> span() noexcept { return {items_, size_}; }

 private:
  T* items_ = nullptr;
  std::size_t size_ = 0;
  std::size_t capacity_ = 0;
};

}  // namespace mirage::store::tree
