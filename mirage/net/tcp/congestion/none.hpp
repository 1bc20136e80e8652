// SPDX-License-Identifier: ISC
// No congestion control: for tests and for wires that lose nothing and belong to us alone. Losses are repaired all the
// same, at whatever rate the peer's window allows.
#pragma once

#include <mirage/net/tcp/congestion/algorithm.hpp>

namespace mirage::net::tcp::congestion {

struct None {
  static constexpr void established(Tcb& tcb) noexcept { tcb.congestion.window = largest_window; }
  static constexpr void acknowledged(Tcb& tcb, const Progress&) noexcept { tcb.congestion.window = largest_window; }
  static constexpr void reduce(Tcb& tcb, Cause, Time) noexcept { tcb.congestion.threshold = largest_window; }
  static constexpr void undo(Tcb&) noexcept {}
  static constexpr Hooks hooks{established, acknowledged, reduce, undo};
};

}  // namespace mirage::net::tcp::congestion
