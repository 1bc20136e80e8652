// SPDX-License-Identifier: ISC
// The transmission control block (RFC 9293 section 3.3.1): everything that the protocol remembers about a connection,
// as a value without pointers. Positions are sequence numbers, times are deadlines, data is elsewhere (the connection's
// queues), so that a TCB can be written, moved and restored at any event: see serialise.hpp, which lists each field.
#pragma once

#include <array>
#include <cstdint>
#include <string_view>

#include <mirage/base/address.hpp>
#include <mirage/base/time.hpp>
#include <mirage/net/tcp/fast_open.hpp>
#include <mirage/net/tcp/model.hpp>
#include <mirage/net/tcp/ranges.hpp>
#include <mirage/net/tcp/scoreboard.hpp>
#include <mirage/net/tcp/sequence.hpp>
#include <mirage/net/tcp/state.hpp>

namespace mirage::net::tcp {

/// Send sequence variables, RFC 9293 figure 3, and what decides on the next segment.
struct SendVariables {
  Sequence initial;          ///< ISS
  Sequence unacknowledged;   ///< SND.UNA
  Sequence next;             ///< SND.NXT: where new text goes on; behind it nothing counts as sent
  Sequence maximum;          ///< behind the highest number ever sent
  Sequence end;              ///< behind the last byte that the application wrote
  std::uint32_t window = 0;  ///< SND.WND, scaled
  std::uint32_t largest_window = 0;
  Sequence window_sequence;          ///< SND.WL1
  Sequence window_acknowledgement;   ///< SND.WL2
  Sequence urgent;                   ///< SND.UP: behind the last urgent byte
  std::uint16_t segment_size = 536;  ///< payload bytes of a full-sized segment
  std::uint8_t window_shift = 0;     ///< of the windows that the peer advertises
  bool fin_queued = false;           ///< the application has closed: a FIN follows the byte before `end`
  bool no_delay = false;             ///< Nagle's algorithm is off
  bool urgent_pending = false;       ///< `urgent` is not yet acknowledged
  bool retransmit_first = false;     ///< one lost segment is due, whatever the congestion window says
  bool tail_probe = false;           ///< a tail loss probe is due, likewise
  bool probe = false;                ///< one octet is due, whatever the window says
  bool keep_alive_probe = false;     ///< an empty segment below SND.UNA is due
};

/// Receive sequence variables, RFC 9293 figure 4.
struct ReceiveVariables {
  Sequence initial;               ///< IRS
  Sequence next;                  ///< RCV.NXT
  Sequence edge;                  ///< right edge of the largest window advertised: it never moves back
  Sequence fin;                   ///< where the peer's FIN is, once seen
  Sequence urgent;                ///< RCV.UP: behind the last urgent byte
  std::uint32_t space = 0;        ///< bytes that the connection can take from `next` on
  std::uint32_t space_limit = 0;  ///< `space` of an empty connection; grows with what the application takes
  std::uint32_t taken = 0;        ///< bytes that it has taken since `taken_since`
  Stamp taken_since;
  std::uint16_t segment_size = 536;  ///< MSS that we announced
  std::uint8_t window_shift = 0;     ///< of the windows that we advertise; 0 unless both sides scale
  bool scaling = false;              ///< offered by us; after the peer's SYN: agreed
  std::uint8_t segments_to_acknowledge = 0;
  std::uint8_t duplicates_owed = 0;  ///< duplicate acknowledgements, one per segment out of order
  bool acknowledge_now = false;
  bool urgent_pending = false;  ///< the application has not read up to `urgent`
  bool fin_seen = false;
  bool sack = false;     ///< likewise, for selective acknowledgements
  bool discard = false;  ///< the application has closed: text is acknowledged and thrown away
  Range duplicate;       ///< received twice and not reported yet (RFC 2883); empty: nothing
  Sequence latest;       ///< start of the segment out of order that came last: first in SACK
  Ranges ranges;         ///< received out of order
};

/// The congestion algorithm of a connection; each has a file in congestion/, and the last one bbr/.
enum class Algorithm : std::uint8_t { none, newreno, cubic, bbr };
inline constexpr std::size_t algorithm_count = 4;
/// Its value for a name that is none: Stack::start() refuses it.
inline constexpr Algorithm unknown_algorithm{0xff};

/// By its name, as in the key --tcp-congestion. Those that every image has: bbr/algorithm.hpp knows the other one.
[[nodiscard]] constexpr Algorithm algorithm_named(std::string_view name) noexcept {
  constexpr std::array<std::string_view, 3> names{"none", "newreno", "cubic"};
  for (std::size_t i = 0; i < names.size(); ++i) {
    if (names[i] == name) return static_cast<Algorithm>(i);
  }
  return unknown_algorithm;
}

/// RFC 9438. Times in milliseconds, modulo 2^32; windows in bytes.
struct CubicVariables {
  std::uint32_t maximum = 0;         ///< W_max
  std::uint32_t maximum_before = 0;  ///< W_max before the last reduction
  std::uint32_t prior = 0;           ///< cwnd_prior; 0: nothing was ever lost
  std::uint32_t estimate = 0;        ///< W_est
  std::uint32_t credit = 0;          ///< acknowledged bytes that have not yet moved W_est
  std::uint32_t epoch = 0;           ///< when congestion avoidance began
  std::uint32_t last = 0;            ///< when the window could grow last
  std::uint32_t inflection = 0;      ///< K: when the window is W_max again, after `epoch`
  bool running = false;              ///< there is an epoch
};

/// RFC 9406. Times in microseconds; 0: none.
struct HystartVariables {
  Sequence round_end;              ///< windowEnd
  std::uint32_t minimum = 0;       ///< currentRoundMinRTT
  std::uint32_t last_minimum = 0;  ///< lastRoundMinRTT
  std::uint32_t baseline = 0;      ///< cssBaselineMinRtt; 0: not in conservative slow start
  Stamp train_since;               ///< its first acknowledgement, which came behind a gap
  Stamp train_last;                ///< its last acknowledgement
  std::uint32_t train = 0;         ///< bytes that the acknowledgements after its first acknowledged
  std::uint8_t samples = 0;
  std::uint8_t rounds = 0;  ///< in conservative slow start
};

/// What the sender is repairing.
enum class Phase : std::uint8_t {
  open,      ///< nothing
  recovery,  ///< losses found by acknowledgements: fast recovery
  timeout,   ///< everything that was on its way when the timer expired
};

/// Congestion state; its algorithm is in congestion/.
struct CongestionVariables {
  std::uint32_t window = 0;        ///< cwnd, bytes
  std::uint32_t threshold = 0;     ///< ssthresh, bytes
  std::uint32_t acknowledged = 0;  ///< bytes acknowledged in congestion avoidance since the last increase
  Sequence recover;                ///< SND.MAX when the repair began; when it is over, where the next may begin
  Sequence limited;                ///< SND.NXT when the window held sending back last: what went before proves it
  std::uint8_t duplicates = 0;     ///< duplicate acknowledgements in a row, of a peer without SACK
  Phase phase = Phase::open;
  Algorithm algorithm = Algorithm::cubic;
  CubicVariables cubic;
  HystartVariables hystart;
  // Proportional rate reduction, RFC 6937
  std::uint32_t delivered = 0;  ///< prr_delivered
  std::uint32_t sent = 0;       ///< prr_out
  std::uint32_t flight = 0;     ///< RecoverFS
  // What a reduction took, until it is known to have been right
  std::uint32_t window_before = 0;  ///< 0: nothing to give back
  std::uint32_t threshold_before = 0;
  std::uint32_t doubtful = 0;  ///< retransmitted bytes that the peer has not reported as duplicates
  Sequence doubtful_end;       ///< acknowledging beyond this means that no such report is coming any more
};

/// Loss detection: RACK-TLP (RFC 8985) and F-RTO (RFC 5682). Times in microseconds.
struct LossVariables {
  Scoreboard board;
  Stamp sent;                    ///< RACK.xmit_ts
  Sequence end;                  ///< RACK.end_seq
  std::uint32_t round_trip = 0;  ///< RACK.rtt
  std::uint32_t minimum = 0;     ///< RACK.min_RTT; 0: not measured
  Sequence forward;              ///< RACK.fack
  Sequence duplicate_round;      ///< RACK.dsack_round
  bool duplicate_seen = false;   ///< there is one
  std::uint8_t multiplier = 1;   ///< RACK.reo_wnd_mult
  std::uint8_t persist = 0;      ///< RACK.reo_wnd_persist
  bool reordering = false;       ///< RACK.reordering_seen
  bool waiting = false;          ///< the timer `loss` waits for reordered segments, else for the tail
  bool probing = false;          ///< a tail loss probe is out
  bool probe_again = false;      ///< TLP.is_retrans
  Sequence probe_end;            ///< TLP.end_seq
  std::uint8_t doubt = 0;        ///< F-RTO: the step of RFC 5682 section 2.1 that comes next; 0: none
};

/// Round-trip time and retransmission time-out, RFC 6298.
struct RoundTrip {
  Duration smoothed{0};   ///< SRTT; 0: no sample yet
  Duration variation{0};  ///< RTTVAR
  Duration timeout{1s};   ///< RTO without backoff, RFC 6298 (2.1)
  Time sent_at{};         ///< of the segment being timed
  Sequence timed;         ///< acknowledging beyond this ends the measurement
  bool timing = false;
  std::uint8_t backoff = 0;  ///< how often the RTO has been doubled
};

/// RFC 7323: our clock as the peer sees it, and the peer's.
struct Timestamps {
  std::uint32_t offset = 0;     ///< of our clock: one for each pair of endpoints, section 5.4
  std::uint32_t recent = 0;     ///< TS.Recent
  std::uint32_t recent_at = 0;  ///< when TS.Recent was taken, in seconds
  Sequence acknowledged;        ///< Last.ACK.sent
  bool on = false;              ///< offered by us; after the peer's SYN: agreed
};

/// The search for larger segments after a black hole, RFC 4821 section 7.
struct SizeSearch {
  Time from = never;          ///< when a larger size may be tried
  Sequence begin;             ///< of the probe that is on its way
  std::uint16_t probe = 0;    ///< its size; 0: there is none
  std::uint16_t largest = 0;  ///< what link and peer take
};

/// When text may go: it leaves at a rate instead of in bursts (pacing.hpp).
struct PacingVariables {
  Time next{};             ///< when what has been sent so far is through, at its rate
  std::uint64_t rate = 0;  ///< bytes per second, of an algorithm that knows; 0: by window and round trip
};

/// Deadlines; `never` when not set.
struct Deadlines {
  Time retransmit = never;  ///< retransmission, or persist when nothing is in flight
  Time acknowledge = never;
  Time loss = never;  ///< reordering window or tail loss probe
  Time pace = never;  ///< text is held back until then
  Time keep_alive = never;
  Time linger = never;         ///< end of TIME-WAIT, or of FIN-WAIT-2 after a full close
  Time stalled_since = never;  ///< first time-out without progress since
  Time challenge{};            ///< from when on the next challenge acknowledgement may be sent
  Time last_sent{};            ///< of anything that occupies sequence numbers
};

/// Explicit congestion notification, RFC 3168 section 6.1.
struct Ecn {
  bool on = false;       ///< offered by us; after the peer's SYN: agreed
  bool echo = false;     ///< a mark arrived: acknowledgements say so until the peer has reacted
  bool answer = false;   ///< we have reacted: the next new segment says so (CWR)
  bool reduced = false;  ///< the window has been reduced for what was sent before `round`
  Sequence round;        ///< SND.MAX at that time
};

/// RFC 7413, while the connection opens.
struct FastOpen {
  enum class Use : std::uint8_t {
    none,
    option,    ///< our SYN or SYN,ACK carries the option
    accepted,  ///< the text of the peer's SYN has been taken, and ours need not wait for the handshake
  };
  FastOpenCookie cookie;
  Use use = Use::none;
  std::uint16_t early = 0;  ///< bytes of text that our SYN may carry
};

struct Tcb {
  static constexpr std::uint16_t version = 7;
  /// Not inlined: it is long.
  [[gnu::noinline]] constexpr Tcb() noexcept {}
  Endpoint local;
  Endpoint remote;
  State state = State::closed;
  bool passive = false;         ///< came from a listener
  Duration keep_alive_idle{0};  ///< 0: off
  std::uint8_t keep_alive_count = 0;
  std::uint32_t user_timeout = 0;  ///< milliseconds without progress; 0: constant::user_timeout
  SendVariables send;
  ReceiveVariables receive;
  CongestionVariables congestion;
  LossVariables loss;
  Ecn ecn;
  FastOpen fast_open;
  PacingVariables pacing;
  SizeSearch search;
  RoundTrip round_trip;
  Timestamps timestamps;
  Deadlines deadlines;
  BbrVariables bbr;  ///< last: pack.cpp keeps it apart

