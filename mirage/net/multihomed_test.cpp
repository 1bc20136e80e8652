// SPDX-License-Identifier: ISC
// A stack on two networks, as the stations on both see it: a strong host (RFC 1122 3.3.4.2) that forwards nothing.
#include <doctest/doctest.h>

#include <mirage/device/vnet/vnet.hpp>
#include <mirage/net/testbed_multihomed_test.hpp>
#include <mirage/wire/tcp.hpp>

using namespace mirage;
using namespace mirage::net;
using namespace mirage::net::test;

namespace {

const Packet ping = Peer::icmp(8, 0, 1, bytes_of("x"));

/// A SYN to a port, sealed.
Packet syn(const IpAddress& from, const IpAddress& to, Port port) {
  Packet segment(20);
  wire::TcpHeader{.source_port = 4000, .destination_port = port, .sequence = 7, .flags = 2, .window = 1000}.emit(
      segment, 0);
  const auto pseudo = wire::pseudo_header_complete(wire::pseudo_header_sum(from, to), 6, 20);
  store_big(MutableBytes(segment), wire::tcp_offset::checksum, wire::checksum_of(segment, pseudo));
  return segment;
}

/// The flags of a TCP segment in a frame; 0: none.
unsigned flags_of(const Packet& payload) {
  const auto view = wire::TcpView::parse(payload);
  return view ? view->header().flags : 0;
}

}  // namespace

TEST_CASE("answers leave by the interface of the address (RFC 1122 3.3.4.2)") {
  Bed bed;
  bed.start();
  REQUIRE(bed.started);
  CHECK(bed.start_error.empty());
  bed.meet();
  bed.arrive(front, bed.to(front, own_ip, 1, ping));
  bed.arrive(back, bed.to(back, back_ip, 1, ping));
  REQUIRE(bed.net[front].sent.size() == 1);
  REQUIRE(bed.net[back].sent.size() == 1);
  CHECK(parse(bed.take(front)).ip.source == own_ip);
  const Parsed answer = parse(bed.take(back));
  CHECK(answer.ip.source == back_ip);
  CHECK(answer.ethernet.source == back_mac);
  // From far away too: by the default route of the address's own interface, never by the other one's.
  Peer router = bed.near[front];
  router.ip = far;
  bed.arrive(front, router.ipv4(1, ping));
  CHECK(parse(bed.take(front)).ip.destination == far);
  router = bed.near[back];
  router.ip = far;
  bed.arrive(back, router.ipv4(1, ping, [](auto& header) { header.destination = back_ip; }, back_mac));
  CHECK(bed.net[front].sent.empty());
  CHECK(bed.net[back].sent.empty());
  CHECK(bed.stack.ip().counters().drop_no_route == 1);  // "back" has no gateway
}

TEST_CASE("a packet for an address of another interface is refused and counted; ARP does not answer for it") {
  Bed bed;
  bed.start();
  bed.meet();
  bed.arrive(front, bed.to(front, back_ip, 1, ping));
  bed.arrive(back, bed.to(back, own_ip, 1, ping));
  CHECK(bed.stack.ip().counters().drop_other_interface == 2);
  bed.arrive(front, bed.near[front].arp(ArpPacket::request, back_ip));
  bed.arrive(back, bed.near[back].arp(ArpPacket::request, own_ip));
  CHECK(bed.net[front].sent.empty());
  CHECK(bed.net[back].sent.empty());
  // Nor does a host speak to itself by way of the wire (RFC 1122 3.2.1.3: it has no loopback here).
  CHECK(bed.route(back_ip).error() == IpError::no_route);
}

TEST_CASE("errors are limited in rate on each interface for itself (RFC 1812 4.3.2.8)") {
  Bed bed;
  bed.start();
  bed.meet();
  for (int i = 0; i < 200; ++i) {
    bed.net[front].arrive(bed.to(front, own_ip, 17, bed.near[front].udp(5000, 9, bytes_of("x"))));
  }
  bed.turns(2);
  CHECK(bed.net[front].sent.size() < 100);
  CHECK(bed.net[front].sent.size() + bed.stack.ip().counters().errors_limited == 200);
  bed.arrive(back, bed.to(back, back_ip, 17, bed.near[back].udp(5000, 9, bytes_of("x"), back_ip)));
  CHECK(bed.net[back].sent.size() == 1);
}

