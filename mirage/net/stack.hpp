// SPDX-License-Identifier: ISC
// The TCP/IP stack, both IP versions, on one network interface: joins the layers, and is the only place that sees all
// of them. The way of a packet is told in doc/packet.md.
#pragma once

#include <array>
#include <cstdint>
#include <string_view>

#include <mirage/async/shard.hpp>
#include <mirage/base/counters.hpp>
#include <mirage/module/name_service.hpp>
#include <mirage/module/net.hpp>
#include <mirage/module/stack.hpp>
#include <mirage/module/start.hpp>
#include <mirage/net/dhcp/client.hpp>
#include <mirage/net/dhcp6/client.hpp>
#include <mirage/net/ethernet/ethernet.hpp>
#include <mirage/net/ip/icmpv6.hpp>
#include <mirage/net/ip/ip.hpp>
#include <mirage/net/tcp/bbr/algorithm.hpp>
#include <mirage/net/tcp/tcp.hpp>
#include <mirage/net/udp/udp.hpp>

namespace mirage::net {

/// IPv6 of a stack.
struct Ipv6Options {
  bool enabled = false;
  bool accept_router_advertisements = true;
  IpPrefix address{};         ///< a static address and its network; unspecified: none
  IpAddress gateway{};        ///< unspecified: none but those that are advertised
  std::string_view secret{};  ///< keeps autoconfigured addresses the same (RFC 7217); empty: new ones at each start
};

/// How a stack is set up; the run-time keys of the module "stack" fill it.
struct StackOptions {
  bool ipv4_enabled = true;
  Ipv4Prefix ipv4{Ipv4Address::of(10, 0, 0, 2), 24};  ///< own address and network; ignored with dhcp
  Ipv4Address gateway{};                              ///< unspecified: no default route
  bool dhcp = false;                                  ///< address, gateway and name servers by DHCP
  std::string_view hostname{};                        ///< sent by DHCP when not empty; must outlive the stack
  Ipv6Options ipv6{};
  ethernet::EthernetOptions ethernet{};  ///< bounds of each layer
  ip::IpOptions ip{};
  tcp::TcpOptions tcp{};
};

/// Sees every packet of a stack before it does: how a router gets what is for others.
class PacketHook {
 public:
  /// True when the hook has taken the packet; else the stack goes on with it, as the hook left it.
  virtual bool take(LinkPacket& packet) noexcept = 0;

 protected:
  ~PacketHook() = default;
};

class Stack final : public Poller {
 public:
  using Link = ethernet::Ethernet;
  using Ip = ip::Ip;
  using Icmp = ip::Icmpv4;
  using Icmpv6 = ip::Icmpv6;
  using Udp = udp::Udp;
  using Tcp = tcp::Tcp;
  using Dhcp = dhcp::Client;

  /// `port` refers to a device (or to device/offload over one) that outlives the stack.
  Stack(Shard& shard, NetPort port, const StackOptions& options) noexcept;
  template <mirage::Net Device>
    requires(!std::same_as<Device, NetPort>)
  Stack(Shard& shard, Device& device, const StackOptions& options) noexcept : Stack(shard, NetPort{device}, options) {}
  Stack(const Stack&) = delete;
  Stack& operator=(const Stack&) = delete;

  /// Joins the loop and configures the address; with DHCP completes when there is a lease.
  [[nodiscard]] Task<Result<void, StartError>> start();

  [[nodiscard]] Shard& shard() noexcept { return shard_; }
  [[nodiscard]] Tcp& tcp() noexcept { return tcp_; }
  [[nodiscard]] Udp& udp() noexcept { return udp_; }
  /// The first address that others can reach us at, IPv4 before IPv6; unspecified until there is one.
  [[nodiscard]] IpAddress address() noexcept;

  /// Null: none. The hook must outlive the stack or be taken away.
  void set_hook(PacketHook* hook) noexcept { hook_ = hook; }
  /// Largest IP packet of the link.
  [[nodiscard]] std::uint16_t mtu() const noexcept { return port_.capabilities().mtu; }
  /// What the network told about name resolution; by DHCP and by router advertisements.
  [[nodiscard]] const NameService& name_service() const noexcept { return name_service_; }

  /// See base/counters.hpp.
  void visit_counters(CounterVisitor& visitor) const noexcept;

  // The parts, for counters and tools.
  [[nodiscard]] Ip& ip() noexcept { return ip_; }
  [[nodiscard]] const Icmp& icmp() const noexcept { return icmp_; }
  [[nodiscard]] const Icmpv6& icmpv6() const noexcept { return icmpv6_; }
  [[nodiscard]] const ip::NeighbourDiscovery& discovery() const noexcept { return discovery_; }
  [[nodiscard]] const Link& link() const noexcept { return link_; }
  [[nodiscard]] const Dhcp& dhcp() const noexcept { return dhcp_; }
  [[nodiscard]] const dhcp6::Client& dhcp6() const noexcept { return dhcp6_; }

  // Poller
  bool poll() noexcept override;
  void flush() noexcept override;

 private:
  static constexpr std::size_t burst = 32;           ///< frames per poll of the device
  static constexpr std::size_t bursts_per_turn = 8;  ///< then timers and tasks have their turn

  void receive(ReceivedFrame&& frame) noexcept;
  void dispatch(const ip::QuotedError& quoted) noexcept;
  [[nodiscard]] Result<void, StartError> prepare() noexcept;
  void start_ipv6() noexcept;
  void report_ipv6() noexcept;
  void use(const Ipv4Prefix& prefix, Ipv4Address gateway, std::uint16_t mtu) noexcept;
  void follow_lease() noexcept;
  void add_leased_routes() noexcept;
  void follow_routers() noexcept;
  void follow_lease6() noexcept;
  void heed_conflict() noexcept;
  void lose_address() noexcept;
  void learn_names() noexcept;

  Shard& shard_;
  StackOptions options_;
  Logger log_;
  NetPort port_;
  Link link_;
  Ip ip_;
  Icmp icmp_;
  ip::NeighbourDiscovery discovery_;
  Icmpv6 icmpv6_;
  Udp udp_;
  Tcp tcp_;
  Dhcp dhcp_;
  dhcp6::Client dhcp6_;
  PacketHook* hook_ = nullptr;
  NameService leased_names_;
  NameService name_service_;
  WaitQueue configured_;
  Timer transmit_again_;
  std::array<ReceivedFrame, burst> burst_;
};

}  // namespace mirage::net
