// SPDX-License-Identifier: ISC
#include <mirage/target/virtio/guest/entropy.hpp>

namespace mirage::target::virtio {
bool device_entropy(MutableBytes) noexcept { return false; }
}  // namespace mirage::target::virtio
