// SPDX-License-Identifier: ISC
// Telling routers and switches which groups we listen to: MLDv2 (RFC 3810) and IGMPv3 (RFC 3376) as a listener that
// takes every source. Whoever joins a group does so in the GroupTable; a change is reported twice, a query is answered
// within its time with all groups of the interface. Deliberately not here: source filters, and reports in the older
// versions' format.
#pragma once

#include <array>
#include <cstdint>

#include <mirage/net/ip/ip.hpp>
#include <mirage/wire/membership.hpp>

namespace mirage::net::ip {

class Membership {
 public:
  struct Counters {
    std::uint64_t reports_sent = 0;
    std::uint64_t queries = 0;
    std::uint64_t drop_no_query = 0;  ///< not from a router of this link, or no query at all
  };

  Membership(Shard& shard, Ip& ip) noexcept : shard_(shard), ip_(ip) {}
  Membership(const Membership&) = delete;
  Membership& operator=(const Membership&) = delete;

  /// A message of MLD, whose checksum has been verified, or of IGMP.
  void query(const IpPacket& packet) noexcept;

  /// Takes note of groups that were joined or left; true when there were any, and step() is due.
  [[nodiscard]] bool notice() noexcept;
  /// Sends what is due; to be called when deadline() has come.
  void step(Time now) noexcept;
  [[nodiscard]] Time deadline() const noexcept;
  [[nodiscard]] const Counters& counters() const noexcept { return counters_; }

 private:
  struct Interface {
    Time changes_at = never;  ///< the next report of what changed
    Time answer_at = never;   ///< the answer to a query for IPv6 groups
    Time answer_v4_at = never;
  };
  /// Which groups a report names.
  enum class Which : std::uint8_t { changed, all };
  void report(std::uint16_t interface, bool v4, Which which) noexcept;
  void send(std::uint16_t interface, bool v4, TransmitFrame&& frame) noexcept;
  [[nodiscard]] Time soon(Duration within) noexcept;

  Shard& shard_;
  Ip& ip_;
  std::array<Interface, Ip::maximum_interfaces> interfaces_{};
  Counters counters_;
};

}  // namespace mirage::net::ip
