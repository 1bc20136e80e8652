// SPDX-License-Identifier: ISC
#include <algorithm>

#include <mirage/device/virtio/entropy.hpp>
#include <mirage/target/virtio/attachment.hpp>
#include <mirage/target/virtio/guest/entropy.hpp>
#include <mirage/target/virtio/guest/state.hpp>

namespace mirage::target::virtio {

bool device_entropy(MutableBytes out) noexcept {
  constexpr std::uint64_t patience = 1'000'000'000;
  constexpr std::size_t largest = 256;
  Attachment attachment;
  if (!attachment.open(DeviceType::entropy, nullptr)) return false;
  std::uint64_t deadline = state.clock.monotonic_ns() + patience;
  const auto give_up = [](void* context) noexcept {
    return state.clock.monotonic_ns() > *static_cast<std::uint64_t*>(context);
  };
  while (!out.empty()) {
    const MutableBytes part = out.first(std::min(out.size(), largest));
    if (!mirage::virtio::read_entropy(attachment.transport(), part, state.entropy_queue, give_up, &deadline))
      return false;
    out = out.subspan(part.size());
  }
  return true;
}

}  // namespace mirage::target::virtio
