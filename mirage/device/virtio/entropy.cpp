// SPDX-License-Identifier: ISC
#include <array>
#include <cstring>

#include <mirage/device/virtio/entropy.hpp>

namespace mirage::virtio {

bool read_entropy(Transport& transport, MutableBytes out, MutableBytes memory, bool (*give_up)(void*) noexcept,
                  void* context) noexcept {
  constexpr std::size_t largest = 256;
  std::array<std::byte, largest> buffer{};
  Queue queue;
  const Negotiated negotiated = negotiate(transport, Feature::any_layout);
  bool good =
      out.size() <= largest && negotiated.good && queue.start(transport, 0, negotiated, entropy_queue_size, 0, memory);
  if (good) finish_start(transport);
  for (std::size_t done = 0; good && done < out.size();) {
    const std::array segments{writable(std::span(buffer).first(out.size() - done))};
    good = queue.add(segments, 0);
    queue.publish();
    std::optional<Completion> completion;
    while (good && !(completion = queue.take())) good = !give_up(context) && !queue.broken();
    // A device that returns nothing would be asked for ever.
    if (!good || completion->written == 0) {
      good = false;
      break;
    }
    std::memcpy(out.data() + done, buffer.data(), completion->written);
    done += completion->written;
  }
  // The device lets go of buffer and ring before they go away.
  transport.set_status(Status::reset);
  buffer = {};
  return good;
}

}  // namespace mirage::virtio
