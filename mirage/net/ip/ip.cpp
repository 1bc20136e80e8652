// SPDX-License-Identifier: ISC
// Interfaces, addresses and routing of Ip; the part of sending that both versions share.
#include <algorithm>

#include <mirage/net/ip/ip.hpp>
#include <mirage/net/ip/source_selection.hpp>
#include <mirage/wire/icmpv4.hpp>

namespace mirage::net::ip {

namespace {
constexpr std::uint16_t any_interface = 0xffff;
}

Ip::ExpiryTimer::ExpiryTimer(Ip& ip) noexcept
    : Timer([](Timer& timer) noexcept { static_cast<ExpiryTimer&>(timer).owner->expire(); }), owner(&ip) {}

Ip::Ip(Shard& shard, LinkPort link, const IpOptions& options) noexcept
    : shard_(shard), options_(options), reassembly_(shard.buffers(), options.reassembly), timer_(*this) {
  interfaces_[0].emplace(link, RateLimit{options_.error_interval, options_.error_burst});
}

std::optional<std::uint16_t> Ip::add_interface(LinkPort link) noexcept {
  if (interface_count_ == maximum_interfaces) return std::nullopt;
  interfaces_[interface_count_].emplace(link, RateLimit{options_.error_interval, options_.error_burst});
  return interface_count_++;
}

void Ip::start() noexcept {
  identification_key_ = shard_.random().next_u32();
  for (auto& counter : identifications_) counter = static_cast<std::uint16_t>(shard_.random().next_u32());
}

// --- addresses ---

void Ip::configure(const Ipv4Prefix& prefix, Ipv4Address gateway, std::uint16_t mtu, std::uint16_t interface,
                   Route::Origin origin) noexcept {
  deconfigure(interface);
  interfaces_[interface]->mtu_v4 = mtu;
  addresses_.add({.prefix = prefix, .interface = interface, .origin = Address::Origin::leased});
  const auto add = [&](const Ipv4Prefix& to, Ipv4Address via) {
    (void)routes_.add({.prefix = to, .gateway = via, .interface = interface, .origin = origin});
  };
  add(prefix, {});
  if (gateway.is_unspecified()) return;
  add({}, gateway);
  // RFC 3442's point-to-point networks: a gateway outside of the prefix is on the link all the same.
  if (!prefix.contains(gateway)) add({gateway, 32}, {});
}

bool Ip::add_address(const IpPrefix& prefix, std::uint16_t interface, Address::Origin origin) noexcept {
  const auto phase = prefix.address.is_v4() ? Address::Phase::confirmed : Address::Phase::fresh;
  return addresses_.add({.prefix = prefix, .interface = interface, .origin = origin, .phase = phase}) != nullptr &&
         routes_.add(
             {.prefix = {prefix.network(), prefix.length}, .interface = interface, .origin = Route::Origin::interface});
}

void Ip::deconfigure(std::uint16_t interface) noexcept {
  interfaces_[interface]->mtu_v4 = 0;
  addresses_.remove_if([&](const Address& own) {
    return own.interface == interface && own.origin == Address::Origin::leased && own.address().is_v4();
  });
  routes_.remove_if([&](const Route& route) {
    return route.interface == interface && route.origin != Route::Origin::manual && route.prefix.address.is_v4();
  });
}

Ipv4Prefix Ip::prefix(std::uint16_t interface) const noexcept {
  for (const Address& own : addresses_) {
    if (own.interface == interface && own.address().is_v4()) {
      return {own.address().v4(), static_cast<std::uint8_t>(own.prefix.length - 96)};
    }
  }
  return {};
}

void Ip::set_v6_limits(std::uint16_t interface, std::uint16_t mtu, std::uint8_t hop_limit) noexcept {
  if (mtu != 0) interfaces_[interface]->mtu_v6 = mtu;
  // Few hops would cut us off from all that is farther away (CVE-2015-2922).
  if (hop_limit >= smallest_hop_limit) interfaces_[interface]->hop_limit = hop_limit;
}

std::uint16_t Ip::mtu_of(std::uint16_t interface, bool v4) const noexcept {
  const Interface& of = *interfaces_[interface];
  const std::uint16_t configured = v4 ? of.mtu_v4 : of.mtu_v6;
  const std::uint16_t link = of.link.capabilities().mtu;
  return configured == 0 ? link : std::min(configured, link);
}

bool Ip::is_broadcast(const IpAddress& address, std::uint16_t interface) const noexcept {
  if (!address.is_v4()) return false;
  if (address.v4().is_broadcast()) return true;
  return std::ranges::any_of(addresses_, [&](const Address& own) {
    if (own.interface != interface || !own.address().is_v4()) return false;
    const Ipv4Prefix prefix{own.address().v4(), static_cast<std::uint8_t>(own.prefix.length - 96)};
    return prefix.broadcast() == address.v4();
  });
}

bool Ip::is_group(const IpAddress& address, std::uint16_t interface) const noexcept {
  return address.is_multicast() || is_broadcast(address, interface);
}

bool Ip::listens(const IpAddress& group, std::uint16_t interface, const IpAddress& source) const noexcept {
  return groups_.contains(group, interface) ||
         (group_filter_ != nullptr && group_filter_->accepts(group, interface, source));
}

bool Ip::join(const IpAddress& group, std::uint16_t interface) noexcept {
  if (group_filter_ != nullptr && group_filter_->has(group, interface)) return false;
  return group.is_multicast() && interface < interface_count_ && groups_.join(group, interface);
}

void Ip::leave(const IpAddress& group, std::uint16_t interface) noexcept { groups_.leave(group, interface); }

// --- routing ---

/// Where the destination is reached from an interface, or from any; around a gateway that does not answer if there is
/// another one to the same network (RFC 1122 3.3.1.4): what is meant for one network must not end up in another. Where
/// a redirect leads to nowhere, what it had changed holds again (RFC 4861 7.3.3).
const Route* Ip::route_to(const IpAddress& destination, std::uint16_t interface) const noexcept {
  const auto through = [interface](const Route& route) {
    return route.interface == interface || interface == any_interface;
  };
  const Route* first = routes_.find_if(destination, through);
  if (first != nullptr && interface == any_interface && first->is_learnt()) {
    const Route* given = routes_.find_if(destination, [&](const Route& route) { return route.is_spared_from(*first); });
    if (given != nullptr) first = given;
  }
  if (first == nullptr || first->gateway.is_unspecified() || !link(first->interface).is_unreachable(first->gateway)) {
    return first;
  }
  const Route* other = routes_.find_if(destination, [&](const Route& route) {
    const bool same = route.prefix.length == first->prefix.length || first->origin == Route::Origin::redirected;
    return through(route) && same && !route.gateway.is_unspecified() &&
           !link(route.interface).is_unreachable(route.gateway);
  });
  return other == nullptr ? first : other;
}

/// The strong host model (RFC 1122 3.3.4.2): a given source must be ours and fixes the interface; else the zone does
/// where the destination has one (RFC 4007 9), else the route, and the source is chosen (RFC 6724). False when there is
/// no way.
bool Ip::choose_interface(const IpAddress& source, std::uint16_t zone, Path& path) noexcept {
  const bool given = !source.is_unspecified();
  const Address* own = given ? addresses_.find(source) : nullptr;
  if (given && (own == nullptr || source.is_v4() != path.destination.is_v4())) return false;
  const bool limited = path.destination.is_v4() && path.destination.v4().is_broadcast();
  const bool group = limited || path.destination.is_multicast();
  const bool zoned = group || path.destination.is_link_local();
  if (zoned && (zone >= interface_count_ || (own != nullptr && zone != 0 && zone != own->interface))) return false;
  const std::uint16_t from = own != nullptr ? own->interface : zoned ? zone : any_interface;
  // With one interface it does not matter which route it is.
  const Route* route = interface_count_ == 1 ? routes_.find(path.destination) : route_to(path.destination, from);
  if (route == nullptr && !group) return false;
  path.interface = route != nullptr ? route->interface : from;
  if (own == nullptr) {
    const IpAddress router = route != nullptr ? route->gateway : IpAddress{};
    own = select_source(addresses_, path.destination, path.interface, shard_.now(), router);
  }
  if (own != nullptr) path.source = own->address();
  if (own != nullptr || (group && path.destination.is_v4())) {
    if (own == nullptr) path.source = Ipv4Address{};  // what DHCP sends from before it has an address
    return true;
  }
  return false;
}

Result<Path, IpError> Ip::route(const IpAddress& source, const IpAddress& destination, std::uint16_t zone) noexcept {
  Path path;
  path.destination = destination;
  const bool v4 = destination.is_v4();
  const bool group = destination.is_multicast() || (v4 && destination.v4().is_broadcast());
  if (!group && (!destination.is_unicast() || destination.is_loopback() || addresses_.find(destination) != nullptr)) {
    return fail(IpError::no_route);
  }
  if (!choose_interface(source, zone, path)) return fail(IpError::no_route);
  path.mtu = path_mtu_.limit(destination, path.interface, mtu_of(path.interface, v4), shard_.now());
  path.pseudo_header_sum = wire::pseudo_header_sum(path.source, destination);
  path.ip_header_size = v4 ? wire::ipv4_header_size : wire::ipv6_header_size;
  path.is_local_broadcast = is_broadcast(destination, path.interface);
  return path;
}

const Address* Ip::source_for(const IpAddress& destination, std::uint16_t zone) noexcept {
  Path path;
  path.destination = destination;
  if (!destination.is_unicast() || destination.is_loopback() || addresses_.find(destination) != nullptr) return nullptr;
  if (!choose_interface({}, zone, path)) return nullptr;
  const Route* route = route_to(destination, path.interface);
  const IpAddress& next = route->gateway.is_unspecified() ? destination : route->gateway;
  return link(path.interface).is_unreachable(next) ? nullptr : addresses_.find(path.source, path.interface);
}

// --- sending ---

MutableSlice Ip::new_frame(std::uint32_t transport_header) noexcept {
  return shard_.buffers().allocate(transport_header, header_headroom);
}

Result<void, IpError> Ip::send(const Path& path, std::uint8_t protocol, std::uint8_t traffic_class,
                               TransmitFrame&& frame) noexcept {
  // The address may have gone since the path was computed (a lease that ended).
  if (!path.source.is_unspecified() && addresses_.find(path.source, path.interface) == nullptr) {
    return fail(IpError::no_route);
  }
  if (path.source.is_v4()) return send_v4(path, protocol, traffic_class, std::move(frame));
  return send_v6(path, protocol, traffic_class, std::move(frame));
}

Result<void, IpError> Ip::to_link(const Path& path, TransmitFrame&& frame) noexcept {
  const LinkPort& link = interfaces_[path.interface]->link;
  Result<void, LinkError> sent;
  if (path.is_local_broadcast) {
    sent = link.send_broadcast(std::move(frame));
  } else if (path.destination.is_multicast()) {
    sent = link.send_multicast(path.destination, std::move(frame));
  } else {
    const Route* route = route_to(path.destination, path.interface);
    if (route == nullptr) return fail(IpError::no_route);
    sent = link.send(route->gateway.is_unspecified() ? path.destination : route->gateway, std::move(frame));
  }
  if (!sent && sent.error() == LinkError::unreachable) return fail(IpError::no_route);
  if (!sent) return fail(sent.error() == LinkError::unresolved ? IpError::unresolved : IpError::queue_full);
  ++counters_.sent;
  return {};
}

// --- ICMP of both versions, which begins with the same eight bytes (RFC 792, RFC 4443 2.1) ---

void Ip::send_error(const Path& path, const ErrorReply& error, Slice quoted) noexcept {
  if (!may_answer(path.interface)) {
    ++counters_.errors_limited;
    return;
  }
  const bool sent =
      send_icmp(path, {.type = error.type, .code = error.code, .rest = error.rest}, 0, SliceList{std::move(quoted)});
  if (sent) ++counters_.errors_sent;
}

bool Ip::send_icmp(const Path& path, const wire::Icmpv6Header& header, std::uint8_t traffic_class,
                   SliceList&& data) noexcept {
  [[clang::uninitialized]] TransmitFrame frame;
  frame.header = new_frame(wire::Icmpv6Header::size);
  if (!frame.header) {
    ++counters_.drop_no_memory;
    return false;
  }
  header.emit(frame.header.grow_back(wire::Icmpv6Header::size));
  frame.payload = std::move(data);
  fill_icmp_checksum(path, frame);
  (void)send(path, path.source.is_v4() ? ip_protocol::icmp : ip_protocol::icmpv6, traffic_class, std::move(frame));
  return true;
}

/// IPv4's has no pseudo header (RFC 792). Precondition: the message's field is zero.
void Ip::fill_icmp_checksum(const Path& path, TransmitFrame& frame) noexcept {
  const auto size = static_cast<std::uint32_t>(frame.byte_count());
  const bool v4 = path.source.is_v4();
  wire::ChecksumSum sum{v4 ? 0U : wire::pseudo_header_complete(path.pseudo_header_sum, ip_protocol::icmpv6, size)};
  sum.add(frame.header.bytes());
  sum.add(frame.payload);
  store_big(frame.header.bytes(), wire::Icmpv6Header::checksum_at, sum.checksum());
}

Failure<IpError> Ip::fail(IpError error) noexcept {
  switch (error) {
    case IpError::no_route:
      ++counters_.drop_no_route;
      break;
    case IpError::no_memory:
      ++counters_.drop_no_memory;
      break;
    case IpError::too_long:
      ++counters_.drop_too_long;
      break;
    case IpError::queue_full:
    case IpError::unresolved:
      ++counters_.drop_link;
      break;
  }
  return Failure<IpError>{error};
}

}  // namespace mirage::net::ip
