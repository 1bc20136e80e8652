// SPDX-License-Identifier: ISC
// What goes into the core and what comes out: segments as values and the actions that a caller has to take.
#pragma once

#include <cstdint>
#include <optional>

#include <mirage/module/flow.hpp>
#include <mirage/net/tcp/fast_open.hpp>
#include <mirage/net/tcp/sequence.hpp>
#include <mirage/wire/tcp.hpp>

namespace mirage::net::tcp {

using Flags = wire::TcpFlags;

/// A received segment whose checksum is right. The payload itself stays with the caller.
struct Segment {
  Sequence sequence{};
  Sequence acknowledgement{};
  std::uint8_t flags = 0;
  std::uint16_t window = 0;  ///< as in the header, not scaled
  std::uint16_t urgent = 0;  ///< with URG: where urgent text ends, from `sequence` on
  std::uint32_t length = 0;  ///< payload bytes
  bool marked = false;       ///< a router on the way met congestion: RFC 3168 section 5, CE
  std::uint8_t pieces = 1;   ///< segments on the wire that a device has coalesced into this one
  wire::TcpOptionSet options{};
  FastOpenOption fast_open{};  ///< of a SYN

  [[nodiscard]] constexpr bool has(std::uint8_t flag) const noexcept { return (flags & flag) != 0; }
  /// SEG.LEN: text, SYN and FIN.
  [[nodiscard]] constexpr std::uint32_t span() const noexcept {
    return length + (has(Flags::syn) ? 1U : 0U) + (has(Flags::fin) ? 1U : 0U);
  }
  [[nodiscard]] constexpr Sequence end() const noexcept { return sequence + span(); }
};

/// A segment to send: header fields, and which bytes of the send queue it carries.
struct Departure {
  Sequence sequence{};
  Sequence acknowledgement{};
  std::uint8_t flags = 0;
  std::uint16_t window = 0;  ///< as in the header
  std::uint32_t length = 0;  ///< payload bytes, from `sequence` on; more than segment_size: the device segments
  std::uint16_t segment_size = 0;
  std::uint16_t urgent = 0;
  bool markable = false;  ///< a router may mark it instead of dropping it: ECT(0)
  wire::TcpOptionSet options{};
  FastOpenOption fast_open{};
};

/// Why a segment was not (wholly) used. Each has a counter.
enum class Drop : std::uint8_t {
  none,
  out_of_window,        ///< first check
  reset_out_of_place,   ///< a RST that is not exactly at RCV.NXT, RFC 5961 section 3
  syn_in_window,        ///< RFC 5961 section 4
  no_acknowledgement,   ///< the ACK bit is off
  bad_acknowledgement,  ///< for something never sent, or far too old, RFC 5961 section 5
  too_many_ranges,      ///< no place to note one more hole
  after_close,          ///< text for an application that has closed
  not_expected,         ///< makes no sense in this state
  no_timestamp,         ///< although agreed, RFC 7323 section 3.2
  old_timestamp,        ///< PAWS, RFC 7323 section 5.3
};
inline constexpr std::size_t drop_count = 11;

/// What the caller does after an event. Payload first, then the rest in this order.
struct Actions {
  enum class Payload : std::uint8_t {
    none,     ///< throw it away
    deliver,  ///< append to the received stream
    store,    ///< keep it until the hole in front is filled
  };
  Payload payload = Payload::none;
  std::uint32_t skip = 0;          ///< bytes at the payload's front that are not wanted
  std::uint32_t take = 0;          ///< bytes after those that are
  Sequence position{};             ///< of the first taken byte
  std::uint32_t acknowledged = 0;  ///< bytes to release from the front of the send queue
  bool challenge = false;          ///< an acknowledgement to send if the limit for all connections together allows it
  bool established = false;
  bool finished = false;  ///< the peer's stream has ended
  bool closed = false;    ///< the connection is over; `error` says how, if not orderly
  std::optional<FlowError> error;
  std::optional<Departure> reply;  ///< a segment to send at once (RST)
  Drop drop = Drop::none;
};

}  // namespace mirage::net::tcp
