// SPDX-License-Identifier: ISC
// The PC's battery-backed clock (MC146818): the wall time where no hypervisor tells it.
#pragma once

#include <cstdint>

namespace mirage::machine {

/// Seconds since the Unix epoch, UTC assumed, to the second; 0 when there is no such clock or it shows nonsense. Never
/// waits for the next second.
[[nodiscard]] std::uint64_t read_real_time_clock() noexcept;

}  // namespace mirage::machine
