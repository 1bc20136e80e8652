// SPDX-License-Identifier: ISC
// The seventh and eighth check: segment text and the FIN bit.
#include <mirage/net/tcp/arrival.hpp>
#include <mirage/net/tcp/sack.hpp>
#include <mirage/net/tcp/user.hpp>

namespace mirage::net::tcp::detail {

namespace {

/// RFC 5681 section 4.2 and RFC 9293 section 3.8.6.3: at least every second segment at once, others after a delay; at
/// once while there are holes.
void schedule_acknowledgement(Arrival& a, bool had_holes) noexcept {
  ReceiveVariables& r = a.tcb.receive;
  const unsigned segments = r.segments_to_acknowledge + a.segment.pieces;
  r.segments_to_acknowledge = static_cast<std::uint8_t>(segments < 255 ? segments : 255);
  if (segments >= 2 || had_holes) r.acknowledge_now = true;
  if (a.tcb.deadlines.acknowledge == never) a.tcb.deadlines.acknowledge = a.now + constant::acknowledge_delay;
}

void take_in_order(Arrival& a, Sequence end) noexcept {
  ReceiveVariables& r = a.tcb.receive;
  const bool had_holes = !r.ranges.empty();
  r.next = r.ranges.advance(end);
  const std::uint32_t taken = distance(a.out.position, r.next);
  r.space -= taken < r.space ? taken : r.space;
  r.duplicates_owed = 0;
  schedule_acknowledgement(a, had_holes);
  if (!r.discard) a.out.payload = Actions::Payload::deliver;
}

void take_out_of_order(Arrival& a, Sequence end) noexcept {
  ReceiveVariables& r = a.tcb.receive;
  if (r.duplicates_owed < 255) ++r.duplicates_owed;
  sack::note_stored(r, a.out.position, end);
  if (!r.ranges.insert({a.out.position, end})) {
    drop(a, Drop::too_many_ranges);
    return;
  }
  r.latest = a.out.position;
  if (!r.discard) a.out.payload = Actions::Payload::store;
}

}  // namespace

/// RFC 9293 section 3.8.5: text stays in line (RFC 6093 section 5), and the application can ask how much of it is
/// urgent. The pointer never moves back.
void take_urgent(Arrival& a) noexcept {
  ReceiveVariables& r = a.tcb.receive;
  if (!a.segment.has(Flags::urg) || !receives(a.tcb.state)) return;
  const Sequence pointer = a.segment.sequence + a.segment.urgent;
  if (pointer <= r.next || (r.urgent_pending && pointer <= r.urgent)) return;
  r.urgent = pointer;
  r.urgent_pending = true;
}

/// RFC 3168 section 6.1.3: the peer has reacted; or a router has met congestion, which the peer is told until it
/// reacts.
void take_mark(Arrival& a) noexcept {
  Ecn& ecn = a.tcb.ecn;
  if (!ecn.on || a.segment.length == 0) return;
  if (a.segment.has(Flags::cwr)) ecn.echo = false;
  if (!a.segment.marked) return;
  if (!ecn.echo) a.tcb.receive.acknowledge_now = true;
  ecn.echo = true;
}

void take_text(Arrival& a) noexcept {
  Tcb& tcb = a.tcb;
  ReceiveVariables& r = tcb.receive;
  if (a.segment.length == 0 || !receives(tcb.state)) return;
  const Sequence begin = later(a.segment.sequence, r.next);
  Sequence end = earlier(a.segment.sequence + a.segment.length, r.edge);
  if (r.fin_seen) end = earlier(end, r.fin);
  sack::note_duplicate(r, a.segment.sequence, earlier(begin, a.segment.sequence + a.segment.length));
  if (begin >= end) {  // nothing of it fits, a zero-window probe for instance
    r.acknowledge_now = true;
    return;
  }
  if (r.discard && tcb.state == State::fin_wait_2) {
    // RFC 9293 section 3.6.1 (MAY-1, SHLD-3): nobody will ever read this; let the peer know.
    drop(a, Drop::after_close);
    a.out.reply = abort(tcb, a.now);
    a.out.closed = true;
    a.out.error = FlowError::closed;
    return;
  }
  a.out.skip = distance(a.segment.sequence, begin);
  a.out.take = distance(begin, end);
  a.out.position = begin;
  if (begin == r.next) {
    take_in_order(a, end);
  } else {
    take_out_of_order(a, end);
  }
}

void take_fin(Arrival& a) noexcept {
  Tcb& tcb = a.tcb;
  ReceiveVariables& r = tcb.receive;
  if (!receives(tcb.state)) return;
  if (a.segment.has(Flags::fin) && !r.fin_seen) {
    const Sequence fin = a.segment.sequence + a.segment.length;
    // A FIN behind text that did not fit comes again; one below what was received contradicts it.
    if (r.next <= fin && fin <= r.edge) {
      r.fin = fin;
      r.fin_seen = true;
      r.acknowledge_now = true;
    }
  }
  if (!r.fin_seen || r.next != r.fin) return;
  r.next += 1;
  r.edge = later(r.edge, r.next);
  r.ranges.clear();  // text beyond a FIN contradicts it
  r.acknowledge_now = true;
  tcb.state = after(tcb.state, Step::their_fin);
  a.out.finished = true;
  if (tcb.state == State::time_wait) start_time_wait(tcb, a.now);
}

}  // namespace mirage::net::tcp::detail
