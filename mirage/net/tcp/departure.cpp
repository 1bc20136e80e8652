// SPDX-License-Identifier: ISC
// Sending: RFC 9293 section 3.8.6 (windows), 3.7.4 (Nagle), 3.8.6.2.1 (sender's silly window avoidance).
#include <algorithm>

#include <mirage/net/tcp/congestion/newreno.hpp>
#include <mirage/net/tcp/departure.hpp>
#include <mirage/net/tcp/rto.hpp>
#include <mirage/net/tcp/window.hpp>

namespace mirage::net::tcp {

namespace {

using congestion::NewReno;

/// Bytes in the send queue that SND.NXT has not passed.
std::uint32_t unsent(const SendVariables& s) noexcept { return s.next < s.end ? distance(s.next, s.end) : 0; }
/// The FIN is due after the unsent bytes.
bool fin_due(const SendVariables& s) noexcept { return s.fin_queued && s.next <= s.end; }

/// Newest first (RFC 2018 section 4): the range of the segment that came last, then the others.
void add_sack(const ReceiveVariables& r, wire::TcpOptionSet& options) noexcept {
  if (!r.sack || r.ranges.empty()) return;
  const auto add = [&](const Range& range) {
    if (options.sack_blocks < options.sack.size()) {
      options.sack[options.sack_blocks++] = {range.begin.value, range.end.value};
    }
  };
  const auto newest = [&](const Range& range) { return range.begin <= r.latest && r.latest < range.end; };
  for (std::size_t i = 0; i < r.ranges.count; ++i) {
    if (newest(r.ranges.items[i])) add(r.ranges.items[i]);
  }
  for (std::size_t i = 0; i < r.ranges.count; ++i) {
    if (!newest(r.ranges.items[i])) add(r.ranges.items[i]);
  }
}

/// Every segment of a synchronised connection acknowledges and advertises.
Departure acknowledging(Tcb& tcb, Sequence sequence) noexcept {
  Departure departure{.sequence = sequence,
                      .acknowledgement = tcb.receive.next,
                      .flags = Flags::ack,
                      .window = advertise(tcb),
                      .segment_size = tcb.send.segment_size,
                      .options = {}};
  add_sack(tcb.receive, departure.options);
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
  departure.options.maximum_segment_size = tcb.receive.segment_size;
  departure.options.has_window_scale = tcb.receive.scaling;
  departure.options.window_scale = tcb.receive.window_shift;
  departure.options.sack_permitted = tcb.receive.sack;
  departs(tcb, tcb.send.initial, tcb.send.initial + 1, now);
  tcb.send.next = tcb.send.initial + 1;
  acknowledged_all(tcb);
  return departure;
}

/// `length` bytes at `sequence`, with the FIN if it follows.
Departure text(Tcb& tcb, Sequence sequence, std::uint32_t length, bool fin, Time now) noexcept {
  Departure departure = acknowledging(tcb, sequence);
  departure.length = length;
  const Sequence end = sequence + length + (fin ? 1 : 0);
  if (fin) departure.flags |= Flags::fin;
  if (length > 0 && sequence + length == tcb.send.end) departure.flags |= Flags::psh;
  departs(tcb, sequence, end, now);
  // Text with an acknowledgement is no duplicate (RFC 5681 section 2): those that are owed still follow, on their own.
  const std::uint8_t owed = tcb.receive.duplicates_owed;
  acknowledged_all(tcb);
  tcb.receive.duplicates_owed = owed;
  return departure;
}

/// How much is missing from SND.UNA on: up to what the peer holds beyond, when it says so; else one segment.
std::uint32_t hole(const Tcb& tcb, std::uint32_t maximum_payload) noexcept {
  const SendVariables& s = tcb.send;
  const std::uint32_t segment = s.segment_size;
  const Sequence last = earlier(s.maximum, s.end);
  const std::uint32_t outstanding = s.unacknowledged < last ? distance(s.unacknowledged, last) : 0;
  if (s.sacked <= s.unacknowledged) return std::min(outstanding, segment);
  const std::uint32_t missing = std::min(outstanding, distance(s.unacknowledged, s.sacked));
  const std::uint32_t largest = std::min(maximum_payload, tcb.congestion.window) / segment * segment;
  return std::min(missing, std::max(largest, segment));
}

/// What is missing first again: three duplicates, or a partial acknowledgement.
std::optional<Departure> retransmission(Tcb& tcb, std::uint32_t maximum_payload, Time now) noexcept {
  SendVariables& s = tcb.send;
  s.retransmit_first = false;
  if (s.unacknowledged >= s.maximum) return std::nullopt;
  const std::uint32_t length = hole(tcb, maximum_payload);
  const bool fin = tcb.fin_sent() && s.unacknowledged + length == s.end;
  const Sequence sequence = s.unacknowledged;
  const Departure departure = text(tcb, sequence, length, fin, now);
  s.next = later(s.next, sequence + length + (fin ? 1 : 0));
  return departure;
}

/// Bytes beyond SND.NXT that both windows allow.
std::uint32_t usable_window(const Tcb& tcb) noexcept {
  const std::uint32_t window = std::min(tcb.send.window, NewReno::window(tcb));
  const std::uint32_t flight = tcb.in_flight();
  return window > flight ? window - flight : 0;
}

/// Whether a tail shorter than a segment goes out: RFC 9293 section 3.8.6.2.1 and 3.7.4.
bool tail_may_go(const Tcb& tcb, std::uint32_t length) noexcept {
  const SendVariables& s = tcb.send;
  const bool everything = length == unsent(s);
  const bool nothing_outstanding = s.next == s.unacknowledged;
  if (everything && (s.no_delay || nothing_outstanding || s.fin_queued)) return true;
  if (length >= s.largest_window / 2 && length > 0) return true;  // the peer's buffer is small
  return s.next < s.maximum;                                      // a retransmission is not held back
}

/// How many bytes go out now, 0 when none may.
std::uint32_t text_length(const Tcb& tcb, std::uint32_t maximum_payload) noexcept {
  const SendVariables& s = tcb.send;
  const std::uint32_t segment = s.segment_size;
  std::uint32_t length = std::min(unsent(s), usable_window(tcb));
  const std::uint32_t largest = std::max(maximum_payload / segment * segment, segment);
  if (length >= largest) return largest;
  const std::uint32_t tail = length % segment;
  if (tail != 0 && !tail_may_go(tcb, length)) length -= tail;
  return length;
}

std::optional<Departure> new_text(Tcb& tcb, std::uint32_t maximum_payload, Time now) noexcept {
  SendVariables& s = tcb.send;
  if (unsent(s) == 0 && !fin_due(s)) return std::nullopt;
  if (s.unacknowledged == s.maximum && now - tcb.deadlines.last_sent > tcb.round_trip.timeout) {
    NewReno::on_idle_restart(tcb);
  }
  std::uint32_t length = text_length(tcb, maximum_payload);
  if (length == 0 && s.probe) length = std::min(unsent(s), std::max(usable_window(tcb), 1U));
  const bool fin = fin_due(s) && length == unsent(s);
  if (length == 0 && !fin) return std::nullopt;
  const Departure departure = text(tcb, s.next, length, fin, now);
  // A probe beyond the window is not counted as on its way: when the window opens, sending starts with that byte.
  if (!s.probe || s.window > 0) s.next += length + (fin ? 1 : 0);
  s.probe = false;
  return departure;
}

/// Where an empty segment is acceptable to the peer: at SND.NXT as the peer knows it, never beyond its window.
Sequence empty_sequence(const SendVariables& s) noexcept {
  return later(s.unacknowledged, earlier(s.maximum, s.unacknowledged + s.window));
}

std::optional<Departure> acknowledgement(Tcb& tcb) noexcept {
  ReceiveVariables& r = tcb.receive;
  if (!r.acknowledge_now && r.duplicates_owed == 0) return std::nullopt;
  const std::uint8_t more = r.duplicates_owed > 1 ? static_cast<std::uint8_t>(r.duplicates_owed - 1) : 0;
  const Departure departure = acknowledging(tcb, empty_sequence(tcb.send));
  acknowledged_all(tcb);
  r.duplicates_owed = more;  // one for each segment out of order: the peer counts them
  return departure;
}

/// Something waits although nothing is on its way: probe later (RFC 9293 section 3.8.6.1; SHLD-29 for small windows).
void watch_window(Tcb& tcb, Time now) noexcept {
  const SendVariables& s = tcb.send;
  if (tcb.deadlines.retransmit != never || (unsent(s) == 0 && !fin_due(s))) return;
  tcb.deadlines.retransmit = now + retransmission_timeout(tcb.round_trip);
}

}  // namespace

std::optional<Departure> next_departure(Tcb& tcb, std::uint32_t maximum_payload, Time now) noexcept {
  if (tcb.state == State::closed) return std::nullopt;
  if (tcb.state == State::syn_sent || tcb.state == State::syn_received) {
    if (tcb.send.next == tcb.send.initial) return synchronise(tcb, now);
    return tcb.state == State::syn_sent ? std::nullopt : acknowledgement(tcb);
  }
  if (tcb.send.keep_alive_probe) {
    tcb.send.keep_alive_probe = false;
    return acknowledging(tcb, tcb.send.unacknowledged - 1);
  }
  if (transmits(tcb.state)) {
    if (tcb.send.retransmit_first) {
      if (auto departure = retransmission(tcb, maximum_payload, now)) return departure;
    }
    if (auto departure = new_text(tcb, maximum_payload, now)) return departure;
    watch_window(tcb, now);
  }
  return acknowledgement(tcb);
}

void departure_failed(Tcb& tcb, const Departure& departure) noexcept {
  if (departure.length > 0 || (departure.flags & (Flags::fin | Flags::syn)) != 0) {
    if (departure.sequence >= tcb.send.unacknowledged) tcb.send.next = earlier(tcb.send.next, departure.sequence);
    tcb.round_trip.timing = false;
  } else {
    tcb.receive.acknowledge_now = true;
  }
}

}  // namespace mirage::net::tcp
