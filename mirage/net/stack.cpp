// SPDX-License-Identifier: ISC
#include <mirage/async/sleep.hpp>
#include <mirage/net/stack_address.hpp>

namespace mirage::net {

namespace {

constexpr Duration transmit_retry = 1ms;  // a device without room is offered the rest again

static_assert(mirage::Stack<Stack> && Startable<Stack> && LearnsNameService<Stack>);
static_assert(mirage::Stack<BasicStack<2>> && Startable<BasicStack<2>> && LearnsNameService<BasicStack<2>>);

}  // namespace

template <std::size_t count, DhcpClients dhcp_clients>
template <std::size_t... number, class... Given>
BasicStack<count, dhcp_clients>::BasicStack(std::index_sequence<number...>, Shard& shard, const Shared& shared,
                                            const Given&... given) noexcept
    : shard_(shard),
      log_(shard.logger("net")),
      congestion_(shared.tcp.congestion),
      parts_{{Part{shard, given.port, given.options}...}},
      ip_(shard, LinkPort{parts_[0].link}, shared.ip),
      discovery_(shard, ip_),
      icmp_(ip_, discovery_),
      icmpv6_(ip_, discovery_),
      udp_(shard, ip_),
      tcp_(shard, ip_, shared.tcp),
      several_([&] {
        if constexpr (count > 1) {
          return Several{udp_, ip_, given...};
        } else {
          return Nothing{};
        }
      }()),
      clients_{{Clients{shard, udp_of(number), shared.hostname}...}},
      transmit_again_([](Timer&) noexcept {}) {
  for (std::size_t i = 1; i < count; ++i) (void)ip_.add_interface(LinkPort{parts_[i].link});
  if constexpr (count > 1) {
    for (std::uint16_t i = 0; i < interfaces; ++i) ip_.routes().set_metric(i, several_.settings[i]->metric);
  }
}

template <std::size_t count, DhcpClients dhcp_clients>
BasicStack<count, dhcp_clients>::BasicStack(Shard& shard, NetPort port, const StackOptions& options) noexcept
  requires(count == 1)
    : BasicStack(std::index_sequence<0>{}, shard, {options.hostname, options.ip, options.tcp}, Bare{port, options}) {}

template <std::size_t count, DhcpClients dhcp_clients>
BasicStack<count, dhcp_clients>::BasicStack(Shard& shard, Interface& first, Interface& second,
                                            const MultihomedOptions& options) noexcept
  requires(count == 2)
    : BasicStack(std::make_index_sequence<2>{}, shard, {options.hostname, options.ip, options.tcp}, first, second) {}

template <std::size_t count, DhcpClients dhcp_clients>
BasicStack<count, dhcp_clients>::BasicStack(Shard& shard, Interface& first, Interface& second, Interface& third,
                                            const MultihomedOptions& options) noexcept
  requires(count == 3)
    : BasicStack(std::make_index_sequence<3>{}, shard, {options.hostname, options.ip, options.tcp}, first, second,
                 third) {}

template <std::size_t count, DhcpClients dhcp_clients>
BasicStack<count, dhcp_clients>::BasicStack(Shard& shard, Interface& first, Interface& second, Interface& third,
                                            Interface& fourth, const MultihomedOptions& options) noexcept
  requires(count == 4)
    : BasicStack(std::make_index_sequence<4>{}, shard, {options.hostname, options.ip, options.tcp}, first, second,
                 third, fourth) {}

// --- the receive path ---

/// Every packet's way up, whole.
template <std::size_t count, DhcpClients dhcp_clients>
void BasicStack<count, dhcp_clients>::receive(ReceivedFrame&& frame, std::size_t interface) noexcept {
  [[clang::uninitialized]] auto packet = parts_[at(interface)].link.input(std::move(frame));
  if (!packet || (count == 1 && hook_ != nullptr && hook_->take(*packet))) return;
  [[clang::uninitialized]] auto datagram = ip_.input(std::move(*packet), static_cast<std::uint16_t>(at(interface)));
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

template <std::size_t count, DhcpClients dhcp_clients>
void BasicStack<count, dhcp_clients>::dispatch(const ip::QuotedError& quoted) noexcept {
  const TransportError& error = quoted.error;
  const bool tcp = quoted.protocol == ip_protocol::tcp;
  const bool believed = tcp ? tcp_.on_error(error) : quoted.protocol == ip_protocol::udp && udp_.on_error(error);
  // RFC 8201 4, RFC 5927 7: only what belongs to a flow of ours says something about its path.
  if (!believed || error.kind != TransportError::Kind::packet_too_big) return;
  (void)ip_.path_mtu().note(error.remote, error.interface, error.mtu, shard_.now());
}

template <std::size_t count, DhcpClients dhcp_clients>
bool BasicStack<count, dhcp_clients>::poll() noexcept {
  bool any = false;
  for (std::size_t i = 0; i < count; ++i) any |= poll(i);
  return any;
}

template <std::size_t count, DhcpClients dhcp_clients>
bool BasicStack<count, dhcp_clients>::poll(std::size_t interface) noexcept {
  bool any = false;
  for (std::size_t round = 0; round < bursts_per_turn; ++round) {
    const std::size_t arrived = parts_[at(interface)].port.queue(0).poll(burst_);
    for (std::size_t i = 0; i < arrived; ++i) {
      receive(std::move(burst_[i]), interface);
      burst_[i].data.clear();  // what no layer took goes back to the pool
    }
    udp_.deliver();
    any = any || arrived > 0;
    if (arrived < burst) break;
  }
  return any;
}

template <std::size_t count, DhcpClients dhcp_clients>
void BasicStack<count, dhcp_clients>::flush() noexcept {
  for (std::size_t i = 0; i < count; ++i) {
    heed_conflict(i);
    follow_lease(i);
  }
  tcp_.flush();
  discovery_.flush();
  report_ipv6();
  bool gone = true;
  for (Part& part : parts_) gone &= part.link.flush();
  if (!gone && !transmit_again_.armed()) transmit_again_.arm(shard_.timers(), shard_.now() + transmit_retry);
}

template <std::size_t count, DhcpClients dhcp_clients>
void BasicStack<count, dhcp_clients>::visit_counters(CounterVisitor& visitor) const noexcept {
  for (const Part& part : parts_) visitor.counters("ethernet", counters_of(part.link.counters()));
  visitor.counters("ip", counters_of(ip_.counters()));
  visitor.counters("icmp", counters_of(icmp_.counters()));
  visitor.counters("icmpv6", counters_of(icmpv6_.counters()));
  visitor.counters("discovery", counters_of(discovery_.counters()));
  visitor.counters("autoconfiguration", counters_of(discovery_.autoconfiguration().counters()));
  visitor.counters("membership", counters_of(discovery_.membership().counters()));
  visitor.counters("udp", counters_of(udp_.counters()));
  visitor.counters("tcp", counters_of<tcp::Counters, sizeof(tcp::Counters::drops)>(tcp_.counters()));
  visitor.counters("tcp_drop", counters_by<tcp::Drop>(tcp_.counters().drops));
  for (const Clients& each : clients_) visitor.counters("dhcp", counters_of(each.dhcp.counters()));
  for (const Clients& each : clients_) visitor.counters("dhcp6", counters_of(each.dhcp6.counters()));
  visitor.gauge("tcp", "connections", tcp_.connections());
}

// --- start and address ---

template <std::size_t count, DhcpClients dhcp_clients>
auto& BasicStack<count, dhcp_clients>::udp_of([[maybe_unused]] std::size_t interface) noexcept {
  if constexpr (count > 1) {
    return several_.udps[interface];
  } else {
    return udp_;
  }
}

template <std::size_t count, DhcpClients dhcp_clients>
Result<void, StartError> BasicStack<count, dhcp_clients>::check(std::size_t interface) const noexcept {
  const InterfaceOptions& options = parts_[at(interface)].options;
  if (dhcp_clients == DhcpClients::none && options.dhcp) {
    return Failure{StartError("net: no DHCP client in this image: configure without --dhcp-clients=none")};
  }
  if (options.ipv4_enabled && !options.dhcp && !is_usable(IpPrefix{options.ipv4})) {
    if constexpr (count == 1) {
      return Failure{StartError("net: {} is no address for a host, such as 10.0.0.2/24", IpPrefix{options.ipv4})};
    } else {
      const std::string_view name = title(interface);
      return Failure{StartError("net: {} is no address for {}: give --{}-ipv4, --{}-dhcp or --{}-ipv6-only",
                                options.ipv4, name, name, name, name)};
    }
  }
  const IpPrefix& six = options.ipv6.address;
  if (six.address.is_unspecified() || (!six.address.is_v4() && is_usable(six))) return {};
  return Failure{StartError("net: {} is no address for a host, such as 2001:db8::2/64", six)};
}

template <std::size_t count, DhcpClients dhcp_clients>
Result<void, StartError> BasicStack<count, dhcp_clients>::check() const noexcept {
  for (std::size_t i = 0; i < count; ++i) {
    MIRAGE_CHECK(check(i));
    for (std::size_t j = 0; j < i; ++j) {
      const InterfaceOptions& a = parts_[j].options;
      const InterfaceOptions& b = parts_[i].options;
      const bool v4 = a.ipv4_enabled && b.ipv4_enabled && !a.dhcp && !b.dhcp && a.ipv4.address == b.ipv4.address;
      const bool v6 = !a.ipv6.address.address.is_unspecified() && a.ipv6.address.address == b.ipv6.address.address;
      if (v4 || v6) return Failure{StartError("net: {} and {} have the same address", title(j), title(i))};
      // Shards find the owner of a port by the rule of the first interface.
      if (parts_[j].port.capabilities().ports.shards != parts_[i].port.capabilities().ports.shards) {
        return Failure{StartError("net: all interfaces are shared by several CPUs, or none: not so {} and {}", title(j),
                                  title(i))};
      }
    }
  }
  if (congestion_ != tcp::unknown_algorithm) return {};
  if constexpr (count > 1) {
    return Failure{
        StartError("net: TCP's congestion control: cubic, newreno or none; or bbr, where config.cpp links it")};
  } else {
    return Failure{
        StartError("net: TCP's congestion control: cubic, newreno or none; or bbr, with configure --tcp-bbr")};
  }
}

template <std::size_t count, DhcpClients dhcp_clients>
Result<void, StartError> BasicStack<count, dhcp_clients>::prepare() noexcept {
  if (!shard_.seed_random()) return Failure{StartError("net: no entropy source, which TCP needs")};
  for (Part& part : parts_) {
    if (!part.link.start()) return Failure{StartError{StartError::no_memory}};
  }
  ip_.start();
  const PortShare ports = parts_[0].port.capabilities().ports;
  tcp_.start(ports, parts_[0].port.capabilities().shared_secret);
  udp_.share_ports(ports);
  shard_.add_poller(*this);
  return {};
}

template <std::size_t count, DhcpClients dhcp_clients>
Task<Result<void, StartError>> BasicStack<count, dhcp_clients>::start() {
  MIRAGE_CO_CHECK(check());
  MIRAGE_CO_CHECK(prepare());
  for (std::size_t i = 0; i < count; ++i) {
    if (parts_[i].options.ipv6.enabled) MIRAGE_CO_CHECK(start_ipv6(i));
    if constexpr (count > 1) MIRAGE_CO_CHECK(add_routes(i));
  }
  for (std::size_t i = 0; i < count; ++i) {
    if (parts_[i].options.ipv4_enabled) MIRAGE_CO_CHECK(start_ipv4(i));
  }
  if constexpr (count > 1) {
    // A network without a DHCP server must not keep the others from their work.
    while (waits_for_lease()) {
      const auto waited = co_await within(patience, wait_for_leases());
      if (waited && !*waited) co_return *waited;
      if (!waited && !address().is_unspecified()) break;
    }
  } else {
    while (waits_for_lease()) {
      if (co_await configured_.wait() == WaitStatus::cancelled) co_return Failure{StartError("net: cancelled")};
    }
  }
  co_return Result<void, StartError>{};
}

template <std::size_t count, DhcpClients dhcp_clients>
bool BasicStack<count, dhcp_clients>::waits_for_lease() const noexcept {
  for (std::uint16_t i = 0; i < interfaces; ++i) {
    const InterfaceOptions& options = parts_[i].options;
    if (options.ipv4_enabled && options.dhcp && ip_.prefix(i).address.is_unspecified()) return true;
  }
  return false;
}

template <std::size_t count, DhcpClients dhcp_clients>
Task<Result<void, StartError>> BasicStack<count, dhcp_clients>::wait_for_leases() {
  while (waits_for_lease()) {
    if (co_await configured_.wait() == WaitStatus::cancelled) co_return Failure{StartError("net: cancelled")};
  }
  co_return Result<void, StartError>{};
}

// --- names of interfaces ---

template <std::size_t count, DhcpClients dhcp_clients>
std::optional<std::uint16_t> BasicStack<count, dhcp_clients>::interface_named(std::string_view name) const noexcept
  requires(count > 1)
{
  for (std::uint16_t i = 0; i < interfaces; ++i) {
    if (several_.settings[i]->name == name) return i;
  }
  return std::nullopt;
}

template <std::size_t count, DhcpClients dhcp_clients>
std::optional<Endpoint> BasicStack<count, dhcp_clients>::endpoint(std::string_view address, Port port) const noexcept
  requires(count > 1)
{
  const std::size_t sign = address.find('%');
  const auto parsed = IpAddress::parse(address.substr(0, sign));
  if (!parsed) return std::nullopt;
  if (sign == std::string_view::npos) return Endpoint{*parsed, port, 0};
  const auto interface = interface_named(address.substr(sign + 1));
  if (!interface || !has_zone(*parsed)) return std::nullopt;
  return Endpoint{*parsed, port, *interface};
}

template class BasicStack<1>;
template class BasicStack<1, DhcpClients::ipv4>;
template class BasicStack<1, DhcpClients::none>;
template class BasicStack<2>;
template class BasicStack<3>;
template class BasicStack<4>;

}  // namespace mirage::net
