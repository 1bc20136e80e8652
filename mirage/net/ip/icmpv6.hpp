// SPDX-License-Identifier: ISC
// ICMP for IPv6: echo, errors about what we sent, and the way to neighbour discovery and group membership. Read RFC
// 4443 and RFC 5927 before editing.
#pragma once

#include <cstdint>
#include <optional>

#include <mirage/net/ip/icmpv4.hpp>
#include <mirage/net/ip/neighbour_discovery.hpp>

namespace mirage::net::ip {

class Icmpv6 {
 public:
  Icmpv6(Ip& ip, NeighbourDiscovery& discovery) noexcept : ip_(ip), discovery_(discovery) {}
  Icmpv6(const Icmpv6&) = delete;
  Icmpv6& operator=(const Icmpv6&) = delete;

  /// As Icmpv4::input().
  [[nodiscard]] std::optional<QuotedError> input(IpPacket& packet) noexcept;
  [[nodiscard]] const IcmpCounters& counters() const noexcept { return counters_; }

 private:
  [[nodiscard]] bool checksum_is_right(const IpPacket& packet) const noexcept;
  void echo(IpPacket& packet, const wire::Icmpv6Header& header) noexcept;
  [[nodiscard]] std::optional<QuotedError> error(const IpPacket& packet, const wire::Icmpv6Header& header) noexcept;
  Ip& ip_;
  NeighbourDiscovery& discovery_;
  IcmpCounters counters_;
};

}  // namespace mirage::net::ip
