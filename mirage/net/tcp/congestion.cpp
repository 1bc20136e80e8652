// SPDX-License-Identifier: ISC
#include <array>

#include <mirage/net/tcp/congestion/algorithm.hpp>
#include <mirage/net/tcp/congestion/cubic.hpp>
#include <mirage/net/tcp/congestion/newreno.hpp>
#include <mirage/net/tcp/congestion/none.hpp>

namespace mirage::net::tcp::congestion {

namespace {
constexpr std::array<Hooks, algorithm_count> table{None::hooks, NewReno::hooks, Cubic::hooks};
}  // namespace

const Hooks& hooks(Algorithm algorithm) noexcept { return table[static_cast<std::size_t>(algorithm)]; }

void establish(Tcb& tcb, bool syn_was_lost) noexcept {
  CongestionVariables& c = tcb.congestion;
  c.window = (syn_was_lost ? 1 : constant::initial_segments) * tcb.send.segment_size;
  c.threshold = unknown_threshold;
  c.recover = c.limited = tcb.send.initial;
  hooks(c.algorithm).established(tcb);
}

void restart_after_idle(Tcb& tcb) noexcept {
  CongestionVariables& c = tcb.congestion;
  c.window = std::min(c.window, constant::initial_segments * tcb.send.segment_size);
}

}  // namespace mirage::net::tcp::congestion
