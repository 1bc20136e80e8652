// SPDX-License-Identifier: ISC
// What the model makes of itself: pacing rate, send quantum (pacing.hpp), window. BBR draft section 5.6.
#include <algorithm>

#include <mirage/net/tcp/bbr/bbr.hpp>
#include <mirage/net/tcp/pacing.hpp>

namespace mirage::net::tcp::bbr {

namespace {

/// Section 5.6.1, the column of the windows.
std::uint32_t window_gain(BbrState state) noexcept {
  if (state == BbrState::up) return 225;
  return state == BbrState::probe_rtt ? 50 : 200;
}

/// Section 5.6.4.2, QuantizationBudget(); the offload budget is three quanta (5.5.8.1).
std::uint32_t with_budget(const Tcb& tcb, std::uint32_t flight) noexcept {
  const std::uint64_t quantum = pacing::burst(tcb, std::max<std::uint64_t>(tcb.pacing.rate, 1));
  const std::uint32_t least = std::max(static_cast<std::uint32_t>(3 * quantum), smallest(tcb));
  const std::uint32_t more = tcb.bbr.state == BbrState::up ? 2U * tcb.send.segment_size : 0;
  return std::min(std::max(flight, least), congestion::largest_window) + more;
}

/// Section 5.6.4.7, BoundCwndForModel().
std::uint32_t cap(const Tcb& tcb) noexcept {
  const BbrVariables& b = tcb.bbr;
  std::uint32_t most = BbrVariables::unlimited;
  if (b.state == BbrState::probe_rtt || b.state == BbrState::cruise) {
    most = flight_with_headroom(tcb);
  } else if (in_probe_bw(b)) {
    most = b.long_flight;
  }
  return std::max(std::min(most, b.short_flight), smallest(tcb));
}

}  // namespace

std::uint32_t smallest(const Tcb& tcb) noexcept { return smallest_window * tcb.send.segment_size; }

std::uint32_t pacing_gain(BbrState state) noexcept {
  switch (state) {  // section 5.6.1
    case BbrState::startup:
      return startup_gain;
    case BbrState::drain:
      return 50;
    case BbrState::down:
      return 90;
    case BbrState::up:
      return 125;
    case BbrState::cruise:
    case BbrState::refill:
    case BbrState::probe_rtt:
      return 100;
  }
  return 100;
}

std::uint32_t path(const Tcb& tcb, std::uint32_t bandwidth, std::uint32_t percent) noexcept {
  if (tcb.bbr.minimum == 0) return constant::initial_segments * tcb.send.segment_size;
  const std::uint64_t product = std::uint64_t{bandwidth} * std::min(tcb.bbr.minimum, 60'000'000U) / 1'000'000;
  return part(static_cast<std::uint32_t>(std::min<std::uint64_t>(product, congestion::largest_window)), percent);
}

std::uint32_t flight_for(const Tcb& tcb, std::uint32_t bandwidth, std::uint32_t percent) noexcept {
  return with_budget(tcb, path(tcb, bandwidth, percent));
}

std::uint32_t target_flight(const Tcb& tcb) noexcept {
  return std::min(path(tcb, tcb.bbr.bandwidth, 100), tcb.congestion.window);
}

std::uint32_t probe_rtt_window(const Tcb& tcb) noexcept {
  return std::max(path(tcb, tcb.bbr.bandwidth, window_gain(BbrState::probe_rtt)), smallest(tcb));
}

void set_rate(Tcb& tcb, std::uint32_t gain) noexcept {
  const Duration trip = std::max(tcb.round_trip.smoothed, Duration{1us});
  if (tcb.pacing.rate == 0) {  // section 5.6.2, InitPacingRate()
    const std::uint64_t window = constant::initial_segments * std::uint64_t{tcb.send.segment_size};
    tcb.pacing.rate = window * startup_gain * 10'000'000 / static_cast<std::uint64_t>(trip.count());
  }
  const std::uint64_t rate = std::uint64_t{tcb.bbr.bandwidth} * gain * (100 - pacing_margin) / 10'000;
  // At least a segment in a round trip: a sample over a path's outage must not hold text back for minutes.
  const std::uint64_t least =
      std::uint64_t{tcb.send.segment_size} * 1'000'000'000 / static_cast<std::uint64_t>(trip.count()) + 1;
  if (tcb.bbr.full_reached || rate > tcb.pacing.rate) tcb.pacing.rate = std::max(rate, least);
}

void set_window(Tcb& tcb, std::uint32_t acked) noexcept {
  const BbrVariables& b = tcb.bbr;
  std::uint32_t& window = tcb.congestion.window;
  const std::uint32_t excess = std::max(b.excess[0], b.excess[1]);
  // Section 5.6.4.2, UpdateMaxInflight()
  const std::uint32_t most = with_budget(tcb, path(tcb, b.bandwidth, window_gain(b.state)) + excess);
  const std::uint32_t grown =
      std::min(window, congestion::largest_window) + std::min(acked, congestion::largest_window);
  // Section 5.6.4.6
  if (b.full_reached) {
    window = std::min(grown, most);
  } else if (window < most || b.rounds <= 1) {  // the first flight: it says little yet
    window = grown;
  }
  window = std::max(window, smallest(tcb));
  if (b.state == BbrState::probe_rtt) window = std::min(window, probe_rtt_window(tcb));  // 5.6.4.5
  window = std::min({window, cap(tcb), congestion::largest_window});
}

}  // namespace mirage::net::tcp::bbr
