// SPDX-License-Identifier: ISC
// The TCP/IP stack, both IP versions, on one network interface or several: joins the layers, and is the only place that
// sees all of them. The way of a packet is told in doc/packet.md, several interfaces in doc/interfaces.md. How many
// there are is known to the compiler: with one, nothing is left of the loops.
#pragma once

#include <array>
#include <cstdint>
#include <optional>
#include <string_view>
#include <type_traits>
#include <utility>

#include <mirage/async/shard.hpp>
#include <mirage/base/counters.hpp>
#include <mirage/module/name_service.hpp>
#include <mirage/module/net.hpp>
#include <mirage/module/stack.hpp>
#include <mirage/module/start.hpp>
#include <mirage/net/dhcp/absent.hpp>
#include <mirage/net/dhcp/client.hpp>
#include <mirage/net/dhcp6/absent.hpp>
#include <mirage/net/dhcp6/client.hpp>
#include <mirage/net/interface.hpp>
#include <mirage/net/interface_ports.hpp>
#include <mirage/net/ip/icmpv6.hpp>
#include <mirage/net/ip/ip.hpp>
#include <mirage/net/ip/redirect.hpp>
#include <mirage/net/tcp/bbr/algorithm.hpp>
#include <mirage/net/tcp/tcp.hpp>
#include <mirage/net/udp/udp.hpp>

namespace mirage::net {

/// How a stack on one interface is set up; the run-time keys of the module "stack" fill it.
struct StackOptions : InterfaceOptions {
  std::string_view hostname{};  ///< sent by DHCP when not empty; must outlive the stack
  ip::IpOptions ip{};           ///< bounds of each layer
  tcp::TcpOptions tcp{};
};

/// What a stack on several interfaces has in common for all of them; the module "multihomed_stack".
struct MultihomedOptions {
  std::string_view hostname{};
  ip::IpOptions ip{};
  tcp::TcpOptions tcp{};
};

/// The DHCP clients that a stack links; together they are a tenth of a web server.
enum class DhcpClients : std::uint8_t { both, ipv4, none };

/// Sees every packet of a stack before it does: how a router gets what is for others.
class PacketHook {
 public:
  /// True when the hook has taken the packet; else the stack goes on with it, as the hook left it.
  virtual bool take(LinkPacket& packet) noexcept = 0;

 protected:
  ~PacketHook() = default;
};

/// A strong host (RFC 1122 3.3.4.2): what is sent from an address leaves by the address's interface, what arrives for
/// an address of another interface is refused. Nothing is forwarded from one interface to another. Interfaces have the
/// numbers in which they were given, from 0 on.
template <std::size_t count, DhcpClients dhcp_clients = DhcpClients::both>
class BasicStack final : public Poller {
 public:
  static constexpr bool nothing_to_end = true;  ///< see module/launch.hpp
  using Link = ethernet::Ethernet;
  using Ip = ip::Ip;
  using Icmp = ip::Icmpv4;
  using Icmpv6 = ip::Icmpv6;
  using Udp = udp::Udp;
  using Tcp = tcp::Tcp;
  using Dhcp = std::conditional_t<dhcp_clients != DhcpClients::none, dhcp::Client, dhcp::Absent>;
  using Dhcp6 = std::conditional_t<dhcp_clients == DhcpClients::both, dhcp6::Client, dhcp6::Absent>;
  static_assert(count >= 1 && count <= ip::maximum_interfaces);

  /// `port` refers to a device (or to device/offload over one) that outlives the stack.
  BasicStack(Shard& shard, NetPort port, const StackOptions& options) noexcept
    requires(count == 1);
  template <mirage::Net Device>
    requires(count == 1 && !std::same_as<Device, NetPort>)
  BasicStack(Shard& shard, Device& device, const StackOptions& options) noexcept
      : BasicStack(shard, NetPort{device}, options) {}
  /// The interfaces outlive the stack.
  BasicStack(Shard& shard, Interface& first, Interface& second, const MultihomedOptions& options) noexcept
    requires(count == 2);
  BasicStack(Shard& shard, Interface& first, Interface& second, Interface& third,
             const MultihomedOptions& options) noexcept
    requires(count == 3);
  BasicStack(Shard& shard, Interface& first, Interface& second, Interface& third, Interface& fourth,
             const MultihomedOptions& options) noexcept
    requires(count == 4);
  BasicStack(const BasicStack&) = delete;
  BasicStack& operator=(const BasicStack&) = delete;