TEST_CASE("nothing is forwarded: transit is refused and counted (RFC 1122 3.3.1)") {
  Bed bed;
  bed.start();
  bed.meet();
  bed.arrive(front, bed.to(front, Ipv4Address::of(10, 9, 0, 1), 1, ping));
  bed.arrive(back, bed.to(back, far, 1, ping));
  CHECK(bed.stack.ip().counters().drop_transit == 2);
  CHECK(bed.net[front].sent.empty());
  CHECK(bed.net[back].sent.empty());
}

TEST_CASE("routes: the longest prefix before the metric, the metric before the order (RFC 1812 5.2.4.3)") {
  InterfaceSettings a = front_settings();
  InterfaceSettings b = back_settings();
  b.addresses.gateway = Ipv4Address::of(10, 9, 0, 1);
  b.routes = "192.0.2.0/24=10.9.0.1,198.51.100.0/24";
  {
    Bed bed{a, b};
    bed.start();
    CHECK(bed.route(far)->interface == back);  // longer than both defaults
    CHECK(bed.route(far)->source == IpAddress{back_ip});
    CHECK(bed.route(Ipv4Address::of(198, 51, 100, 1))->interface == back);
    CHECK(bed.route(Ipv4Address::of(203, 0, 113, 1))->interface == front);  // of equal ones the first
    CHECK(bed.route(Ipv4Address::of(203, 0, 113, 1))->source == IpAddress{own_ip});
    CHECK(bed.route(Ipv4Address::of(203, 0, 113, 1), back_ip)->interface == back);  // a source decides
    CHECK(bed.route(Ipv4Address::of(10, 9, 0, 77))->interface == back);
  }
  a.metric = 10;
  Bed bed{a, b};
  bed.start();
  CHECK(bed.route(Ipv4Address::of(203, 0, 113, 1))->interface == back);
  CHECK(bed.route(Ipv4Address::of(10, 0, 0, 77))->interface == front);
}

TEST_CASE("when a gateway does not answer the other interface's is taken (RFC 1122 3.3.1.4)") {
  InterfaceSettings b = back_settings();
  b.addresses.gateway = Ipv4Address::of(10, 9, 0, 1);
  Bed bed{front_settings(), b};
  bed.start();
  const auto path = bed.route(far);
  REQUIRE(path->interface == front);
  TransmitFrame frame;
  frame.header = bed.stack.ip().new_frame(8);
  (void)frame.header.grow_back(8);
  REQUIRE(bed.stack.ip().send(*path, 17, 0, std::move(frame)));
  bed.run(4s);  // nobody answers ARP's questions
  CHECK(bed.route(far)->interface == back);
  CHECK(bed.route(far)->source == IpAddress{back_ip});
}

TEST_CASE("what the path takes is known by interface (RFC 1191 6.2)") {
  InterfaceSettings b = back_settings();
  b.addresses.gateway = Ipv4Address::of(10, 9, 0, 1);
  Bed bed{front_settings(), b};
  bed.net[back].capabilities_.mtu = 9000;
  bed.start();
  bed.meet();
  CHECK(bed.route(far)->mtu == 1500);
  CHECK(bed.route(far, back_ip)->mtu == 9000);
  Collector collector;
  REQUIRE(bed.stack.udp().bind(7, collector));
  // A router behind "back" says that the way of our datagram takes 1400.
  Packet quoted(28);
  wire::Ipv4Header{.total_length = 100, .protocol = 17, .source = back_ip, .destination = far}.emit(quoted);
  wire::UdpHeader{7, 9, 80, 0}.emit(MutableBytes(quoted).subspan(20));
  bed.arrive(back, bed.to(back, back_ip, 1, Peer::icmp(3, 4, 1400, quoted)));
  CHECK(bed.route(far, back_ip)->mtu == 1400);
  CHECK(bed.route(far, own_ip)->mtu == 1500);
}

TEST_CASE("listening on all addresses, and on one's own") {
  Bed bed;
  bed.start();
  bed.meet();
  auto all = bed.stack.tcp().listen(80);
  auto inner = bed.stack.tcp().listen(81, {.address = back_ip});
  REQUIRE(all);
  REQUIRE(inner);
  CHECK(bed.stack.tcp().listen(81, {.address = back_ip}).error() == ListenError::port_in_use);
  CHECK(bed.stack.tcp().listen(80, {.address = Ipv4Address{}}).error() == ListenError::port_in_use);
  const auto asked = [&](std::uint16_t at, Port port) {
    const Ipv4Address own = at == front ? own_ip : back_ip;
    bed.arrive(at, bed.to(at, own, 6, syn(bed.near[at].ip, own, port)));
    CHECK(bed.net[1 - at].sent.empty());
    return flags_of(parse(bed.take(at)).payload);
  };
  CHECK(asked(front, 80) == 0x12);
  CHECK(asked(back, 80) == 0x12);
  CHECK(asked(back, 81) == 0x12);
  CHECK(asked(front, 81) == 0x14);  // RST,ACK
  {
    // Who listens on the address goes before who listens on all.
    auto special = bed.stack.tcp().listen(80, {.address = own_ip});
    REQUIRE(special);
  }
}

