// SPDX-License-Identifier: ISC
// The life of IPv6 on our interfaces: start, duplicate address detection, router solicitation, time.
#include <algorithm>

#include <mirage/net/ip/neighbour_discovery.hpp>
#include <mirage/net/ip/source_selection.hpp>

namespace mirage::net::ip {

using wire::NeighbourMessage;

namespace {

constexpr std::uint8_t router_solicitations = 3;       // RFC 4861 10
constexpr Duration router_solicitation_interval = 4s;  // RFC 4861 10
constexpr std::uint8_t identifier_retries = 3;         // RFC 7217 6
constexpr IpPrefix link_local_network{IpAddress::of(0xfe80'0000'0000'0000, 0), 64};

/// By DHCPv6.
bool is_leased(const Address& own, std::uint16_t interface) noexcept {
  return own.origin == Address::Origin::leased && own.interface == interface && !own.address().is_v4();
}

}  // namespace

NeighbourDiscovery::StepTimer::StepTimer(NeighbourDiscovery& discovery) noexcept
    : Timer([](Timer& timer) noexcept { static_cast<StepTimer&>(timer).owner->step(); }), owner(&discovery) {}

NeighbourDiscovery::NeighbourDiscovery(Shard& shard, Ip& ip) noexcept
    : shard_(shard), ip_(ip), configuration_(ip.addresses(), ip.routes()), membership_(shard, ip), timer_(*this) {}

void NeighbourDiscovery::set_secret(std::uint16_t interface, std::string_view text) noexcept {
  if (text.empty())
    return configuration_.set_secret(interface, {shard_.random().next_u64(), shard_.random().next_u64()});
  constexpr SipKey first{0x6d69'7261'6765'2d31, 0};
  constexpr SipKey second{0x6d69'7261'6765'2d32, 0};
  configuration_.set_secret(interface, {siphash(first, as_bytes(text)), siphash(second, as_bytes(text))});
}

bool NeighbourDiscovery::start(std::uint16_t interface, const Options& options) noexcept {
  if (ip_.link(interface).capabilities().mtu < wire::ipv6_minimum_mtu) return false;
  configuration_.share_among(ip_.interfaces());
  // RFC 7527 4.1: type, length, and six bytes that only we can have sent.
  if (nonce_ == 0)
    nonce_ = std::uint64_t{wire::nd_option::nonce} << 56 | std::uint64_t{1} << 48 | shard_.random().next_u64() >> 16;
  Interface& of = interfaces_[interface];
  of.running = true;
  of.accept_routers = options.accept_routers;
  const IpAddress own = configuration_.make_address(link_local_network, interface, 0);
  (void)ip_.add_address({own, 64}, interface, Address::Origin::link_local);
  if (!options.address.address.is_unspecified()) (void)ip_.add_address(options.address, interface);
  if (!options.gateway.is_unspecified()) {
    (void)ip_.routes().add({.prefix = {IpAddress{}, 0}, .gateway = options.gateway, .interface = interface});
    const bool on_link = options.gateway.is_link_local() || options.address.contains(options.gateway);
    if (!on_link) (void)ip_.routes().add({.prefix = {options.gateway, 128}, .interface = interface});
  }
  if (options.accept_routers) {
    of.solicitations_left = router_solicitations;
    of.solicit_at = shard_.now();
  }
  step();
  return true;
}

// --- time ---

void NeighbourDiscovery::step() noexcept {
  const Time now = shard_.now();
  expire_addresses(now);
  ip_.routes().expire(now);
  if (names_until_ <= now) {
    names_changed_ = true;
    names_until_ = configuration_.next_name_deadline(now);
  }
  claim_fresh(now);
  (void)membership_.notice();
  for (std::uint16_t i = 0; i < ip_.interfaces(); ++i) {
    if (interfaces_[i].solicit_at <= now) solicit_routers(i, now);
  }
  membership_.step(now);
  arm();
}

void NeighbourDiscovery::arm() noexcept {
  Time next =
      std::min({ip_.addresses().next_deadline(), ip_.routes().next_deadline(), membership_.deadline(), names_until_});
  for (const Interface& of : interfaces_) next = std::min(next, of.solicit_at);
  if (next == never) {
    timer_.disarm();
  } else {
    timer_.arm(shard_.timers(), next);
  }
}

void NeighbourDiscovery::lease(const IpAddress& address, std::uint16_t interface, Time preferred_until,
                               Time valid_until) noexcept {
  Address* own = ip_.addresses().find(address, interface);
  if (own == nullptr && valid_until > shard_.now()) {
    own = ip_.addresses().add({.prefix = {address, 128},
                               .interface = interface,
                               .origin = Address::Origin::leased,
                               .phase = Address::Phase::fresh});
  }
  if (own == nullptr || own->origin != Address::Origin::leased) return;  // no room, or ours by other means
  own->preferred_until = preferred_until;
  own->valid_until = valid_until;
  step();
}

/// An even part of what is left by advertised addresses and by each interface's own: link-local, manual, IPv4.
bool NeighbourDiscovery::has_room_for_lease(const IpAddress& address, std::uint16_t interface) const noexcept {
  constexpr std::size_t own_each = 3;
  const std::size_t all = AddressTable::capacity - Autoconfiguration::maximum_addresses;
  const auto count = std::ranges::count_if(std::as_const(ip_).addresses(),
                                           [&](const Address& own) { return is_leased(own, interface); });
  return ip_.addresses().find(address) != nullptr ||
         static_cast<std::size_t>(count) < all / ip_.interfaces() - own_each;
}

void NeighbourDiscovery::release(std::uint16_t interface) noexcept {
  for (const Address& own : ip_.addresses()) {
    if (!is_leased(own, interface)) continue;
    ip_.groups().leave(wire::ipv6_group::solicited_node(own.address()), interface);
    changed_ = true;
  }
  ip_.addresses().remove_if([interface](const Address& own) { return is_leased(own, interface); });
}

IpAddress NeighbourDiscovery::link_local(std::uint16_t interface) const noexcept {
  for (const Address& own : std::as_const(ip_).addresses()) {
    const bool wanted = own.interface == interface && own.origin == Address::Origin::link_local;
    if (wanted && own.phase == Address::Phase::confirmed) return own.address();
  }
  return {};
}

/// RFC 4862 5.4.2: joins the group where others would ask for the address, and asks for it; used from now on.
void NeighbourDiscovery::claim_fresh(Time now) noexcept {
  for (Address& own : ip_.addresses()) {
    if (own.phase != Address::Phase::fresh) continue;
    own.phase = Address::Phase::optimistic;
    own.confirmed_at = now + interfaces_[own.interface].retransmit_time;
    changed_ = true;
    (void)ip_.groups().join(wire::ipv6_group::solicited_node(own.address()), own.interface);
    send_neighbour(own.interface, {}, wire::ipv6_group::solicited_node(own.address()),
                   {wire::icmpv6_type::neighbour_solicitation, 0, own.address(), {}}, false);
  }
}

void NeighbourDiscovery::expire_addresses(Time now) noexcept {
  for (Address& own : ip_.addresses()) {
    if (own.phase != Address::Phase::optimistic || own.confirmed_at > now) continue;
    own.phase = Address::Phase::confirmed;
    own.confirmed_at = never;
  }
  const std::size_t gone = ip_.addresses().remove_if([&](const Address& own) {
    if (own.valid_until > now) return false;
    ip_.groups().leave(wire::ipv6_group::solicited_node(own.address()), own.interface);
    return true;
  });
  changed_ = changed_ || gone > 0;
}

/// Somebody else has the address: another one where we chose it (RFC 7217 6), none where we were told.
void NeighbourDiscovery::on_duplicate(const Address& own) noexcept {
  ++counters_.duplicates;
  Address next = own;
  duplicate_ = own.address();
  ip_.groups().leave(wire::ipv6_group::solicited_node(own.address()), own.interface);
  ip_.addresses().remove_if([&](const Address& other) { return other == next; });
  changed_ = true;
  const bool given = next.origin == Address::Origin::manual || next.origin == Address::Origin::leased;
  if (given || ++next.attempt > identifier_retries) return;
  next.prefix.address = configuration_.make_address(next.prefix, next.interface, next.attempt);
  next.phase = Address::Phase::fresh;
  (void)ip_.addresses().add(next);
  step();
}

void NeighbourDiscovery::solicit_routers(std::uint16_t interface, Time now) noexcept {
  Interface& of = interfaces_[interface];
  --of.solicitations_left;
  of.solicit_at = of.solicitations_left > 0 ? now + router_solicitation_interval : never;
  // RFC 4429 3.2: without our link address while the source is not sure.
  const Address* own = select_source(ip_.addresses(), wire::ipv6_group::all_routers, interface, now);
  const bool sure = own != nullptr && own->phase == Address::Phase::confirmed;
  [[clang::uninitialized]] TransmitFrame frame;
  frame.header = ip_.new_frame(wire::Icmpv6Header::size + wire::nd_option::link_address_size);
  if (!frame.header) return;
  wire::Icmpv6Header{.type = wire::icmpv6_type::router_solicitation}.emit(
      frame.header.grow_back(wire::Icmpv6Header::size));
  if (sure) {
    wire::emit_link_address(frame.header.grow_back(wire::nd_option::link_address_size),
                            wire::nd_option::source_link_address, mac(interface));
  }
  ++counters_.router_solicitations_sent;
  const IpAddress from = own != nullptr ? own->address() : IpAddress{};
  ip_.send_control(interface, {.source = from, .destination = wire::ipv6_group::all_routers}, std::move(frame));
}

// --- sending ---

void NeighbourDiscovery::flush() noexcept {
  if (membership_.notice()) step();
  for (std::uint16_t i = 0; i < ip_.interfaces(); ++i) {
    while (const auto question = ip_.link(i).take_question()) solicit(i, *question);
  }
}

/// RFC 4861 7.2.2; RFC 4429 3.2: an address that is not sure yet must not spread its link address.
void NeighbourDiscovery::solicit(std::uint16_t interface, const NeighbourQuestion& question) noexcept {
  const Address* own = select_source(ip_.addresses(), question.target, interface, shard_.now());
  if (own == nullptr) return;
  const bool sure = own->phase == Address::Phase::confirmed;
  ++counters_.solicitations_sent;
  const IpAddress to = question.to_group ? wire::ipv6_group::solicited_node(question.target) : question.target;
  send_neighbour(interface, own->address(), to, {wire::icmpv6_type::neighbour_solicitation, 0, question.target, {}},
                 sure);
}

void NeighbourDiscovery::send_neighbour(std::uint16_t interface, const IpAddress& from, const IpAddress& to,
                                        const NeighbourMessage& message, bool with_link_address) noexcept {
  [[clang::uninitialized]] TransmitFrame frame;
  frame.header = ip_.new_frame(NeighbourMessage::size + wire::nd_option::link_address_size);
  if (!frame.header) return;  // counted by the pool; whoever asks does so again
  message.emit(frame.header.grow_back(NeighbourMessage::size));
  if (with_link_address) {
    const bool solicitation = message.type == wire::icmpv6_type::neighbour_solicitation;
    wire::emit_link_address(frame.header.grow_back(wire::nd_option::link_address_size),
                            solicitation ? wire::nd_option::source_link_address : wire::nd_option::target_link_address,
                            mac(interface));
  } else if (from.is_unspecified()) {
    store_big(frame.header.grow_back(wire::nd_option::nonce_size), 0, nonce_);
  }
  ip_.send_control(interface, {.source = from, .destination = to}, std::move(frame));
}

}  // namespace mirage::net::ip
