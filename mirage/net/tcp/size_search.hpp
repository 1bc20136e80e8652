// SPDX-License-Identifier: ISC
// The way up again after a black hole has made segments small: packetization layer path MTU discovery, RFC 4821
// sections 7.3 to 7.7, RFC 8899 section 5. A probe is a segment of new text, larger than the others; when it is
// acknowledged its size is theirs. When it alone is lost that says nothing about congestion, and the next try is ten
// minutes later.
#pragma once

#include <algorithm>

#include <mirage/net/tcp/tcb.hpp>

namespace mirage::net::tcp::size_search {

/// The size to try next, 0: none. Only while nothing is being repaired, and where SACK tells one loss from others.
[[nodiscard]] constexpr std::uint16_t next_size(const Tcb& tcb, Time now) noexcept {
  const SizeSearch& search = tcb.search;
  const std::uint16_t size = tcb.send.segment_size;
  const bool calm = tcb.congestion.phase == Phase::open && tcb.loss.board.lost + tcb.loss.board.sacked == 0;
  if (search.from > now || search.probe != 0 || size >= search.largest || !calm || !tcb.receive.sack) return 0;
  for (const std::uint16_t next : constant::probed_segment_sizes) {
    if (next > size && next < search.largest) return next;
  }
  return search.largest;
}

/// Smaller segments from now on: the search begins anew, later.
constexpr void fall_back(Tcb& tcb, std::uint16_t size, Time now) noexcept {
  tcb.search.largest = std::max(tcb.search.largest, tcb.send.segment_size);
  tcb.send.segment_size = size;
  tcb.search.probe = 0;
  tcb.search.from = now + constant::raise_interval;
}

constexpr void failed(Tcb& tcb, Time now) noexcept {
  tcb.search.probe = 0;
  tcb.search.from = now + constant::raise_interval;
}

/// SND.UNA has moved.
constexpr void on_progress(Tcb& tcb) noexcept {
  SizeSearch& search = tcb.search;
  if (search.probe == 0 || tcb.send.unacknowledged < search.begin + search.probe) return;
  tcb.send.segment_size = search.probe;
  search.probe = 0;
  if (tcb.send.segment_size >= search.largest) search.from = never;
}

/// Whether what is lost is the probe and nothing else (RFC 4821 section 7.5: no congestion, and it is over).
[[nodiscard]] constexpr bool explains_loss(const Tcb& tcb) noexcept {
  const SizeSearch& search = tcb.search;
  return search.probe != 0 && tcb.loss.board.lost == search.probe &&
         tcb.loss.board.first_lost() == Range{search.begin, search.begin + search.probe};
}

}  // namespace mirage::net::tcp::size_search
