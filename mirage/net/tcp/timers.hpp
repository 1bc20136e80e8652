// SPDX-License-Identifier: ISC
// USER TIMEOUT, RETRANSMISSION TIMEOUT, TIME-WAIT TIMEOUT: RFC 9293 section 3.10.8; also persist, delayed
// acknowledgement and keep-alive. One deadline stands for all, so a connection needs one timer.
#pragma once

#include <mirage/net/tcp/segment.hpp>
#include <mirage/net/tcp/tcb.hpp>

namespace mirage::net::tcp {

/// When on_time() must be called next; `never` when nothing is pending.
[[nodiscard]] Time next_deadline(const Tcb& tcb) noexcept;

/// Does what is due at `now`; calling it early does nothing.
[[nodiscard]] Actions on_time(Tcb& tcb, Time now) noexcept;

}  // namespace mirage::net::tcp
