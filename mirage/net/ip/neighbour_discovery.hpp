// SPDX-License-Identifier: ISC
// IPv6 on an interface: neighbour discovery (RFC 4861), duplicate address detection (RFC 4862 5.4), optimistic (RFC
// 4429) so that a start does not wait, router solicitation, and the life of addresses and routes that autoconfiguration
// made. The neighbour cache belongs to the link (LinkPort), what an advertisement means to autoconfiguration.hpp; this
// joins them with the wire. Redirects are in redirect.hpp. Deliberately not here: sending on behalf of others.
#pragma once

#include <array>
#include <cstdint>

#include <mirage/net/ip/autoconfiguration.hpp>
#include <mirage/net/ip/ip.hpp>
#include <mirage/net/ip/membership.hpp>

namespace mirage::net::ip {

struct DiscoveryCounters {
  std::uint64_t received = 0;
  std::uint64_t drop_hop_limit = 0;   ///< not 255: from beyond the link (RFC 4861 7.1)
  std::uint64_t drop_fragmented = 0;  ///< RFC 6980
  std::uint64_t drop_malformed = 0;
  std::uint64_t drop_unwanted = 0;  ///< advertisements of routers that are not accepted, redirects; for others
  std::uint64_t redirects = 0;      ///< taken, of both versions
  std::uint64_t solicitations_sent = 0;
  std::uint64_t advertisements_sent = 0;
  std::uint64_t router_solicitations_sent = 0;
  std::uint64_t looped = 0;      ///< questions for our own addresses that came back to us
  std::uint64_t duplicates = 0;  ///< addresses that somebody else has
  std::uint64_t conflicts = 0;   ///< somebody claims an address that is in use here: ignored
};

class NeighbourDiscovery {
 public:
  NeighbourDiscovery(Shard& shard, Ip& ip) noexcept;
  NeighbourDiscovery(const NeighbourDiscovery&) = delete;
  NeighbourDiscovery& operator=(const NeighbourDiscovery&) = delete;

  struct Options {
    bool accept_routers = true;  ///< take addresses, routes and name servers from router advertisements
    IpPrefix address{};          ///< a static address besides; unspecified: none
    IpAddress gateway{};
  };
  /// Makes the secret of the interface's identifiers (RFC 7217): from `text`, or anew when that is empty.
  void set_secret(std::uint16_t interface, std::string_view text) noexcept;
  /// A link-local address, the static one, and a question for routers. False for a link that cannot carry IPv6 (RFC
  /// 8200 5). Precondition: shard.seed_random() succeeded.
  [[nodiscard]] bool start(std::uint16_t interface, const Options& options) noexcept;

  /// Takes an address that DHCPv6 granted: a new one is claimed, of one that is ours already the times are renewed (RFC
  /// 8415 18.2.10.1). Such an address says nothing about its network (RFC 5942 4): it has 128 bits.
  void lease(const IpAddress& address, std::uint16_t interface, Time preferred_until, Time valid_until) noexcept;
  /// False for another address than those that are ours when the interface's part of the table is full: for several
  /// interfaces, which share it.
  [[nodiscard]] bool has_room_for_lease(const IpAddress& address, std::uint16_t interface) const noexcept;
  /// Takes those away again.
  void release(std::uint16_t interface) noexcept;
  /// The interface's link-local address once nobody else claimed it; unspecified until then.
  [[nodiscard]] IpAddress link_local(std::uint16_t interface) const noexcept;

  /// A neighbour discovery message whose checksum has been verified.
  void input(const IpPacket& packet) noexcept;
  /// A redirect of either version whose checksum has been verified; false when it is not believed, or none is.
  [[nodiscard]] bool take_redirect(const IpPacket& packet) noexcept;

  /// Sends what the links want to know; to be called before they are flushed.
  void flush() noexcept;
  /// True once after addresses came or went.
  [[nodiscard]] bool take_change() noexcept { return std::exchange(changed_, false); }
  /// True once after name servers or search domains may have changed.
  [[nodiscard]] bool take_names() noexcept { return std::exchange(names_changed_, false); }
  /// The last address that turned out to be somebody else's; unspecified: none since the last call.
  [[nodiscard]] IpAddress take_duplicate() noexcept { return std::exchange(duplicate_, IpAddress{}); }

  [[nodiscard]] const Autoconfiguration& autoconfiguration() const noexcept { return configuration_; }
  [[nodiscard]] const Membership& membership() const noexcept { return membership_; }
  [[nodiscard]] const DiscoveryCounters& counters() const noexcept { return counters_; }

  /// A query of MLD whose checksum has been verified, or any IGMP message.
  void on_query(const IpPacket& packet) noexcept;

  /// Does what is due; to be called when fresh addresses were added.
  void step() noexcept;

 private:
  struct StepTimer : Timer {
    explicit StepTimer(NeighbourDiscovery& discovery) noexcept;
    NeighbourDiscovery* owner;
  };
  struct Interface {
    bool running = false;
    bool accept_routers = false;
    std::uint8_t solicitations_left = 0;
    Time solicit_at = never;
    Duration retransmit_time = 1s;  ///< RFC 4861 10, RFC 4862 5.1: one question, one second
  };
  void arm() noexcept;
  void claim_fresh(Time now) noexcept;
  void expire_addresses(Time now) noexcept;
  void solicit_routers(std::uint16_t interface, Time now) noexcept;
  [[nodiscard]] bool acceptable(const IpPacket& packet) noexcept;
  void on_solicitation(const IpPacket& packet) noexcept;
  void on_advertisement(const IpPacket& packet) noexcept;
  void on_router(const IpPacket& packet) noexcept;
  void on_duplicate(const Address& own) noexcept;
  void solicit(std::uint16_t interface, const NeighbourQuestion& question) noexcept;
  void advertise(const IpPacket& asked, const Address& own) noexcept;
  void send_neighbour(std::uint16_t interface, const IpAddress& from, const IpAddress& to,
                      const wire::NeighbourMessage& message, bool with_link_address) noexcept;
  [[nodiscard]] MacAddress mac(std::uint16_t interface) const noexcept {
    return ip_.link(interface).capabilities().mac;
  }

  Shard& shard_;
  Ip& ip_;
  Autoconfiguration configuration_;
  Membership membership_;
  StepTimer timer_;
  std::array<Interface, Ip::maximum_interfaces> interfaces_{};
  bool changed_ = false;
  bool names_changed_ = false;
  Time names_until_ = never;  ///< when the next of them is past its time
  IpAddress duplicate_{};
  std::uint64_t nonce_ = 0;  ///< the option with which we ask for our own addresses
  DiscoveryCounters counters_;
};

}  // namespace mirage::net::ip
