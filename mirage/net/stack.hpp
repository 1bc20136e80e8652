// SPDX-License-Identifier: ISC
// The IPv4 stack on one network interface: joins the layers, and is the only place that sees all of them.
#pragma once

#include <cstdint>
#include <optional>
#include <string_view>

#include <mirage/async/shard.hpp>
#include <mirage/module/net.hpp>
#include <mirage/module/stack.hpp>
#include <mirage/module/start.hpp>
#include <mirage/net/dhcp/client.hpp>
#include <mirage/net/ethernet/ethernet.hpp>
#include <mirage/net/ip/icmp.hpp>
#include <mirage/net/ip/ip.hpp>
#include <mirage/net/tcp/tcp.hpp>
#include <mirage/net/udp/udp.hpp>

namespace mirage::net {

/// How a stack is set up; the run-time keys of the module "stack" fill it.
struct StackOptions {
  Ipv4Prefix ipv4{Ipv4Address::of(10, 0, 0, 2), 24};  ///< own address and network; ignored with dhcp
  Ipv4Address gateway{};                              ///< unspecified: no default route
  bool dhcp = false;                                  ///< address, gateway and name servers by DHCP
  std::string_view hostname{};                        ///< sent by DHCP when not empty; must outlive the stack
  ethernet::EthernetOptions ethernet{};
  ip::IpOptions ip{};
  tcp::TcpOptions tcp{};
};

class Stack final : public Poller {
 public:
  using Link = ethernet::Ethernet;
  using Ip = ip::Ip<Link>;
  using Icmp = ip::Icmp<Ip>;
  using Udp = udp::Udp<Ip>;
  using Tcp = tcp::Tcp<Ip>;
  using Dhcp = dhcp::Client<Udp>;

  /// `port` refers to a device (or to device/offload over one) that outlives the stack.
  Stack(Shard& shard, NetPort port, const StackOptions& options) noexcept;
  template <mirage::Net Device>
  Stack(Shard& shard, Device& device, const StackOptions& options) noexcept
      : Stack(shard, NetPort{device}, options) {}
  Stack(const Stack&) = delete;
  Stack& operator=(const Stack&) = delete;
  ~Stack();

  /// Joins the loop and configures the address; with DHCP completes when there is a lease.
  [[nodiscard]] Task<Result<void, StartError>> start();

  [[nodiscard]] Shard& shard() noexcept { return shard_; }
  [[nodiscard]] Tcp& tcp() noexcept { return tcp_; }
  [[nodiscard]] Udp& udp() noexcept { return udp_; }
  [[nodiscard]] Ip& ip() noexcept { return ip_; }
  [[nodiscard]] Link& link() noexcept { return link_; }
  /// The configured address; unspecified until there is one.
  [[nodiscard]] IpAddress address() noexcept;

  // Poller
  bool poll() noexcept override;
  void flush() noexcept override;

 private:
  void receive(ReceivedFrame&& frame) noexcept;

  Shard& shard_;
  StackOptions options_;
  NetPort port_;
  Link link_;
  Ip ip_;
  Icmp icmp_;
  Udp udp_;
  Tcp tcp_;
  Dhcp dhcp_;
};

}  // namespace mirage::net
