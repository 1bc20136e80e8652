// SPDX-License-Identifier: ISC
#include <algorithm>

#include <mirage/net/ip/autoconfiguration.hpp>

namespace mirage::net::ip {

namespace {

constexpr Duration two_hours = 2h;

/// Seconds from now on; RFC 4861 4.6.2: all ones is for ever.
Time after(Time now, std::uint32_t seconds) noexcept {
  return seconds == wire::PrefixInformation::infinity ? never : now + Duration{1s} * std::int64_t{seconds};
}

/// RFC 5453: identifiers that mean something else.
bool is_reserved(std::uint64_t identifier) noexcept {
  return identifier == 0 || (identifier >= 0xfdff'ffff'ffff'ff80 && identifier <= 0xfdff'ffff'ffff'ffff) ||
         identifier >> 24 == 0x02005e'fffe;
}

/// A name in the wire format of RFC 1035 3.1, without compression (RFC 8106 5.2), as text; advances `rest`. False for
/// the padding and for what is malformed or longer than we keep.
bool take_name(Bytes& rest, AdvertisedDomain& out) noexcept {
  out.size = 0;
  while (!rest.empty()) {
    const auto length = load_big<std::uint8_t>(rest, 0);
    rest = rest.subspan(1);
    if (length == 0) return out.size > 0;
    if (length > 63 || length > rest.size() || out.size + length + 1U > AdvertisedDomain::longest) return false;
    if (out.size > 0) out.text[out.size++] = '.';
    for (const std::byte byte : rest.first(length)) {
      const auto c = static_cast<char>(byte);
      const bool good =
          (c >= 'a' && c <= 'z') || (c >= 'A' && c <= 'Z') || (c >= '0' && c <= '9') || c == '-' || c == '_';
      if (!good) return false;
      out.text[out.size++] = c;
    }
    rest = rest.subspan(length);
  }
  return false;
}

}  // namespace

/// RFC 7217 5: F(Prefix, Net_Iface, DAD_Counter, secret), the low 64 bits.
IpAddress Autoconfiguration::make_address(const IpPrefix& prefix, std::uint16_t interface,
                                          std::uint8_t attempt) const noexcept {
  std::array<std::byte, 16> message{};
  store_big(MutableBytes(message), 0, prefix.network().high());
  store_big(MutableBytes(message), 8, interface);
  message[14] = std::byte{attempt};
  std::uint64_t identifier = siphash(secrets_[interface], message);
  for (std::uint8_t again = 1; is_reserved(identifier); ++again) {
    message[15] = std::byte{again};
    identifier = siphash(secrets_[interface], message);
  }
  return IpAddress::of(prefix.network().high(), identifier);
}

void Autoconfiguration::receive(const wire::RouterAdvertisement& advertisement, const IpAddress& router,
                                std::uint16_t interface, Time now) noexcept {
  ++counters_.advertisements;
  managed_[interface] = advertisement.managed;
  other_[interface] = advertisement.other;
  take_router(advertisement, router, interface, now);
  advertisement.options.for_each([&](std::uint8_t type, Bytes option) {
    if (type == wire::nd_option::prefix_information) {
      if (const auto prefix = wire::PrefixInformation::parse(option)) take_prefix(*prefix, interface, now);
    } else if (type == wire::nd_option::rdnss) {
      take_servers(option, interface, now);
    } else if (type == wire::nd_option::dnssl) {
      take_domains(option, interface, now);
    }
  });
}

void Autoconfiguration::forget_router(const IpAddress& router, std::uint16_t interface, int but) noexcept {
  routes_.remove_if([&](const Route& route) {
    return route.origin == Route::Origin::advertised && route.gateway == router && route.interface == interface &&
           route.metric != but;
  });
}

void Autoconfiguration::take_router(const wire::RouterAdvertisement& advertisement, const IpAddress& router,
                                    std::uint16_t interface, Time now) noexcept {
  // RFC 4191 3.2: preferences order what has no longer prefix. A gateway given by hand has metric 0.
  const int metric = 512 - 256 * advertisement.preference;
  // The route stays unless its preference is another one now: renewed in its place, equal routers do not take turns.
  forget_router(router, interface, advertisement.lifetime == 0 ? -1 : metric);
  if (advertisement.lifetime == 0) return;
  add_route({.prefix = {IpAddress{}, 0},
             .gateway = router,
             .interface = interface,
             .metric = static_cast<std::uint16_t>(metric),
             .origin = Route::Origin::advertised,
             .expires = now + Duration{1s} * std::int64_t{advertisement.lifetime}});
}

void Autoconfiguration::add_route(const Route& route) noexcept {
  const auto advertised = static_cast<std::size_t>(std::ranges::count_if(routes_, [&](const Route& other) {
    const bool renewed = other.prefix == route.prefix && other.gateway == route.gateway;
    return other.origin == Route::Origin::advertised && other.interface == route.interface && !renewed;
  }));
  if (advertised >= maximum_routes / (others_ + 1) || !routes_.add(route)) ++counters_.refused_full;
}

void Autoconfiguration::take_prefix(const wire::PrefixInformation& prefix, std::uint16_t interface, Time now) noexcept {
  // RFC 4861 6.3.4, RFC 4862 5.5.3 (b), (c).
  const IpAddress& address = prefix.prefix.address;
  if (address.is_link_local() || address.is_multicast() || prefix.prefix.network().is_v4() ||
      prefix.preferred > prefix.valid) {
    ++counters_.refused_prefix;
    return;
  }
  if (prefix.on_link) take_on_link(prefix, interface, now);
  if (prefix.autonomous) take_autonomous(prefix, interface, now);
}

void Autoconfiguration::take_on_link(const wire::PrefixInformation& prefix, std::uint16_t interface,
                                     Time now) noexcept {
  const IpPrefix network{prefix.prefix.network(), prefix.prefix.length};
  routes_.remove_if([&](const Route& route) {
    return route.origin == Route::Origin::advertised && route.interface == interface && route.prefix == network;
  });
  if (prefix.valid == 0 || network.length == 0) return;
  add_route({.prefix = network,
             .interface = interface,
             .metric = 256,
             .origin = Route::Origin::advertised,
             .expires = after(now, prefix.valid)});
}

/// RFC 4862 5.5.3 (d), (e).
void Autoconfiguration::take_autonomous(const wire::PrefixInformation& prefix, std::uint16_t interface,
                                        Time now) noexcept {
  if (prefix.prefix.length != 64) {
    ++counters_.refused_prefix;
    return;
  }
  const IpPrefix network{prefix.prefix.network(), 64};
  const Time valid = after(now, prefix.valid);
  std::size_t count = 0;
  for (Address& own : addresses_) {
    if (own.origin != Address::Origin::advertised || own.interface != interface) continue;
    ++count;
    if (!network.contains(own.address())) continue;
    own.preferred_until = after(now, prefix.preferred);
    // (e): nobody may end an address's life at once who does not own the network.
    const bool longer = valid == never || valid > now + two_hours || valid > own.valid_until;
    if (longer) own.valid_until = valid;
    if (!longer && own.valid_until > now + two_hours) own.valid_until = now + two_hours;
    return;
  }
  if (prefix.valid == 0) return;
  const bool room =
      count < maximum_addresses / (others_ + 1) && addresses_.add({.prefix = {make_address(network, interface, 0), 64},
                                                                   .interface = interface,
                                                                   .origin = Address::Origin::advertised,
                                                                   .phase = Address::Phase::fresh,
                                                                   .preferred_until = after(now, prefix.preferred),
                                                                   .valid_until = valid}) != nullptr;
  if (!room) ++counters_.refused_full;
}

Time Autoconfiguration::next_name_deadline(Time now) const noexcept {
  Time next = never;
  for (const auto& server : servers_) next = server.expires > now ? std::min(next, server.expires) : next;
  for (const auto& domain : domains_) next = domain.expires > now ? std::min(next, domain.expires) : next;
  return next;
}

/// RFC 8106 6.1: a server's time is renewed, or ended, by the network that named it.
void Autoconfiguration::take_servers(Bytes option, std::uint16_t interface, Time now) noexcept {
  const auto servers = wire::RdnssOption::parse(option);
  for (std::size_t i = 0; servers && i < servers->count(); ++i) {
    const IpAddress address = servers->address(i);
    // Without its zone a link-local one would be taken for the first interface's.
    const bool elsewhere = interface != 0 && address.is_link_local();
    if (!address.is_unicast() || address.is_loopback() || elsewhere) continue;
    auto* place = std::ranges::find_if(
        servers_, [&](const auto& known) { return known.address == address && known.interface == interface; });
    if (place == servers_.end() && servers->lifetime == 0) continue;
    if (place == servers_.end()) place = &fair_place(servers_, interface, now);
    *place = {{interface, after(now, servers->lifetime)}, address};
  }
}

void Autoconfiguration::take_domains(Bytes option, std::uint16_t interface, Time now) noexcept {
  const auto search = wire::DnsslOption::parse(option);
  if (!search) return;
  Bytes rest = search->names;
  for (AdvertisedDomain domain; take_name(rest, domain);) {
    auto* place = std::ranges::find_if(
        domains_, [&](const auto& known) { return known.name() == domain.name() && known.interface == interface; });
    if (place == domains_.end() && search->lifetime == 0) continue;
    if (place == domains_.end()) place = &fair_place(domains_, interface, now);
    domain.interface = interface;
    domain.expires = after(now, search->lifetime);
    *place = domain;
  }
}

}  // namespace mirage::net::ip
