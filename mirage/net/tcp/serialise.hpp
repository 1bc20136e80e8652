// SPDX-License-Identifier: ISC
// A TCB as bytes: version, then every field in order, big-endian. This is the one list of the fields; live handover,
// migration and the simulator's restore-at-every-event use it.
#pragma once

#include <cstddef>
#include <optional>
#include <type_traits>

#include <mirage/base/bytes.hpp>
#include <mirage/net/tcp/tcb.hpp>

namespace mirage::net::tcp {

namespace detail {

template <class Visit>
constexpr void each_field(Visit&& visit, auto& endpoint)
  requires std::is_same_v<std::remove_const_t<std::remove_reference_t<decltype(endpoint)>>, Endpoint>
{
  for (auto& octet : endpoint.address.octets) visit(octet);
  visit(endpoint.port);
  visit(endpoint.zone);
}

template <class Visit>
constexpr void each_send_field(Visit&& visit, auto& s) {
  for (auto* sequence : {&s.initial, &s.unacknowledged, &s.next, &s.maximum, &s.end}) visit(sequence->value);
  visit(s.window), visit(s.largest_window), visit(s.window_sequence.value), visit(s.window_acknowledgement.value);
  visit(s.segment_size), visit(s.window_shift), visit(s.fin_queued), visit(s.no_delay), visit(s.retransmit_first);
  visit(s.tail_probe), visit(s.probe), visit(s.keep_alive_probe);
}

template <class Visit>
constexpr void each_receive_field(Visit&& visit, auto& r) {
  for (auto* sequence : {&r.initial, &r.next, &r.edge, &r.fin, &r.latest}) visit(sequence->value);
  visit(r.space), visit(r.space_limit), visit(r.taken), visit(r.taken_since.value), visit(r.segment_size),
      visit(r.window_shift), visit(r.scaling);
  visit(r.segments_to_acknowledge), visit(r.duplicates_owed), visit(r.acknowledge_now), visit(r.fin_seen);
  visit(r.sack), visit(r.discard);
  for (auto& range : r.ranges.items) visit(range.begin.value), visit(range.end.value);
  visit(r.ranges.count);
  visit(r.duplicate.begin.value), visit(r.duplicate.end.value);
}

template <class Visit>
constexpr void each_congestion_field(Visit&& visit, auto& c) {
  visit(c.window), visit(c.threshold), visit(c.acknowledged), visit(c.recover.value), visit(c.limited.value);
  visit(c.duplicates), visit(c.phase), visit(c.algorithm), visit(c.delivered), visit(c.sent), visit(c.flight);
  auto& cubic = c.cubic;
  visit(cubic.maximum), visit(cubic.maximum_before), visit(cubic.prior), visit(cubic.estimate), visit(cubic.credit);
  visit(cubic.epoch), visit(cubic.last), visit(cubic.inflection), visit(cubic.running);
  auto& h = c.hystart;
  visit(h.round_end.value), visit(h.minimum), visit(h.last_minimum), visit(h.baseline), visit(h.samples);
  visit(h.rounds), visit(h.train_since.value), visit(h.train_last.value), visit(h.train);
  visit(c.window_before), visit(c.threshold_before), visit(c.doubtful), visit(c.doubtful_end.value);
}

template <class Visit>
constexpr void each_loss_field(Visit&& visit, auto& l) {
  for (auto& piece : l.board.pieces) visit(piece.end.value), visit(piece.word);
  auto& b = l.board;
  visit(b.base.value), visit(b.resent.value), visit(b.sacked), visit(b.lost), visit(b.emulated);
  visit(b.first), visit(b.count);
  visit(l.sent.value), visit(l.end.value), visit(l.round_trip), visit(l.minimum), visit(l.forward.value);
  visit(l.duplicate_round.value), visit(l.duplicate_seen), visit(l.multiplier), visit(l.persist), visit(l.reordering);
  visit(l.waiting), visit(l.probing), visit(l.probe_again), visit(l.probe_end.value), visit(l.doubt);
}

template <class Visit>
constexpr void each_time_field(Visit&& visit, auto& tcb) {
  auto& t = tcb.round_trip;
  visit(t.smoothed), visit(t.variation), visit(t.timeout), visit(t.sent_at), visit(t.timed.value), visit(t.timing);
  visit(t.backoff);
  auto& s = tcb.timestamps;
  visit(s.on), visit(s.offset), visit(s.recent), visit(s.recent_at), visit(s.acknowledged.value);
  auto& e = tcb.ecn;
  visit(e.on), visit(e.echo), visit(e.answer), visit(e.reduced), visit(e.round.value);
  auto& d = tcb.deadlines;
  for (auto& byte : tcb.fast_open.cookie.bytes) visit(byte);
  visit(tcb.fast_open.cookie.size), visit(tcb.fast_open.use), visit(tcb.fast_open.early);
  visit(tcb.search.from), visit(tcb.search.begin.value), visit(tcb.search.probe), visit(tcb.search.largest);
  visit(tcb.pacing.next), visit(tcb.pacing.rate);
  for (auto* time : {&d.retransmit, &d.acknowledge, &d.loss, &d.pace, &d.keep_alive, &d.linger, &d.stalled_since,
                     &d.challenge, &d.last_sent}) {
    visit(*time);
  }
}

template <class Visit>
constexpr void each_model_field(Visit&& visit, auto& b) {
  visit(b.delivered), visit(b.lost), visit(b.delivered_at.value), visit(b.first_sent.value), visit(b.starved_until);
  for (auto* pair : {&b.bandwidths, &b.excess}) visit((*pair)[0]), visit((*pair)[1]);
  for (auto* number : {&b.bandwidth,
                       &b.short_bandwidth,
                       &b.short_flight,
                       &b.long_flight,
                       &b.latest_bandwidth,
                       &b.latest_flight,
                       &b.minimum,
                       &b.minimum_at,
                       &b.probe_minimum,
                       &b.probe_minimum_at,
                       &b.probe_done_at,
                       &b.excess_round,
                       &b.excess_delivered,
                       &b.rounds,
                       &b.round_end,
                       &b.loss_round_end,
                       &b.drain_round,
                       &b.probe_rounds,
                       &b.full,
                       &b.cycle_at,
                       &b.wait,
                       &b.up_acked,
                       &b.up_step,
                       &b.prior_window,
                       &b.undo_bandwidth,
                       &b.undo_short_flight,
                       &b.undo_long_flight}) {
    visit(*number);
  }
  visit(b.excess_since.value), visit(b.state), visit(b.undo_state), visit(b.feedback), visit(b.up_rounds);
  visit(b.full_rounds), visit(b.loss_events);
  for (auto* flag : {&b.starved, &b.full_now, &b.full_reached, &b.probing, &b.loss_in_round, &b.marked, &b.too_high,
                     &b.precautionary, &b.idle_restart, &b.probe_round_done}) {
    visit(*flag);
  }
  for (auto& item : b.transmissions.items) {
    visit(item.sent.value), visit(item.first_sent.value), visit(item.delivered_at.value), visit(item.delivered);
    visit(item.lost), visit(item.word);
  }
  visit(b.transmissions.first), visit(b.transmissions.count);
}

/// Calls `visit` with each scalar of the TCB.
template <class Visit>
constexpr void each_field_of(Visit&& visit, auto& tcb) {
  each_field(visit, tcb.local);
  each_field(visit, tcb.remote);
  visit(tcb.state), visit(tcb.passive), visit(tcb.keep_alive_idle), visit(tcb.keep_alive_count);
  visit(tcb.user_timeout), visit(tcb.send.urgent.value), visit(tcb.send.urgent_pending);
  visit(tcb.receive.urgent.value), visit(tcb.receive.urgent_pending);
  each_send_field(visit, tcb.send);
  each_receive_field(visit, tcb.receive);
  each_congestion_field(visit, tcb.congestion);
  each_loss_field(visit, tcb.loss);
  each_time_field(visit, tcb);
  each_model_field(visit, tcb.bbr);
}

/// The wire integer of a field's type.
template <class T>
struct Representation {
  using type = std::make_unsigned_t<T>;
};
template <class T>
  requires std::is_enum_v<T>
struct Representation<T> {
  using type = std::make_unsigned_t<std::underlying_type_t<T>>;
};
template <class T>
  requires std::is_same_v<T, bool>
struct Representation<T> {
  using type = std::uint8_t;
};
template <class T>
  requires(std::is_same_v<T, Duration> || std::is_same_v<T, Time>)
struct Representation<T> {
  using type = std::uint64_t;
};

template <class T>
constexpr auto encode(const T& field) noexcept {
  using Wire = typename Representation<T>::type;
  if constexpr (std::is_same_v<T, Duration>) {
    return static_cast<Wire>(field.count());
  } else if constexpr (std::is_same_v<T, Time>) {
    return static_cast<Wire>(field.time_since_epoch().count());
  } else {
    return static_cast<Wire>(field);
  }
}

template <class T>
constexpr void decode(T& field, std::uint64_t value) noexcept {
  if constexpr (std::is_same_v<T, Duration>) {
    field = Duration{static_cast<std::int64_t>(value)};
  } else if constexpr (std::is_same_v<T, Time>) {
    field = Time{Duration{static_cast<std::int64_t>(value)}};
  } else {
    field = static_cast<T>(value);
  }
}

constexpr std::size_t count_bytes() noexcept {
  std::size_t size = sizeof(Tcb::version);
  const Tcb tcb;
  each_field_of([&]<class T>(const T&) { size += sizeof(typename Representation<std::remove_const_t<T>>::type); }, tcb);
  return size;
}

/// What indexes or shifts something in the model of the path.
constexpr bool is_sane(const BbrVariables& b) noexcept {
  return b.state <= BbrState::probe_rtt && b.undo_state <= BbrState::probe_rtt && b.feedback <= BbrFeedback::stopping &&
         b.up_rounds <= 30 && b.transmissions.first < Transmissions::capacity &&
         b.transmissions.count <= Transmissions::capacity;
}

}  // namespace detail

/// Bytes that serialise() writes.
inline constexpr std::size_t serialised_size = detail::count_bytes();

/// Precondition: out.size() >= serialised_size.
constexpr void serialise(const Tcb& tcb, MutableBytes out) noexcept {
  store_big(out, 0, Tcb::version);
  std::size_t at = sizeof(Tcb::version);
  detail::each_field_of(
      [&](const auto& field) {
        const auto value = detail::encode(field);
        store_big(out, at, value);
        at += sizeof(value);
      },
      tcb);
}

/// Nothing for another version or too few bytes, or when a field that indexes something is out of its range. Otherwise
/// the content is trusted: it comes from another instance of this stack, not from a peer.
[[nodiscard]] constexpr std::optional<Tcb> restore(Bytes bytes) noexcept {
  if (bytes.size() < serialised_size || load_big<std::uint16_t>(bytes, 0) != Tcb::version) return std::nullopt;
  Tcb tcb;
  std::size_t at = sizeof(Tcb::version);
  detail::each_field_of(
      [&]<class T>(T& field) {
        using Wire = typename detail::Representation<T>::type;
        detail::decode(field, load_big<Wire>(bytes, at));
        at += sizeof(Wire);
      },
      tcb);
  const bool sane = static_cast<std::size_t>(tcb.state) < state_count && tcb.receive.ranges.count <= Ranges::capacity &&
                    tcb.congestion.phase <= Phase::timeout && tcb.loss.board.first < Scoreboard::capacity &&
                    tcb.loss.board.count <= Scoreboard::capacity &&
                    static_cast<std::size_t>(tcb.congestion.algorithm) < algorithm_count &&
                    tcb.fast_open.cookie.size <= FastOpenCookie::largest && tcb.send.window_shift <= 14 &&
                    tcb.receive.window_shift <= 14 && tcb.send.segment_size > 0 && detail::is_sane(tcb.bbr);
  if (!sane) return std::nullopt;
  return tcb;
}

}  // namespace mirage::net::tcp
