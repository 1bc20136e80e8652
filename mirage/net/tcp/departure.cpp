// SPDX-License-Identifier: ISC
// Sending: RFC 9293 section 3.8.6 (windows), 3.7.4 (Nagle), 3.8.6.2.1 (sender's silly window avoidance).
#include <algorithm>

#include <mirage/net/tcp/congestion/algorithm.hpp>
#include <mirage/net/tcp/departure.hpp>
#include <mirage/net/tcp/pacing.hpp>
#include <mirage/net/tcp/rack.hpp>
#include <mirage/net/tcp/rto.hpp>
#include <mirage/net/tcp/sack.hpp>
#include <mirage/net/tcp/size_search.hpp>
#include <mirage/net/tcp/timestamps.hpp>
#include <mirage/net/tcp/user.hpp>
#include <mirage/net/tcp/window.hpp>

namespace mirage::net::tcp {

namespace {

/// Bytes in the send queue that SND.NXT has not passed.
std::uint32_t unsent(const SendVariables& s) noexcept { return s.next < s.end ? distance(s.next, s.end) : 0; }
/// The FIN is due after the unsent bytes.
bool fin_due(const SendVariables& s) noexcept { return s.fin_queued && s.next <= s.end; }

/// RFC 9293 section 3.8.5: the pointer is an offset from the segment's own number; urgent text may be longer than that.
void point_to_urgent(const SendVariables& s, Departure& departure) noexcept {
  if (!s.urgent_pending || s.urgent <= departure.sequence) return;
  departure.flags |= Flags::urg;
  departure.urgent = static_cast<std::uint16_t>(std::min(distance(departure.sequence, s.urgent), 0xffffU));
}

/// Every segment of a synchronised connection acknowledges and advertises; `report`: there is room for SACK blocks.
Departure acknowledging(Tcb& tcb, Sequence sequence, Time now, bool report = true) noexcept {
  Departure departure{.sequence = sequence,
                      .acknowledgement = tcb.receive.next,
                      .flags = Flags::ack,
                      .window = advertise(tcb),
                      .segment_size = tcb.send.segment_size,
                      .options = {}};
  if (tcb.ecn.echo) departure.flags |= Flags::ece;
  tcb.timestamps.acknowledged = tcb.receive.next;
  stamp(tcb, now, departure.options);
  point_to_urgent(tcb.send, departure);
  if (report) sack::add(tcb.receive, departure.options);
  return departure;
}

void acknowledged_all(Tcb& tcb) noexcept {
  tcb.receive.acknowledge_now = false;
  tcb.receive.segments_to_acknowledge = 0;
  tcb.receive.duplicates_owed = 0;
  tcb.deadlines.acknowledge = never;
}

/// A segment that occupies [begin, end) goes out: measure it, and watch for its acknowledgement.
void departs(Tcb& tcb, Sequence begin, Sequence end, Time now) noexcept {
  if (begin < tcb.send.maximum) {
    tcb.round_trip.timing = false;  // Karn
  } else {
    time_segment(tcb.round_trip, end, now);
  }
  tcb.send.maximum = later(tcb.send.maximum, end);
  tcb.deadlines.last_sent = now;
  if (tcb.deadlines.retransmit == never) {  // RFC 6298 (5.1)
    tcb.deadlines.retransmit = now + retransmission_timeout(tcb.round_trip);
  }
}

Departure synchronise(Tcb& tcb, Time now) noexcept {
  const bool answers = tcb.state == State::syn_received;
  tcb.receive.edge = tcb.receive.next + std::min(tcb.receive.space, 0xffffU);
  Departure departure{.sequence = tcb.send.initial,
                      .acknowledgement = answers ? tcb.receive.next : Sequence{},
                      .flags = static_cast<std::uint8_t>(Flags::syn | (answers ? Flags::ack : 0)),
                      // Never scaled in a SYN: RFC 7323 section 2.2.
                      .window = static_cast<std::uint16_t>(std::min(tcb.receive.space, 0xffffU)),
                      .options = {}};
  if (tcb.ecn.on) departure.flags |= static_cast<std::uint8_t>(Flags::ece | (answers ? 0 : Flags::cwr));
  departure.options.maximum_segment_size = tcb.receive.segment_size;
  departure.options.has_window_scale = tcb.receive.scaling;
  departure.options.window_scale = tcb.receive.window_shift;
  departure.options.sack_permitted = tcb.receive.sack;
  stamp(tcb, now, departure.options);
  tcb.timestamps.acknowledged = tcb.receive.next;
  // RFC 7413 section 4.2: a cookie, or the wish for one, and text with it.
  departure.fast_open = {.cookie = tcb.fast_open.cookie, .present = tcb.fast_open.use == FastOpen::Use::option};
  if (!answers) {
    departure.length = std::min<std::uint32_t>(tcb.fast_open.early, distance(tcb.send.initial + 1, tcb.send.end));
    departure.segment_size = tcb.send.segment_size;
  }
  const Sequence end = tcb.send.initial + 1 + departure.length;
  departs(tcb, tcb.send.initial, end, now);
  tcb.send.next = end;
  acknowledged_all(tcb);
  return departure;
}

/// RFC 3168 sections 6.1.2, 6.1.5, 6.1.6: only new text may be marked, no retransmission and no probe; the first of it
/// after a reduction says that there was one.
void mark(Tcb& tcb, Departure& departure) noexcept {
  const bool fresh = departure.sequence >= tcb.send.maximum && departure.length > 0 && !tcb.send.probe;
  if (!tcb.ecn.on || !fresh) return;
  departure.markable = true;
  if (tcb.ecn.answer) departure.flags |= Flags::cwr;
  tcb.ecn.answer = false;
}

/// `length` bytes at `sequence`, with the FIN if it follows.
Departure text(Tcb& tcb, Sequence sequence, std::uint32_t length, bool fin, Time now) noexcept {
  // Blocks never make a segment larger than the path takes (RFC 9293 section 3.7.1): they follow on their own.
  const bool report = length + sack::largest_size <= tcb.send.segment_size;
  Departure departure = acknowledging(tcb, sequence, now, report);
  departure.length = length;
  const Sequence end = sequence + length + (fin ? 1 : 0);
  if (fin) departure.flags |= Flags::fin;
  if (length > 0 && sequence + length == tcb.send.end) departure.flags |= Flags::psh;
  mark(tcb, departure);
  departs(tcb, sequence, end, now);
  // Text with an acknowledgement is no duplicate (RFC 5681 section 2): those that are owed still follow, on their own.
  const std::uint8_t owed = tcb.receive.duplicates_owed;
  acknowledged_all(tcb);
  tcb.receive.duplicates_owed = owed;
  tcb.receive.acknowledge_now = tcb.receive.duplicate.begin != tcb.receive.duplicate.end;
  return departure;
}

/// Text that shares a piece on the scoreboard went out within an eighth of a round trip.
std::uint32_t grain(const Tcb& tcb) noexcept {
  return static_cast<std::uint32_t>(tcb.round_trip.smoothed.count() / (8 * 1000));
}

/// Bytes that the congestion window allows beyond what is on its way.
std::uint32_t congestion_room(const Tcb& tcb) noexcept {
  const std::uint32_t flight = tcb.in_flight();
  return tcb.congestion.window > flight ? tcb.congestion.window - flight : 0;
}
/// Bytes behind SND.NXT that the peer takes.
std::uint32_t peer_room(const Tcb& tcb) noexcept {
  const std::uint32_t outstanding = tcb.outstanding();
  return tcb.send.window > outstanding ? tcb.send.window - outstanding : 0;
}

/// Whether the FIN goes with the next `length` bytes. It takes a number, so the window must hold it, too; what is
/// beyond is for probes.
bool fin_goes(const Tcb& tcb, std::uint32_t length) noexcept {
  const SendVariables& s = tcb.send;
  return fin_due(s) && length == unsent(s) && (s.probe || length < peer_room(tcb));
}

/// Text has gone out: a model of the path notes it, and the rate is used up.
void gone(Tcb& tcb, std::uint32_t length, bool fin, Time now) noexcept {
  if (const auto* model = congestion::model(tcb)) model->sent(tcb, length + (fin ? 1 : 0), now);
  pacing::sent(tcb, length, now);
}

/// [from, to) goes out again.
Departure repeat(Tcb& tcb, Sequence from, Sequence to, Time now) noexcept {
  const Sequence text_end = earlier(to, later(from, tcb.send.end));
  const std::uint32_t length = distance(from, text_end);
  const Departure departure = text(tcb, from, length, to > text_end, now);
  tcb.loss.board.resend(from, to, Stamp::of(now), grain(tcb));
  gone(tcb, length, to > text_end, now);
  // What arrives of a probe now may have come in smaller segments.
  if (tcb.search.probe != 0 && to > tcb.search.begin) size_search::failed(tcb, now);
  return departure;
}

/// What is lost, in order: RFC 6675 section 5 (C), NextSeg() rule (1). The first segment of a repair goes in any case.
std::optional<Departure> retransmission(Tcb& tcb, std::uint32_t maximum_payload, Time now) noexcept {
  SendVariables& s = tcb.send;
  const bool forced = s.retransmit_first;
  s.retransmit_first = false;
  // F-RTO sends new text first: RFC 5682 section 2.1 step 2 (b).
  if (tcb.loss.board.lost == 0 || (tcb.loss.doubt != 0 && !forced)) return std::nullopt;
  const Range missing = tcb.loss.board.first_lost();
  const std::uint32_t segment = s.segment_size;
  const std::uint32_t size = distance(missing.begin, missing.end);
  const std::uint32_t room = congestion_room(tcb);
  if (!forced && room < std::min(size, segment)) {
    tcb.congestion.limited = s.next;
    return std::nullopt;
  }
  const std::uint32_t allowed = forced ? size : pacing::allowance(tcb, now);
  if (allowed == 0) return std::nullopt;
  const std::uint32_t largest = std::max(std::min({maximum_payload, room, allowed}) / segment * segment, segment);
  std::uint32_t length = std::min(size, largest);
  if (size == length + 1 && missing.end > s.end) ++length;  // the FIN
  CongestionVariables& c = tcb.congestion;
  if (c.phase == Phase::recovery) c.sent += length;
  c.doubtful += length;
  return repeat(tcb, missing.begin, missing.begin + length, now);
}

/// Whether a tail shorter than a segment goes out: RFC 9293 section 3.8.6.2.1 and 3.7.4.
bool tail_may_go(const Tcb& tcb, std::uint32_t length) noexcept {
  const SendVariables& s = tcb.send;
  const bool everything = length == unsent(s);
  const bool nothing_outstanding = s.next == s.unacknowledged || s.next == s.initial + 1;  // but our SYN
  if (everything && (s.no_delay || nothing_outstanding || s.fin_queued)) return true;
  if (length >= s.largest_window / 2 && length > 0) return true;  // the peer's buffer is small
  return s.next < s.maximum;                                      // a retransmission is not held back
}

/// How many bytes go out now, 0 when none may.
std::uint32_t text_length(const Tcb& tcb, std::uint32_t maximum_payload) noexcept {
  const SendVariables& s = tcb.send;
  const std::uint32_t segment = s.segment_size;
  std::uint32_t length = std::min({unsent(s), peer_room(tcb), congestion_room(tcb)});
  std::uint32_t tail = length;
  if (length >= segment) {
    // A device that segments would repeat the urgent pointer in each, and CWR.
    const bool alone = s.urgent_pending || tcb.ecn.answer;
    const std::uint32_t largest = alone ? segment : std::max(maximum_payload / segment * segment, segment);
    if (length >= largest) return largest;
    tail = length % segment;
  }
  if (tail != 0 && !tail_may_go(tcb, length)) length -= tail;
  return length;
}

/// `length` bytes at SND.NXT go out.
Departure send_text(Tcb& tcb, std::uint32_t length, bool fin, Time now) noexcept {
  SendVariables& s = tcb.send;
  const bool known = s.next < s.maximum;
  // A probe beyond the window is not counted as on its way: when the window opens, sending starts with that byte.
  const bool counts = !s.probe || s.window > 0;
  if (counts && tcb.loss.board.empty() && synchronised(tcb.state)) {
    // The timer that runs, if one does, is that of window probes: RFC 6298 (5.1) for this text.
    if (!s.probe) tcb.round_trip.backoff = 0;
    tcb.deadlines.retransmit = never;
  }
  const Departure departure = text(tcb, s.next, length, fin, now);
  if (counts) {
    const Stamp sent = Stamp::of(now);
    if (tcb.loss.board.empty()) {  // what was delivered minutes ago would seem to have been sent later, modulo 2^29
      tcb.loss.sent = sent;
      tcb.loss.end = s.next;
    }
    s.next += length + (fin ? 1 : 0);
    tcb.loss.board.extend(s.next, sent, grain(tcb), known);
    gone(tcb, length, fin, now);
    if (tcb.congestion.phase == Phase::recovery) tcb.congestion.sent += length;
    rack::schedule_probe(tcb, now);
  }
  s.probe = false;
  return departure;
}

/// What of `length` bytes the rate lets go now: whole segments, or nothing. A sender that its rate holds back fills its
/// window all the same (RFC 9002 section 7.8); where a model sets the rate, the window is a bound beside it.
std::uint32_t paced(Tcb& tcb, std::uint32_t length, Time now) noexcept {
  SendVariables& s = tcb.send;
  if (length == 0 || s.probe) return length;
  const std::uint32_t allowed = pacing::allowance(tcb, now);
  if (allowed >= length) return length;
  const bool filled = tcb.pacing.rate == 0 && congestion_room(tcb) < std::min(unsent(s), peer_room(tcb));
  if (filled) tcb.congestion.limited = s.next;
  const std::uint32_t segment = s.segment_size;
  return allowed == 0 ? 0 : std::min(length, std::max(allowed / segment * segment, segment));
}

/// RFC 4821 section 7.4: a probe of the path, if one is due, and if there is text for it and for what shows its loss.
std::optional<Departure> size_probe(Tcb& tcb, Time now) noexcept {
  const std::uint32_t size = size_search::next_size(tcb, now);
  const std::uint32_t with_others = size + constant::duplicate_threshold * tcb.send.segment_size;
  const bool fits = with_others <= std::min({unsent(tcb.send), peer_room(tcb), congestion_room(tcb)});
  if (size == 0 || !fits || tcb.send.urgent_pending || tcb.send.probe) return std::nullopt;
  tcb.search.begin = tcb.send.next;
  tcb.search.probe = static_cast<std::uint16_t>(size);
  Departure departure = send_text(tcb, size, false, now);
  departure.segment_size = tcb.search.probe;  // one segment
  return departure;
}

std::optional<Departure> new_text(Tcb& tcb, std::uint32_t maximum_payload, Time now) noexcept {
  SendVariables& s = tcb.send;
  if (unsent(s) == 0 && !fin_due(s)) return std::nullopt;
  if (s.unacknowledged == s.maximum && now - tcb.deadlines.last_sent > tcb.round_trip.timeout) {
    congestion::restart_after_idle(tcb);
  }
  std::uint32_t length = paced(tcb, text_length(tcb, maximum_payload), now);
  const std::uint32_t room = congestion_room(tcb);
  if (length == 0 && s.probe) length = std::min(unsent(s), std::max(std::min(peer_room(tcb), room), 1U));
  const bool fin = fin_goes(tcb, length);
  if (length + s.segment_size > room && room < std::min(unsent(s), peer_room(tcb))) {
    tcb.congestion.limited = s.next + length;  // the congestion window is what ends the burst
  }
  if (length == 0 && !fin) return std::nullopt;
  return send_text(tcb, length, fin, now);
}

/// RFC 8985 section 7.3: new text if there is any and the peer takes it, else the last segment again; whatever the
/// congestion window says.
std::optional<Departure> tail_probe(Tcb& tcb, Time now) noexcept {
  SendVariables& s = tcb.send;
  s.tail_probe = false;
  const Scoreboard& board = tcb.loss.board;
  if (board.empty() || board.sacked + board.lost > 0) return std::nullopt;
  const std::uint32_t length = std::min({unsent(s), peer_room(tcb), std::uint32_t{s.segment_size}});
  const bool fresh = length > 0;
  const Sequence from = later(s.unacknowledged, s.next - s.segment_size);
  const Departure departure =
      fresh ? send_text(tcb, length, fin_goes(tcb, length), now) : repeat(tcb, from, s.next, now);
  rack::probe_sent(tcb, !fresh, now);
  return departure;
}

/// Where an empty segment is acceptable to the peer: at SND.NXT as the peer knows it, never beyond its window.
Sequence empty_sequence(const SendVariables& s) noexcept {
  return later(s.unacknowledged, earlier(s.maximum, s.unacknowledged + s.window));
}

std::optional<Departure> acknowledgement(Tcb& tcb, Time now) noexcept {
  ReceiveVariables& r = tcb.receive;
  if (!r.acknowledge_now && r.duplicates_owed == 0) return std::nullopt;
  const std::uint8_t more = r.duplicates_owed > 1 ? static_cast<std::uint8_t>(r.duplicates_owed - 1) : 0;
  const Departure departure = acknowledging(tcb, empty_sequence(tcb.send), now);
  acknowledged_all(tcb);
  r.duplicates_owed = more;  // one for each segment out of order: the peer counts them
  return departure;
}

/// BBR draft section 4.1.2.4: the application is what holds sending back.
void note_starvation(Tcb& tcb) noexcept {
  const auto* model = congestion::model(tcb);
  const bool idle = unsent(tcb.send) < tcb.send.segment_size && congestion_room(tcb) > 0 && tcb.loss.board.lost == 0;
  if (model != nullptr && idle) model->starved(tcb);
}

/// Something waits although nothing is on its way: probe later (RFC 9293 section 3.8.6.1; SHLD-29 for small windows).
void watch_window(Tcb& tcb, Time now) noexcept {
  const SendVariables& s = tcb.send;
  if (tcb.deadlines.retransmit != never || tcb.deadlines.pace != never || (unsent(s) == 0 && !fin_due(s))) return;
  tcb.deadlines.retransmit = now + retransmission_timeout(tcb.round_trip);
}

}  // namespace

std::optional<Departure> next_departure(Tcb& tcb, std::uint32_t maximum_payload, Time now) noexcept {
  if (tcb.state == State::closed) return std::nullopt;
  if (tcb.state == State::syn_sent || tcb.state == State::syn_received) {
    if (tcb.send.next == tcb.send.initial) return synchronise(tcb, now);
    if (tcb.state == State::syn_sent) return std::nullopt;
    if (tcb.fast_open.use != FastOpen::Use::accepted) return acknowledgement(tcb, now);
  }
  if (tcb.send.keep_alive_probe) {
    tcb.send.keep_alive_probe = false;
    return acknowledging(tcb, tcb.send.unacknowledged - 1, now);
  }
  if (transmits(tcb.state) || tcb.fast_open.use == FastOpen::Use::accepted) {
    if (tcb.send.tail_probe) {
      if (auto departure = tail_probe(tcb, now)) return departure;
    }
    if (tcb.send.retransmit_first || tcb.loss.board.lost > 0) {
      if (auto departure = retransmission(tcb, maximum_payload, now)) return departure;
    }
    if (auto departure = size_probe(tcb, now)) return departure;
    if (auto departure = new_text(tcb, maximum_payload, now)) return departure;
    note_starvation(tcb);
    watch_window(tcb, now);
  }
  return acknowledgement(tcb, now);
}

void departure_failed(Tcb& tcb, const Departure& departure) noexcept {
  const bool fin = (departure.flags & Flags::fin) != 0;
  if (departure.length == 0 && !fin && (departure.flags & Flags::syn) == 0) {
    tcb.receive.acknowledge_now = true;
    return;
  }
  SendVariables& s = tcb.send;
  if (synchronised(tcb.state) && (departure.flags & Flags::cwr) != 0) tcb.ecn.answer = true;
  tcb.round_trip.timing = false;
  if ((departure.flags & Flags::syn) != 0) return synchronise_again(tcb);
  const Sequence end = departure.sequence + departure.length + (fin ? 1 : 0);
  if (end < s.next) {
    tcb.loss.board.lose(departure.sequence, end);  // a retransmission: again due
    return;
  }
  if (departure.sequence == tcb.search.begin) tcb.search.probe = 0;
  s.next = later(earlier(s.next, departure.sequence), s.unacknowledged);
  tcb.loss.board.truncate(s.next);
}

}  // namespace mirage::net::tcp
