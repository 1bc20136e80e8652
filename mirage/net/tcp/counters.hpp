// SPDX-License-Identifier: ISC
// What happened, counted: every segment that is not used has a reason.
#pragma once

#include <array>
#include <cstdint>

#include <mirage/net/tcp/segment.hpp>

namespace mirage::net::tcp {

struct Counters {
  std::uint64_t segments_in = 0;
  std::uint64_t segments_out = 0;  ///< as handed to IP: one may be many on the wire
  std::uint64_t bytes_in = 0;      ///< text, received in sequence or stored
  std::uint64_t bytes_out = 0;     ///< text, retransmissions included
  std::uint64_t retransmissions = 0;
  std::uint64_t timeouts = 0;
  std::uint64_t black_holes =
      0;  ///< times that a segment size was given up because nothing of it was ever acknowledged
  std::uint64_t sizes_raised = 0;        ///< times that a larger segment size was found to pass after all
  std::uint64_t fast_opens = 0;          ///< SYNs whose text was taken: RFC 7413
  std::uint64_t fast_opens_refused = 0;  ///< with a good cookie; too many were half-open already
  std::uint64_t fast_open_pauses = 0;    ///< our SYNs with the option that got no answer
  std::uint64_t opened_actively = 0;
  std::uint64_t opened_passively = 0;
  std::uint64_t accepted = 0;
  std::uint64_t reset_by_peer = 0;
  std::uint64_t timed_out = 0;
  std::uint64_t resets_sent = 0;
  std::uint64_t congestion_marks = 0;  ///< received: a router has marked instead of dropped
  // Before a connection was found
  std::uint64_t malformed = 0;
  std::uint64_t bad_checksum = 0;
  std::uint64_t not_unicast = 0;
  std::uint64_t no_connection = 0;
  std::uint64_t no_listener = 0;
  std::uint64_t malformed_options = 0;
  std::uint64_t false_sack_blocks = 0;  ///< about what was never sent
  std::uint64_t reneged = 0;            ///< times that the peer turned out not to hold what it had said
  // Bounds
  std::uint64_t backlog_full = 0;           ///< established connections that nobody accepts fill the backlog
  std::uint64_t cookies_sent = 0;           ///< SYNs answered without keeping anything
  std::uint64_t cookies_accepted = 0;       ///< connections that began so
  std::uint64_t cookies_refused = 0;        ///< acknowledgements of what was no cookie, or an old one
  std::uint64_t challenges = 0;             ///< RFC 5961 challenge acknowledgements
  std::uint64_t challenges_suppressed = 0;  ///< by the limit for all connections
  std::uint64_t refused_by_budget = 0;
  std::uint64_t receive_memory = 0;  ///< segments dropped because the connection's queue pins too much
  std::uint64_t work_memory = 0;     ///< events on an idle connection dropped for want of memory to unpack it
  std::uint64_t stored_dropped = 0;  ///< times that segments beyond a hole were given up for memory
  std::uint64_t time_wait_shortened = 0;
  // While sending
  std::uint64_t send_no_memory = 0;
  std::uint64_t send_refused = 0;  ///< by the layer below
  /// By the core, see Drop.
  std::array<std::uint64_t, drop_count> drops{};
};

}  // namespace mirage::net::tcp
