// SPDX-License-Identifier: ISC
// Messages waiting to be sent: a ring of bytes, bounded; what does not fit is refused.
#pragma once

#include <array>
#include <cstdint>
#include <cstring>
#include <span>
#include <string_view>

namespace mirage::syslog {

class MessageQueue {
 public:
  static constexpr std::size_t capacity = std::size_t{32} << 10;

  [[nodiscard]] bool empty() const noexcept { return used_ == 0; }
  [[nodiscard]] std::size_t bytes() const noexcept { return used_; }
  /// False, and nothing kept, when there is no room.
  [[nodiscard]] bool push(std::string_view message) noexcept {
    const std::size_t size = message.size() + header;
    if (message.size() > 0xffff || size > capacity - used_) return false;
    const std::array<char, header> length{static_cast<char>(message.size() >> 8), static_cast<char>(message.size())};
    put({length.data(), header});
    put(message);
    return true;
  }
  /// Size of the oldest message. Precondition: not empty.
  [[nodiscard]] std::size_t front_size() const noexcept {
    return std::size_t{static_cast<unsigned char>(memory_[first_])} << 8 |
           static_cast<unsigned char>(memory_[(first_ + 1) % capacity]);
  }
  /// Takes the oldest message out. Precondition: not empty, and `out` has front_size() bytes.
  void pop(std::span<char> out) noexcept {
    const std::size_t size = front_size();
    advance(header);
    for (std::size_t i = 0; i < size; ++i) out[i] = memory_[(first_ + i) % capacity];
    advance(size);
  }
  void clear() noexcept { used_ = 0; }

 private:
  static constexpr std::size_t header = 2;
  void put(std::string_view bytes) noexcept {
    for (const char c : bytes) memory_[(first_ + used_++) % capacity] = c;
  }
  void advance(std::size_t count) noexcept {
    first_ = (first_ + count) % capacity;
    used_ -= count;
  }
  std::array<char, capacity> memory_;  // NOLINT: only what is in use counts
  std::size_t first_ = 0;
  std::size_t used_ = 0;
};

}  // namespace mirage::syslog
