// SPDX-License-Identifier: ISC
// What a connection remembers whose congestion algorithm has a model of the path: BBR. State only, as part of the TCB;
// the algorithm is in bbr/. Read draft-ietf-ccwg-bbr ("BBR draft", the editors' text of August 2026), section 2, which
// names the variables that stand behind each field here.
//
// Bytes and counts are modulo 2^32 where they count up; rates are bytes per second, 34 Gbit/s at most.
#pragma once

#include <array>
#include <cstdint>

#include <mirage/net/tcp/scoreboard.hpp>

namespace mirage::net::tcp {

/// What was known when text went out, section 4.1.2.1.2 (P.*). One for an eighth of a round trip, so about nine on
/// their way: a piece of the scoreboard finds its own by its time of transmission.
struct Transmission {
  static constexpr std::uint32_t starved = 1U << 31;  ///< P.is_app_limited
  Stamp sent;                                         ///< P.send_time
  Stamp first_sent;                                   ///< P.first_send_time
  Stamp delivered_at;                                 ///< P.delivered_time
  std::uint32_t delivered = 0;                        ///< P.delivered
  std::uint32_t lost = 0;                             ///< P.lost
  std::uint32_t word = 0;                             ///< P.tx_in_flight, and the mark
  [[nodiscard]] constexpr std::uint32_t in_flight() const noexcept { return word & ~starved; }
};

/// The last transmissions. Bounded: when there are more, the oldest is forgotten, and what was sent then says nothing
/// about the path.
struct Transmissions {
  static constexpr std::size_t capacity = 16;
  std::array<Transmission, capacity> items{};  ///< a ring
  std::uint8_t first = 0;
  std::uint8_t count = 0;
};

enum class BbrState : std::uint8_t { startup, drain, down, cruise, refill, up, probe_rtt };
/// Section 2.14, BBR.ack_phase: what is being acknowledged, as far as probing for bandwidth goes.
enum class BbrFeedback : std::uint8_t { none, refilling, starting, feedback, stopping };

/// Section 2. Its enumerators and its flags are the draft's; times in milliseconds are modulo 2^32.
struct BbrVariables {
  static constexpr std::uint32_t unlimited = 0xffffffff;  ///< Infinity
  // Delivery rate, section 4.1.2.1.1
  std::uint32_t delivered = 0;      ///< C.delivered
  std::uint32_t lost = 0;           ///< C.lost
  Stamp delivered_at;               ///< C.delivered_time
  Stamp first_sent;                 ///< C.first_send_time
  std::uint32_t starved_until = 0;  ///< C.app_limited, where `starved`
  // The path, sections 2.9 to 2.11
  std::array<std::uint32_t, 2> bandwidths{};  ///< BBR.max_bw_filter: of this cycle, and of the one before
  std::uint32_t bandwidth = 0;                ///< BBR.bw
  std::uint32_t short_bandwidth = unlimited;  ///< BBR.bw_shortterm
  std::uint32_t short_flight = unlimited;     ///< BBR.inflight_shortterm
  std::uint32_t long_flight = unlimited;      ///< BBR.inflight_longterm
  std::uint32_t latest_bandwidth = 0;         ///< BBR.bw_latest
  std::uint32_t latest_flight = 0;            ///< BBR.inflight_latest
  std::uint32_t minimum = 0;                  ///< BBR.min_rtt, microseconds; 0: none
  std::uint32_t minimum_at = 0;               ///< BBR.min_rtt_stamp, milliseconds
  std::uint32_t probe_minimum = 0;            ///< BBR.probe_rtt_min_delay, microseconds; 0: none
  std::uint32_t probe_minimum_at = 0;         ///< BBR.probe_rtt_min_stamp, milliseconds
  std::uint32_t probe_done_at = 0;            ///< BBR.probe_rtt_done_stamp, milliseconds; 0: none
  // Aggregation, section 2.12: the larger of two slots of five round trips
  std::array<std::uint32_t, 2> excess{};  ///< BBR.extra_acked_filter
  std::uint32_t excess_round = 0;         ///< when the first slot began
  std::uint32_t excess_delivered = 0;     ///< BBR.extra_acked_delivered
  Stamp excess_since;                     ///< BBR.extra_acked_interval_start
  // Rounds
  std::uint32_t rounds = 0;          ///< BBR.round_count
  std::uint32_t round_end = 0;       ///< BBR.next_round_delivered
  std::uint32_t loss_round_end = 0;  ///< BBR.loss_round_delivered
  std::uint32_t drain_round = 0;     ///< BBR.drain_start_round
  std::uint32_t probe_rounds = 0;    ///< BBR.rounds_since_probe_up
  // ProbeBW, section 2.14
  std::uint32_t full = 0;             ///< BBR.full_bw
  std::uint32_t cycle_at = 0;         ///< BBR.cycle_stamp, milliseconds
  std::uint32_t wait = 0;             ///< BBR.bw_probe_wait, milliseconds
  std::uint32_t up_acked = 0;         ///< BBR.bw_probe_up_acked
  std::uint32_t up_step = unlimited;  ///< BBR.probe_up_acked_per_inc
  // What is given back
  std::uint32_t prior_window = 0;               ///< BBR.prior_cwnd
  std::uint32_t undo_bandwidth = unlimited;     ///< BBR.undo_bw_shortterm
  std::uint32_t undo_short_flight = unlimited;  ///< BBR.undo_inflight_shortterm
  std::uint32_t undo_long_flight = unlimited;   ///< BBR.undo_inflight_longterm
  BbrState state = BbrState::startup;
  BbrState undo_state = BbrState::drain;  ///< BBR.undo_state: startup or up; drain stands for none
  BbrFeedback feedback = BbrFeedback::none;
  std::uint8_t up_rounds = 0;     ///< BBR.bw_probe_up_rounds
  std::uint8_t full_rounds = 0;   ///< BBR.full_bw_count
  std::uint8_t loss_events = 0;   ///< in this round of losses
  bool starved = false;           ///< the connection is application-limited, section 4.1.1.3
  bool full_now = false;          ///< BBR.full_bw_now
  bool full_reached = false;      ///< BBR.full_bw_reached
  bool probing = false;           ///< BBR.is_bw_probe_sample
  bool loss_in_round = false;     ///< BBR.is_loss_in_round
  bool marked = false;            ///< a router has marked; not answered yet
  bool too_high = false;          ///< BBR.prev_probe_too_high
  bool precautionary = false;     ///< BBR.prev_probe_precautionary
  bool idle_restart = false;      ///< BBR.idle_restart
  bool probe_round_done = false;  ///< BBR.probe_rtt_round_done
  Transmissions transmissions;    ///< last: what an idle connection can do without
};

}  // namespace mirage::net::tcp
