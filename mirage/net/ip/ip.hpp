// SPDX-License-Identifier: ISC
// IPv4 of a host with one interface. Read RFC 791, RFC 1122 3.2-3.3, RFC 6864 (identification) and RFC 6918 before
// editing. Deliberately not here: forwarding, source routing (refused, RFC 7126), multicast groups other than
// all-hosts.
#pragma once

#include <array>
#include <cstdint>
#include <optional>

#include <mirage/async/shard.hpp>
#include <mirage/module/ip.hpp>
#include <mirage/module/link.hpp>
#include <mirage/net/ip/rate_limit.hpp>
#include <mirage/net/ip/reassembly.hpp>
#include <mirage/net/ip/route.hpp>
#include <mirage/wire/ipv4.hpp>

namespace mirage::net::ip {

struct IpOptions {
  std::uint8_t time_to_live = 64;  ///< RFC 1700's recommendation
  ReassemblyOptions reassembly{};
  Duration error_interval = 10ms;  ///< ICMP errors: one per interval on average,
  std::uint32_t error_burst = 50;  ///< and this many at once
};

struct Counters {
  std::uint64_t received = 0;
  std::uint64_t delivered = 0;
  std::uint64_t sent = 0;
  std::uint64_t fragments_received = 0;
  std::uint64_t reassembled = 0;
  std::uint64_t fragments_sent = 0;
  std::uint64_t drop_truncated = 0;
  std::uint64_t drop_version = 0;
  std::uint64_t drop_length = 0;  ///< header or total length
  std::uint64_t drop_checksum = 0;
  std::uint64_t drop_bad_fragment = 0;
  std::uint64_t drop_source_route = 0;
  std::uint64_t drop_bad_source = 0;
  std::uint64_t drop_not_for_us = 0;
  std::uint64_t drop_unicast_in_broadcast = 0;  ///< RFC 1122 3.3.6
  std::uint64_t drop_overlap = 0;
  std::uint64_t drop_reassembly = 0;  ///< inconsistent, or a bound
  std::uint64_t reassembly_timeouts = 0;
  std::uint64_t drop_no_memory = 0;
  std::uint64_t drop_no_route = 0;
  std::uint64_t drop_too_long = 0;
  std::uint64_t drop_link = 0;  ///< refused by the link: queue full, next hop unreachable
  std::uint64_t errors_sent = 0;
  std::uint64_t errors_limited = 0;    ///< not sent: rate limit
  std::uint64_t errors_forbidden = 0;  ///< not sent: RFC 1122 3.2.2 forbids them
};

/// An ICMP error to send about a packet.
struct ErrorReply {
  std::uint8_t type = 0;
  std::uint8_t code = 0;
  std::uint32_t rest = 0;
};

class Ip {
 public:
  Ip(Shard& shard, LinkPort link, const IpOptions& options) noexcept;
  Ip(const Ip&) = delete;
  Ip& operator=(const Ip&) = delete;

  /// Draws its secrets. Precondition: shard.seed_random() succeeded.
  void start() noexcept;
  /// Own address, network and default gateway (unspecified: none); `mtu` 0 keeps the link's. Replaces what was set.
  void configure(const Ipv4Prefix& prefix, Ipv4Address gateway, std::uint16_t mtu = 0) noexcept;
  /// Without an address only broadcasts go out and come in: what a DHCP client needs.
  void deconfigure() noexcept;
  [[nodiscard]] Ipv4Address address() const noexcept { return prefix_.address; }
  [[nodiscard]] const Ipv4Prefix& prefix() const noexcept { return prefix_; }
  [[nodiscard]] RouteTable& routes() noexcept { return routes_; }

  /// Checks, reassembles; yields what is complete and for us.
  [[nodiscard]] std::optional<IpPacket> input(LinkPacket&& packet) noexcept;

  // IpLayer
  [[nodiscard]] Result<Path, IpError> route(const IpAddress& source, const IpAddress& destination) noexcept;
  Result<void, IpError> send(const Path& path, std::uint8_t protocol, std::uint8_t traffic_class,
                             TransmitFrame frame) noexcept;
  /// Sends a packet of another host, complete with its IP header, to its next hop; cut into fragments where it exceeds
  /// the link's MTU and allows it. Checksum offsets count from the IP header.
  Result<void, IpError> forward(TransmitFrame frame) noexcept;
  [[nodiscard]] MutableSlice new_frame(std::uint32_t transport_header) noexcept;
  [[nodiscard]] const NetCapabilities& capabilities() noexcept { return link_.capabilities(); }

  /// Sends an ICMP error about `original` (a packet from its IP header on), unless RFC 1122 3.2.2 forbids it or the
  /// rate limit is reached.
  void send_error(const Slice& original, const ErrorReply& error) noexcept;

  [[nodiscard]] const Counters& counters() const noexcept { return counters_; }

 private:
  struct ExpiryTimer : Timer {
    explicit ExpiryTimer(Ip& ip) noexcept;
    Ip* owner;
  };
  [[nodiscard]] std::optional<wire::Ipv4View> check(const LinkPacket& packet) noexcept;
  [[nodiscard]] bool acceptable(const wire::Ipv4View& view, bool link_broadcast) noexcept;
  [[nodiscard]] bool is_broadcast(Ipv4Address address) const noexcept;
  [[nodiscard]] bool is_group(Ipv4Address address) const noexcept;
  [[nodiscard]] std::optional<IpPacket> collect(IpPacket&& packet, const wire::Ipv4Header& header) noexcept;
  [[nodiscard]] bool pull_up(SliceList& payload) noexcept;
  void count(wire::Ipv4ParseError error) noexcept;
  void expire() noexcept;

  [[nodiscard]] std::uint16_t next_identification(Ipv4Address destination, std::uint8_t protocol) noexcept;
  [[nodiscard]] Result<void, IpError> send_fragments(const Path& path, wire::Ipv4Header header,
                                                     TransmitFrame&& frame) noexcept;
  [[nodiscard]] Result<void, IpError> send_packet(const Path& path, const wire::Ipv4Header& header,
                                                  TransmitFrame&& frame) noexcept;
  [[nodiscard]] Result<void, IpError> to_link(const Path& path, TransmitFrame&& frame) noexcept;
  [[nodiscard]] Failure<IpError> fail(IpError error) noexcept;

  Shard& shard_;
  LinkPort link_;
  IpOptions options_;
  Ipv4Prefix prefix_{};
  std::uint16_t mtu_ = 0;  ///< 0: the link's
  RouteTable routes_;
  Reassembly reassembly_;
  ExpiryTimer timer_;
  RateLimit error_limit_;
  std::uint32_t identification_key_ = 0;
  std::array<std::uint16_t, 64> identifications_{};  ///< counters by hash of the destination (RFC 7739 5.3)
  Counters counters_;
};

static_assert(IpLayer<Ip>);

}  // namespace mirage::net::ip
