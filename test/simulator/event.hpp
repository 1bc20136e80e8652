// SPDX-License-Identifier: ISC
// Every event of a connection, as the simulator sees it: the shell's calls of the TCP core lead through event.cpp
// (redirect.py arranges that in a copy of the library, so images know nothing of it). With restoring on, whatever the
// last event left in the TCB passes through its serialised form before the next one.
#pragma once

#include <cstdint>

namespace mirage::simulator {

/// For this process, which runs one world after another.
void restore_at_events(bool on) noexcept;
/// How many times a TCB went through its bytes.
[[nodiscard]] std::uint64_t restorations() noexcept;

}  // namespace mirage::simulator
