// SPDX-License-Identifier: ISC
// What one network may not do to another one that the same stack is attached to: take its traffic, pose as it, push out
// what was learnt there.
#include <doctest/doctest.h>

#include <mirage/net/testbed_multihomed_test.hpp>

using namespace mirage;
using namespace mirage::net;
using namespace mirage::net::test;
using ip::Route;

namespace {

constexpr Ipv4Address thief = Ipv4Address::of(10, 0, 0, 66);

Route learnt(Ipv4Prefix prefix, Ipv4Address gateway) {
  return {.prefix = prefix, .gateway = gateway, .interface = front, .origin = Route::Origin::leased};
}

/// Where a datagram was sent to.
struct Locals final : DatagramHandler {
  void on_burst(std::span<Datagram> datagrams) noexcept override {
    for (const Datagram& datagram : datagrams) all.push_back(datagram.local);
  }
  std::vector<Endpoint> all;
};

/// Half of a datagram to port 7, from the same station whatever network it comes in by.
Packet half(const Bed& bed, bool first, Ipv4Address to, std::uint16_t identification, MacAddress mac) {
  const Packet whole = bed.near[front].udp(5000, 7, Packet(16), to);
  const Packet part(whole.begin() + (first ? 0 : 16), first ? whole.begin() + 16 : whole.end());
  return bed.near[front].ipv4(
      17, part,
      [&](wire::Ipv4Header& header) {
        header.destination = to;
        header.identification = identification;
        header.more_fragments = first;
        header.fragment_offset = first ? 0 : 16;
      },
      mac);
}

constexpr Ipv4Address all{0xffffffff};

/// A router advertisement for one prefix and one name server, from fe80::1 to everybody.
Packet advertisement(const IpAddress& prefix, std::uint8_t length, std::uint32_t server_seconds) {
  const Peer6 router;
  Packet message(16 + 32 + 24);
  const MutableBytes out = message;
  store_big(out, 0, std::uint8_t{134});
  store_big(out, 4, std::uint8_t{64});
  store_big(out, 6, std::uint16_t{1800});
  wire::PrefixInformation{
      .prefix = {prefix, length}, .on_link = true, .autonomous = length == 64, .valid = 9000, .preferred = 9000}
      .emit(out.subspan(16));
  store_big(out, 48, std::uint16_t{25 << 8 | 3});
  store_big(out, 52, server_seconds);
  wire::store_ip(out, 56, IpAddress::of(prefix.high(), 0x53));
  return router.icmp(message, router.link_local, wire::ipv6_group::all_nodes);
}

InterfaceSettings autoconfigured(InterfaceSettings settings) {
  settings.addresses.ipv6 = {.enabled = true, .secret = "a test's secret"};
  return settings;
}

std::size_t count_servers(const Host& host, const IpAddress& server, Time now) {
  return static_cast<std::size_t>(std::ranges::count_if(
      host.discovery().autoconfiguration().servers(),
      [&](const ip::AdvertisedServer& each) { return each.address == server && each.expires > now; }));
}

}  // namespace

TEST_CASE("a DHCP server cannot give away the address of another interface") {
  Bed bed{by_dhcp(front_settings()), back_settings()};
  bed.start(true);
  grant(bed, front, back_ip);
  CHECK(bed.stack.ip().prefix(front).address.is_unspecified());
  CHECK(bed.stack.dhcp(front).counters().declines == 1);
  CHECK_FALSE(bed.started);
  CHECK(bed.route(bed.near[back].ip, back_ip)->interface == back);
  Packet memory;
  CHECK(next_dhcp(bed, front, memory)->type == wire::DhcpType::decline);
}

TEST_CASE("nor when it prolongs a lease: it is declined, and asked for another one") {
  Bed bed{by_dhcp(front_settings()), back_settings()};
  bed.start(true);
  grant(bed, front, Ipv4Address::of(10, 0, 0, 50));
  bed.forget();
  bed.run(880s);  // T2: to anybody
  answer_dhcp(bed, front, wire::DhcpType::ack, back_ip);
  CHECK(bed.stack.ip().prefix(front).address.is_unspecified());
  CHECK(bed.route(bed.near[back].ip, back_ip)->interface == back);
  Packet memory;
  const auto decline = next_dhcp(bed, front, memory);
  REQUIRE(decline);
  CHECK(decline->type == wire::DhcpType::decline);
  CHECK(decline->requested_address == back_ip);
  bed.run(11s);
  CHECK(next_dhcp(bed, front, memory)->type == wire::DhcpType::discover);
}

