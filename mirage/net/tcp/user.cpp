// SPDX-License-Identifier: ISC
#include <algorithm>

#include <mirage/net/tcp/congestion/algorithm.hpp>
#include <mirage/net/tcp/rto.hpp>
#include <mirage/net/tcp/timestamps.hpp>
#include <mirage/net/tcp/user.hpp>
#include <mirage/net/tcp/window.hpp>

namespace mirage::net::tcp {

namespace {

Tcb blank(const OpenParameters& parameters, Time now) noexcept {
  [[clang::uninitialized]] Tcb tcb;
  tcb.local = parameters.local;
  tcb.remote = parameters.remote;
  SendVariables& s = tcb.send;
  s.initial = s.unacknowledged = s.next = s.maximum = parameters.initial;
  s.end = parameters.initial + 1;  // the SYN's number comes first
  s.segment_size = parameters.send_segment_size;
  ReceiveVariables& r = tcb.receive;
  r.space = r.space_limit = parameters.receive_space;
  r.segment_size = parameters.receive_segment_size;
  r.window_shift = window_shift_for(std::max(parameters.receive_space, parameters.largest_space));
  r.scaling = r.sack = true;
  tcb.congestion.algorithm = parameters.congestion;
  tcb.timestamps.on = true;
  tcb.timestamps.offset = parameters.timestamp_offset;
  tcb.deadlines.challenge = now;
  return tcb;
}

}  // namespace

Tcb open_active(const OpenParameters& parameters, Time now) noexcept {
  [[clang::uninitialized]] Tcb tcb = blank(parameters, now);
  tcb.state = State::syn_sent;
  tcb.ecn.on = parameters.offer_ecn;
  return tcb;
}

Tcb open_passive(const OpenParameters& parameters, const Segment& syn, Time now) noexcept {
  [[clang::uninitialized]] Tcb tcb = blank(parameters, now);
  tcb.state = State::syn_received;
  tcb.passive = tcb.ecn.on = true;
  take_syn(tcb, syn, now);
  return tcb;
}

namespace {

/// RFC 7323 section 3.2. The option takes its place in every segment (RFC 6691, RFC 9293 section 3.7.1).
void agree_on_timestamps(Tcb& tcb, const Segment& syn, Time now) noexcept {
  Timestamps& t = tcb.timestamps;
  t.on = t.on && syn.options.has_timestamps;
  if (!t.on) return;
  t.recent = syn.options.timestamp;
  t.recent_at = in_seconds(now);
  t.acknowledged = tcb.receive.next;
  tcb.send.segment_size -= constant::timestamps_size;
}

/// RFC 3168 section 6.1.1: a SYN asks with both bits, a SYN,ACK agrees with one. Both bits in a SYN,ACK come from hosts
/// that reflect what they do not know.
void agree_on_ecn(Tcb& tcb, const Segment& syn) noexcept {
  const bool reduced = syn.has(Flags::cwr);
  tcb.ecn.on = tcb.ecn.on && syn.has(Flags::ece) && (syn.has(Flags::ack) ? !reduced : reduced);
}

}  // namespace

void take_syn(Tcb& tcb, const Segment& syn, Time now) noexcept {
  ReceiveVariables& r = tcb.receive;
  SendVariables& s = tcb.send;
  r.initial = syn.sequence;
  r.next = syn.sequence + 1;
  // Our SYN, if it went first, offered a window already.
  r.edge = r.next + (tcb.state == State::syn_sent ? std::min(r.space, 0xffffU) : 0);
  // RFC 9293 MUST-15: without the option 536. MUST-16: the smaller of what the peer and the path take.
  const std::uint16_t announced = syn.options.maximum_segment_size;
  const std::uint16_t theirs =
      std::max(announced == 0 ? constant::default_segment_size : announced, constant::smallest_segment_size);
  s.segment_size = std::min(s.segment_size, theirs);
  // RFC 7323 section 2.2: both or none.
  r.scaling = r.scaling && syn.options.has_window_scale;
  s.window_shift = r.scaling ? syn.options.window_scale : 0;
  if (!r.scaling) r.window_shift = 0;
  r.sack = r.sack && syn.options.sack_permitted;
  agree_on_timestamps(tcb, syn, now);
  agree_on_ecn(tcb, syn);
  s.window = s.largest_window = syn.window;
  s.window_sequence = syn.sequence;
  s.window_acknowledgement = syn.has(Flags::ack) ? syn.acknowledgement : s.initial;
}

namespace {

void begin_sending(Tcb& tcb, bool syn_was_lost) noexcept {
  const Sequence first = tcb.send.initial + 1;
  tcb.loss.board.reset(first);
  tcb.loss.forward = first;
  congestion::establish(tcb, syn_was_lost);
}

}  // namespace

std::uint32_t accept_early(Tcb& tcb, std::uint32_t length) noexcept {
  ReceiveVariables& r = tcb.receive;
  const std::uint32_t taken = std::min({length, r.space, 0xffffU});
  r.next += taken;
  r.edge = later(r.edge, r.next);
  r.space -= taken;
  tcb.fast_open.use = FastOpen::Use::accepted;
  begin_sending(tcb, false);
  return taken;
}

void synchronise_again(Tcb& tcb) noexcept {
  tcb.send.next = tcb.send.initial;
  tcb.loss.board.truncate(tcb.send.initial + 1);
}

void become_established(Tcb& tcb, Time now) noexcept {
  const bool syn_was_lost = tcb.round_trip.backoff > 0;
  tcb.state = after(tcb.state, Step::synchronised);
  if (tcb.send.fin_queued) tcb.state = after(tcb.state, Step::close);  // RFC 9293 section 3.10.4, SYN-RECEIVED
  tcb.send.unacknowledged = tcb.send.initial + 1;
  tcb.send.next = later(tcb.send.next, tcb.send.unacknowledged);
  tcb.deadlines.stalled_since = never;
  if (tcb.round_trip.timing) {
    tcb.round_trip.timing = false;
    take_sample(tcb.round_trip, now - tcb.round_trip.sent_at);
  }
  tcb.round_trip.backoff = 0;
  if (syn_was_lost) tcb.round_trip.timeout = std::max(tcb.round_trip.timeout, Duration{3s});  // RFC 6298 (5.7)
  const bool begun = tcb.fast_open.use == FastOpen::Use::accepted;
  if (!begun) begin_sending(tcb, syn_was_lost);
  tcb.deadlines.retransmit =
      begun && tcb.send.unacknowledged < tcb.send.maximum ? now + retransmission_timeout(tcb.round_trip) : never;
  tcb.fast_open = {};
  if (tcb.keep_alive_idle > Duration{0}) tcb.deadlines.keep_alive = now + tcb.keep_alive_idle;
}

Tcb open_from_cookie(const OpenParameters& parameters, const Segment& syn, Time now) noexcept {
  [[clang::uninitialized]] Tcb tcb = open_passive(parameters, syn, now);
  tcb.send.next = tcb.send.maximum = tcb.send.initial + 1;
  tcb.receive.edge = tcb.receive.next + std::min(tcb.receive.space, 0xffffU);
  tcb.deadlines.retransmit = now + retransmission_timeout(tcb.round_trip);  // should the acknowledgement not be taken
  tcb.ecn.on = false;                                                       // the SYN,ACK did not agree
  return tcb;
}

bool is_new_incarnation(const Tcb& old, const Segment& syn) noexcept {
  const bool beyond = syn.sequence > old.receive.next;
  if (!syn.options.has_timestamps) return beyond;
  if (!old.timestamps.on) return true;
  const std::uint32_t last = old.timestamps.recent;
  return is_older(last, syn.options.timestamp) || (syn.options.timestamp == last && beyond);
}

void written(Tcb& tcb, std::uint32_t bytes) noexcept { tcb.send.end += bytes; }

void mark_urgent(Tcb& tcb) noexcept {
  if (tcb.send.end <= tcb.send.unacknowledged) return;
  tcb.send.urgent = tcb.send.end;
  tcb.send.urgent_pending = true;
}

std::uint32_t urgent_bytes(const Tcb& tcb, std::uint32_t unread) noexcept {
  const ReceiveVariables& r = tcb.receive;
  const bool past_fin = r.fin_seen && r.next > r.fin;
  const Sequence read = r.next - unread - (past_fin ? 1 : 0);
  return r.urgent_pending && r.urgent > read ? distance(read, r.urgent) : 0;
}

bool may_write(const Tcb& tcb) noexcept {
  const bool open = tcb.state == State::established || tcb.state == State::close_wait;
  return !tcb.send.fin_queued && (open || tcb.fast_open.use == FastOpen::Use::accepted);
}

void shutdown(Tcb& tcb) noexcept {
  if (!may_write(tcb)) return;
  tcb.send.fin_queued = true;
  if (synchronised(tcb.state)) tcb.state = after(tcb.state, Step::close);
}

void close(Tcb& tcb, Time now) noexcept {
  shutdown(tcb);
  tcb.receive.discard = true;
  if (tcb.state == State::fin_wait_2 && tcb.deadlines.linger == never) {
    tcb.deadlines.linger = now + constant::fin_wait_2;
  }
}

std::optional<Departure> abort(Tcb& tcb, Time now) noexcept {
  const State before = tcb.state;
  tcb.state = State::closed;
  tcb.deadlines = {};
  // RFC 9293 section 3.10.5: nobody is told from SYN-SENT, CLOSING, LAST-ACK and TIME-WAIT.
  const bool known = before == State::syn_received || before == State::established || before == State::fin_wait_1 ||
                     before == State::fin_wait_2 || before == State::close_wait;
  if (!known) return std::nullopt;
  Departure reset{.sequence = tcb.send.maximum,
                  .acknowledgement = tcb.receive.next,
                  .flags = Flags::rst | Flags::ack,
                  .options = {}};
  stamp(tcb, now, reset.options);
  return reset;
}

std::optional<Departure> reset_for(const Segment& segment) noexcept {
  if (segment.has(Flags::rst)) return std::nullopt;
  if (segment.has(Flags::ack)) {
    return Departure{.sequence = segment.acknowledgement, .flags = Flags::rst, .options = {}};
  }
  return Departure{.acknowledgement = segment.end(), .flags = Flags::rst | Flags::ack, .options = {}};
}

void shrink_segment_size(Tcb& tcb, std::uint16_t segment_size) noexcept {
  segment_size = std::max(segment_size, constant::smallest_segment_size);
  if (tcb.timestamps.on && tcb.state != State::syn_sent) segment_size -= constant::timestamps_size;
  tcb.search.largest = std::min(tcb.search.largest, segment_size);  // the path has said what it takes
  if (segment_size >= tcb.send.segment_size) return;
  tcb.send.segment_size = segment_size;
  if (!synchronised(tcb.state)) return;
  tcb.send.next = tcb.send.unacknowledged;
  tcb.loss.board.truncate(tcb.send.next);
  tcb.round_trip.timing = false;
}

}  // namespace mirage::net::tcp