TEST_CASE("zones tell stations with one link-local address apart (RFC 4007)") {
  Bed bed{with_ipv6(front_settings(), "2001:db8::2"), with_ipv6(back_settings(), "2001:db8:9::2")};
  bed.start();
  bed.run(2s);
  bed.forget();
  const IpAddress station = *IpAddress::parse("fe80::1");
  Collector collector;
  collector.echo = &bed.stack.udp();
  REQUIRE(bed.stack.udp().bind(7, collector));
  for (const std::uint16_t at : {back, front}) {
    bed.turns(1);
    bed.forget();  // the reset of the connection before
    Peer6 peer;
    peer.mac.octets[4] = static_cast<std::uint8_t>(at);
    const IpAddress own = bed.stack.discovery().link_local(at);
    REQUIRE_FALSE(own.is_unspecified());
    const auto send = [&](const Packet& packet) {
      Packet frame = packet;
      if (at == back) std::ranges::copy(std::as_bytes(std::span(back_mac.octets)), frame.begin());
      bed.arrive(at, frame);
    };
    const auto to_us = [&](wire::Ipv6Header& header) {
      header.source = station;
      header.destination = own;
    };
    Packet question(9);
    wire::UdpHeader{5000, 7, 9, 0}.emit(question);
    Peer6::seal(question, 6, 17, station, own);
    send(peer.ipv6(17, question, to_us));
    CHECK(collector.last_remote == Endpoint{station, 5000, at});
    // It asks for the station's link address there, and sends the answer there when it has one.
    CHECK(bed.net[1 - at].sent.empty());
    CHECK(parse6(bed.take(at)).is_icmp(135));
    send(peer.icmp(peer.neighbour(136, 0x60, station), station, own));
    const Parsed6 answer = parse6(bed.take(at));
    CHECK(answer.ip.destination == station);
    CHECK(answer.ip.next_header == 17);
    CHECK(answer.ethernet.destination == peer.mac);
    // The same four numbers are another connection on another link.
    auto listener = bed.stack.tcp().listen(80);
    send(peer.ipv6(6, syn(station, own, 80), to_us));
    CHECK(flags_of(parse6(bed.take(at)).payload) == 0x12);
    CHECK(bed.net[1 - at].sent.empty());
  }
  CHECK(bed.route(station, {}, back)->interface == back);
  CHECK(bed.route(station, {}, front)->source == bed.stack.discovery().link_local(front));
  CHECK(bed.route(station, {}, 2).error() == IpError::no_route);
  CHECK(bed.route(station, bed.stack.discovery().link_local(front), back).error() == IpError::no_route);
  CHECK(bed.stack.discovery().link_local(front) != bed.stack.discovery().link_local(back));
  CHECK(bed.stack.endpoint("fe80::1%back", 7) == Endpoint{station, 7, back});
  CHECK(bed.stack.endpoint("fe80::1", 7) == Endpoint{station, 7, front});
  CHECK(bed.stack.endpoint("10.9.0.1", 7) == Endpoint{Ipv4Address::of(10, 9, 0, 1), 7, 0});
  CHECK_FALSE(bed.stack.endpoint("fe80::1%side", 7));
  CHECK_FALSE(bed.stack.endpoint("2001:db8::1%back", 7));
  CHECK_FALSE(bed.stack.endpoint("fe80::%", 7));
}

TEST_CASE("global addresses are used on their own interface, IPv6 too (RFC 6724 5, rule 5)") {
  Bed bed{with_ipv6(front_settings(), "2001:db8::2"), with_ipv6(back_settings(), "2001:db8:9::2")};
  bed.start();
  bed.run(2s);
  CHECK(bed.route(*IpAddress::parse("2001:db8:9::77"))->source == *IpAddress::parse("2001:db8:9::2"));
  CHECK(bed.route(*IpAddress::parse("2001:db8::77"))->source == own_v6);
  bed.forget();
  Peer6 peer;
  bed.arrive(back, peer.ipv6(58, Packet(8)));  // to the front's MAC
  CHECK(bed.stack.link(back).counters().drop_not_for_us == 1);
  Packet probe = peer.ipv6(17, peer.datagram(1, 7, bytes_of("x")));
  std::ranges::copy(std::as_bytes(std::span(back_mac.octets)), probe.begin());
  bed.arrive(back, probe);
  CHECK(bed.stack.ip().counters().drop_other_interface == 1);
  CHECK(bed.net[back].sent.empty());
}

