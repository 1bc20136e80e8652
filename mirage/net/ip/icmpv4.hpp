// SPDX-License-Identifier: ISC
// ICMP for IPv4: echo, and errors about what we sent. Read RFC 792, RFC 1122 3.2.2 and RFC 5927 before editing.
// Redirects are in redirect.hpp. Deliberately without source quench (RFC 6633) and timestamps.
#pragma once

#include <cstdint>
#include <optional>

#include <mirage/net/ip/neighbour_discovery.hpp>
#include <mirage/wire/icmpv4.hpp>

namespace mirage::net::ip {

/// Of either version.
struct IcmpCounters {
  std::uint64_t received = 0;
  std::uint64_t drop_truncated = 0;
  std::uint64_t drop_checksum = 0;
  std::uint64_t drop_broadcast = 0;  ///< echo requests to groups (RFC 1122 3.2.2.6 allows not to answer)
  std::uint64_t drop_unknown = 0;
  std::uint64_t drop_bad_quote = 0;
  std::uint64_t drop_foreign_quote = 0;  ///< about a packet that we cannot have sent
  std::uint64_t echo_replies = 0;
  std::uint64_t errors = 0;
};

/// An error for a transport.
struct QuotedError {
  std::uint8_t protocol = 0;
  TransportError error;
};

class Icmpv4 {
 public:
  Icmpv4(Ip& ip, NeighbourDiscovery& discovery) noexcept : ip_(ip), discovery_(discovery) {}
  Icmpv4(const Icmpv4&) = delete;
  Icmpv4& operator=(const Icmpv4&) = delete;

  /// Answers echo requests; yields errors for the transport that sent what they quote. `packet` must outlive the
  /// result, whose header is a view into it.
  [[nodiscard]] std::optional<QuotedError> input(IpPacket& packet) noexcept;
  [[nodiscard]] const IcmpCounters& counters() const noexcept { return counters_; }

 private:
  void echo(IpPacket& packet, const wire::Icmpv4Header& header) noexcept;
  [[nodiscard]] std::optional<QuotedError> error(const IpPacket& packet, const wire::Icmpv4Header& header) noexcept;
  Ip& ip_;
  NeighbourDiscovery& discovery_;
  IcmpCounters counters_;
};

}  // namespace mirage::net::ip
