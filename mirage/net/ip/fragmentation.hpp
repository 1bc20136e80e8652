// SPDX-License-Identifier: ISC
// What cutting a packet into fragments needs, whichever IP version it is.
#pragma once

#include <mirage/module/net.hpp>

namespace mirage::net::ip {

/// Fills in what the device would: no device computes a checksum over several fragments.
void complete_checksum(TransmitFrame& frame) noexcept;

/// Appends the part [offset, offset + count) of `head` followed by `rest` to `part`; false when it has more slices than
/// a list can hold.
[[nodiscard]] bool take_part(const Slice& head, const SliceList& rest, std::size_t offset, std::size_t count,
                             SliceList& part) noexcept;

}  // namespace mirage::net::ip
