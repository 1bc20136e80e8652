// SPDX-License-Identifier: ISC
// The TCB of a connection on which nothing happens, as few bytes: the words in which it differs from what can be
// expected of it. About 120 bytes instead of 3,160, and 164 more with BBR, which can do without its records of
// transmissions; exact, so that a connection goes on as if it had never been packed.
// The bytes never leave the process: for that there is serialise.hpp.
#pragma once

#include <cstddef>
#include <cstdint>
#include <memory>

#include <mirage/net/tcp/tcb.hpp>

namespace mirage::net::tcp {

/// A TCB without its endpoints; empty by default.
using PackedTcb = std::unique_ptr<std::uint32_t[]>;  // NOLINT: sized at run time

/// Whether nothing is on its way, due or waiting for the peer: the connection may stay so for hours.
[[nodiscard]] bool is_quiet(const Tcb& tcb) noexcept;

/// Empty without memory. Precondition: is_quiet(tcb).
[[nodiscard]] PackedTcb pack(const Tcb& tcb) noexcept;

/// Bytes that `packed` takes. Precondition: it is not empty.
[[nodiscard]] std::size_t packed_size(const PackedTcb& packed) noexcept;

/// The TCB that was packed. Precondition: `packed` is not empty.
[[nodiscard]] Tcb unpack(const PackedTcb& packed, const Endpoint& local, const Endpoint& remote) noexcept;

}  // namespace mirage::net::tcp
