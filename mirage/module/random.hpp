// SPDX-License-Identifier: ISC
// Module type Random: strong random bytes. An image that has one refuses to start without a source of entropy.
#pragma once

#include <concepts>

#include <mirage/base/bytes.hpp>

namespace mirage {

template <class R>
concept Random = requires(R& random, MutableBytes out) {
  { random.fill(out) } noexcept -> std::same_as<void>;
};

}  // namespace mirage
