// SPDX-License-Identifier: ISC
// The order of the checks, and the first four of them.
#include <mirage/net/tcp/arrival.hpp>
#include <mirage/net/tcp/sack.hpp>
#include <mirage/net/tcp/timestamps.hpp>
#include <mirage/net/tcp/user.hpp>

namespace mirage::net::tcp {

Actions on_segment(Tcb& tcb, const Segment& segment, Time now) noexcept {
  Actions out;
  detail::Arrival a{.tcb = tcb, .segment = segment, .now = now, .out = out};
  if (tcb.state == State::syn_sent) {
    detail::arrive_in_syn_sent(a);
    return out;
  }
  // The third check, security and precedence, has no modern counterpart.
  if (detail::check_sequence(a) && detail::check_reset(a) && detail::check_syn(a) && detail::check_acknowledgement(a)) {
    // Not before: who guesses a place in the window, but not the acknowledgement (RFC 5961 section 5), must not set the
    // peer's clock forward.
    note_timestamp(tcb.timestamps, a.segment, now);
    detail::take_urgent(a);
    detail::take_mark(a);
    detail::take_text(a);
    detail::take_fin(a);
  }
  return out;
}

void forget_stored(Tcb& tcb) noexcept { tcb.receive.ranges.clear(); }

namespace detail {

bool drop(Arrival& a, Drop reason) noexcept {
  a.out.drop = reason;
  return false;
}

void challenge(Arrival& a) noexcept {
  if (a.now < a.tcb.deadlines.challenge) return;
  a.tcb.deadlines.challenge = a.now + constant::challenge_interval;
  a.out.challenge = true;
}

void fail(Arrival& a, FlowError error) noexcept {
  a.tcb.state = State::closed;
  a.tcb.deadlines = {};
  a.out.closed = true;
  a.out.error = error;
}

void start_time_wait(Tcb& tcb, Time now) noexcept {
  tcb.deadlines = {.linger = now + constant::time_wait, .challenge = tcb.deadlines.challenge};
}

namespace {

/// RFC 9293 table 6. An empty segment exactly at the right edge is taken, too: a sender that has filled the window
/// acknowledges from there, and throwing that away would make both sides wait (Linux does the same).
bool acceptable(const Tcb& tcb, const Segment& segment) noexcept {
  const ReceiveVariables& r = tcb.receive;
  if (segment.span() == 0) return r.next <= segment.sequence && segment.sequence <= r.edge;
  // With a closed window the text is cut off later, yet ACK and RST count (MUST-66).
  if (tcb.receive_window() == 0) return segment.sequence == r.next;
  return segment.sequence < r.edge && segment.end() > r.next;
}

/// RFC 7323 section 5.3 R1; a RST is judged by its sequence number alone. Returns whether the segment may be looked at.
bool check_timestamp(Arrival& a) noexcept {
  if (!a.tcb.timestamps.on || a.segment.has(Flags::rst)) return true;
  if (!a.segment.options.has_timestamps) return drop(a, Drop::no_timestamp);  // section 3.2: SHOULD, silently
  if (!is_old_duplicate(a.tcb.timestamps, a.segment, a.now)) return true;
  challenge(a);
  return drop(a, Drop::old_timestamp);
}

/// A SYN again, at its own number, while we wait for the acknowledgement of ours. True when the checks go on.
bool repeated_syn(Arrival& a) noexcept {
  if (a.segment.has(Flags::ack)) {  // simultaneous open, RFC 9293 figure 7: its SYN is known, its ACK is news
    a.segment.flags = static_cast<std::uint8_t>(a.segment.flags & ~Flags::syn);
    a.segment.sequence += 1;
    return true;
  }
  synchronise_again(a.tcb);  // our SYN,ACK got lost
  return drop(a, Drop::out_of_window);
}

}  // namespace

bool check_sequence(Arrival& a) noexcept {
  Tcb& tcb = a.tcb;
  const Segment& segment = a.segment;
  if (tcb.state == State::syn_received && segment.has(Flags::syn) && !segment.has(Flags::rst) &&
      segment.sequence == tcb.receive.initial) {
    return repeated_syn(a);
  }
  if (!check_timestamp(a)) return false;
  if (acceptable(tcb, segment)) return true;
  if (segment.has(Flags::rst)) return drop(a, Drop::out_of_window);
  if (tcb.state == State::time_wait && segment.has(Flags::fin)) start_time_wait(tcb, a.now);
  // Text or a FIN is a retransmission whose acknowledgement got lost: always answered. An empty segment might be an
  // answer to one of ours: two confused peers must not play table tennis. A SYN may be forged: RFC 5961 section 4.2.
  if (segment.span() > 0 && !segment.has(Flags::syn)) {
    tcb.receive.acknowledge_now = true;
    sack::note_duplicate(tcb.receive, segment.sequence, earlier(segment.sequence + segment.length, tcb.receive.next));
  } else {
    challenge(a);
  }
  return drop(a, Drop::out_of_window);
}

bool check_reset(Arrival& a) noexcept {
  if (!a.segment.has(Flags::rst)) return true;
  Tcb& tcb = a.tcb;
  if (tcb.state == State::time_wait) return drop(a, Drop::not_expected);  // RFC 1337
  if (a.segment.sequence != tcb.receive.next) {                           // RFC 5961 section 3.2
    challenge(a);
    return drop(a, Drop::reset_out_of_place);
  }
  fail(a, tcb.state == State::syn_received && !tcb.passive ? FlowError::refused : FlowError::reset);
  return false;
}

bool check_syn(Arrival& a) noexcept {
  if (!a.segment.has(Flags::syn)) return true;
  challenge(a);  // RFC 5961 section 4.2
  return drop(a, Drop::syn_in_window);
}

namespace {

/// RFC 7413 section 4.2.1: text of our SYN that the SYN,ACK acknowledges has arrived; the rest goes at once, without a
/// word about congestion.
void take_early_acknowledgement(Arrival& a) noexcept {
  SendVariables& s = a.tcb.send;
  a.out.acknowledged = distance(s.unacknowledged, a.segment.acknowledgement);
  s.unacknowledged = s.next = a.segment.acknowledgement;
  a.tcb.loss.board.reset(s.unacknowledged);
  a.tcb.loss.forward = s.unacknowledged;
}

}  // namespace

void arrive_in_syn_sent(Arrival& a) noexcept {
  Tcb& tcb = a.tcb;
  const Segment& segment = a.segment;
  const bool acknowledges = segment.has(Flags::ack);
  // First, the ACK bit.
  if (acknowledges && (segment.acknowledgement <= tcb.send.initial || segment.acknowledgement > tcb.send.maximum)) {
    a.out.reply = reset_for(segment);
    drop(a, Drop::bad_acknowledgement);
    return;
  }
  // Second, the RST bit: valid only if it acknowledges our SYN.
  if (segment.has(Flags::rst)) {
    if (acknowledges) return fail(a, FlowError::refused);
    drop(a, Drop::reset_out_of_place);
    return;
  }
  // Fourth, the SYN bit; text and FIN that come with it are left for the peer's retransmission.
  if (!segment.has(Flags::syn)) {
    drop(a, Drop::not_expected);
    return;
  }
  take_syn(tcb, segment, a.now);
  if (acknowledges) {
    become_established(tcb, a.now);
    take_early_acknowledgement(a);
    tcb.receive.acknowledge_now = true;
    a.out.established = true;
  } else {
    tcb.state = after(tcb.state, Step::their_syn);
    tcb.fast_open = {};
    tcb.send.next = tcb.send.initial;  // our SYN again, now with an ACK
  }
}

}  // namespace detail

}  // namespace mirage::net::tcp
