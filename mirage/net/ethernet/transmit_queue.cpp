// SPDX-License-Identifier: ISC
#include <algorithm>
#include <new>

#include <mirage/net/ethernet/transmit_queue.hpp>

namespace mirage::net::ethernet {

static_assert(alignof(TransmitFrame) <= __STDCPP_DEFAULT_NEW_ALIGNMENT__);

TransmitQueue::~TransmitQueue() { drop_front(count_); }

bool TransmitQueue::start() noexcept {
  if (memory_) return true;
  memory_.reset(new (std::nothrow) std::byte[capacity_ * sizeof(TransmitFrame)]);
  return memory_ != nullptr;
}

void TransmitQueue::push(TransmitFrame&& frame) noexcept {
  const std::size_t place = (first_ + count_) % capacity_;
  new (memory_.get() + place * sizeof(TransmitFrame)) TransmitFrame(std::move(frame));
  ++count_;
}

void TransmitQueue::drop_front(std::size_t count) noexcept {
  for (; count > 0; --count, --count_) {
    at(first_)->~TransmitFrame();
    first_ = (first_ + 1) % capacity_;
  }
  if (count_ == 0) first_ = 0;  // start over with memory that is warm
}

std::size_t TransmitQueue::send_to(NetPort::Queue queue) noexcept {
  std::size_t total = 0;
  while (count_ > 0) {
    const std::size_t contiguous = std::min({count_, capacity_ - first_, maximum_burst});
    const std::size_t accepted = queue.send({at(first_), contiguous});
    drop_front(accepted);
    total += accepted;
    if (accepted < contiguous) break;
  }
  return total;
}

}  // namespace mirage::net::ethernet