TEST_CASE("a group is joined on one interface, and its datagrams say where they came in") {
  Bed bed;
  bed.start();
  bed.meet();
  const Ipv4Address group = Ipv4Address::of(224, 1, 2, 3);
  Collector collector;
  REQUIRE(bed.stack.udp().bind(7, collector));
  REQUIRE(bed.stack.udp().join(group, back));
  bed.run(5s);
  CHECK(bed.net[front].sent.empty());  // reports go where the group was joined (RFC 3376 5.1)
  REQUIRE_FALSE(bed.net[back].sent.empty());
  CHECK(parse(bed.take(back)).ip.protocol == 2);
  for (const std::uint16_t at : {front, back}) {
    const Packet data = bed.near[at].udp(5000, 7, bytes_of("x"), group);
    bed.arrive(at, bed.near[at].ipv4(17, data, [&](wire::Ipv4Header& header) { header.destination = group; },
                                     {{1, 0, 0x5e, 1, 2, 3}}));
  }
  CHECK(collector.received.size() == 1);
  CHECK(bed.stack.ip().counters().drop_not_for_us == 1);
  // Sending: the zone of the group is the interface.
  bed.forget();
  for (const std::uint16_t at : {front, back}) {
    Datagram datagram{.local = {{}, 7}, .remote = {group, 7, at}, .payload = {}};
    CHECK(bed.stack.udp().send({&datagram, 1}) == 1);
    bed.turns(1);
    CHECK(parse(bed.take(at)).ip.destination == group);
    CHECK(bed.net[1 - at].sent.empty());
  }
}

TEST_CASE("DHCP on both interfaces: each asks on its own network and gets its own lease (RFC 2131 4.4)") {
  Bed bed{by_dhcp(front_settings()), by_dhcp(back_settings())};
  bed.start(true);
  CHECK_FALSE(bed.started);
  grant(bed, back, Ipv4Address::of(10, 9, 0, 50));
  CHECK_FALSE(bed.started);
  CHECK(bed.stack.dhcp(front).counters().drop_malformed == 0);
  // What one network's server says is nothing to the other's client.
  CHECK(bed.stack.ip().prefix(back).address == Ipv4Address::of(10, 9, 0, 50));
  CHECK(bed.stack.ip().prefix(front).address.is_unspecified());
  grant(bed, front, Ipv4Address::of(10, 0, 0, 50));
  CHECK(bed.started);
  CHECK(bed.stack.ip().prefix(front).address == Ipv4Address::of(10, 0, 0, 50));
  CHECK(bed.route(far)->interface == front);  // two default routes of equal metric
  const auto servers = bed.stack.name_service().servers();
  REQUIRE(servers.size() == 2);
  CHECK(servers[0] == IpAddress{bed.near[front].ip});
}

TEST_CASE("a network without a DHCP server delays the start, and no more") {
  Bed bed{front_settings(), by_dhcp(back_settings())};
  bed.start(true);
  CHECK_FALSE(bed.started);
  bed.run(Host::patience - 1s);
  CHECK_FALSE(bed.started);
  bed.run(2s);
  CHECK(bed.started);
  CHECK(bed.start_error.empty());
  CHECK(bed.stack.address() == IpAddress{own_ip});
}

TEST_CASE("settings that contradict each other are refused at start") {
  const auto error_of = [](const InterfaceSettings& a, const InterfaceSettings& b) {
    Bed bed{a, b};
    bed.start();
    return bed.start_error;
  };
  InterfaceSettings b = back_settings();
  b.addresses.ipv4 = {own_ip, 16};
  CHECK(error_of(front_settings(), b) == "net: front and back have the same address");
  b.addresses.ipv4 = {};
  CHECK(error_of(front_settings(), b) ==
        "net: 0.0.0.0/0 is no address for back: give --back-ipv4, --back-dhcp or --back-ipv6-only");
  b = back_settings();
  for (const char* wrong : {"10.8.0.0", "10.8.0.0/16=", "10.8.0.0/16=fe80::1", "2001:db8::/32=ff02::1", ","}) {
    b.routes = wrong;
    CHECK(error_of(front_settings(), b).find("is no route for back, such as 10.8.0.0/16=10.0.0.1") !=
          std::string::npos);
  }
  b = back_settings();
  CHECK(error_of(with_ipv6(front_settings(), "2001:db8::2"), with_ipv6(b, "2001:db8::2")) ==
        "net: front and back have the same address");
}

