// SPDX-License-Identifier: ISC
// The fifth check: the ACK field.
#include <mirage/net/tcp/arrival.hpp>
#include <mirage/net/tcp/congestion/newreno.hpp>
#include <mirage/net/tcp/rto.hpp>
#include <mirage/net/tcp/user.hpp>
#include <mirage/net/tcp/window.hpp>

namespace mirage::net::tcp::detail {

namespace {

using congestion::NewReno;

/// SYN-RECEIVED: the acknowledgement of our SYN.
bool complete_open(Arrival& a) noexcept {
  Tcb& tcb = a.tcb;
  const Sequence acknowledgement = a.segment.acknowledgement;
  if (acknowledgement <= tcb.send.unacknowledged || acknowledgement > tcb.send.maximum) {
    a.out.reply = reset_for(a.segment);
    return drop(a, Drop::bad_acknowledgement);
  }
  become_established(tcb, a.now);
  a.out.established = true;
  return true;
}

/// RFC 2018: where the first range begins that the peer holds beyond a hole, and how much it reports in all. Blocks
/// that contradict what was sent are ignored. Returns the bytes that were not reported before.
std::uint32_t take_sack(Tcb& tcb, const Segment& segment) noexcept {
  SendVariables& s = tcb.send;
  const Sequence base = later(s.unacknowledged, segment.acknowledgement);
  const std::uint32_t before = tcb.congestion.sacked;
  std::uint32_t total = 0;
  s.sacked = base;
  for (std::size_t i = 0; tcb.receive.sack && i < segment.options.sack_blocks; ++i) {
    const Sequence left{segment.options.sack[i].left};
    const Sequence right{segment.options.sack[i].right};
    if (left <= base || right <= left || right > s.maximum) continue;
    s.sacked = total == 0 ? left : earlier(s.sacked, left);
    total += distance(left, right);
  }
  tcb.congestion.sacked = total;
  return total > before ? total - before : 0;
}

/// RFC 5681 section 2: nothing new, although something is outstanding, from a peer whose window is open; or (RFC 6675)
/// news of what it holds beyond a hole.
bool is_duplicate(const Tcb& tcb, const Segment& segment, std::uint32_t gained) noexcept {
  const bool stands = segment.acknowledgement == tcb.send.unacknowledged &&
                      tcb.send.unacknowledged < tcb.send.maximum && tcb.send.window != 0;
  const bool plain = segment.span() == 0 && std::uint32_t{segment.window} << tcb.send.window_shift == tcb.send.window;
  return stands && (plain || gained > 0);
}

void take_new_acknowledgement(Arrival& a) noexcept {
  Tcb& tcb = a.tcb;
  SendVariables& s = tcb.send;
  const Sequence acknowledgement = a.segment.acknowledgement;
  const std::uint32_t bytes = distance(s.unacknowledged, acknowledgement);
  const bool covers_fin = s.fin_queued && acknowledgement > s.end;
  a.out.acknowledged = bytes - (covers_fin ? 1 : 0);
  s.unacknowledged = acknowledgement;
  s.next = later(s.next, acknowledgement);
  s.retransmit_first = s.probe = false;
  on_acknowledged(tcb.round_trip, acknowledgement, a.now, tcb.deadlines.last_sent);
  NewReno::on_acknowledged(tcb, bytes);
  tcb.deadlines.stalled_since = never;
  // RFC 6298 (5.2) and (5.3)
  tcb.deadlines.retransmit = s.unacknowledged == s.maximum ? never : a.now + retransmission_timeout(tcb.round_trip);
}

/// Our FIN may be acknowledged now.
void step_on_acknowledged_fin(Arrival& a) noexcept {
  Tcb& tcb = a.tcb;
  if (!tcb.fin_acknowledged()) return;
  const State before = tcb.state;
  tcb.state = after(before, Step::fin_acknowledged);
  if (tcb.state == before) return;
  if (tcb.state == State::time_wait) start_time_wait(tcb, a.now);
  if (tcb.state == State::fin_wait_2 && tcb.receive.discard) tcb.deadlines.linger = a.now + constant::fin_wait_2;
  if (tcb.state == State::closed) {
    tcb.deadlines = {};
    a.out.closed = true;
  }
}

}  // namespace

bool check_acknowledgement(Arrival& a) noexcept {
  Tcb& tcb = a.tcb;
  const Segment& segment = a.segment;
  if (!segment.has(Flags::ack)) return drop(a, Drop::no_acknowledgement);
  if (tcb.state == State::syn_received && !complete_open(a)) return false;
  // RFC 5961 section 5.2: neither for what was never sent nor for what lies more than a window back.
  const Sequence oldest = tcb.send.unacknowledged - tcb.send.largest_window;
  if (segment.acknowledgement > tcb.send.maximum || segment.acknowledgement < oldest) {
    challenge(a);
    return drop(a, Drop::bad_acknowledgement);
  }
  const std::uint32_t gained = segment.acknowledgement >= tcb.send.unacknowledged ? take_sack(tcb, segment) : 0;
  if (segment.acknowledgement > tcb.send.unacknowledged) {
    take_new_acknowledgement(a);
  } else if (is_duplicate(tcb, segment, gained)) {
    NewReno::on_duplicate(tcb, gained);
  }
  if (segment.acknowledgement >= tcb.send.unacknowledged) {
    update_send_window(tcb, segment.sequence, segment.acknowledgement,
                       std::uint32_t{segment.window} << tcb.send.window_shift);
    // RFC 9293 section 3.8.6.1: as long as the peer answers probes, the connection stays open.
    if (tcb.send.window == 0) tcb.deadlines.stalled_since = never;
  }
  if (tcb.keep_alive_idle > Duration{0}) {
    tcb.deadlines.keep_alive = a.now + tcb.keep_alive_idle;
    tcb.keep_alive_count = 0;
  }
  step_on_acknowledged_fin(a);
  return tcb.state != State::closed;
}

}  // namespace mirage::net::tcp::detail
