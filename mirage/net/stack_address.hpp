// SPDX-License-Identifier: ISC
// The half of stack.cpp that deals with addresses and routes of interfaces: by keys, by DHCP, from routers. Included
// there, and nowhere else.
#pragma once

#include <algorithm>
#include <optional>
#include <string_view>

#include <mirage/net/ip/neighbour_discovery.hpp>
#include <mirage/net/stack.hpp>

namespace mirage::net {

namespace route_list {

/// Takes the front of a list that commas separate.
inline std::string_view take_item(std::string_view& list) noexcept {
  const std::string_view item = list.substr(0, list.find(','));
  list.remove_prefix(std::min(item.size() + 1, list.size()));
  return item;
}

/// PREFIX=GATEWAY, or PREFIX.
inline std::optional<ip::Route> parse_route(std::string_view text) noexcept {
  const std::size_t sign = text.find('=');
  const auto prefix = IpPrefix::parse(text.substr(0, sign));
  if (!prefix) return std::nullopt;
  ip::Route route{.prefix = {prefix->network(), prefix->length}};
  if (sign == std::string_view::npos) return route;
  const auto gateway = IpAddress::parse(text.substr(sign + 1));
  if (!gateway || !gateway->is_unicast() || gateway->is_v4() != prefix->address.is_v4()) return std::nullopt;
  route.gateway = *gateway;
  return route;
}

}  // namespace route_list

/// RFC 1122 3.2.1.3: an address that a host may have; neither its network's own nor the broadcast address.
constexpr bool is_usable(const Ipv4Prefix& prefix) noexcept {
  const Ipv4Address address = prefix.address;
  if (!address.is_unicast() || address.is_loopback() || prefix.length == 0) return false;
  const std::uint32_t host = address.value & ~prefix.mask();
  return prefix.length >= 31 || (host != 0 && host != ~prefix.mask());
}

static_assert(is_usable({Ipv4Address::of(10, 0, 0, 2), 24}) && is_usable({Ipv4Address::of(10, 0, 0, 0), 31}));
static_assert(!is_usable({Ipv4Address::of(10, 0, 0, 0), 24}) && !is_usable({Ipv4Address::of(10, 0, 0, 255), 24}));
/// RFC 4291 2.5: what may be given by hand.
constexpr bool is_usable(const IpPrefix& prefix) noexcept {
  const IpAddress& address = prefix.address;
  if (address.is_v4()) return is_usable(Ipv4Prefix{address.v4(), static_cast<std::uint8_t>(prefix.length - 96)});
  return address.is_unicast() && !address.is_loopback() && prefix.length > 0;
}

/// For messages: the interface where there are several.
template <std::size_t count, DhcpClients dhcp_clients>
auto BasicStack<count, dhcp_clients>::title(std::size_t interface) const noexcept {
  if constexpr (count > 1) {
    return several_.settings[interface]->name;
  } else {
    return parts_[at(interface)].port.capabilities().mac;
  }
}

template <std::size_t count, DhcpClients dhcp_clients>
Result<void, StartError> BasicStack<count, dhcp_clients>::start_ipv4(std::size_t interface) noexcept {
  const InterfaceOptions& options = parts_[at(interface)].options;
  if (!options.dhcp) {
    if constexpr (count > 1) MIRAGE_CHECK(check_new(options.ipv4.address));
    const bool own_gateway = options.gateway == options.ipv4.address;
    if (own_gateway) log_.warning("the gateway {} is this machine's own address: not used", options.gateway);
    use(interface, options.ipv4, own_gateway ? Ipv4Address{} : options.gateway, 0, ip::Route::Origin::interface);
    return add_addresses(interface, options.further_ipv4, true);
  }
  log_.info("{} asking for an address by DHCP", title(interface));
  if (clients_[at(interface)].dhcp.start(parts_[at(interface)].port.capabilities().mac)) return {};
  return Failure{StartError("net: the DHCP client's port is taken")};
}

template <std::size_t count, DhcpClients dhcp_clients>
Result<void, StartError> BasicStack<count, dhcp_clients>::start_ipv6(std::size_t interface) noexcept {
  const auto number = static_cast<std::uint16_t>(at(interface));
  const Ipv6Options& options = parts_[at(interface)].options.ipv6;
  const NetCapabilities& device = parts_[at(interface)].port.capabilities();
  if constexpr (count > 1) MIRAGE_CHECK(check_new(options.address.address));
  // Shards of one interface have the same addresses.
  discovery_.set_secret(number, options.secret.empty() ? device.shared_secret : options.secret);
  if (discovery_.start(number, {.accept_routers = options.accept_router_advertisements,
                                .address = options.address,
                                .gateway = options.gateway})) {
    MIRAGE_CHECK(add_addresses(interface, options.further, false));
    discovery_.step();
  } else {
    log_.warning("no IPv6: the link's MTU of {} is too small for it", device.mtu);
  }
  return {};
}

template <std::size_t count, DhcpClients dhcp_clients>
Result<void, StartError> BasicStack<count, dhcp_clients>::check_new(const IpAddress& address) const noexcept {
  if (ip_.addresses().find(address) == nullptr) return {};
  return Failure{StartError("net: {} is given twice", address)};
}

/// Those of a list beyond the first.
template <std::size_t count, DhcpClients dhcp_clients>
Result<void, StartError> BasicStack<count, dhcp_clients>::add_addresses(std::size_t interface, std::string_view list,
                                                                        bool v4) noexcept {
  while (!list.empty()) {
    const std::string_view item = route_list::take_item(list);
    const auto prefix = IpPrefix::parse(item);
    std::string_view wrong = "is no address for a host";
    if (prefix && prefix->address.is_v4() == v4 && is_usable(*prefix)) {
      wrong = "is given twice";
      if (ip_.addresses().find(prefix->address) == nullptr) {
        if (add_address(interface, *prefix)) continue;
        wrong = "is one address too many";
      }
    }
    return Failure{StartError("net: {} {}", item, wrong)};
  }
  return {};
}

template <std::size_t count, DhcpClients dhcp_clients>
void BasicStack<count, dhcp_clients>::log_address(std::size_t interface, const IpPrefix& prefix) const noexcept {
  log_.info("{} is {}", title(interface), prefix);
}

template <std::size_t count, DhcpClients dhcp_clients>
bool BasicStack<count, dhcp_clients>::add_address(std::size_t interface, const IpPrefix& prefix) noexcept {
  const IpAddress& own = prefix.address;
  if (own.is_v4()) {
    if (!parts_[at(interface)].link.add_address({own.v4(), static_cast<std::uint8_t>(prefix.length - 96)}))
      return false;
    log_address(interface, prefix);
  }
  return ip_.add_address(prefix, static_cast<std::uint16_t>(at(interface)));
}

/// Of several interfaces: what its settings name.
template <std::size_t count, DhcpClients dhcp_clients>
Result<void, StartError> BasicStack<count, dhcp_clients>::add_routes(std::size_t interface) noexcept {
  if constexpr (count > 1) {
    std::string_view rest = several_.settings[interface]->routes;
    while (!rest.empty()) {
      const std::string_view item = route_list::take_item(rest);
      auto route = route_list::parse_route(item);
      if (!route) {
        return Failure{
            StartError("net: '{}' is no route for {}, such as 10.8.0.0/16=10.0.0.1", item, title(interface))};
      }
      route->interface = static_cast<std::uint16_t>(interface);
      if (!ip_.routes().add(*route)) {
        return Failure{StartError("net: more than {} routes", ip::RouteTable::capacity)};
      }
    }
  }
  return {};
}

template <std::size_t count, DhcpClients dhcp_clients>
void BasicStack<count, dhcp_clients>::report_ipv6() noexcept {
  if (const IpAddress taken = discovery_.take_duplicate(); !taken.is_unspecified()) {
    log_.warning("another station uses {}", taken);
    for (Clients& each : clients_) {
      if (each.dhcp6.has(taken)) each.dhcp6.conflict();
    }
  }
  for (std::size_t i = 0; i < count; ++i) {
    follow_routers(i);
    follow_lease6(i);
  }
  if (discovery_.take_names()) learn_names();
  if (!discovery_.take_change()) return;
  for (const ip::Address& own : ip_.addresses()) {
    if (!own.address().is_v4() && !own.address().is_link_local()) log_address(at(own.interface), own.prefix);
  }
}

/// RFC 4862 5.5.2, RFC 4861 4.2: routers say whether DHCPv6 has addresses, or other things only; of both, addresses.
template <std::size_t count, DhcpClients dhcp_clients>
void BasicStack<count, dhcp_clients>::follow_routers(std::size_t interface) noexcept {
  const auto number = static_cast<std::uint16_t>(at(interface));
  const ip::Autoconfiguration& advertised = discovery_.autoconfiguration();
  Dhcp6& client = clients_[at(interface)].dhcp6;
  const auto mode = advertised.managed(number) ? dhcp6::Machine::Mode::stateful : dhcp6::Machine::Mode::stateless;
  if (client.started(mode) || !(advertised.managed(number) || advertised.other(number))) return;
  const IpAddress own = discovery_.link_local(number);
  if (own.is_unspecified()) return;
  const dhcp6::Identity identity{.host = parts_[0].port.capabilities().mac,
                                 .interface = parts_[at(interface)].port.capabilities().mac};
  if (client.start(mode, identity, own, number)) return;
  log_.warning("{}", Dhcp6::unavailable);
}

template <std::size_t count, DhcpClients dhcp_clients>
void BasicStack<count, dhcp_clients>::follow_lease6(std::size_t interface) noexcept {
  const auto number = static_cast<std::uint16_t>(at(interface));
  Dhcp6& client = clients_[at(interface)].dhcp6;
  const dhcp6::Lease& lease = client.lease();
  switch (client.take_change()) {
    case dhcp6::Actions::Change::none:
      return;
    case dhcp6::Actions::Change::bound:
      for (std::size_t i = 0; i < lease.count; ++i) {
        const auto& each = lease.addresses[i];
        if (is_elsewhere(each.address, interface)) continue;
        if (count > 1 && !discovery_.has_room_for_lease(each.address, number)) continue;
        discovery_.lease(each.address, number, each.preferred_until, each.valid_until);
      }
      break;
    case dhcp6::Actions::Change::lost:
      log_.warning("the DHCPv6 lease is gone");
      discovery_.release(number);
      break;
  }
  learn_names();
}

template <std::size_t count, DhcpClients dhcp_clients>
IpAddress BasicStack<count, dhcp_clients>::address() noexcept {
  const ip::Address* best = nullptr;
  for (const ip::Address& own : ip_.addresses()) {
    if (own.address().is_v4()) return own.address();
    if (best == nullptr || (best->address().is_link_local() && !own.address().is_link_local())) best = &own;
  }
  return best == nullptr ? IpAddress{} : best->address();
}

template <std::size_t count, DhcpClients dhcp_clients>
void BasicStack<count, dhcp_clients>::use(std::size_t interface, const Ipv4Prefix& prefix, Ipv4Address gateway,
                                          std::uint16_t mtu, ip::Route::Origin origin) noexcept {
  const auto number = static_cast<std::uint16_t>(at(interface));
  const bool changed = ip_.prefix(number) != prefix;
  ip_.configure(prefix, gateway, mtu, number, origin);
  if (changed) {
    parts_[at(interface)].link.set_address(prefix);
    log_address(interface, prefix);
  }
  configured_.notify_all();
}

template <std::size_t count, DhcpClients dhcp_clients>
void BasicStack<count, dhcp_clients>::follow_lease(std::size_t interface) noexcept {
  Clients& client = clients_[at(interface)];
  const dhcp::Lease& lease = client.dhcp.lease();
  switch (client.dhcp.take_change()) {
    case dhcp::Actions::Change::none:
      return;
    case dhcp::Actions::Change::bound:
      if (is_elsewhere(lease.prefix.address, interface)) {
        lose_address(interface);
        return client.dhcp.conflict();
      }
      client.names = lease.names;
      learn_names();
      use(interface, lease.prefix, lease.gateway, lease.mtu, ip::Route::Origin::leased);
      return add_leased_routes(interface);
    case dhcp::Actions::Change::lost:
      log_.warning("the DHCP lease is gone");
      lose_address(interface);
  }
}

/// RFC 3442. What does not fit into the table is left out.
template <std::size_t count, DhcpClients dhcp_clients>
void BasicStack<count, dhcp_clients>::add_leased_routes(std::size_t interface) noexcept {
  const auto& routes = clients_[at(interface)].dhcp.lease().routes;
  for (std::size_t i = 0; i < routes.count; ++i) {
    (void)ip_.routes().add({.prefix = routes.items[i].prefix,
                            .gateway = routes.items[i].gateway,
                            .interface = static_cast<std::uint16_t>(interface),
                            .origin = ip::Route::Origin::leased});
  }
}

/// What leases say comes first, those of the first interface before others; RFC 8106 5.3.1 leaves the order to us.
template <std::size_t count, DhcpClients dhcp_clients>
void BasicStack<count, dhcp_clients>::learn_names() noexcept {
  name_service_ = clients_[0].names;
  for (std::size_t i = 1; i < count; ++i) {
    for (const IpAddress& server : clients_[i].names.servers()) name_service_.add_server(server);
    name_service_.add_search(clients_[i].names.search());
  }
  for (std::size_t i = 0; i < count && dhcp_clients == DhcpClients::both; ++i) {
    const Clients& each = clients_[i];
    for (const IpAddress& server : each.dhcp6.lease().names.servers()) name_service_.add_server(server);
    name_service_.add_search(each.dhcp6.lease().names.search());
  }
  const ip::Autoconfiguration& advertised = discovery_.autoconfiguration();
  for (const ip::AdvertisedServer& server : advertised.servers()) {
    if (server.expires > shard_.now()) name_service_.add_server(server.address);
  }
  for (const ip::AdvertisedDomain& domain : advertised.domains()) {
    if (domain.expires > shard_.now()) name_service_.add_search(domain.name());
  }
}

/// True for an address of another interface: what its network is told to send there must not go where some other
/// network's server says (strong host, RFC 1122 3.3.4.2).
template <std::size_t count, DhcpClients dhcp_clients>
bool BasicStack<count, dhcp_clients>::is_elsewhere([[maybe_unused]] const IpAddress& address,
                                                   [[maybe_unused]] std::size_t interface) const noexcept {
  if constexpr (count > 1) {
    const ip::Address* own = ip_.addresses().find(address);
    if (own == nullptr || own->interface == interface) return false;
    log_.warning("{} is offered {}, which {} has: refused", title(interface), address, title(own->interface));
    return true;
  } else {
    return false;
  }
}

template <std::size_t count, DhcpClients dhcp_clients>
void BasicStack<count, dhcp_clients>::heed_conflict(std::size_t interface) noexcept {
  Part& part = parts_[at(interface)];
  Dhcp& client = clients_[at(interface)].dhcp;
  const Ipv4Address taken = part.link.take_conflict();
  if (taken.is_unspecified()) return;
  log_.warning("another station uses {}", taken);
  if (!part.options.dhcp || !client.declines()) return;
  lose_address(interface);
  client.conflict();
}

template <std::size_t count, DhcpClients dhcp_clients>
void BasicStack<count, dhcp_clients>::lose_address(std::size_t interface) noexcept {
  clients_[at(interface)].names = {};
  learn_names();
  ip_.deconfigure(static_cast<std::uint16_t>(interface));
  parts_[at(interface)].link.set_address({});
}

}  // namespace mirage::net
