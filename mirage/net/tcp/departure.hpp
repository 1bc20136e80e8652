// SPDX-License-Identifier: ISC
// What to send next: called until it returns nothing. No I/O: the caller builds the packet and knows the bytes.
#pragma once

#include <mirage/net/tcp/segment.hpp>
#include <mirage/net/tcp/tcb.hpp>

namespace mirage::net::tcp {

/// The next segment that is due, if any. `maximum_payload` is what the device can segment (or just one segment's size);
/// payloads above segment_size are whole segments but for the last. Arms the timers that go with it.
[[nodiscard]] std::optional<Departure> next_departure(Tcb& tcb, std::uint32_t maximum_payload, Time now) noexcept;

/// `departure` could not be handed to the layer below: its text is due again.
void departure_failed(Tcb& tcb, const Departure& departure) noexcept;

}  // namespace mirage::net::tcp
