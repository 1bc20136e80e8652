// SPDX-License-Identifier: ISC
#include <algorithm>
#include <optional>

#include <mirage/net/ip/redirect.hpp>
#include <mirage/wire/icmpv4.hpp>
#include <mirage/wire/ndp.hpp>

namespace mirage::net::ip {

namespace {

struct Redirect {
  IpAddress destination;
  IpAddress target;  ///< the better first hop
  std::optional<MacAddress> mac;
};

/// RFC 792, RFC 1122 3.2.2.2: for the destination of the packet that is quoted, which must have come from us; those for
/// a network are meant for the host, too.
std::optional<Redirect> read_v4(Ip& ip, const IpPacket& packet) noexcept {
  const Bytes message = packet.payload[0].bytes();
  const auto header = wire::Icmpv4Header::parse(message);
  if (!header || header->code > 3) return std::nullopt;
  const Bytes quoted = message.subspan(wire::Icmpv4Header::size);
  const auto view = wire::Ipv4View::parse_quoted(quoted);
  if (!view || quoted.size() < view->header_size() + 8) return std::nullopt;
  if (ip.addresses().find(view->source(), packet.interface) == nullptr) return std::nullopt;
  return Redirect{view->destination(), Ipv4Address{header->rest}, std::nullopt};
}

/// RFC 4861 8.1.
std::optional<Redirect> read_v6(const IpPacket& packet) noexcept {
  constexpr std::size_t target_at = 8;
  constexpr std::size_t destination_at = 24;
  constexpr std::size_t options_at = 40;
  const Bytes message = packet.payload[0].bytes();
  if (message.size() < options_at || load_big<std::uint8_t>(message, wire::Icmpv6Header::code_at) != 0) {
    return std::nullopt;
  }
  const auto options = wire::NdOptions::parse(message.subspan(options_at));
  if (!options || !packet.source.is_link_local()) return std::nullopt;
  const Redirect redirect{wire::load_ip(message, destination_at), wire::load_ip(message, target_at),
                          options->link_address(wire::nd_option::target_link_address)};
  if (!redirect.target.is_link_local() && redirect.target != redirect.destination) return std::nullopt;
  if (redirect.target.is_v4() || redirect.destination.is_v4()) return std::nullopt;
  return redirect;
}

/// Whether the target can be a first hop there: a station of this link, and none of ours.
bool is_neighbour(const Ip& ip, const IpAddress& target, std::uint16_t interface) noexcept {
  if (!target.is_unicast() || target.is_loopback() || ip.addresses().find(target) != nullptr) return false;
  if (!target.is_v4()) return true;
  const Route* route = ip.route_to(target, interface);
  return route != nullptr && route->gateway.is_unspecified();
}

void make_room(RouteTable& routes) noexcept {
  const Route* first = nullptr;
  std::size_t count = 0;
  for (const Route& route : routes) {
    if (route.origin != Route::Origin::redirected) continue;
    ++count;
    if (first == nullptr || route.expires < first->expires) first = &route;
  }
  if (count < maximum_redirects) return;
  const Route gone = *first;
  routes.remove_if([&](const Route& route) { return route == gone; });
}

}  // namespace

bool take_redirect(Ip& ip, const IpPacket& packet, Time now) noexcept {
  if (packet.is_multicast || packet.payload.size() != 1) return false;
  const auto redirect = packet.source.is_v4() ? read_v4(ip, packet) : read_v6(packet);
  if (!redirect || !redirect->destination.is_unicast() || ip.addresses().find(redirect->destination) != nullptr) {
    return false;
  }
  // From the router that such packets go to now, and to another one: RFC 1122 3.2.2.2, RFC 4861 8.1.
  const Route* route = ip.route_to(redirect->destination, packet.interface);
  if (route == nullptr || route->gateway != packet.source || redirect->target == packet.source ||
      !is_neighbour(ip, redirect->target, packet.interface)) {
    return false;
  }
  // RFC 4861 8.3: what it says about the target's link address is as good as the target's own word, and no better.
  if (redirect->mac) (void)ip.link(packet.interface).learn({.address = redirect->target, .mac = redirect->mac});
  make_room(ip.routes());
  return ip.routes().add({.prefix = {redirect->destination, 128},
                          .gateway = redirect->target,
                          .interface = packet.interface,
                          .metric = 1,  // behind what was given by hand for this very address
                          .origin = Route::Origin::redirected,
                          .expires = now + redirect_lifetime});
}

}  // namespace mirage::net::ip