  /// Joins the loop and configures the addresses; with DHCP completes when there is a lease. With several interfaces
  /// it waits for all leases, but when one interface has an address, no longer than `patience`.
  [[nodiscard]] Task<Result<void, StartError>> start();
  static constexpr Duration patience = 10s;

  [[nodiscard]] Shard& shard() noexcept { return shard_; }
  [[nodiscard]] Tcp& tcp() noexcept { return tcp_; }
  [[nodiscard]] Udp& udp() noexcept { return udp_; }
  /// The first address that others can reach us at, IPv4 before IPv6; unspecified until there is one.
  [[nodiscard]] IpAddress address() noexcept;
  /// See TellsSource.
  [[nodiscard]] std::optional<SourceAddress> source_for(const Endpoint& remote) noexcept {
    const ip::Address* own = ip_.source_for(remote.address, remote.zone);
    if (own == nullptr) return std::nullopt;
    return SourceAddress{own->prefix, own->is_deprecated(shard_.now())};
  }

  /// What sees packets first, null at the beginning. A hook must outlive the stack or be taken away.
  [[nodiscard]] PacketHook*& hook() noexcept
    requires(count == 1)
  {
    return hook_;
  }
  /// Largest IP packet of the link.
  [[nodiscard]] std::uint16_t mtu(std::uint16_t interface = 0) const noexcept {
    return parts_[at(interface)].port.capabilities().mtu;
  }
  /// What the networks told about name resolution; by DHCP and by router advertisements.
  [[nodiscard]] const NameService& name_service() const noexcept { return name_service_; }

  static constexpr std::uint16_t interfaces = count;
  /// The number of the interface of that name, which is the zone of its link-local addresses.
  [[nodiscard]] std::optional<std::uint16_t> interface_named(std::string_view name) const noexcept
    requires(count > 1);
  /// An address as RFC 4007 11 writes it, `fe80::1%back`; without a zone the default one, the first interface. Nothing
  /// when it is none, or when there is no such interface.
  [[nodiscard]] std::optional<Endpoint> endpoint(std::string_view address, Port port) const noexcept
    requires(count > 1);

  /// See base/counters.hpp. Those of an interface come once for each, in their order.
  void visit_counters(CounterVisitor& visitor) const noexcept;

  // The parts, for counters and tools.
  [[nodiscard]] Ip& ip() noexcept { return ip_; }
  [[nodiscard]] const Icmp& icmp() const noexcept { return icmp_; }
  [[nodiscard]] const Icmpv6& icmpv6() const noexcept { return icmpv6_; }
  [[nodiscard]] const ip::NeighbourDiscovery& discovery() const noexcept { return discovery_; }
  [[nodiscard]] const Link& link(std::uint16_t interface = 0) const noexcept { return parts_[at(interface)].link; }
  [[nodiscard]] const Dhcp& dhcp(std::uint16_t interface = 0) const noexcept { return clients_[at(interface)].dhcp; }
  [[nodiscard]] const Dhcp6& dhcp6(std::uint16_t interface = 0) const noexcept { return clients_[at(interface)].dhcp6; }

  // Poller
  bool poll() noexcept override;
  void flush() noexcept override;

 private:
  static constexpr std::size_t burst = 32;           ///< frames per poll of the device
  static constexpr std::size_t bursts_per_turn = 8;  ///< then timers and tasks have their turn

  /// With one interface the compiler knows that it is the first.
  static constexpr std::size_t at(std::size_t interface) noexcept { return count == 1 ? 0 : interface; }

