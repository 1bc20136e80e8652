// SPDX-License-Identifier: ISC
// virtio entropy device, VIRTIO 1.2 section 5.4: for seeds, so it is asked and waited for, not driven.
#pragma once

#include <mirage/device/virtio/queue.hpp>

namespace mirage::virtio {

/// Starts the device, fills `out` (at most 256 bytes) and resets the device. Spins; `give_up` is asked between polls.
/// False when the device refuses, or gave up, or the queue is broken. Needs no heap: `memory` is page aligned,
/// entropy_queue_memory bytes, and free again afterwards.
[[nodiscard]] bool read_entropy(Transport& transport, MutableBytes out, MutableBytes memory,
                                bool (*give_up)(void* context) noexcept, void* context) noexcept;

inline constexpr std::uint16_t entropy_queue_size = 8;
inline constexpr std::size_t entropy_queue_memory = Queue::memory_size(entropy_queue_size);

}  // namespace mirage::virtio