TEST_CASE("a leased network does not reach into one that was given by hand") {
  Bed bed{by_dhcp(front_settings()), back_settings()};
  bed.start(true);
  grant(bed, front, Ipv4Address::of(10, 9, 0, 200), 0xffffff80);
  REQUIRE(bed.started);
  const Ipv4Address neighbour = Ipv4Address::of(10, 9, 0, 201);
  CHECK(bed.route(neighbour)->interface == back);
  CHECK(bed.route(neighbour)->source == IpAddress{back_ip});
  // Who is asked from the leased address answers there all the same.
  CHECK(bed.route(neighbour, Ipv4Address::of(10, 9, 0, 200))->interface == front);
}

TEST_CASE("routes that a network names do not draw away what was given to another one (RFC 3442 7)") {
  InterfaceSettings b = back_settings();
  b.routes = "192.0.2.0/24=10.9.0.1";
  Bed bed{front_settings(), b};
  bed.start();
  auto& routes = bed.stack.ip().routes();
  REQUIRE(routes.add(learnt({Ipv4Address::of(192, 0, 2, 0), 25}, thief)));
  REQUIRE(routes.add(learnt({Ipv4Address::of(10, 9, 0, 0), 25}, thief)));
  REQUIRE(routes.add(learnt({Ipv4Address::of(198, 51, 100, 0), 24}, thief)));
  CHECK(bed.route(far)->interface == back);
  CHECK(bed.route(bed.near[back].ip)->interface == back);
  CHECK(bed.route(Ipv4Address::of(198, 51, 100, 1))->interface == front);  // nobody else's
  // A network of its own is where it is, even inside of what lies behind another one's gateway.
  REQUIRE(routes.add(learnt({Ipv4Address::of(192, 0, 2, 128), 25}, {})));
  CHECK(bed.route(Ipv4Address::of(192, 0, 2, 200))->interface == front);
}

TEST_CASE("what is meant for a network behind a silent gateway does not take the default route") {
  InterfaceSettings b = back_settings();
  b.routes = "192.0.2.0/24=10.9.0.1";
  Bed bed{front_settings(), b};
  bed.start();
  TransmitFrame frame;
  frame.header = bed.stack.ip().new_frame(8);
  (void)frame.header.grow_back(8);
  REQUIRE(bed.stack.ip().send(*bed.route(far), 17, 0, std::move(frame)));
  bed.run(4s);
  CHECK(bed.stack.link(back).counters().arp_failed == 1);
  CHECK(bed.route(far)->interface == back);
}

TEST_CASE("a gateway that did not answer is passed over until it does, and is asked again meanwhile (RFC 4861 6.3.6)") {
  InterfaceSettings b = back_settings();
  b.addresses.gateway = Ipv4Address::of(10, 9, 0, 1);
  Bed bed{front_settings(), b};
  bed.start();
  TransmitFrame frame;
  frame.header = bed.stack.ip().new_frame(8);
  (void)frame.header.grow_back(8);
  REQUIRE(bed.stack.ip().send(*bed.route(far), 17, 0, std::move(frame)));
  for (int second = 0; second < 12; ++second) {
    bed.run(1s);
    if (second > 3) CHECK(bed.route(far)->interface == back);
  }
  CHECK(bed.stack.link(front).counters().arp_requests_sent > 3);
  bed.arrive(front, bed.near[front].arp(ArpPacket::reply, own_ip, own_mac));
  CHECK(bed.route(far)->interface == front);
}

TEST_CASE("fragments to a group are joined with those of their own network only") {
  Bed bed;
  bed.start();
  Locals locals;
  REQUIRE(bed.stack.udp().bind(7, locals));
  bed.arrive(front, half(bed, true, all, 9, MacAddress::broadcast()));
  bed.arrive(back, half(bed, false, all, 9, MacAddress::broadcast()));
  CHECK(locals.all.empty());
  bed.arrive(front, half(bed, false, all, 9, MacAddress::broadcast()));
  REQUIRE(locals.all.size() == 1);
  CHECK(locals.all[0].zone == front);
}

TEST_CASE("fragments of one network do not displace those of another") {
  Bed bed;
  bed.start();
  Locals locals;
  REQUIRE(bed.stack.udp().bind(7, locals));
  bed.arrive(back, half(bed, true, back_ip, 9, back_mac));
  for (std::uint16_t i = 0; i < 40; ++i) bed.arrive(front, half(bed, true, own_ip, i, own_mac));
  bed.arrive(back, half(bed, false, back_ip, 9, back_mac));
  CHECK(locals.all.size() == 1);
}

