// SPDX-License-Identifier: ISC
// IP of a host, both versions side by side, on up to four interfaces with several addresses each (strong host model).
// What the versions share is in ip.cpp and input.cpp, what they do not in v4_*.cpp and v6_*.cpp. Read RFC 791, RFC 1122
// 3.2-3.3, RFC 6864 (identification), RFC 6918, RFC 8200 and RFC 7739 before editing. Deliberately not here:
// forwarding, source routing (refused, RFC 7126, RFC 5095), jumbograms.
#pragma once

#include <array>
#include <cstdint>
#include <optional>

#include <mirage/async/shard.hpp>
#include <mirage/module/ip.hpp>
#include <mirage/module/link.hpp>
#include <mirage/net/ip/address_table.hpp>
#include <mirage/net/ip/group_table.hpp>
#include <mirage/net/ip/path_mtu.hpp>
#include <mirage/net/ip/rate_limit.hpp>
#include <mirage/net/ip/reassembly.hpp>
#include <mirage/net/ip/route.hpp>
#include <mirage/wire/icmpv6.hpp>
#include <mirage/wire/ipv4.hpp>
#include <mirage/wire/ipv6_extension.hpp>

namespace mirage::net::ip {

class Ip;
/// See redirect.hpp.
using RedirectFunction = bool (*)(Ip& ip, const IpPacket& packet, Time now) noexcept;

struct IpOptions {
  std::uint8_t time_to_live = 64;  ///< RFC 1700's recommendation; also the hop limit
  ReassemblyOptions reassembly{};
  Duration error_interval = 10ms;        ///< ICMP errors on each interface: one per interval of time on average,
  std::uint32_t error_burst = 50;        ///< and this many at once, on average
  RedirectFunction redirects = nullptr;  ///< takes redirects; null: they are ignored
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
  std::uint64_t drop_extension = 0;  ///< extension headers: malformed, too many, or refused by an option
  std::uint64_t drop_no_next_header = 0;
  std::uint64_t drop_bad_source = 0;
  std::uint64_t drop_not_for_us = 0;            ///< to groups and broadcasts that nobody here listens to
  std::uint64_t drop_transit = 0;               ///< to us on the link, and to another host: a stack does not forward
  std::uint64_t drop_other_interface = 0;       ///< for an address of another interface (strong host, RFC 1122 3.3.4.2)
  std::uint64_t drop_unicast_in_broadcast = 0;  ///< RFC 1122 3.3.6
  std::uint64_t drop_overlap = 0;
  std::uint64_t drop_reassembly = 0;  ///< inconsistent, or a bound
  std::uint64_t reassembly_timeouts = 0;
  std::uint64_t reassembly_displaced = 0;  ///< unfinished datagrams that made room for others
  std::uint64_t drop_no_memory = 0;
  std::uint64_t drop_no_route = 0;
  std::uint64_t drop_too_long = 0;
  std::uint64_t drop_link = 0;  ///< refused by the link: queue full, next hop unreachable
  std::uint64_t errors_sent = 0;
  std::uint64_t errors_limited = 0;    ///< not sent: rate limit
  std::uint64_t errors_forbidden = 0;  ///< not sent: RFC 1122 3.2.2 forbids them
};

/// Why a packet that arrived well was not wanted; sent to its source as the ICMP error of its IP version.
enum class Rejection : std::uint8_t { port_unreachable, protocol_unreachable };

/// An ICMP error to send about a packet.
struct ErrorReply {
  std::uint8_t type = 0;
  std::uint8_t code = 0;
  std::uint32_t rest = 0;
  bool even_to_group = false;   ///< about a packet to a group too (RFC 4443 2.4 (e.3)),
  std::uint16_t interface = 0;  ///< which came in here
};

/// What IPv6's own control protocols choose of a packet's header.
struct ControlHeader {
  IpAddress source;
  IpAddress destination;
  std::uint8_t hop_limit = 255;  ///< so that the receiver knows that it comes from this link (RFC 4861 4)
  bool router_alert = false;     ///< RFC 2711
};

class Membership;

/// Groups of which not all sources are listened to: see source_filter.hpp.
class GroupFilter {
 public:
  [[nodiscard]] virtual bool has(const IpAddress& group, std::uint16_t interface) const noexcept = 0;
  [[nodiscard]] virtual bool accepts(const IpAddress& group, std::uint16_t interface,
                                     const IpAddress& source) const noexcept = 0;
  /// Sends reports of the version's groups there: of all of them, or of what has changed; to a querier of an `older`
  /// version if not 0.
  virtual void report(Membership& membership, std::uint16_t interface, bool v4, bool all,
                      std::uint8_t older) noexcept = 0;
  /// As GroupTable::reported().
  [[nodiscard]] virtual bool reported(std::uint16_t interface) noexcept = 0;

