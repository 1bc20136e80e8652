// SPDX-License-Identifier: ISC
// The fifth check: the ACK field.
#include <mirage/net/tcp/arrival.hpp>
#include <mirage/net/tcp/recovery.hpp>
#include <mirage/net/tcp/user.hpp>
#include <mirage/net/tcp/window.hpp>

namespace mirage::net::tcp::detail {

namespace {

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

/// RFC 5681 section 2: nothing new, although something is outstanding, from a peer whose window is open.
bool is_duplicate(const Tcb& tcb, const Segment& segment) noexcept {
  return segment.acknowledgement == tcb.send.unacknowledged && tcb.send.unacknowledged < tcb.send.maximum &&
         tcb.send.window != 0 && segment.span() == 0 &&
         std::uint32_t{segment.window} << tcb.send.window_shift == tcb.send.window;
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
  if (segment.acknowledgement >= tcb.send.unacknowledged) {
    const std::uint32_t bytes = recovery::on_acknowledgement(tcb, segment, is_duplicate(tcb, segment), a.now);
    const bool covers_fin = bytes > 0 && tcb.fin_acknowledged();
    a.out.acknowledged = bytes - (covers_fin ? 1 : 0);
    update_send_window(tcb, segment.sequence, segment.acknowledgement,
                       std::uint32_t{segment.window} << tcb.send.window_shift);
    // RFC 9293 section 3.8.6.1: as long as the peer answers probes, the connection stays open; once the application has
    // closed, nobody but us can end it (RFC 6429), and only text that it takes counts.
    if (tcb.send.window == 0 && !tcb.receive.discard) tcb.deadlines.stalled_since = never;
  }
  if (tcb.keep_alive_idle > Duration{0}) {
    tcb.deadlines.keep_alive = a.now + tcb.keep_alive_idle;
    tcb.keep_alive_count = 0;
  }
  step_on_acknowledged_fin(a);
  return tcb.state != State::closed;
}

}  // namespace mirage::net::tcp::detail
