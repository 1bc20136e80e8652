// SPDX-License-Identifier: ISC
// Module type Clock: time as an argument, for applications that want to be tested with a clock of the test's.
#pragma once

#include <concepts>

#include <mirage/base/time.hpp>

namespace mirage {

/// now(): monotonic, of the current turn. wall(): UTC, may jump.
template <class C>
concept Clock = requires(C& clock) {
  { clock.now() } noexcept -> std::same_as<Time>;
  { clock.wall() } noexcept -> std::same_as<WallTime>;
};

}  // namespace mirage
