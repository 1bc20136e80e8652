// SPDX-License-Identifier: ISC
// ProbeBW: slower, at, and faster than the path's bandwidth in turn. BBR draft section 5.3.3.
#include <algorithm>

#include <mirage/net/tcp/bbr/bbr.hpp>

namespace mirage::net::tcp::bbr {

namespace {

/// Randomness that the core can have: it follows from the initial sequence number, which a keyed hash drew (RFC 6528).
std::uint32_t random(const Tcb& tcb) noexcept {
  std::uint32_t value = tcb.send.initial.value ^ (tcb.bbr.rounds * 0x9e3779b9U) ^ tcb.bbr.delivered;
  value = (value ^ value >> 16) * 0x85ebca6bU;
  value = (value ^ value >> 13) * 0xc2b2ae35U;
  return value ^ value >> 16;
}

/// Section 5.3.3.9, RaiseInflightLongtermSlope(): one segment for each round, two, four ...
void raise_slope(Tcb& tcb) noexcept {
  BbrVariables& b = tcb.bbr;
  b.up_step = std::max(tcb.congestion.window >> b.up_rounds, std::uint32_t{tcb.send.segment_size});
  b.up_rounds = static_cast<std::uint8_t>(std::min(b.up_rounds + 1, 30));
}

void start_up(Tcb& tcb, const Signals& signals) noexcept {
  BbrVariables& b = tcb.bbr;
  b.probing = true;
  b.feedback = BbrFeedback::starting;
  start_round(b);
  reset_full(b);
  b.full = signals.sample.rate;
  b.state = BbrState::up;
  raise_slope(tcb);
}

/// ProbeInflightLongtermUpward()
void raise_long_flight(Tcb& tcb, const Signals& signals) noexcept {
  BbrVariables& b = tcb.bbr;
  if (!signals.limited || tcb.congestion.window < b.long_flight) return;  // it is not used up: no need for more
  b.up_acked += signals.sample.acked;
  if (b.up_acked >= b.up_step) {
    const std::uint32_t steps = b.up_acked / b.up_step;
    b.up_acked -= steps * b.up_step;
    const std::uint64_t flight = b.long_flight + std::uint64_t{steps} * tcb.send.segment_size;
    b.long_flight = static_cast<std::uint32_t>(std::min<std::uint64_t>(flight, congestion::largest_window));
  }
  if (signals.round_start) raise_slope(tcb);
}

/// The last acknowledgement of what was sent while probing has come. True when the next probe begins at once: section
/// 5.3.3.6, a precautionary one went well.
bool end_feedback(Tcb& tcb, const Signals& signals) noexcept {
  BbrVariables& b = tcb.bbr;
  b.probing = false;
  b.feedback = BbrFeedback::none;
  if (!in_probe_bw(b)) return false;
  // Section 5.5.6, AdvanceMaxBwFilter(); a cycle without a sample forgets nothing.
  if (!signals.sample.starved && b.bandwidths[0] != 0) b.bandwidths = {0, b.bandwidths[0]};
  if (!b.precautionary || b.too_high) return false;
  start_refill(b);
  return true;
}

/// AdaptLongTermModel(). True when it has decided on the state.
bool adapt_long_term(Tcb& tcb, const Signals& signals) noexcept {
  BbrVariables& b = tcb.bbr;
  const RateSample& sample = signals.sample;
  if (b.feedback == BbrFeedback::starting && signals.round_start) b.feedback = BbrFeedback::feedback;
  if (b.feedback == BbrFeedback::stopping && signals.round_start && end_feedback(tcb, signals)) return true;
  if (!sample.any || too_much_lost(tcb, sample) || b.long_flight == BbrVariables::unlimited) return false;
  b.long_flight = std::max(b.long_flight, sample.in_flight);
  if (b.state == BbrState::up) raise_long_flight(tcb, signals);
  return false;
}

/// Section 5.3.3.8, IsTimeToProbeBW().
bool may_probe(const Tcb& tcb, Time now) noexcept {
  const BbrVariables& b = tcb.bbr;
  const std::uint32_t segments = target_flight(tcb) / tcb.send.segment_size;
  return milliseconds(now) - b.cycle_at > b.wait || b.probe_rounds >= std::min(segments, reno_rounds);
}

/// IsTimeToCruise()
bool may_cruise(const Tcb& tcb) noexcept {
  const std::uint32_t flight = tcb.in_flight();
  return flight <= flight_with_headroom(tcb) && flight <= flight_for(tcb, max_bandwidth(tcb.bbr), 100);
}

/// Section 5.3.3.7, IsTimeToGoDown().
bool must_go_down(Tcb& tcb, const Signals& signals) noexcept {
  BbrVariables& b = tcb.bbr;
  // What was in flight before this acknowledgement; less than a segment more has no room.
  const std::uint32_t flight = tcb.in_flight() + signals.sample.acked + tcb.send.segment_size;
  if (b.too_high && flight > b.long_flight) {
    b.precautionary = true;
    return true;
  }
  if (signals.limited && tcb.congestion.window >= b.long_flight) {  // that is what holds the bandwidth back
    reset_full(b);
    b.full = signals.sample.rate;
    return false;
  }
  return b.full_now;
}

}  // namespace

void start_down(Tcb& tcb, Time now) noexcept {
  BbrVariables& b = tcb.bbr;
  b.loss_in_round = false;  // ResetCongestionSignals()
  b.latest_bandwidth = b.latest_flight = 0;
  b.up_step = BbrVariables::unlimited;
  const std::uint32_t chance = random(tcb);  // PickProbeWait(): 2 to 3 seconds
  b.probe_rounds = chance & 1;
  b.wait = 2'000 + (chance >> 1) % 1'000;
  b.cycle_at = milliseconds(now);
  b.feedback = BbrFeedback::stopping;
  start_round(b);
  b.state = BbrState::down;
}

void start_cruise(BbrVariables& b) noexcept { b.state = BbrState::cruise; }

void start_refill(BbrVariables& b) noexcept {
  reset_short_term(b);
  b.up_rounds = 0;
  b.up_acked = 0;
  b.precautionary = false;
  b.feedback = BbrFeedback::refilling;
  start_round(b);
  b.state = BbrState::refill;
}

std::uint32_t flight_with_headroom(const Tcb& tcb) noexcept {
  const std::uint32_t flight = tcb.bbr.long_flight;
  if (flight == BbrVariables::unlimited) return flight;
  const std::uint32_t left = std::max(std::uint32_t{tcb.send.segment_size}, part(flight, headroom));
  return std::max(flight > left ? flight - left : 0, smallest(tcb));
}

void advance_cycle(Tcb& tcb, const Signals& signals) noexcept {
  BbrVariables& b = tcb.bbr;
  if (!b.full_reached || adapt_long_term(tcb, signals) || !in_probe_bw(b)) return;
  switch (b.state) {
    case BbrState::down:
    case BbrState::cruise:
      if (may_probe(tcb, signals.sample.now)) return start_refill(b);
      if (b.state == BbrState::down && may_cruise(tcb)) start_cruise(b);
      return;
    case BbrState::refill:  // for one round
      if (signals.round_start) start_up(tcb, signals);
      return;
    case BbrState::up:
      if (!must_go_down(tcb, signals)) return;
      b.too_high = false;
      return start_down(tcb, signals.sample.now);
    case BbrState::startup:
    case BbrState::drain:
    case BbrState::probe_rtt:
      return;
  }
}

}  // namespace mirage::net::tcp::bbr