 protected:
  ~GroupFilter() = default;
};

class Ip {
 public:
  static constexpr std::uint16_t maximum_interfaces = ip::maximum_interfaces;
  static constexpr std::uint8_t smallest_hop_limit = 32;  ///< that is believed; paths are seldom longer

  /// `link` becomes interface 0.
  Ip(Shard& shard, LinkPort link, const IpOptions& options) noexcept;
  Ip(const Ip&) = delete;
  Ip& operator=(const Ip&) = delete;

  /// Draws its secrets. Precondition: shard.seed_random() succeeded.
  void start() noexcept;
  /// The number of another interface; nothing when there are maximum_interfaces. To be called before start().
  [[nodiscard]] std::optional<std::uint16_t> add_interface(LinkPort link) noexcept;
  [[nodiscard]] std::uint16_t interfaces() const noexcept { return interface_count_; }
  /// Precondition of all that take an interface: it is less than interfaces().
  [[nodiscard]] const LinkPort& link(std::uint16_t interface) const noexcept { return interfaces_[interface]->link; }

  /// The interface's first IPv4 address, network and default gateway (unspecified: none); `mtu` 0 keeps the link's.
  /// Replaces what was set. `origin`: interface, or leased.
  void configure(const Ipv4Prefix& prefix, Ipv4Address gateway, std::uint16_t mtu = 0, std::uint16_t interface = 0,
                 Route::Origin origin = Route::Origin::interface) noexcept;
  /// Another address besides, and its network on the link; one of IPv6 is fresh. False when a table is full.
  [[nodiscard]] bool add_address(const IpPrefix& prefix, std::uint16_t interface,
                                 Address::Origin origin = Address::Origin::manual) noexcept;
  /// Without an address only broadcasts go out and come in: what a DHCP client needs.
  void deconfigure(std::uint16_t interface = 0) noexcept;
  /// The first IPv4 address; unspecified when there is none.
  [[nodiscard]] Ipv4Address address() const noexcept { return prefix().address; }
  [[nodiscard]] Ipv4Prefix prefix(std::uint16_t interface = 0) const noexcept;

  /// The link's MTU, or less where configure() or a router said so.
  [[nodiscard]] std::uint16_t mtu_of(std::uint16_t interface, bool v4) const noexcept;
  // Several addresses of both versions: what holds a table holds for all interfaces.
  [[nodiscard]] AddressTable& addresses() noexcept { return addresses_; }
  [[nodiscard]] const AddressTable& addresses() const noexcept { return addresses_; }
  [[nodiscard]] RouteTable& routes() noexcept { return routes_; }
  /// The way from an interface to a destination at the moment; null when there is none.
  [[nodiscard]] const Route* route_to(const IpAddress& destination, std::uint16_t interface) const noexcept;
  [[nodiscard]] const IpOptions& options() const noexcept { return options_; }
  [[nodiscard]] GroupTable& groups() noexcept { return groups_; }
  /// Null: every group is listened to for all sources.
  [[nodiscard]] GroupFilter* group_filter() const noexcept { return group_filter_; }
  void set_group_filter(GroupFilter* filter) noexcept { group_filter_ = filter; }
  [[nodiscard]] PathMtuCache& path_mtu() noexcept { return path_mtu_; }
  /// What a router advertised (RFC 4861 6.3.4); 0: nothing. A hop limit below smallest_hop_limit changes nothing.
  void set_v6_limits(std::uint16_t interface, std::uint16_t mtu, std::uint8_t hop_limit) noexcept;