  /// Sequence numbers sent and not acknowledged, RFC 5681 FlightSize.
  [[nodiscard]] constexpr std::uint32_t outstanding() const noexcept {
    return distance(send.unacknowledged, send.next);
  }
  /// Of those, what is on its way: neither with the peer nor lost, RFC 6675 "pipe".
  [[nodiscard]] constexpr std::uint32_t in_flight() const noexcept { return loss.board.pipe(); }
  /// What the peer may still send, RCV.WND.
  [[nodiscard]] constexpr std::uint32_t receive_window() const noexcept { return distance(receive.next, receive.edge); }
  [[nodiscard]] constexpr bool fin_sent() const noexcept { return send.fin_queued && send.maximum > send.end; }
  [[nodiscard]] constexpr bool fin_acknowledged() const noexcept {
    return send.fin_queued && send.unacknowledged > send.end;
  }
};

/// Constants of the protocol, with their sources.
namespace constant {
inline constexpr Duration minimum_variation = 200ms;  ///< the floor of RTO - SRTT; RFC 6298 (2.4) SHOULD 1 s; as Linux
inline constexpr Duration maximum_timeout = 60s;      ///< RFC 6298 (2.5)
inline constexpr Duration clock_granularity = 1ms;
inline constexpr Duration acknowledge_delay = 40ms;                    ///< RFC 9293 MUST-40: below 0.5 s
inline constexpr Duration user_timeout = 120s;                         ///< R2, RFC 9293 MUST-20 SHLD-11: at least 100 s
inline constexpr Duration longest_user_timeout = 1ms * 0xffff'ffffLL;  ///< that Tcb::user_timeout can say
inline constexpr Duration open_timeout = 180s;                         ///< R2 of a SYN, MUST-23: at least 3 minutes
inline constexpr Duration accept_timeout = 60s;                        ///< of a half-open connection at the listener
inline constexpr Duration time_wait = 60s;             ///< 2 MSL with the MSL of 30 s that others use; RFC 9293: 2 min
inline constexpr Duration fin_wait_2 = 60s;            ///< after a full close nobody waits for ever
inline constexpr Duration challenge_interval = 100ms;  ///< RFC 5961 section 7, for each connection
inline constexpr std::uint16_t default_segment_size = 536;  ///< RFC 9293 MUST-15
inline constexpr std::uint16_t smallest_segment_size = 48;  ///< a peer cannot make us send less per header; as Linux
/// Segment sizes that even odd paths carry, with 60 bytes of headers: RFC 4821 section 7.2 (1024), RFC 879 (576).
inline constexpr std::array<std::uint16_t, 2> safe_segment_sizes{964, 516};
inline constexpr std::uint8_t black_hole_timeouts = 2;  ///< without progress, before a size is given up
/// Sizes on the way up again: those, one for tunnels, and the largest (RFC 4821 section 7.3: common sizes).
inline constexpr std::array<std::uint16_t, 3> probed_segment_sizes{516, 964, 1348};
inline constexpr Duration raise_interval = 600s;          ///< PMTU_RAISE_TIMER, RFC 8899 section 5.1.1
inline constexpr Duration shortage_retry = 100ms;         ///< of what could not be done without memory
inline constexpr Duration timestamp_tick = 1ms;           ///< RFC 7323 section 5.4: 1 ms to 1 s
inline constexpr Duration timestamp_lifetime = 24h * 24;  ///< of TS.Recent, RFC 7323 section 5.5
inline constexpr std::uint16_t timestamps_size = 12;      ///< bytes of the option in every segment
inline constexpr Duration keep_alive_interval = 75s;
inline constexpr std::uint8_t keep_alive_probes = 9;
inline constexpr std::uint32_t initial_segments = 10;    ///< RFC 6928
inline constexpr std::uint32_t duplicate_threshold = 3;  ///< DupThresh, RFC 5681 section 3.2
inline constexpr Duration paced_round_trip = 2ms;        ///< below it timers are no finer than acknowledgements
inline constexpr Duration shortest_probe = 5ms;  ///< of a tail loss probe: no timer per acknowledgement on short paths
}  // namespace constant

}  // namespace mirage::net::tcp