TEST_CASE("counters of an interface come once for each") {
  Bed bed;
  bed.start();
  bed.meet();
  struct Count final : CounterVisitor {
    void counters(std::string_view part, const CounterSet& set) noexcept override {
      if (part == "ethernet") received.push_back(set.value(0));
      ip += part == "ip";
    }
    void gauge(std::string_view, std::string_view, std::uint64_t) noexcept override {}
    std::vector<std::uint64_t> received;
    int ip = 0;
  } count;
  bed.arrive(back, bed.to(back, back_ip, 1, ping));
  bed.stack.visit_counters(count);
  CHECK(count.received == std::vector<std::uint64_t>{1, 2});
  CHECK(count.ip == 1);
}

namespace {

constexpr std::size_t sent_bytes = 300'000;

Task<void> serve(Shard&, Host& host) {
  auto listener = host.tcp().listen(80);
  if (!listener) co_return;
  static constexpr std::array<std::byte, sent_bytes> data{};
  while (auto flow = co_await listener->accept()) {
    (void)co_await flow->write(Bytes(data));
    flow->shutdown();
  }
}

Task<std::size_t> fetch(Shard&, net::Stack& client, Endpoint server) {
  auto flow = co_await client.tcp().connect(server);
  std::size_t got = 0;
  while (flow) {
    const auto part = co_await flow->read();
    if (!part || part->empty()) break;
    got += part->byte_count();
  }
  co_return got;
}

StackOptions client_options(Ipv4Address address) {
  StackOptions options;
  options.ipv4 = {address, 24};
  return options;
}

}  // namespace

TEST_CASE("TCP cuts by what the interface can do: one segments and sums, one does neither and takes less") {
  TestEnvironment environment;
  Shard shard{environment};
  device::Vnet quick{shard, {}};
  device::Vnet plain{shard, {.mtu = 1280, .offload = false}};
  InterfaceSettings settings[2]{front_settings(), back_settings()};
  Interface first{shard, quick.left(), settings[0]};
  Interface second{shard, plain.left(), settings[1]};
  Host host{shard, first, second, {}};
  net::Stack near{shard, quick.right(), client_options(Ipv4Address::of(10, 0, 0, 1))};
  net::Stack apart{shard, plain.right(), client_options(Ipv4Address::of(10, 9, 0, 1))};
  const auto all = [](Shard& on, Host& h, net::Stack& a, net::Stack& b) -> Task<std::size_t> {
    const bool up = co_await h.start() && co_await a.start() && co_await b.start();
    Scope scope{on};
    if (!up || !scope.spawn(serve(on, h))) co_return 0;
    const std::size_t one = co_await fetch(on, a, {own_ip, 80});
    const std::size_t other = co_await fetch(on, b, {back_ip, 80});
    scope.cancel();
    co_await scope.join();
    co_return one + other;
  };
  CHECK(run(shard, all(shard, host, near, apart)).value_or(0) == 2 * sent_bytes);
  CHECK(plain.left().dropped() == 0);
  CHECK(near.tcp().counters().bad_checksum + apart.tcp().counters().bad_checksum == 0);
  CHECK(host.link(front).counters().sent < 60);
  CHECK(host.link(back).counters().sent > sent_bytes / 1280);
}

TEST_CASE("no error about a broadcast of any of its networks (RFC 1122 3.2.2)") {
  Bed bed;
  bed.start();
  bed.meet();
  for (const std::uint16_t at : {front, back}) {
    const Ipv4Address all = at == front ? Ipv4Address::of(10, 0, 0, 255) : Ipv4Address::of(10, 9, 0, 255);
    bed.arrive(at, bed.near[at].ipv4(
                       17, bed.near[at].udp(5000, 137, bytes_of("who?"), all),
                       [&](wire::Ipv4Header& header) { header.destination = all; }, MacAddress::broadcast()));
    CHECK(bed.net[at].sent.empty());
  }
  CHECK(bed.stack.ip().counters().errors_forbidden == 2);
}
