// SPDX-License-Identifier: ISC
#include <array>

#include <mirage/device/virtio/console.hpp>

namespace mirage::virtio {

bool ConsoleDevice::start(Transport& transport, MutableBytes memory) noexcept {
  const Negotiated negotiated = negotiate(transport, Feature::any_layout);
  if (!negotiated.good || !queue_.start(transport, transmit_queue, negotiated, queue_size, 0, memory)) return false;
  finish_start(transport);
  transport_ = &transport;
  started_ = true;
  return true;
}

void ConsoleDevice::write(std::span<const char> text) noexcept {
  constexpr unsigned polls = 50'000'000;
  if (!started_ || text.empty()) return;
  const std::array segments{readable(std::as_bytes(text))};
  started_ = queue_.add(segments, 0);
  queue_.publish();
  for (unsigned i = 0; i < polls && started_; ++i) {
    if (queue_.take()) return;
    started_ = !queue_.broken();
  }
  // Whoever gave up does not trust the device with memory any more.
  transport_->set_status(Status::reset);
  started_ = false;
}

}  // namespace mirage::virtio
