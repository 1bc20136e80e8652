// SPDX-License-Identifier: ISC
#include <algorithm>

#include <mirage/net/tcp/recovery.hpp>
#include <mirage/net/tcp/rto.hpp>
#include <mirage/net/tcp/size_search.hpp>
#include <mirage/net/tcp/timers.hpp>
#include <mirage/net/tcp/user.hpp>

namespace mirage::net::tcp {

namespace {

void give_up(Tcb& tcb, Time now, Actions& out) noexcept {
  out.reply = abort(tcb, now);
  out.closed = true;
  out.error = FlowError::timed_out;
}

Duration patience(const Tcb& tcb) noexcept {
  if (tcb.state == State::syn_sent) return constant::open_timeout;
  if (tcb.state == State::syn_received) return tcb.passive ? constant::accept_timeout : constant::open_timeout;
  return tcb.user_timeout > 0 ? Duration{1ms} * tcb.user_timeout : constant::user_timeout;
}

/// RFC 4821 section 7.7, RFC 8899 section 4.3: time after time large segments get no answer, and nobody says that they
/// are too large (RFC 2923 section 2.1). Smaller ones may pass; larger ones are tried again later.
void suspect_black_hole(Tcb& tcb, Time now) noexcept {
  SendVariables& s = tcb.send;
  const std::uint8_t backoff = tcb.round_trip.backoff;
  if (backoff < constant::black_hole_timeouts || backoff % constant::black_hole_timeouts != 0) return;
  if (tcb.outstanding() < s.segment_size) return;
  for (const std::uint16_t size : constant::safe_segment_sizes) {
    if (size >= s.segment_size) continue;
    return size_search::fall_back(tcb, size, now);
  }
}

/// RFC 6298 (5.4) to (5.6). What is in flight is taken for lost; a probe of the window starts again at SND.UNA.
void retransmission_expired(Tcb& tcb, Time now, Actions& out) noexcept {
  SendVariables& s = tcb.send;
  const bool first = tcb.deadlines.stalled_since == never;
  if (first) tcb.deadlines.stalled_since = now;
  if (now - tcb.deadlines.stalled_since >= patience(tcb)) return give_up(tcb, now, out);
  if (!synchronised(tcb.state)) {
    synchronise_again(tcb);
    if (tcb.state == State::syn_sent) {
      tcb.ecn.on = false;  // RFC 3168 section 6.1.1.1: perhaps that is what drops SYNs
      tcb.fast_open = {};  // or that: RFC 7413 section 4.1.3.1
    }
  } else if (s.window == 0 || s.unacknowledged == s.maximum) {
    s.next = s.unacknowledged;
    tcb.loss.board.truncate(s.next);
    s.probe = true;
  } else {
    suspect_black_hole(tcb, now);
    recovery::on_timeout(tcb, first, now);
  }
  if (tcb.round_trip.backoff < 255) ++tcb.round_trip.backoff;
  tcb.round_trip.timing = false;
  tcb.deadlines.retransmit = now + retransmission_timeout(tcb.round_trip);
}

/// RFC 9293 section 3.8.4.
void keep_alive_expired(Tcb& tcb, Time now, Actions& out) noexcept {
  if (tcb.send.unacknowledged < tcb.send.maximum) {  // MUST-26: the retransmission timer asks already
    tcb.deadlines.keep_alive = now + tcb.keep_alive_idle;
    return;
  }
  if (tcb.keep_alive_count >= constant::keep_alive_probes) return give_up(tcb, now, out);
  ++tcb.keep_alive_count;
  tcb.send.keep_alive_probe = true;
  tcb.deadlines.keep_alive = now + constant::keep_alive_interval;
}

}  // namespace

Time next_deadline(const Tcb& tcb) noexcept {
  const Deadlines& d = tcb.deadlines;
  return std::min({d.retransmit, d.loss, d.pace, d.acknowledge, d.keep_alive, d.linger});
}

Actions on_time(Tcb& tcb, Time now) noexcept {
  Actions out;
  if (tcb.deadlines.linger <= now) {
    tcb.state = State::closed;
    tcb.deadlines = {};
    out.closed = true;
    return out;
  }
  if (tcb.deadlines.acknowledge <= now) {
    tcb.deadlines.acknowledge = never;
    tcb.receive.acknowledge_now = true;
  }
  if (tcb.deadlines.pace <= now) tcb.deadlines.pace = never;
  if (tcb.deadlines.loss <= now) recovery::on_loss_timer(tcb, now);
  if (tcb.deadlines.retransmit <= now) retransmission_expired(tcb, now, out);
  if (!out.closed && tcb.deadlines.keep_alive <= now) keep_alive_expired(tcb, now, out);
  return out;
}

}  // namespace mirage::net::tcp
