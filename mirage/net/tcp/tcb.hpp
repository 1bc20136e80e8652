// SPDX-License-Identifier: ISC
// The transmission control block (RFC 9293 section 3.3.1): everything that the protocol remembers about a connection,
// as a value without pointers. Positions are sequence numbers, times are deadlines, data is elsewhere (the connection's
// queues), so that a TCB can be written, moved and restored at any event: see serialise.hpp, which lists each field.
#pragma once

#include <cstdint>

#include <mirage/base/address.hpp>
#include <mirage/base/time.hpp>
#include <mirage/net/tcp/ranges.hpp>
#include <mirage/net/tcp/sequence.hpp>
#include <mirage/net/tcp/state.hpp>

namespace mirage::net::tcp {

/// Send sequence variables, RFC 9293 figure 3, and what decides on the next segment.
struct SendVariables {
  Sequence initial;          ///< ISS
  Sequence unacknowledged;   ///< SND.UNA
  Sequence next;             ///< SND.NXT: what goes out next; a time-out takes it back to SND.UNA
  Sequence maximum;          ///< behind the highest number ever sent
  Sequence end;              ///< behind the last byte that the application wrote
  std::uint32_t window = 0;  ///< SND.WND, scaled
  std::uint32_t largest_window = 0;
  Sequence window_sequence;          ///< SND.WL1
  Sequence window_acknowledgement;   ///< SND.WL2
  Sequence sacked;                   ///< where the peer holds bytes beyond a hole; at or below SND.UNA: nowhere
  std::uint16_t segment_size = 536;  ///< payload bytes of a full-sized segment
  std::uint8_t window_shift = 0;     ///< of the windows that the peer advertises
  bool fin_queued = false;           ///< the application has closed: a FIN follows the byte before `end`
  bool no_delay = false;             ///< Nagle's algorithm is off
  bool retransmit_first = false;     ///< one segment at SND.UNA is due (fast retransmit, partial acknowledgement)
  bool probe = false;                ///< one octet is due, whatever the window says
  bool keep_alive_probe = false;     ///< an empty segment below SND.UNA is due
};

/// Receive sequence variables, RFC 9293 figure 4.
struct ReceiveVariables {
  Sequence initial;                  ///< IRS
  Sequence next;                     ///< RCV.NXT
  Sequence edge;                     ///< right edge of the largest window advertised: it never moves back
  Sequence fin;                      ///< where the peer's FIN is, once seen
  std::uint32_t space = 0;           ///< bytes that the connection can take from `next` on
  std::uint32_t space_limit = 0;     ///< `space` of an empty connection
  std::uint16_t segment_size = 536;  ///< MSS that we announced
  std::uint8_t window_shift = 0;     ///< of the windows that we advertise; 0 unless both sides scale
  bool scaling = false;              ///< offered by us; after the peer's SYN: agreed
  std::uint8_t segments_to_acknowledge = 0;
  std::uint8_t duplicates_owed = 0;  ///< duplicate acknowledgements, one per segment out of order
  bool acknowledge_now = false;
  bool fin_seen = false;
  bool sack = false;     ///< likewise, for selective acknowledgements
  bool discard = false;  ///< the application has closed: text is acknowledged and thrown away
  Sequence latest;       ///< start of the segment out of order that came last: first in SACK
  Ranges ranges;         ///< received out of order
};

/// Congestion state; its algorithm is in congestion/.
struct CongestionVariables {
  std::uint32_t window = 0;        ///< cwnd, bytes
  std::uint32_t threshold = 0;     ///< ssthresh, bytes
  std::uint32_t acknowledged = 0;  ///< bytes acknowledged in congestion avoidance since the last increase
  Sequence recover;                ///< RFC 6582: SND.MAX when recovery began
  std::uint32_t sacked = 0;        ///< bytes beyond a hole that the peer reported last
  std::uint8_t duplicates = 0;     ///< duplicate acknowledgements in a row
  bool recovering = false;
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

/// Deadlines; `never` when not set.
struct Deadlines {
  Time retransmit = never;  ///< retransmission, or persist when nothing is in flight
  Time acknowledge = never;
  Time keep_alive = never;
  Time linger = never;         ///< end of TIME-WAIT, or of FIN-WAIT-2 after a full close
  Time stalled_since = never;  ///< first time-out without progress since
  Time challenge{};            ///< from when on the next challenge acknowledgement may be sent
  Time last_sent{};            ///< of anything that occupies sequence numbers
};

struct Tcb {
  static constexpr std::uint16_t version = 1;
  Endpoint local;
  Endpoint remote;
  State state = State::closed;
  bool passive = false;         ///< came from a listener
  Duration keep_alive_idle{0};  ///< 0: off
  std::uint8_t keep_alive_count = 0;
  SendVariables send;
  ReceiveVariables receive;
  CongestionVariables congestion;
  RoundTrip round_trip;
  Deadlines deadlines;

  /// Sequence numbers on their way, RFC 5681 FlightSize.
  [[nodiscard]] constexpr std::uint32_t in_flight() const noexcept { return distance(send.unacknowledged, send.next); }
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
inline constexpr Duration acknowledge_delay = 40ms;    ///< RFC 9293 MUST-40: below 0.5 s
inline constexpr Duration user_timeout = 120s;         ///< R2, RFC 9293 MUST-20 SHLD-11: at least 100 s
inline constexpr Duration open_timeout = 180s;         ///< R2 of a SYN, MUST-23: at least 3 minutes
inline constexpr Duration accept_timeout = 60s;        ///< of a half-open connection at the listener
inline constexpr Duration time_wait = 60s;             ///< 2 MSL with the MSL of 30 s that others use; RFC 9293: 2 min
inline constexpr Duration fin_wait_2 = 60s;            ///< after a full close nobody waits for ever
inline constexpr Duration challenge_interval = 100ms;  ///< RFC 5961 section 7, for each connection
inline constexpr std::uint16_t default_segment_size = 536;  ///< RFC 9293 MUST-15
inline constexpr std::uint16_t smallest_segment_size = 48;  ///< a peer cannot make us send less per header; as Linux
inline constexpr Duration keep_alive_interval = 75s;
inline constexpr std::uint8_t keep_alive_probes = 9;
inline constexpr std::uint32_t initial_segments = 10;  ///< RFC 6928
}  // namespace constant

}  // namespace mirage::net::tcp