  /// Checks, reassembles; yields what is complete and for us.
  [[nodiscard]] std::optional<IpPacket> input(LinkPacket&& packet, std::uint16_t interface = 0) noexcept;

  // IpLayer
  [[nodiscard]] Result<Path, IpError> route(const IpAddress& source, const IpAddress& destination,
                                            std::uint16_t zone) noexcept;
  /// What route() would choose as a source for another host's address; null when there is no way, or its next hop is
  /// known not to answer. The pointer is valid until the table changes.
  [[nodiscard]] const Address* source_for(const IpAddress& destination, std::uint16_t zone) noexcept;
  Result<void, IpError> send(const Path& path, std::uint8_t protocol, std::uint8_t traffic_class,
                             TransmitFrame&& frame) noexcept;
  /// Sends a packet of another host, complete with its IP header, to its next hop; cut into fragments where it exceeds
  /// the link's MTU and allows it. Checksum offsets count from the IP header. `new_source`: the source address has been
  /// translated, so that the identification has to be, too: two hosts may have chosen the same (RFC 6864 5.3).
  /// Precondition: a checksum to be completed starts behind the IP header, its field lies in `frame.header`.
  Result<void, IpError> forward(TransmitFrame frame, bool new_source) noexcept;
  [[nodiscard]] MutableSlice new_frame(std::uint32_t transport_header) noexcept;
  [[nodiscard]] const NetCapabilities& capabilities(std::uint16_t interface) const noexcept {
    return link(interface).capabilities();
  }

  /// Sends the error, unless RFC 1122 3.2.2 or RFC 4443 2.4 (e) forbid it or the rate limit is reached.
  void reject(const IpPacket& packet, Rejection why) noexcept;
  /// The same for any ICMP error of the version that `original` (from its IP header on) has; it may be another host's.
  void send_error(const Slice& original, const ErrorReply& error) noexcept;
  /// False when the interface's limit for answers that a stranger can provoke is reached. One for each: whoever floods
  /// one network takes no errors from another (RFC 1812 4.3.2.8, RFC 4443 2.4 (f)).
  [[nodiscard]] bool may_answer(std::uint16_t interface) noexcept {
    return interfaces_[interface]->errors.allow(shard_.now(), shard_.random().next_u32() % 2 * 2);
  }
  /// Sends an ICMP message of the path's version: its header as given but for the checksum, then the data. Whether it
  /// is on its way.
  bool send_icmp(const Path& path, const wire::Icmpv6Header& header, std::uint8_t traffic_class,
                 SliceList&& data) noexcept;
  /// Sends an ICMPv6 message that only this link is to hear, from an address that need not be ours yet; fills its
  /// checksum in.
  void send_control(std::uint16_t interface, const ControlHeader& header, TransmitFrame&& frame) noexcept;
  /// The same for IGMP's reports, with their router alert (RFC 3376 4).
  void send_group_report(std::uint16_t interface, Ipv4Address to, TransmitFrame&& frame) noexcept;
  /// Listens to a multicast group on an interface; counted. False when the table of groups is full.
  [[nodiscard]] bool join(const IpAddress& group, std::uint16_t interface) noexcept;
  void leave(const IpAddress& group, std::uint16_t interface) noexcept;

  [[nodiscard]] const Counters& counters() const noexcept { return counters_; }

 private:
  struct ExpiryTimer : Timer {
    explicit ExpiryTimer(Ip& ip) noexcept;
    Ip* owner;
  };
  struct Interface {
    LinkPort link;
    RateLimit errors;
    std::uint16_t mtu_v4 = 0;  ///< 0: the link's
    std::uint16_t mtu_v6 = 0;
    std::uint8_t hop_limit = 0;  ///< 0: the option's
  };
  [[nodiscard]] bool choose_interface(const IpAddress& source, std::uint16_t zone, Path& path) noexcept;
  [[nodiscard]] bool is_broadcast(const IpAddress& address, std::uint16_t interface) const noexcept;
  [[nodiscard]] bool listens(const IpAddress& group, std::uint16_t interface, const IpAddress& source) const noexcept;
  [[nodiscard]] bool is_group(const IpAddress& address, std::uint16_t interface) const noexcept;

