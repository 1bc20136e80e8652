// SPDX-License-Identifier: ISC
// What cutting a packet into fragments and looking into one need.
#pragma once

#include <mirage/module/net.hpp>

namespace mirage::net::ip {

/// What IpPacket promises to transports: this much of the payload lies in its first slice.
inline constexpr std::size_t contiguous_header = 60;
/// Of an IPv4 packet in an ICMP error about it: with the headers in front 576 bytes, which every host takes (RFC 1812
/// 4.3.2.3).
inline constexpr std::size_t quoted_bytes_v4 = 548;

/// Fills in what the device would: no device computes a checksum over several fragments.
void complete_checksum(TransmitFrame& frame) noexcept;

/// Appends the part [offset, offset + count) of `head` followed by `rest` to `part`; false when it has more slices than
/// a list can hold.
[[nodiscard]] bool take_part(const Slice& head, const SliceList& rest, std::size_t offset, std::size_t count,
                             SliceList& part) noexcept;

}  // namespace mirage::net::ip
