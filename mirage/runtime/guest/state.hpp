// SPDX-License-Identifier: ISC
// The runtime's only mutable state, one per address space: what malloc, which has no other argument, must find.
#pragma once

#include <mirage/runtime/heap.hpp>
#include <mirage/runtime/report.hpp>

namespace mirage::runtime {

struct State {
  Heap heap{};
  BacktraceBounds bounds{};
  bool panicking = false;
};

extern State state;

}  // namespace mirage::runtime
