// SPDX-License-Identifier: ISC
// BBR, version 3: a model of the path (its bandwidth, its round trip, how much may be in flight) instead of a reaction
// to each loss. Read draft-ietf-ccwg-bbr ("BBR draft"), section 5. In the order of an acknowledgement: rate.hpp (the
// sample), model.cpp (section 5.5), state.cpp (Startup, Drain, ProbeRTT: 5.3), cycle.cpp (ProbeBW: 5.3.3), control.cpp
// (pacing and window: 5.6).
//
// Deliberately different from the draft:
//   - the initial window goes at once, as with the others (RFC 9002 section 7.7); its rate holds from the first sample;
//   - losses are handled by the acknowledgement that shows them, as one aggregate (5.5.10.2 allows a burst for a
//   packet);
//   - a range that is lost counts for 5.3.1.3 when an acknowledgement shows it: once, however long;
//   - the draft leaves ECN open (3.7): a mark counts as a loss in its round, and while probing as one above 2 %;
//   - the windowed maximum of 5.5.9 is that of two slots of five round trips each.
#pragma once

#include <mirage/net/tcp/bbr/algorithm.hpp>
#include <mirage/net/tcp/bbr/rate.hpp>
#include <mirage/net/tcp/congestion/algorithm.hpp>

namespace mirage::net::tcp::bbr {

// Section 2: parts of a hundred.
inline constexpr std::uint32_t loss_threshold = 2;  ///< BBR.LossThresh
inline constexpr std::uint32_t beta = 70;           ///< BBR.Beta
inline constexpr std::uint32_t headroom = 15;       ///< BBR.Headroom
inline constexpr std::uint32_t pacing_margin = 1;   ///< BBR.PacingMarginPercent
inline constexpr std::uint32_t startup_gain = 277;  ///< BBR.StartupPacingGain
inline constexpr std::uint32_t growth = 125;        ///< of bandwidth, in a round: below, the pipe is full (5.3.1.2)
inline constexpr std::uint8_t full_rounds = 3;
inline constexpr std::uint8_t startup_loss_events = 6;  ///< BBRStartupFullLossCnt
inline constexpr std::uint32_t drain_rounds = 3;        ///< section 5.3.2
inline constexpr std::uint32_t smallest_window = 4;     ///< BBR.MinPipeCwnd, segments
inline constexpr std::uint32_t minimum_life = 10'000;   ///< BBR.MinRTTFilterLen, milliseconds
inline constexpr std::uint32_t probe_interval = 5'000;  ///< BBR.ProbeRTTInterval, milliseconds
inline constexpr std::uint32_t probe_duration = 200;    ///< BBR.ProbeRTTDuration, milliseconds
inline constexpr std::uint32_t excess_rounds = 5;       ///< half of BBR.ExtraAckedFilterLen
inline constexpr std::uint32_t reno_rounds = 63;        ///< section 5.3.3.8, T_reno

[[nodiscard]] constexpr std::uint32_t milliseconds(Time now) noexcept {
  return static_cast<std::uint32_t>(now.time_since_epoch().count() / 1'000'000);
}
/// `percent` of a hundred parts of `value`; what is unlimited stays so.
[[nodiscard]] constexpr std::uint32_t part(std::uint32_t value, std::uint32_t percent) noexcept {
  if (value == BbrVariables::unlimited) return value;
  const std::uint64_t out = std::uint64_t{value} * percent / 100;
  return out < BbrVariables::unlimited ? static_cast<std::uint32_t>(out) : BbrVariables::unlimited - 1;
}
[[nodiscard]] constexpr std::uint32_t max_bandwidth(const BbrVariables& b) noexcept {
  return std::max(b.bandwidths[0], b.bandwidths[1]);
}
[[nodiscard]] constexpr bool in_probe_bw(const BbrVariables& b) noexcept {
  return b.state >= BbrState::down && b.state <= BbrState::up;
}

/// What an acknowledgement says beyond its sample.
struct Signals {
  const RateSample& sample;
  bool round_start = false;       ///< BBR.round_start
  bool loss_round_start = false;  ///< BBR.loss_round_start
  bool limited = false;           ///< C.is_cwnd_limited
};

// model.cpp: section 5.5
/// UpdateLatestDeliverySignals(), UpdateCongestionSignals(), UpdateACKAggregation().
[[nodiscard]] Signals update_model(Tcb& tcb, const RateSample& sample, bool limited) noexcept;
/// AdvanceLatestDeliverySignals(), BoundBWForModel().
void finish_model(Tcb& tcb, const Signals& signals) noexcept;
/// UpdateMinRTT(): section 5.3.4.3. True when ProbeRTT is due.
[[nodiscard]] bool update_minimum(Tcb& tcb, const RateSample& sample) noexcept;
/// IsInflightTooHigh()
[[nodiscard]] bool too_much_lost(const Tcb& tcb, const RateSample& sample) noexcept;
/// NoteLoss(), section 5.5.10.2.
void note_loss(Tcb& tcb) noexcept;
/// HandleInflightTooHigh()
void respond_while_probing(Tcb& tcb, const RateSample& sample) noexcept;
/// SaveCwnd(), section 5.6.4.4.
void save_window(Tcb& tcb) noexcept;
void restore_window(Tcb& tcb) noexcept;
void reset_short_term(BbrVariables& b) noexcept;
void reset_full(BbrVariables& b) noexcept;
void start_round(BbrVariables& b) noexcept;

// state.cpp: sections 5.3.1, 5.3.2, 5.3.4, 5.4
/// CheckFullBWReached(), CheckStartupDone(), CheckDrainDone().
void check_startup(Tcb& tcb, const Signals& signals) noexcept;
/// CheckProbeRTT(); `due`: BBR.probe_rtt_expired.
void check_probe_rtt(Tcb& tcb, const Signals& signals, bool due) noexcept;
/// HandleRestartFromIdle(): nothing is on its way and text goes.
void restart_from_idle(Tcb& tcb, Time now) noexcept;

// cycle.cpp: section 5.3.3.9
/// UpdateProbeBWCyclePhase()
void advance_cycle(Tcb& tcb, const Signals& signals) noexcept;
void start_down(Tcb& tcb, Time now) noexcept;
void start_cruise(BbrVariables& b) noexcept;
void start_refill(BbrVariables& b) noexcept;
/// InflightWithHeadroom()
[[nodiscard]] std::uint32_t flight_with_headroom(const Tcb& tcb) noexcept;

// control.cpp: section 5.6
[[nodiscard]] std::uint32_t pacing_gain(BbrState state) noexcept;
/// BDPMultiple(): `percent` of what `bandwidth` has on its way in a round trip.
[[nodiscard]] std::uint32_t path(const Tcb& tcb, std::uint32_t bandwidth, std::uint32_t percent) noexcept;
/// Inflight()
[[nodiscard]] std::uint32_t flight_for(const Tcb& tcb, std::uint32_t bandwidth, std::uint32_t percent) noexcept;
/// TargetInflight(), section 5.3.3.8.
[[nodiscard]] std::uint32_t target_flight(const Tcb& tcb) noexcept;
/// ProbeRTTCwnd()
[[nodiscard]] std::uint32_t probe_rtt_window(const Tcb& tcb) noexcept;
/// SetPacingRateWithGain()
void set_rate(Tcb& tcb, std::uint32_t gain) noexcept;
/// SetCwnd()
void set_window(Tcb& tcb, std::uint32_t acked) noexcept;
[[nodiscard]] std::uint32_t smallest(const Tcb& tcb) noexcept;

}  // namespace mirage::net::tcp::bbr
