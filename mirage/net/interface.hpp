// SPDX-License-Identifier: ISC
// A network that a stack is attached to, and what the stack is to do there.
#pragma once

#include <cstdint>
#include <string_view>

#include <mirage/async/shard.hpp>
#include <mirage/base/address.hpp>
#include <mirage/module/net.hpp>
#include <mirage/net/ethernet/ethernet.hpp>

namespace mirage::net {

/// IPv6 on an interface.
struct Ipv6Options {
  bool enabled = false;
  bool accept_router_advertisements = true;
  IpPrefix address{};          ///< a static address and its network; unspecified: none
  std::string_view further{};  ///< others, such as 2001:db8:1::2/64, with commas between them; must outlive the start
  IpAddress gateway{};         ///< unspecified: none but those that are advertised
  std::string_view secret{};   ///< keeps autoconfigured addresses the same (RFC 7217); empty: new ones at each start
};

/// Addresses of an interface, and the bounds of its link.
struct InterfaceOptions {
  bool ipv4_enabled = true;
  Ipv4Prefix ipv4{Ipv4Address::of(10, 0, 0, 2), 24};  ///< own address and network; ignored with dhcp
  std::string_view further_ipv4{};                    ///< others; likewise ignored, and as in `ipv6.further`
  Ipv4Address gateway{};                              ///< unspecified: no default route
  bool dhcp = false;                                  ///< address, gateway and name servers by DHCP
  Ipv6Options ipv6{};
  ethernet::EthernetOptions ethernet{};
};

/// Of one interface among several.
struct InterfaceSettings {
  std::string_view name;  ///< in logs and in zones (fe80::1%name); must outlive the stack
  InterfaceOptions addresses{};
  std::uint16_t metric = 0;   ///< added to that of every route through it: lower ones are preferred
  std::string_view routes{};  ///< beyond its own network: PREFIX=GATEWAY, or PREFIX for one on the link; by commas
};

/// The module "interface": a device with its settings, for a stack with several.
class Interface {
 public:
  /// `device` (a device, or device/offload over one) outlives the interface.
  template <mirage::Net Device>
  Interface(Shard&, Device& device, const InterfaceSettings& given) noexcept : port(device), settings(given) {}
  Interface(const Interface&) = delete;
  Interface& operator=(const Interface&) = delete;

  NetPort port;
  InterfaceSettings settings;
  const InterfaceOptions& options = settings.addresses;
};

}  // namespace mirage::net
