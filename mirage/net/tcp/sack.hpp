// SPDX-License-Identifier: ISC
// Selective acknowledgements that we send: RFC 2018 section 4, with duplicates reported (RFC 2883); and whether those
// that we get can be true.
#pragma once

#include <mirage/net/tcp/tcb.hpp>
#include <mirage/wire/tcp.hpp>

namespace mirage::net::tcp::sack {

/// Bytes that the option takes at most.
inline constexpr std::uint32_t largest_size = 36;

/// A block of the peer about what was never sent, or about nothing: it is ignored.
[[nodiscard]] constexpr bool is_false(const wire::TcpSackBlock& block, const SendVariables& s) noexcept {
  const Sequence begin{block.left};
  const Sequence end{block.right};
  return end <= begin || end > s.maximum;
}

/// Of the segment's blocks, how many are.
[[nodiscard]] constexpr std::uint32_t false_blocks(const Tcb& tcb, const wire::TcpOptionSet& options) noexcept {
  std::uint32_t count = 0;
  if (!tcb.receive.sack) return count;
  for (std::size_t i = 0; i < options.sack_blocks; ++i) count += is_false(options.sack[i], tcb.send) ? 1 : 0;
  return count;
}

/// Notes that [begin, end) was received before: the next acknowledgement reports it.
constexpr void note_duplicate(ReceiveVariables& r, Sequence begin, Sequence end) noexcept {
  if (r.sack && begin < end) r.duplicate = {begin, end};
}

/// Likewise for what of [begin, end) is among the stored ranges.
constexpr void note_stored(ReceiveVariables& r, Sequence begin, Sequence end) noexcept {
  for (std::size_t i = 0; i < r.ranges.count; ++i) {
    const Range& range = r.ranges.items[i];
    if (range.end > begin && range.begin < end) {
      return note_duplicate(r, later(begin, range.begin), earlier(end, range.end));
    }
  }
}

/// The first block: the duplicate, if one is to be reported (RFC 2883 section 4); then newest first, that is the range
/// of the segment that came last, then the others (RFC 2018 section 4).
constexpr void add(ReceiveVariables& r, wire::TcpOptionSet& options) noexcept {
  const bool duplicate = r.duplicate.begin != r.duplicate.end;
  if (!duplicate && (!r.sack || r.ranges.empty())) return;
  const auto put = [&](const Range& range) {
    if (options.sack_blocks < options.sack.size()) {
      options.sack[options.sack_blocks++] = {range.begin.value, range.end.value};
    }
  };
  const auto newest = [&](const Range& range) { return range.begin <= r.latest && r.latest < range.end; };
  if (duplicate) put(r.duplicate);
  r.duplicate = {};
  for (std::size_t i = 0; i < r.ranges.count; ++i) {
    if (newest(r.ranges.items[i])) put(r.ranges.items[i]);
  }
  for (std::size_t i = 0; i < r.ranges.count; ++i) {
    if (!newest(r.ranges.items[i])) put(r.ranges.items[i]);
  }
}

}  // namespace mirage::net::tcp::sack
