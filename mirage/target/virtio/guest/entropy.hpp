// SPDX-License-Identifier: ISC
#pragma once

#include <mirage/base/bytes.hpp>

namespace mirage::target::virtio {

/// Fills `out` from a virtio-rng device; false when there is none or it does not answer within a second.
[[nodiscard]] bool device_entropy(MutableBytes out) noexcept;

}  // namespace mirage::target::virtio