  struct Shared {
    std::string_view hostname;
    const ip::IpOptions& ip;
    const tcp::TcpOptions& tcp;
  };
  struct Bare {
    NetPort port;
    const InterfaceOptions& options;
  };
  /// What every interface has, below IP.
  struct Part {
    Part(Shard& shard, NetPort device, const InterfaceOptions& given) noexcept
        : port(device), options(given), link(shard, device, given.ethernet) {}
    NetPort port;
    InterfaceOptions options;
    Link link;
  };
  /// What fills its addresses in, above UDP.
  struct Clients {
    template <class U>
    Clients(Shard& shard, U&& udp, std::string_view hostname) noexcept
        : dhcp(shard, udp, hostname), dhcp6(shard, udp) {}
    Dhcp dhcp;
    Dhcp6 dhcp6;
    NameService names;
  };
  struct Nothing {};
  /// Of several interfaces.
  struct Several {
    template <class... Given>
    Several(Udp& udp, const Ip& ip, const Given&... given) noexcept
        : settings{&given.settings...}, ports(udp, ip), udps{make(std::make_index_sequence<count>{})} {}
    template <std::size_t... number>
    std::array<InterfaceUdp, count> make(std::index_sequence<number...>) noexcept {
      return {InterfaceUdp{ports, number}...};
    }
    std::array<const InterfaceSettings*, count> settings;
    InterfacePorts ports;
    std::array<InterfaceUdp, count> udps;
  };

  template <std::size_t... number, class... Given>
  BasicStack(std::index_sequence<number...>, Shard& shard, const Shared& shared, const Given&... given) noexcept;
  [[nodiscard]] auto& udp_of(std::size_t interface) noexcept;
  [[nodiscard]] auto title(std::size_t interface) const noexcept;

  bool poll(std::size_t interface) noexcept;
  void receive(ReceivedFrame&& frame, std::size_t interface) noexcept;
  void dispatch(const ip::QuotedError& quoted) noexcept;
  [[nodiscard]] Result<void, StartError> check() const noexcept;
  [[nodiscard]] Result<void, StartError> check(std::size_t interface) const noexcept;
  [[nodiscard]] Result<void, StartError> prepare() noexcept;
  [[nodiscard]] Result<void, StartError> start_ipv4(std::size_t interface) noexcept;
  [[nodiscard]] Result<void, StartError> start_ipv6(std::size_t interface) noexcept;
  [[nodiscard]] Result<void, StartError> check_new(const IpAddress& address) const noexcept;
  void log_address(std::size_t interface, const IpPrefix& prefix) const noexcept;
  [[nodiscard]] bool add_address(std::size_t interface, const IpPrefix& prefix) noexcept;
  [[nodiscard]] Result<void, StartError> add_addresses(std::size_t interface, std::string_view list, bool v4) noexcept;
  [[nodiscard]] Result<void, StartError> add_routes(std::size_t interface) noexcept;
  [[nodiscard]] bool waits_for_lease() const noexcept;
  [[nodiscard]] Task<Result<void, StartError>> wait_for_leases();
  void report_ipv6() noexcept;
  void use(std::size_t interface, const Ipv4Prefix& prefix, Ipv4Address gateway, std::uint16_t mtu,
           ip::Route::Origin origin) noexcept;
  [[nodiscard]] bool is_elsewhere(const IpAddress& address, std::size_t interface) const noexcept;
  void follow_lease(std::size_t interface) noexcept;
  void add_leased_routes(std::size_t interface) noexcept;
  void follow_routers(std::size_t interface) noexcept;
  void follow_lease6(std::size_t interface) noexcept;
  void heed_conflict(std::size_t interface) noexcept;
  void lose_address(std::size_t interface) noexcept;
  void learn_names() noexcept;

  Shard& shard_;
  Logger log_;
  tcp::Algorithm congestion_;
  std::array<Part, count> parts_;
  Ip ip_;
  ip::NeighbourDiscovery discovery_;
  Icmp icmp_;
  Icmpv6 icmpv6_;
  Udp udp_;
  Tcp tcp_;
  [[no_unique_address]] std::conditional_t<(count > 1), Several, Nothing> several_;
  std::array<Clients, count> clients_;
  PacketHook* hook_ = nullptr;
  NameService name_service_;
  WaitQueue configured_;
  Timer transmit_again_;
  std::array<ReceivedFrame, burst> burst_;
};

using Stack = BasicStack<1>;

extern template class BasicStack<1>;
extern template class BasicStack<1, DhcpClients::ipv4>;
extern template class BasicStack<1, DhcpClients::none>;
extern template class BasicStack<2>;
extern template class BasicStack<3>;
extern template class BasicStack<4>;

}  // namespace mirage::net
