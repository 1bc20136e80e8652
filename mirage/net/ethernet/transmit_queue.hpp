// SPDX-License-Identifier: ISC
// Frames that wait for the end of the turn, or for a device that had no room.
#pragma once

#include <cstddef>
#include <memory>

#include <mirage/module/net.hpp>

namespace mirage::net::ethernet {

/// Bounded first-in first-out queue whose memory is touched only as deep as it is used.
class TransmitQueue {
 public:
  explicit TransmitQueue(std::size_t capacity) noexcept : capacity_(capacity) {}
  TransmitQueue(const TransmitQueue&) = delete;
  TransmitQueue& operator=(const TransmitQueue&) = delete;
  ~TransmitQueue();

  /// Takes the memory; false when there is none.
  [[nodiscard]] bool start() noexcept;
  [[nodiscard]] std::size_t size() const noexcept { return count_; }
  [[nodiscard]] bool empty() const noexcept { return count_ == 0; }
  [[nodiscard]] bool full() const noexcept { return count_ == capacity_; }
  /// Precondition: not full, started.
  void push(TransmitFrame&& frame) noexcept;
  /// Offers everything to the device; what it does not accept stays. Returns how many frames it accepted.
  std::size_t send_to(NetPort::Queue queue) noexcept;

 private:
  [[nodiscard]] TransmitFrame* at(std::size_t index) noexcept {
    return std::launder(reinterpret_cast<TransmitFrame*>(memory_.get() + index * sizeof(TransmitFrame)));
  }
  void drop_front(std::size_t count) noexcept;
  std::size_t capacity_;
  std::size_t first_ = 0;
  std::size_t count_ = 0;
  std::unique_ptr<std::byte[]> memory_;  // uninitialised: pages that no burst reached are never touched
};

}  // namespace mirage::net::ethernet
