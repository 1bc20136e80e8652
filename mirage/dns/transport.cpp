// SPDX-License-Identifier: ISC
#include <algorithm>

#include <mirage/dns/transport.hpp>

namespace mirage::dns {

StreamedMessage::State StreamedMessage::take(const SliceList& bytes) noexcept {
  for (const Slice& slice : bytes) {
    Bytes left = slice.bytes();
    for (; length_bytes_ < 2 && !left.empty(); ++length_bytes_) {
      length_ = length_ << 8 | std::to_integer<std::uint32_t>(left[0]);
      left = left.subspan(1);
    }
    if (length_bytes_ < 2) continue;
    if (!message_) message_ = shard_.buffers().allocate_sparing(length_, 0);
    if (!message_) return State::no_memory;
    const std::size_t part = std::min<std::size_t>(left.size(), length_ - message_.size());
    std::ranges::copy(left.first(part), message_.grow_back(static_cast<std::uint32_t>(part)).begin());
  }
  return length_bytes_ == 2 && message_.size() == length_ ? State::complete : State::incomplete;
}

}  // namespace mirage::dns
