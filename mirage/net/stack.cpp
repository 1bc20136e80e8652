// SPDX-License-Identifier: ISC
#include <mirage/net/stack.hpp>

namespace mirage::net {

namespace {

constexpr Duration transmit_retry = 1ms;  // a device without room is offered the rest again

/// RFC 1122 3.2.1.3: an address that a host may have; neither its network's own nor the broadcast address.
constexpr bool is_usable(const Ipv4Prefix& prefix) noexcept {
  const Ipv4Address address = prefix.address;
  if (!address.is_unicast() || address.is_loopback() || prefix.length == 0) return false;
  return prefix.length >= 31 || (address != prefix.network() && address != prefix.broadcast());
}

static_assert(is_usable({Ipv4Address::of(10, 0, 0, 2), 24}) && is_usable({Ipv4Address::of(10, 0, 0, 0), 31}));
static_assert(!is_usable({Ipv4Address::of(10, 0, 0, 0), 24}) && !is_usable({Ipv4Address::of(10, 0, 0, 255), 24}));
/// RFC 4291 2.5: what may be given by hand.
constexpr bool is_usable(const IpPrefix& prefix) noexcept {
  return prefix.address.is_unspecified() ||
         (!prefix.address.is_v4() && prefix.address.is_unicast() && !prefix.address.is_loopback() && prefix.length > 0);
}

static_assert(mirage::Stack<Stack> && Startable<Stack> && LearnsNameService<Stack>);

}  // namespace

Stack::Stack(Shard& shard, NetPort port, const StackOptions& options) noexcept
    : shard_(shard),
      options_(options),
      log_(shard.logger("net")),
      port_(port),
      link_(shard, port, options.ethernet),
      ip_(shard, LinkPort{link_}, options.ip),
      icmp_(ip_),
      discovery_(shard, ip_),
      icmpv6_(ip_, discovery_),
      udp_(shard, ip_),
      tcp_(shard, ip_, options.tcp),
      dhcp_(shard, udp_, options.hostname),
      dhcp6_(shard, udp_),
      transmit_again_([](Timer&) noexcept {}) {}

// --- the receive path ---

/// Every packet's way up, whole.
void Stack::receive(ReceivedFrame&& frame) noexcept {
  auto packet = link_.input(std::move(frame));
  if (!packet || (hook_ != nullptr && hook_->take(*packet))) return;
  auto datagram = ip_.input(std::move(*packet));
  if (!datagram) return;
  switch (datagram->protocol) {
    case ip_protocol::tcp:
      return tcp_.input(*datagram);
    case ip_protocol::udp:
      if (!udp_.input(*datagram)) ip_.reject(*datagram, ip::Rejection::port_unreachable);
      return;
    case ip_protocol::icmp:
      if (const auto quoted = icmp_.input(*datagram)) dispatch(*quoted);
      return;
    case ip_protocol::igmp:
      return discovery_.on_query(*datagram);
    case ip_protocol::icmpv6:
      if (const auto quoted = icmpv6_.input(*datagram)) dispatch(*quoted);
      return;
    default:
      ip_.reject(*datagram, ip::Rejection::protocol_unreachable);
  }
}

void Stack::dispatch(const ip::QuotedError& quoted) noexcept {
  const TransportError& error = quoted.error;
  const bool tcp = quoted.protocol == ip_protocol::tcp;
  const bool believed = tcp ? tcp_.on_error(error) : quoted.protocol == ip_protocol::udp && udp_.on_error(error);
  // RFC 8201 4, RFC 5927 7: only what belongs to a flow of ours says something about its path.
  if (!believed || error.kind != TransportError::Kind::packet_too_big) return;
  (void)ip_.path_mtu().note(error.remote, error.mtu, shard_.now());
}

bool Stack::poll() noexcept {
  bool any = false;
  for (std::size_t round = 0; round < bursts_per_turn; ++round) {
    const std::size_t count = port_.queue(0).poll(burst_);
    for (std::size_t i = 0; i < count; ++i) {
      receive(std::move(burst_[i]));
      burst_[i] = {};  // what no layer took goes back to the pool
    }
    udp_.deliver();
    any = any || count > 0;
    if (count < burst) break;
  }
  return any;
}

void Stack::flush() noexcept {
  heed_conflict();
  follow_lease();
  tcp_.flush();
  discovery_.flush();
  report_ipv6();
  if (!link_.flush() && !transmit_again_.armed()) {
    transmit_again_.arm(shard_.timers(), shard_.now() + transmit_retry);
  }
}

void Stack::visit_counters(CounterVisitor& visitor) const noexcept {
  visitor.counters("ethernet", counters_of(link_.counters()));
  visitor.counters("ip", counters_of(ip_.counters()));
  visitor.counters("icmp", counters_of(icmp_.counters()));
  visitor.counters("icmpv6", counters_of(icmpv6_.counters()));
  visitor.counters("discovery", counters_of(discovery_.counters()));
  visitor.counters("autoconfiguration", counters_of(discovery_.autoconfiguration().counters()));
  visitor.counters("membership", counters_of(discovery_.membership().counters()));
  visitor.counters("udp", counters_of(udp_.counters()));
  visitor.counters("tcp", counters_of<tcp::Counters, sizeof(tcp::Counters::drops)>(tcp_.counters()));
  visitor.counters("tcp_drop", counters_by<tcp::Drop>(tcp_.counters().drops));
  visitor.counters("dhcp", counters_of(dhcp_.counters()));
  visitor.counters("dhcp6", counters_of(dhcp6_.counters()));
  visitor.gauge("tcp", "connections", tcp_.connections());
}

// --- start and address ---

Result<void, StartError> Stack::prepare() noexcept {
  if (!shard_.seed_random()) return Failure{StartError("net: no entropy source on this machine, which TCP needs")};
  if (!link_.start()) return Failure{StartError{StartError::no_memory}};
  ip_.start();
  tcp_.start(port_.capabilities().ports);
  udp_.share_ports(port_.capabilities().ports);
  shard_.add_poller(*this);
  return {};
}

Task<Result<void, StartError>> Stack::start() {
  if (options_.ipv4_enabled && !options_.dhcp && !is_usable(options_.ipv4)) {
    co_return Failure{StartError("net: {} is no address for a host, such as 10.0.0.2/24", options_.ipv4)};
  }
  if (!is_usable(options_.ipv6.address)) {
    co_return Failure{StartError("net: {} is no address for a host, such as 2001:db8::2/64", options_.ipv6.address)};
  }
  if (options_.tcp.congestion == tcp::unknown_algorithm) {
    co_return Failure{
        StartError("net: TCP's congestion control is cubic, newreno or none; or bbr, with configure --tcp-bbr")};
  }
  MIRAGE_CO_CHECK(prepare());
  if (options_.ipv6.enabled) start_ipv6();
  if (!options_.ipv4_enabled) co_return Result<void, StartError>{};
  if (!options_.dhcp) {
    const bool own_gateway = options_.gateway == options_.ipv4.address;
    if (own_gateway) log_.warning("the gateway {} is this machine's own address: not used", options_.gateway);
    use(options_.ipv4, own_gateway ? Ipv4Address{} : options_.gateway, 0);
    co_return Result<void, StartError>{};
  }
  log_.info("{} asking for an address by DHCP", port_.capabilities().mac);
  if (!dhcp_.start(port_.capabilities().mac)) co_return Failure{StartError("net: the DHCP client's port is taken")};
  while (ip_.address().is_unspecified()) {
    if (co_await configured_.wait() == WaitStatus::cancelled) co_return Failure{StartError("net: cancelled")};
  }
  co_return Result<void, StartError>{};
}

void Stack::start_ipv6() noexcept {
  // Shards of one interface have the same addresses.
  const std::string_view own = options_.ipv6.secret;
  discovery_.set_secret(own.empty() ? port_.capabilities().shared_secret : own);
  if (discovery_.start(0, {.accept_routers = options_.ipv6.accept_router_advertisements,
                           .address = options_.ipv6.address,
                           .gateway = options_.ipv6.gateway})) {
    return;
  }
  log_.warning("no IPv6: the link's MTU of {} is too small for it", port_.capabilities().mtu);
}

void Stack::report_ipv6() noexcept {
  if (const IpAddress taken = discovery_.take_duplicate(); !taken.is_unspecified()) {
    log_.warning("another station uses {}", taken);
    if (dhcp6_.has(taken)) dhcp6_.conflict();
  }
  follow_routers();
  follow_lease6();
  if (discovery_.take_names()) learn_names();
  if (!discovery_.take_change()) return;
  for (const ip::Address& own : ip_.addresses()) {
    if (!own.address().is_v4() && !own.address().is_link_local())
      log_.info("{} is {}", port_.capabilities().mac, own.prefix);
  }
}

/// RFC 4862 5.5.2, RFC 4861 4.2: routers say whether DHCPv6 has addresses, or other things only.
void Stack::follow_routers() noexcept {
  const ip::Autoconfiguration& advertised = discovery_.autoconfiguration();
  if (dhcp6_.started() || !(advertised.managed() || advertised.other())) return;
  const IpAddress own = discovery_.link_local(0);
  if (own.is_unspecified()) return;
  const auto mode = advertised.managed() ? dhcp6::Machine::Mode::stateful : dhcp6::Machine::Mode::stateless;
  if (!dhcp6_.start(mode, port_.capabilities().mac, own, 0)) log_.warning("no DHCPv6: its port is taken");
}

void Stack::follow_lease6() noexcept {
  const dhcp6::Lease& lease = dhcp6_.lease();
  switch (dhcp6_.take_change()) {
    case dhcp6::Actions::Change::none:
      return;
    case dhcp6::Actions::Change::bound:
      for (std::size_t i = 0; i < lease.count; ++i) {
        const auto& each = lease.addresses[i];
        discovery_.lease(each.address, 0, each.preferred_until, each.valid_until);
      }
      break;
    case dhcp6::Actions::Change::lost:
      log_.warning("the DHCPv6 lease is gone");
      discovery_.release(0);
      break;
  }
  learn_names();
}

IpAddress Stack::address() noexcept {
  const ip::Address* best = nullptr;
  for (const ip::Address& own : ip_.addresses()) {
    if (own.address().is_v4()) return own.address();
    if (best == nullptr || (best->address().is_link_local() && !own.address().is_link_local())) best = &own;
  }
  return best == nullptr ? IpAddress{} : best->address();
}

void Stack::use(const Ipv4Prefix& prefix, Ipv4Address gateway, std::uint16_t mtu) noexcept {
  const bool changed = ip_.prefix() != prefix;
  ip_.configure(prefix, gateway, mtu);
  if (changed) {
    link_.set_address(prefix.address);
    log_.info("{} is {}", port_.capabilities().mac, prefix);
  }
  configured_.notify_all();
}

void Stack::follow_lease() noexcept {
  switch (dhcp_.take_change()) {
    case dhcp::Actions::Change::none:
      return;
    case dhcp::Actions::Change::bound:
      leased_names_ = dhcp_.lease().names;
      learn_names();
      use(dhcp_.lease().prefix, dhcp_.lease().gateway, dhcp_.lease().mtu);
      return add_leased_routes();
    case dhcp::Actions::Change::lost:
      log_.warning("the DHCP lease is gone");
      lose_address();
  }
}

/// RFC 3442. What does not fit into the table is left out.
void Stack::add_leased_routes() noexcept {
  const auto& routes = dhcp_.lease().routes;
  for (std::size_t i = 0; i < routes.count; ++i) {
    (void)ip_.routes().add(
        {.prefix = routes.items[i].prefix, .gateway = routes.items[i].gateway, .origin = ip::Route::Origin::interface});
  }
}

/// What the lease says comes first; RFC 8106 5.3.1 leaves the order to us.
void Stack::learn_names() noexcept {
  name_service_ = leased_names_;
  for (const IpAddress& server : dhcp6_.lease().names.servers()) name_service_.add_server(server);
  name_service_.add_search(dhcp6_.lease().names.search());
  const ip::Autoconfiguration& advertised = discovery_.autoconfiguration();
  for (const ip::AdvertisedServer& server : advertised.servers()) {
    if (server.expires > shard_.now()) name_service_.add_server(server.address);
  }
  for (const ip::AdvertisedDomain& domain : advertised.domains()) {
    if (domain.expires > shard_.now()) name_service_.add_search(domain.name());
  }
}

void Stack::heed_conflict() noexcept {
  if (!link_.take_conflict()) return;
  log_.warning("another station uses {}", ip_.address());
  if (!options_.dhcp || !dhcp_.declines()) return;
  lose_address();
  dhcp_.conflict();
}

void Stack::lose_address() noexcept {
  leased_names_ = {};
  learn_names();
  ip_.deconfigure();
  link_.set_address({});
}

}  // namespace mirage::net
