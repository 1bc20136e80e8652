// SPDX-License-Identifier: ISC
// BBR's hooks: what happens in which order (BBR draft section 5.2).
#include <algorithm>

#include <mirage/net/tcp/bbr/bbr.hpp>

namespace mirage::net::tcp {

namespace bbr {

namespace {

void established(Tcb& tcb) noexcept {
  tcb.bbr = {};
  tcb.bbr.delivered = tcb.bbr.round_end = tcb.bbr.loss_round_end = count_delivered(tcb);
}

/// Where a loss response takes the window follows from the model: here only what was is noted (5.6.4.4).
void reduce(Tcb& tcb, congestion::Cause cause, Time) noexcept {
  if (cause == congestion::Cause::mark) {
    tcb.bbr.marked = true;
  } else {
    save_window(tcb);
  }
  note_loss(tcb);
}

/// Section 5.5.11.2, HandleSpuriousLossDetection().
void undo(Tcb& tcb) noexcept {
  BbrVariables& b = tcb.bbr;
  restore_window(tcb);
  b.loss_in_round = false;
  reset_full(b);
  b.short_bandwidth = std::max(b.short_bandwidth, b.undo_bandwidth);
  b.short_flight = std::max(b.short_flight, b.undo_short_flight);
  b.long_flight = std::max(b.long_flight, b.undo_long_flight);
  const bool elsewhere = b.state != b.undo_state && b.state != BbrState::probe_rtt;
  if (b.undo_state == BbrState::startup && b.state != BbrState::startup) {
    b.full_reached = false;
    if (elsewhere) b.state = BbrState::startup;
  } else if (b.undo_state == BbrState::up && elsewhere) {
    start_refill(b);
  }
  b.undo_state = BbrState::drain;
}

void sent(Tcb& tcb, std::uint32_t bytes, Time now) noexcept {
  if (tcb.in_flight() <= bytes) restart_from_idle(tcb, now);  // section 5.2.2
  note_sent(tcb, bytes, now);
}

/// When the text went out that was sent last among what is lost.
Stamp newest_lost(const Scoreboard& board) noexcept {
  Stamp newest = board.resent;
  bool any = false;
  for (std::size_t i = 0; i < board.count; ++i) {
    if (!board[i].has(Piece::lost) || (any && board[i].sent() - newest <= 0)) continue;
    newest = board[i].sent();
    any = true;
  }
  return newest;
}

/// Section 5.5.10.2, InflightAtLoss(): what was in flight when the losses became more than 2 % of it.
std::uint32_t flight_at_loss(const RateSample& sample, std::uint32_t size) noexcept {
  const std::uint64_t before = sample.in_flight - std::min(sample.in_flight, size);
  const std::uint64_t lost_before = sample.lost - std::min(sample.lost, size);
  const std::uint64_t allowed = before * loss_threshold;
  const std::uint64_t prefix = allowed > 100 * lost_before ? (allowed - 100 * lost_before) / (100 - loss_threshold) : 0;
  return static_cast<std::uint32_t>(before + prefix);
}

/// HandleLostPacket(), with `bytes` as the packet.
void lost(Tcb& tcb, std::uint32_t bytes, Time now) noexcept {
  BbrVariables& b = tcb.bbr;
  note_loss(tcb);
  if (b.loss_events < 255) ++b.loss_events;
  b.lost += bytes;
  const Transmission* p = b.probing ? find(b, newest_lost(tcb.loss.board)) : nullptr;
  if (p == nullptr) return;
  RateSample sample{.now = now, .in_flight = p->in_flight(), .lost = b.lost - p->lost};
  sample.starved = (p->word & Transmission::starved) != 0;
  if (!too_much_lost(tcb, sample)) return;
  sample.in_flight = flight_at_loss(sample, bytes);
  respond_while_probing(tcb, sample);
}

/// Section 5.2.3, UpdateOnACK().
void acknowledged(Tcb& tcb, const congestion::Evidence& evidence) noexcept {
  BbrVariables& b = tcb.bbr;
  RateSample sample = take_sample(tcb, evidence.delivery, evidence.now);
  sample.round_trip = evidence.round_trip;
  if (b.marked && b.probing && sample.any) respond_while_probing(tcb, sample);
  const Signals signals = update_model(tcb, sample, evidence.limited);
  check_startup(tcb, signals);
  b.marked = false;
  advance_cycle(tcb, signals);
  check_probe_rtt(tcb, signals, update_minimum(tcb, sample));
  finish_model(tcb, signals);
  set_rate(tcb, pacing_gain(b.state));
  set_window(tcb, sample.acked);
}

constexpr congestion::ModelHooks model{sent, lost, acknowledged, mark_starved, restore_window};

}  // namespace

Algorithm algorithm() noexcept { return Algorithm::bbr; }

}  // namespace bbr

namespace congestion {

extern const Hooks bbr_hooks;
constexpr Hooks bbr_hooks{bbr::established, nullptr, bbr::reduce, bbr::undo, &bbr::model};

}  // namespace congestion

}  // namespace mirage::net::tcp
