// SPDX-License-Identifier: ISC
// What a forwarder needs to know of an IPv4 packet, checked once: after inspect() every offset lies within the packet's
// first slice. Whole packets only: fragments are joined before (RFC 4787 REQ-14).
#pragma once

#include <cstdint>

#include <mirage/base/result.hpp>
#include <mirage/net/forward/tuple.hpp>
#include <mirage/wire/ipv4.hpp>

namespace mirage::net::forward {

struct Inspected {
  enum class Kind : std::uint8_t {
    tcp,
    udp,
    icmp_query,  ///< echo and its reply
    icmp_error,  ///< quotes a packet: `tuple` is the quoted one's, as its sender sent it
    other,       ///< a protocol without ports: passes filters, is not translated
  };
  Kind kind = Kind::other;
  Tuple tuple;
  Ipv4Address source{};       ///< of the packet itself; differs from `tuple` in errors
  Ipv4Address destination{};  ///< likewise
  std::uint8_t tcp_flags = 0;
  std::uint32_t tcp_sequence = 0;
  std::uint32_t tcp_acknowledgement = 0;
  std::uint8_t time_to_live = 0;
  bool dont_fragment = false;
  std::uint16_t total_length = 0;
  std::size_t header_size = 0;  ///< of the IP header
  std::size_t quoted_at = 0;    ///< icmp_error: the quoted IP header
  std::size_t quoted_transport_at = 0;
  std::size_t inspected_size = 0;  ///< bytes from the start that a translation may have to change
};

enum class InspectError : std::uint8_t { malformed, fragment, truncated };

/// `first`: the packet's first slice from the IP header on; `available`: bytes of the whole packet.
[[nodiscard]] Result<Inspected, InspectError> inspect(Bytes first, std::size_t available) noexcept;

}  // namespace mirage::net::forward
