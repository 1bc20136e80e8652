// SPDX-License-Identifier: ISC
// The path as it shows itself: BBR draft section 5.5.
#include <algorithm>

#include <mirage/net/tcp/bbr/bbr.hpp>

namespace mirage::net::tcp::bbr {

namespace {

constexpr std::uint32_t unlimited = BbrVariables::unlimited;

/// Section 5.5.1, UpdateRound(). True when a round trip has gone.
bool update_round(BbrVariables& b, const RateSample& sample) noexcept {
  if (!sample.any || !reached(sample.prior, b.round_end)) return false;
  start_round(b);
  ++b.rounds;
  ++b.probe_rounds;
  return true;
}

/// Section 5.5.5, UpdateMaxBw(): what the application held back says nothing, unless it is faster than what is known.
void update_bandwidth(BbrVariables& b, const RateSample& sample) noexcept {
  if (sample.rate == 0 || (sample.starved && sample.rate < max_bandwidth(b))) return;
  b.bandwidths[0] = std::max(b.bandwidths[0], sample.rate);
}

/// Section 5.5.10.3, AdaptLowerBoundsFromCongestion(): once in a round, towards what was delivered in it.
void lower_bounds(Tcb& tcb) noexcept {
  BbrVariables& b = tcb.bbr;
  const bool probes = b.state == BbrState::startup || b.state == BbrState::refill || b.state == BbrState::up;
  if (probes || !b.loss_in_round) return;
  if (b.short_bandwidth == unlimited) b.short_bandwidth = max_bandwidth(b);
  if (b.short_flight == unlimited) b.short_flight = tcb.congestion.window;
  b.short_bandwidth = std::max(b.latest_bandwidth, part(b.short_bandwidth, beta));
  b.short_flight = std::max(b.latest_flight, part(b.short_flight, beta));
}

/// Section 5.5.9, UpdateACKAggregation().
void update_aggregation(Tcb& tcb, const RateSample& sample) noexcept {
  BbrVariables& b = tcb.bbr;
  const Stamp now = Stamp::of(sample.now);
  const auto interval = static_cast<std::uint64_t>(std::max(now - b.excess_since, 0));
  std::uint64_t expected = interval * b.bandwidth / 1'000'000;
  if (b.excess_delivered <= expected) {
    b.excess_delivered = 0;
    b.excess_since = now;
    expected = 0;
  }
  b.excess_delivered +=
      std::min(sample.acked, congestion::largest_window - std::min(b.excess_delivered, congestion::largest_window));
  if (b.rounds - b.excess_round >= (b.full_reached ? excess_rounds : 1)) {
    b.excess = {0, b.excess[0]};
    b.excess_round = b.rounds;
  }
  const std::uint64_t more = b.excess_delivered > expected ? b.excess_delivered - expected : 0;
  const auto bounded = static_cast<std::uint32_t>(std::min<std::uint64_t>(more, tcb.congestion.window));
  b.excess[0] = std::max(b.excess[0], bounded);
}

}  // namespace

void start_round(BbrVariables& b) noexcept { b.round_end = b.delivered; }

void reset_full(BbrVariables& b) noexcept {
  b.full = 0;
  b.full_rounds = 0;
  b.full_now = false;
}

void reset_short_term(BbrVariables& b) noexcept { b.short_bandwidth = b.short_flight = unlimited; }

void save_window(Tcb& tcb) noexcept {
  BbrVariables& b = tcb.bbr;
  const bool as_it_was = tcb.congestion.phase == Phase::open && b.state != BbrState::probe_rtt;
  b.prior_window = as_it_was ? tcb.congestion.window : std::max(b.prior_window, tcb.congestion.window);
}

void restore_window(Tcb& tcb) noexcept {
  tcb.congestion.window = std::max(tcb.congestion.window, tcb.bbr.prior_window);
}

bool too_much_lost(const Tcb& tcb, const RateSample& sample) noexcept {
  if (!tcb.receive.sack) return sample.lost > 0;
  return std::uint64_t{sample.lost} * 100 > std::uint64_t{sample.in_flight} * loss_threshold;
}

void note_loss(Tcb& tcb) noexcept {
  BbrVariables& b = tcb.bbr;
  if (b.loss_in_round) return;
  b.loss_in_round = true;
  b.loss_round_end = count_delivered(tcb);
  save_window(tcb);  // section 5.5.11.1, SaveStateUponLoss()
  b.undo_state = BbrState::drain;
  b.undo_bandwidth = b.short_bandwidth;
  b.undo_short_flight = b.short_flight;
  b.undo_long_flight = b.long_flight;
}

void respond_while_probing(Tcb& tcb, const RateSample& sample) noexcept {
  BbrVariables& b = tcb.bbr;
  b.too_high = true;
  b.probing = false;  // once for each probe
  if (!sample.starved) b.long_flight = std::max(sample.in_flight, part(target_flight(tcb), beta));
  if (b.state != BbrState::up) return;
  b.undo_state = BbrState::up;
  start_down(tcb, sample.now);
}

Signals update_model(Tcb& tcb, const RateSample& sample, bool limited) noexcept {
  BbrVariables& b = tcb.bbr;
  Signals signals{.sample = sample, .limited = limited};
  // Section 5.5.10.3, UpdateLatestDeliverySignals()
  b.latest_bandwidth = std::max(b.latest_bandwidth, sample.rate);
  b.latest_flight = std::max(b.latest_flight, sample.delivered);
  if (sample.any && reached(sample.prior, b.loss_round_end)) {
    b.loss_round_end = b.delivered;
    signals.loss_round_start = true;
  }
  signals.round_start = update_round(b, sample);
  update_bandwidth(b, sample);
  if (signals.loss_round_start) lower_bounds(tcb);
  update_aggregation(tcb, sample);
  return signals;
}

void finish_model(Tcb& tcb, const Signals& signals) noexcept {
  BbrVariables& b = tcb.bbr;
  if (signals.loss_round_start) {
    b.latest_bandwidth = signals.sample.rate;
    b.latest_flight = signals.sample.delivered;
    b.loss_in_round = false;
    b.loss_events = 0;
  }
  b.bandwidth = std::min(max_bandwidth(b), b.short_bandwidth);
}

bool update_minimum(Tcb& tcb, const RateSample& sample) noexcept {
  BbrVariables& b = tcb.bbr;
  const std::uint32_t now = milliseconds(sample.now);
  const bool due = b.probe_minimum != 0 && now - b.probe_minimum_at > probe_interval;
  const bool smaller = b.probe_minimum == 0 || sample.round_trip < b.probe_minimum;
  if (sample.round_trip != 0 && (smaller || due)) {
    b.probe_minimum = sample.round_trip;
    b.probe_minimum_at = now;
  }
  const bool old = now - b.minimum_at > minimum_life;
  if (b.probe_minimum != 0 && (b.minimum == 0 || b.probe_minimum < b.minimum || old)) {
    b.minimum = b.probe_minimum;
    b.minimum_at = b.probe_minimum_at;
  }
  return due;
}

}  // namespace mirage::net::tcp::bbr
