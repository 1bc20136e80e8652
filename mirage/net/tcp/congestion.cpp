// SPDX-License-Identifier: ISC
#include <array>

#include <mirage/net/tcp/congestion/algorithm.hpp>
#include <mirage/net/tcp/congestion/cubic.hpp>
#include <mirage/net/tcp/congestion/newreno.hpp>
#include <mirage/net/tcp/congestion/none.hpp>

namespace mirage::net::tcp::congestion {

/// Weak: only an image that names BBR (bbr/algorithm.hpp) has it.
[[gnu::weak]] extern const Hooks bbr_hooks;

namespace {
constexpr std::array<Hooks, algorithm_count - 1> table{None::hooks, NewReno::hooks, Cubic::hooks};
}  // namespace

const Hooks& hooks(Algorithm algorithm) noexcept {
  if (algorithm != Algorithm::bbr) return table[static_cast<std::size_t>(algorithm)];
  return &bbr_hooks != nullptr ? bbr_hooks : Cubic::hooks;
}

void establish(Tcb& tcb, bool syn_was_lost) noexcept {
  CongestionVariables& c = tcb.congestion;
  c.window = (syn_was_lost ? 1 : constant::initial_segments) * tcb.send.segment_size;
  c.threshold = unknown_threshold;
  c.recover = c.limited = tcb.send.initial;
  hooks(c.algorithm).established(tcb);
}

void restart_after_idle(Tcb& tcb) noexcept {
  CongestionVariables& c = tcb.congestion;
  if (model(tcb) != nullptr) return;  // it knows better: BBR draft section 5.4.1
  c.window = std::min(c.window, constant::initial_segments * tcb.send.segment_size);
}

}  // namespace mirage::net::tcp::congestion
