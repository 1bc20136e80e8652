// SPDX-License-Identifier: ISC
// Telling routers and switches which groups we listen to: MLDv2 (RFC 3810) and IGMPv3 (RFC 3376) as a listener that
// takes every source. Whoever joins a group does so in the GroupTable; a change is reported twice, a query is answered
// within its time with all groups of the interface, both in the format of the oldest querier that was heard lately (RFC
// 3376 7, RFC 3810 8). Source filters are in source_filter.hpp.
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

  // For a GroupFilter's reports.
  /// In the format of an older version.
  void report_to(std::uint8_t version, const Group& group) noexcept;
  /// Fills the checksum in.
  void send(std::uint16_t interface, const IpAddress& to, TransmitFrame&& frame) noexcept;
  /// Where reports of the newest version go.
  [[nodiscard]] static const IpAddress& all_reports(bool v4) noexcept;

 private:
  /// A querier of an older version, which is heard now and then.
  struct Older {
    Time until{};  ///< believed to be there
    std::uint8_t version = 0;
  };
  struct Interface {
    std::array<Older, 2> older{};  ///< for IPv6 and IPv4
    Time changes_at = never;       ///< the next report of what changed
    Time answer_at = never;        ///< the answer to a query for IPv6 groups
    Time answer_v4_at = never;
  };
  /// Which groups a report names.
  enum class Which : std::uint8_t { changed, all };
  void report(std::uint16_t interface, bool v4, Which which) noexcept;

  [[nodiscard]] Time soon(Duration within) noexcept;

  Shard& shard_;
  Ip& ip_;
  std::array<Interface, Ip::maximum_interfaces> interfaces_{};
  Counters counters_;
};

}  // namespace mirage::net::ip
