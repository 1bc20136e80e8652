// SPDX-License-Identifier: ISC
// Startup, Drain, ProbeRTT and the way back from idleness: BBR draft sections 5.3.1, 5.3.2, 5.3.4, 5.4.
#include <algorithm>

#include <mirage/net/tcp/bbr/bbr.hpp>

namespace mirage::net::tcp::bbr {

namespace {

/// Section 5.3.1.2, CheckFullBWReached(): three rounds in which the bandwidth grew by less than a quarter.
void check_full(BbrVariables& b, const Signals& signals) noexcept {
  const RateSample& sample = signals.sample;
  if (b.full_now || !signals.round_start || sample.starved || sample.rate == 0) return;
  if (sample.rate >= part(b.full, growth)) {
    reset_full(b);
    b.full = sample.rate;
    return;
  }
  if (++b.full_rounds < full_rounds) return;
  b.full_now = b.full_reached = true;
}

/// Section 5.3.1.3, CheckStartupHighLoss(): a round of losses has gone by in recovery.
bool loses_much(const Tcb& tcb, const Signals& signals) noexcept {
  const BbrVariables& b = tcb.bbr;
  if (tcb.congestion.phase != Phase::recovery) return false;
  if (!tcb.receive.sack) return b.loss_in_round;
  return signals.loss_round_start && b.loss_events >= startup_loss_events && too_much_lost(tcb, signals.sample);
}

void leave_startup_by_loss(Tcb& tcb) noexcept {
  BbrVariables& b = tcb.bbr;
  b.undo_state = BbrState::startup;
  b.full_now = b.full_reached = true;
  b.long_flight = std::max(path(tcb, b.bandwidth, 100), b.latest_flight);
}

/// Section 5.3.4.4, ExitProbeRTT().
void leave_probe_rtt(Tcb& tcb, Time now) noexcept {
  BbrVariables& b = tcb.bbr;
  reset_short_term(b);
  if (!b.full_reached) {
    b.state = BbrState::startup;
    return;
  }
  start_down(tcb, now);
  start_cruise(b);
}

/// Section 5.3.4.3, CheckProbeRTTDone().
void check_probe_rtt_done(Tcb& tcb, Time now) noexcept {
  BbrVariables& b = tcb.bbr;
  const std::uint32_t time = milliseconds(now);
  if (b.probe_done_at == 0 || reached(b.probe_done_at, time)) return;
  b.probe_minimum_at = time;
  restore_window(tcb);
  leave_probe_rtt(tcb, now);
}

/// HandleProbeRTT()
void stay_in_probe_rtt(Tcb& tcb, const Signals& signals) noexcept {
  BbrVariables& b = tcb.bbr;
  mark_starved(tcb);  // low rates say nothing
  if (b.probe_done_at == 0) {
    if (tcb.in_flight() > probe_rtt_window(tcb)) return;
    b.probe_done_at = std::max(milliseconds(signals.sample.now) + probe_duration, 1U);
    b.probe_round_done = false;
    start_round(b);
    return;
  }
  b.probe_round_done = b.probe_round_done || signals.round_start;
  if (b.probe_round_done) check_probe_rtt_done(tcb, signals.sample.now);
}

}  // namespace

void check_startup(Tcb& tcb, const Signals& signals) noexcept {
  BbrVariables& b = tcb.bbr;
  check_full(b, signals);
  if (b.state == BbrState::startup) {
    // 3.7 leaves ECN open: a mark says that a queue stands.
    if (b.marked || loses_much(tcb, signals)) leave_startup_by_loss(tcb);
    if (b.full_reached) {
      b.state = BbrState::drain;
      b.drain_round = b.rounds;
    }
  }
  if (b.state != BbrState::drain) return;
  // Section 5.3.2, CheckDrainDone()
  const bool drained = tcb.in_flight() <= flight_for(tcb, b.bandwidth, 100);
  if (drained || b.rounds - b.drain_round > drain_rounds) start_down(tcb, signals.sample.now);
}

void check_probe_rtt(Tcb& tcb, const Signals& signals, bool due) noexcept {
  BbrVariables& b = tcb.bbr;
  if (b.state != BbrState::probe_rtt && due && !b.idle_restart) {
    save_window(tcb);
    b.state = BbrState::probe_rtt;
    b.probe_done_at = 0;
    b.feedback = BbrFeedback::stopping;
    start_round(b);
  }
  if (b.state == BbrState::probe_rtt) stay_in_probe_rtt(tcb, signals);
  if (signals.sample.delivered > 0) b.idle_restart = false;
}

void restart_from_idle(Tcb& tcb, Time now) noexcept {
  BbrVariables& b = tcb.bbr;
  if (!b.starved) return;
  b.idle_restart = true;
  b.excess_since = Stamp::of(now);
  if (in_probe_bw(b)) {
    set_rate(tcb, 100);
  } else if (b.state == BbrState::probe_rtt) {
    check_probe_rtt_done(tcb, now);
  }
}

}  // namespace mirage::net::tcp::bbr
