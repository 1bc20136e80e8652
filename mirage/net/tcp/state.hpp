// SPDX-License-Identifier: ISC
// The state diagram of RFC 9293 section 3.3.2 (figure 5) as one table. LISTEN has no row: a listener is an entry of the
// listen table, and a connection's life begins in SYN-SENT or SYN-RECEIVED. Resets, time-outs and aborts lead from
// every state to CLOSED and are not repeated in each row.
#pragma once

#include <array>
#include <cstdint>
#include <string_view>

namespace mirage::net::tcp {

enum class State : std::uint8_t {
  closed,
  syn_sent,
  syn_received,
  established,
  fin_wait_1,
  fin_wait_2,
  close_wait,
  closing,
  last_ack,
  time_wait,
};
inline constexpr std::size_t state_count = 10;

/// What moves a connection from state to state.
enum class Step : std::uint8_t {
  their_syn,         ///< a SYN arrived that does not acknowledge ours
  synchronised,      ///< both SYNs are acknowledged
  close,             ///< the application has no more to send
  their_fin,         ///< everything up to and including the peer's FIN has arrived
  fin_acknowledged,  ///< the peer acknowledged our FIN
};
inline constexpr std::size_t step_count = 5;

namespace detail {
inline constexpr auto transitions = [] {
  using enum State;
  using Row = std::array<State, step_count>;
  // clang-format off
  return std::array<Row, state_count>{{
    //                their_syn     synchronised  close         their_fin     fin_acknowledged
    /* closed       */ {closed,       closed,       closed,       closed,       closed},
    /* syn_sent     */ {syn_received, established,  closed,       syn_sent,     syn_sent},        // active open
    /* syn_received */ {syn_received, established,  fin_wait_1,   syn_received, syn_received},    // passive, or both at once
    /* established  */ {established,  established,  fin_wait_1,   close_wait,   established},     // data both ways
    /* fin_wait_1   */ {fin_wait_1,   fin_wait_1,   fin_wait_1,   closing,      fin_wait_2},      // our FIN is on its way
    /* fin_wait_2   */ {fin_wait_2,   fin_wait_2,   fin_wait_2,   time_wait,    fin_wait_2},      // we may still receive
    /* close_wait   */ {close_wait,   close_wait,   last_ack,     close_wait,   close_wait},      // we may still send
    /* closing      */ {closing,      closing,      closing,      closing,      time_wait},       // both FINs crossed
    /* last_ack     */ {last_ack,     last_ack,     last_ack,     last_ack,     closed},          // only our FIN is open
    /* time_wait    */ {time_wait,    time_wait,    time_wait,    time_wait,    time_wait},       // 2 MSL, then closed
  }};
  // clang-format on
}();
}  // namespace detail

[[nodiscard]] constexpr State after(State state, Step step) noexcept {
  return detail::transitions[static_cast<std::size_t>(state)][static_cast<std::size_t>(step)];
}

/// Both SYNs have been acknowledged, RFC 9293 "synchronized states".
[[nodiscard]] constexpr bool synchronised(State state) noexcept { return state >= State::established; }
/// The peer may still send text.
[[nodiscard]] constexpr bool receives(State state) noexcept {
  return state == State::established || state == State::fin_wait_1 || state == State::fin_wait_2;
}
/// Text and FIN are (re)transmitted.
[[nodiscard]] constexpr bool transmits(State state) noexcept {
  return state == State::established || state == State::close_wait || state == State::fin_wait_1 ||
         state == State::closing || state == State::last_ack;
}

[[nodiscard]] constexpr std::string_view to_string(State state) noexcept {
  constexpr std::array<std::string_view, state_count> names{"CLOSED",     "SYN-SENT",   "SYN-RECEIVED", "ESTABLISHED",
                                                            "FIN-WAIT-1", "FIN-WAIT-2", "CLOSE-WAIT",   "CLOSING",
                                                            "LAST-ACK",   "TIME-WAIT"};
  return names[static_cast<std::size_t>(state)];
}

}  // namespace mirage::net::tcp
