// SPDX-License-Identifier: ISC
#include <algorithm>

#include <mirage/net/ip/fragmentation.hpp>
#include <mirage/wire/checksum.hpp>

namespace mirage::net::ip {

void complete_checksum(TransmitFrame& frame) noexcept {
  if (!frame.offload.needs_checksum) return;
  const std::size_t start = frame.offload.checksum_start;
  wire::ChecksumSum sum;
  sum.add(Bytes(frame.header.bytes()).subspan(start));
  sum.add(frame.payload);
  const std::uint16_t checksum = sum.checksum();
  store_big(frame.header.bytes(), start + frame.offload.checksum_offset,
            checksum == 0 ? std::uint16_t{0xffff} : checksum);
  frame.offload = {};
}

bool take_part(const Slice& head, const SliceList& rest, std::size_t offset, std::size_t count,
               SliceList& part) noexcept {
  const auto take = [&](const Slice& slice) {
    if (offset >= slice.size()) {
      offset -= slice.size();
      return true;
    }
    const std::size_t taken = std::min<std::size_t>(slice.size() - offset, count);
    const bool fits = taken == 0 || part.push_back(slice.sub(offset, taken));
    offset = 0;
    count -= taken;
    return fits;
  };
  if (!take(head)) return false;
  return std::ranges::all_of(rest, take);
}

}  // namespace mirage::net::ip