  [[nodiscard]] bool pull_up(SliceList& payload, std::size_t wanted) noexcept;
  [[nodiscard]] bool collect(IpPacket& packet, Fragment&& fragment) noexcept;
  void expire() noexcept;
  void describe(IpPacket& up, LinkPacket& packet, std::uint16_t interface) noexcept;

  [[nodiscard]] bool input_v4(LinkPacket& packet, IpPacket& up) noexcept;
  [[nodiscard]] bool is_own_source(const IpAddress& source, std::uint16_t interface) const noexcept;
  void count_foreign(const IpAddress& destination, std::uint16_t interface, bool link_broadcast) noexcept;
  [[nodiscard]] bool acceptable_v4(const wire::Ipv4View& view, std::uint16_t interface, bool own,
                                   bool link_broadcast) noexcept;
  void count(wire::Ipv4ParseError error) noexcept;
  [[nodiscard]] bool input_v6(LinkPacket& packet, IpPacket& up) noexcept;
  [[nodiscard]] bool acceptable_v6(const wire::Ipv6Header& header, std::uint16_t interface,
                                   bool link_broadcast) noexcept;
  void count(wire::Ipv6ParseError error) noexcept;
  [[nodiscard]] bool unwrap(IpPacket& packet, std::size_t base) noexcept;
  [[nodiscard]] bool collect_v6(IpPacket& packet, const wire::Ipv6Fragment& fragment, std::size_t base) noexcept;

  [[nodiscard]] Result<void, IpError> to_link(const Path& path, TransmitFrame&& frame) noexcept;
  [[nodiscard]] Failure<IpError> fail(IpError error) noexcept;
  [[nodiscard]] Result<void, IpError> send_v4(const Path& path, std::uint8_t protocol, std::uint8_t traffic_class,
                                              TransmitFrame&& frame) noexcept;
  [[nodiscard]] std::uint16_t next_identification(Ipv4Address destination, std::uint8_t protocol) noexcept;
  [[nodiscard]] Result<void, IpError> send_fragments(const Path& path, wire::Ipv4Header header,
                                                     TransmitFrame&& frame) noexcept;
  [[nodiscard]] Result<void, IpError> send_packet(const Path& path, const wire::Ipv4Header& header,
                                                  TransmitFrame&& frame) noexcept;
  [[nodiscard]] Result<void, IpError> send_v6(const Path& path, std::uint8_t protocol, std::uint8_t traffic_class,
                                              TransmitFrame&& frame) noexcept;
  [[nodiscard]] std::uint32_t flow_label(const Path& path, const TransmitFrame& frame) const noexcept;
  [[nodiscard]] Result<void, IpError> send_fragments(const Path& path, wire::Ipv6Header header,
                                                     TransmitFrame&& frame) noexcept;
  [[nodiscard]] Result<void, IpError> send_packet(const Path& path, const wire::Ipv6Header& header,
                                                  TransmitFrame&& frame) noexcept;
  void send_error_v4(const Slice& original, const ErrorReply& error) noexcept;
  void send_error_v6(const Slice& original, const ErrorReply& error) noexcept;
  void send_error(const Path& path, const ErrorReply& error, Slice quoted) noexcept;
  static void fill_icmp_checksum(const Path& path, TransmitFrame& frame) noexcept;

  Shard& shard_;
  IpOptions options_;
  std::array<std::optional<Interface>, maximum_interfaces> interfaces_;
  std::uint16_t interface_count_ = 1;
  AddressTable addresses_;
  RouteTable routes_;
  GroupTable groups_;
  GroupFilter* group_filter_ = nullptr;
  PathMtuCache path_mtu_;
  Reassembly reassembly_;
  ExpiryTimer timer_;
  std::uint32_t identification_key_ = 0;
  std::array<std::uint16_t, 64> identifications_{};  ///< counters by hash of the destination (RFC 7739 5.3)
  Counters counters_;
};

static_assert(IpLayer<Ip>);

}  // namespace mirage::net::ip
