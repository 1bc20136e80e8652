// SPDX-License-Identifier: ISC
// Puts another tuple into a packet and takes one hop off its time to live: headers are copied into a fresh buffer and
// changed there, the payload is only referenced. Checksums are updated, not computed anew (RFC 1624), so what was wrong
// stays wrong; an ICMP error's is corrected for every word that changed within it.
#pragma once

#include <optional>

#include <mirage/base/buffer.hpp>
#include <mirage/module/link.hpp>
#include <mirage/net/forward/inspect.hpp>

namespace mirage::net::forward {

/// The packet with `to` in place of packet.tuple (the quoted packet's in errors, whose other side then follows), ready
/// for LinkLayer::send. Empty when the pool has no buffer. Precondition: `data` is what was inspected, whole in
/// `packet`.
[[nodiscard]] std::optional<TransmitFrame> rewrite(const Inspected& packet, const Tuple& to, LinkPacket&& data,
                                                   BufferPool& pool) noexcept;

}  // namespace mirage::net::forward