TEST_CASE("a network's own broadcast says where it came in: DHCP's answers stay with their client") {
  Bed bed;
  bed.start();
  Locals locals;
  REQUIRE(bed.stack.udp().bind(7, locals));
  for (const std::uint16_t at : {front, back}) {
    const Ipv4Address directed = at == front ? Ipv4Address::of(10, 0, 0, 255) : Ipv4Address::of(10, 9, 0, 255);
    const Packet data = bed.near[at].udp(5000, 7, bytes_of("x"), directed);
    bed.arrive(
        at, bed.near[at].ipv4(
                17, data, [&](wire::Ipv4Header& header) { header.destination = directed; }, MacAddress::broadcast()));
  }
  REQUIRE(locals.all.size() == 2);
  CHECK(locals.all[0].zone == front);
  CHECK(locals.all[1].zone == back);
}

TEST_CASE("routers of one network take neither the place of another's nor the time of its name servers") {
  Bed bed{autoconfigured(front_settings()), autoconfigured(back_settings())};
  bed.start();
  const IpAddress site = *IpAddress::parse("2001:db8:9::");
  const IpAddress server = *IpAddress::parse("2001:db8:9::53");
  bed.arrive(back, advertisement(site, 64, 600));
  REQUIRE(count_servers(bed.stack, server, bed.environment.now) == 1);
  for (std::uint64_t i = 0; i < 40; ++i) {
    bed.arrive(front, advertisement(IpAddress::of(0x2001'0db8'00aa'0000 + i, 0), 64, 0xffffffff));
  }
  bed.arrive(front, advertisement(site, 96, 0));  // its server's time is over, says another network
  CHECK(count_servers(bed.stack, server, bed.environment.now) == 1);
  const IpAddress late = *IpAddress::parse("2001:db8:a::");
  bed.arrive(back, advertisement(late, 64, 600));
  CHECK(bed.route(IpAddress::of(late.high(), 1))->interface == back);
  CHECK(count_servers(bed.stack, IpAddress::of(late.high(), 0x53), bed.environment.now) == 1);
}

namespace {

constexpr bool path_mtus_are_shared() {
  ip::PathMtuCache cache;
  const Time now{Duration{1h}};
  const IpAddress here = Ipv4Address::of(192, 0, 2, 1);
  if (!cache.note(here, back, 1400, now)) return false;
  for (std::uint32_t i = 0; i < 2 * ip::PathMtuCache::capacity; ++i) {
    if (!cache.note(Ipv4Address{0x0a000000 + i}, front, 1300, now + 1s)) return false;
  }
  return cache.limit(here, back, 1500, now + 2s) == 1400 && cache.limit(here, front, 1500, now + 2s) == 1500;
}
static_assert(path_mtus_are_shared());

}  // namespace

TEST_CASE("a question to all from an address of another network is not answered there") {
  Bed bed{with_ipv6(front_settings(), "2001:db8::2"), with_ipv6(back_settings(), "2001:db8:9::2")};
  bed.start();
  bed.run(2s);
  bed.forget();
  const Peer6 peer;
  const IpAddress victim = *IpAddress::parse("2001:db8:9::77");
  bed.arrive(front, peer.icmp(Peer6::echo(bytes_of("chosen by a stranger")), victim, wire::ipv6_group::all_nodes));
  // Nor is it told about an option that it does not know and must be told of (RFC 8200 4.2).
  Packet options(8);
  store_big(MutableBytes(options), 0, std::uint64_t{0x3b00'8404'0000'0000});
  bed.arrive(front, peer.ipv6(0, options, [&](wire::Ipv6Header& header) {
    header.source = victim;
    header.destination = wire::ipv6_group::all_nodes;
  }));
  CHECK(bed.stack.ip().counters().drop_extension == 1);
  CHECK(bed.net[back].sent.empty());
  CHECK(bed.net[front].sent.empty());
  bed.arrive(front, peer.icmp(Peer6::echo(bytes_of("x")), peer.ip, wire::ipv6_group::all_nodes));
  CHECK_FALSE(bed.net[front].sent.empty());  // its own stations are
}

TEST_CASE("whoever poses as our address on another network is refused") {
  Bed bed;
  bed.start();
  Locals locals;
  REQUIRE(bed.stack.udp().bind(7, locals));
  Peer liar = bed.near[front];
  liar.ip = back_ip;
  bed.arrive(front, liar.ipv4(17, liar.udp(5000, 7, bytes_of("x"))));
  CHECK(locals.all.empty());
  CHECK(bed.stack.ip().counters().drop_bad_source == 1);
}
