// SPDX-License-Identifier: ISC
// The windows: what we advertise (RFC 9293 section 3.8.6.2.2, receiver's silly window avoidance; RFC 7323 scaling) and
// what we may send. The advertised right edge never moves back (RFC 9293 SHLD-14).
#pragma once

#include <algorithm>

#include <mirage/net/tcp/tcb.hpp>
#include <mirage/wire/tcp.hpp>

namespace mirage::net::tcp {

/// The shift with which a window of `limit` bytes fits into 16 bits.
[[nodiscard]] constexpr std::uint8_t window_shift_for(std::uint32_t limit) noexcept {
  std::uint8_t shift = 0;
  while (shift < wire::tcp_maximum_window_scale && limit >> shift > 0xffff) ++shift;
  return shift;
}

/// How far the right edge could move forward now; 0 unless that is worth telling: two segments or half of the space.
[[nodiscard]] constexpr std::uint32_t edge_advance(const Tcb& tcb) noexcept {
  const ReceiveVariables& r = tcb.receive;
  const std::uint32_t largest = 0xffffU << r.window_shift;
  const Sequence edge = r.next + std::min(r.space, largest);
  if (edge <= r.edge) return 0;
  const std::uint32_t gain = distance(r.edge, edge);
  return gain >= std::min(r.space_limit / 2, 2U * r.segment_size) ? gain : 0;
}

/// Moves the edge as far as it may go and returns the window field of a segment that goes out now.
[[nodiscard]] constexpr std::uint16_t advertise(Tcb& tcb) noexcept {
  tcb.receive.edge += edge_advance(tcb);
  return static_cast<std::uint16_t>(std::min<std::uint32_t>(tcb.receive_window() >> tcb.receive.window_shift, 0xffff));
}

/// What the peer may still send is so much that it need not hear of more: the next acknowledgement tells. Half of what
/// it could ever have, or of the SYN's offer, which was unscaled, while that is the last one.
[[nodiscard]] constexpr bool is_window_ample(const Tcb& tcb) noexcept {
  const ReceiveVariables& r = tcb.receive;
  const std::uint32_t offer = distance(r.initial + 1, r.edge);
  const std::uint32_t most = offer <= 0xffff ? std::min(offer, r.space_limit) : r.space_limit;
  return tcb.receive_window() >= most / 2;
}

/// The caller's receive queue changed: `space` bytes can be taken from RCV.NXT on. An update that the peer is waiting
/// for goes out at once; nobody waits before the first text.
constexpr void set_receive_space(Tcb& tcb, std::uint32_t space) noexcept {
  tcb.receive.space = space;
  const bool awaited = receives(tcb.state) && tcb.receive.next != tcb.receive.initial + 1;
  if (awaited && !is_window_ample(tcb) && edge_advance(tcb) > 0) tcb.receive.acknowledge_now = true;
}

/// The application took `bytes` from the receive queue. Twice what it takes in a round trip is what a sender may have
/// on its way without ever waiting for us (dynamic right-sizing, Fisk and Feng 2001); twice that, because a sender in
/// slow start has doubled until it hears of it, and goes on while a hole is repaired: the space grows to that, up to
/// `most`. It never shrinks: what memory allows is a matter of receive_space().
constexpr void note_taken(Tcb& tcb, std::uint32_t bytes, std::uint32_t most, Time now) noexcept {
  ReceiveVariables& r = tcb.receive;
  const Stamp stamp = Stamp::of(now);
  const std::int64_t round = tcb.round_trip.smoothed.count() / 1000;
  const std::int64_t passed = stamp - r.taken_since;
  r.taken += std::min(bytes, 0x7fffffff - r.taken);
  if (passed >= 0 && passed < round) return;
  const bool steady = passed > 0 && passed < 4 * round;  // else nothing was taken for long: it says nothing
  if (steady) r.space_limit = std::max(r.space_limit, std::min(most, 4 * std::min(r.taken, 0x1fffffffU)));
  r.taken = 0;
  r.taken_since = stamp;
}

/// Fifth check, window update: RFC 9293 section 3.10.7.4. Precondition: the acknowledgement is acceptable.
constexpr void update_send_window(Tcb& tcb, Sequence sequence, Sequence acknowledgement,
                                  std::uint32_t window) noexcept {
  SendVariables& s = tcb.send;
  const bool newer =
      s.window_sequence < sequence || (s.window_sequence == sequence && s.window_acknowledgement <= acknowledgement);
  if (!newer) return;
  s.window = window;
  s.largest_window = std::max(s.largest_window, window);
  s.window_sequence = sequence;
  s.window_acknowledgement = acknowledgement;
}

}  // namespace mirage::net::tcp
