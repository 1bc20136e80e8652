// SPDX-License-Identifier: ISC
// Neighbour discovery, duplicate address detection, autoconfiguration and group membership, as the wire sees them.
#include <doctest/doctest.h>

#include <mirage/net/ip/source_selection.hpp>
#include <mirage/net/testbed_v6_test.hpp>

using namespace mirage;
using namespace mirage::net;
using namespace mirage::net::test;
using wire::NeighbourMessage;

namespace {

const Peer6 peer;
const IpAddress router = *IpAddress::parse("fe80::1");
const IpPrefix site = *IpPrefix::parse("2001:db8:1::/64");

IpAddress v6(const char* text) { return *IpAddress::parse(text); }

NeighbourMessage message_of(const Parsed6& packet) {
  return NeighbourMessage::parse(packet.payload).value_or(NeighbourMessage{});
}

std::size_t count(Testbed& bed, std::uint8_t type) {
  return static_cast<std::size_t>(
      std::ranges::count_if(bed.net.sent, [&](const Sent& sent) { return parse6(sent).is_icmp(type); }));
}

/// One datagram to `to`; what UDP said.
bool send(Testbed& bed, const IpAddress& to) {
  Datagram datagram{.local = {IpAddress{}, 9}, .remote = {to, 9}, .payload = {}};
  (void)datagram.payload.push_back(bed.shard.buffers().copy(bytes_of("x")));
  const bool sent = bed.stack.udp().send({&datagram, 1}) == 1;
  bed.turns(1);
  return sent;
}

struct Advertised {
  std::uint16_t lifetime = 1800;
  std::uint32_t valid = 86400;
  std::uint32_t preferred = 14400;
  std::uint8_t hop_limit = 64;
  std::uint32_t mtu = 0;
  std::uint8_t flags = 0;
  std::uint32_t reachable_time = 0;
  std::uint32_t retransmit_time = 0;
};

Packet advertisement(const Advertised& values, const IpAddress& from = router, std::uint8_t hop_limit = 255) {
  Packet message(16 + 8 + 32 + 24 + 16 + (values.mtu != 0 ? 8U : 0U));
  const MutableBytes out = message;
  store_big(out, 0, std::uint8_t{134});
  store_big(out, 4, values.hop_limit);
  store_big(out, 5, values.flags);
  store_big(out, 6, values.lifetime);
  store_big(out, 8, values.reachable_time);
  store_big(out, 12, values.retransmit_time);
  wire::emit_link_address(out.subspan(16), 1, peer.mac);
  wire::PrefixInformation{
      .prefix = site, .on_link = true, .autonomous = true, .valid = values.valid, .preferred = values.preferred}
      .emit(out.subspan(24));
  store_big(out, 56, std::uint16_t{25 << 8 | 3});
  store_big(out, 60, std::uint32_t{600});
  wire::store_ip(out, 64, v6("2001:db8:1::53"));
  store_big(out, 80, std::uint16_t{31 << 8 | 2});
  store_big(out, 84, std::uint32_t{600});
  std::ranges::copy(as_bytes(std::string_view("\3lan\2de\0", 8)), out.begin() + 88);
  if (values.mtu != 0) {
    store_big(out, 96, std::uint16_t{5 << 8 | 1});
    store_big(out, 100, values.mtu);
  }
  return peer.icmp(message, from, wire::ipv6_group::all_nodes, hop_limit);
}

/// Our address in the advertised network; unspecified when there is none.
IpAddress advertised_address(Testbed& bed) {
  for (const ip::Address& own : bed.stack.ip().addresses()) {
    if (site.contains(own.address())) return own.address();
  }
  return {};
}

}  // namespace

TEST_CASE("start: addresses are asked for and used at once; routers are asked; groups are reported") {
  Testbed bed{v6_options(true)};
  bed.start(true);
  REQUIRE(bed.started);
  CHECK(bed.environment.now == Time{1s});  // no time has passed
  const auto& addresses = bed.stack.ip().addresses();
  REQUIRE(addresses.size() == 2);
  CHECK(addresses.begin()->address().is_link_local());
  CHECK(bed.stack.address() == own_v6);
  CHECK(count(bed, 135) == 2);
  CHECK(count(bed, 133) == 1);
  for (const Sent& sent : bed.net.sent) {
    const Parsed6 packet = parse6(sent);
    if (packet.is_icmp(135)) {  // RFC 4862 5.4.2
      CHECK(packet.ip.source == IpAddress{});
      CHECK(packet.ip.destination == wire::ipv6_group::solicited_node(message_of(packet).target));
      CHECK(packet.ip.hop_limit == 255);
      CHECK(packet.payload.size() == 32);
      CHECK(message_of(packet).options.find(wire::nd_option::nonce).size() == 8);  // RFC 7527 4.1
    }
    if (packet.is_icmp(133)) CHECK(packet.payload.size() == 8);  // RFC 4429 3.2: not from an address that is not sure
    if (packet.ip.next_header != 0) CHECK(packet.checksum_is_right());
  }
  // MLDv2: one report for both groups, with a router alert (RFC 3810 5.2.14).
  const auto report = std::ranges::find_if(bed.net.sent, [](const Sent& s) { return parse6(s).ip.next_header == 0; });
  REQUIRE(report != bed.net.sent.end());
  const Parsed6 mld = parse6(*report);
  CHECK(mld.ip.hop_limit == 1);
  CHECK(mld.ip.destination == wire::ipv6_group::all_mld2_routers);
  CHECK(mld.ip.source == addresses.begin()->address());
  CHECK(load_big<std::uint16_t>(mld.payload, 2) == 0x0502);
  CHECK(load_big<std::uint8_t>(mld.payload, 8) == 143);
  CHECK(load_big<std::uint16_t>(mld.payload, 8 + 6) == 2);
  CHECK(mld.payload.size() == 8 + 8 + 2 * 20);
  // It is asked three times, four seconds apart, and then never again; an idle stack has no timer.
  bed.net.sent.clear();
  bed.run(60s);
  CHECK(count(bed, 133) == 2);
  CHECK(parse6(*std::ranges::find_if(bed.net.sent, [](const Sent& s) {
          return parse6(s).is_icmp(133);
        })).payload.size() == 16);
  CHECK(bed.shard.timers().armed() == 0);
  CHECK(bed.shard.buffers().statistics().bytes_in_use == 0);
}

TEST_CASE("the secret keeps addresses; without one they are new at each start") {
  const auto first_address = [](std::string_view secret) {
    StackOptions options = v6_options();
    options.ipv6.secret = secret;
    Bed6 bed{options};
    return bed.stack.ip().addresses().begin()->address();
  };
  CHECK(first_address("a") == first_address("a"));
  CHECK(first_address("a") != first_address("b"));
  CHECK(first_address("") != first_address("a"));
}

TEST_CASE("somebody has our address: another one where we chose it, none where we were told (RFC 4862 5.4)") {
  Testbed bed{v6_options()};
  bed.start();
  const IpAddress before = bed.stack.ip().addresses().begin()->address();
  bed.arrive(peer.icmp(peer.neighbour(136, 0x20, before), before, wire::ipv6_group::all_nodes));
  CHECK(bed.stack.ip().counters().drop_bad_source == 1);  // from our own address: no neighbour sends that
  bed.arrive(peer.icmp(peer.neighbour(136, 0x20, before), peer.link_local, wire::ipv6_group::all_nodes));
  CHECK(bed.stack.discovery().counters().duplicates == 1);
  CHECK(bed.stack.ip().addresses().find(before) == nullptr);
  CHECK(bed.stack.ip().addresses().size() == 2);
  // Two ask at once.
  bed.arrive(peer.icmp(peer.neighbour(135, 0, own_v6, false), {}, wire::ipv6_group::solicited_node(own_v6)));
  CHECK(bed.stack.ip().addresses().find(own_v6) == nullptr);
  CHECK(bed.environment.console.find("another station uses 2001:db8::2") != std::string::npos);
  // Once it is sure, nobody takes it away.
  bed.run(2s);
  const IpAddress after = bed.stack.ip().addresses().begin()->address();
  bed.arrive(peer.icmp(peer.neighbour(136, 0x20, after), peer.link_local, wire::ipv6_group::all_nodes));
  CHECK(bed.stack.ip().addresses().find(after) != nullptr);
  CHECK(bed.stack.discovery().counters().conflicts == 1);
}

TEST_CASE("a solicitation is answered, and who asked is known") {
  Bed6 bed;
  bed.arrive(peer.solicitation());
  const Parsed6 answer = parse6(bed.take());
  CHECK(answer.ethernet.destination == peer.mac);
  CHECK(answer.is_icmp(136));
  CHECK(answer.ip.hop_limit == 255);
  CHECK(answer.ip.destination == peer.ip);
  const NeighbourMessage message = message_of(answer);
  CHECK(message.target == own_v6);
  CHECK(message.flags == (NeighbourMessage::solicited | NeighbourMessage::overrides));
  CHECK(message.options.link_address(2) == own_mac);
  bed.arrive(peer.icmp(Peer6::echo({}), peer.ip, own_v6, 64));
  CHECK(parse6(bed.take()).is_icmp(129));  // without asking
  // Somebody's duplicate address detection is answered to all.
  bed.arrive(peer.icmp(peer.neighbour(135, 0, own_v6, false), {}, wire::ipv6_group::solicited_node(own_v6)));
  const Parsed6 defence = parse6(bed.take());
  CHECK(defence.ip.destination == wire::ipv6_group::all_nodes);
  CHECK(message_of(defence).flags == NeighbourMessage::overrides);
}

TEST_CASE("neighbour discovery from beyond the link, in fragments, or malformed is ignored (RFC 4861 7.1, RFC 6980)") {
  Bed6 bed;
  const auto solicited = wire::ipv6_group::solicited_node(own_v6);
  bed.arrive(peer.icmp(peer.neighbour(135, 0, own_v6), peer.ip, solicited, 254));
  CHECK(bed.stack.discovery().counters().drop_hop_limit == 1);
  Packet message = peer.neighbour(135, 0, own_v6);
  Peer6::seal(message, 2, 58, peer.ip, solicited);
  Packet fragment(8);
  wire::Ipv6Fragment{.next_header = 58}.emit(fragment);
  fragment.insert(fragment.end(), message.begin(), message.end());
  bed.arrive(peer.ipv6(44, fragment, [&](wire::Ipv6Header& header) {
    header.destination = solicited;
    header.hop_limit = 255;
  }));
  CHECK(bed.stack.discovery().counters().drop_fragmented == 1);
  bed.arrive(peer.icmp(peer.neighbour(135, 0, own_v6), {}, solicited));  // nobody, with a link address
  bed.arrive(peer.icmp(peer.neighbour(135, 0, own_v6, false), {}, wire::ipv6_group::all_nodes));
  bed.arrive(peer.icmp(peer.neighbour(136, 0x60, peer.ip), peer.ip, wire::ipv6_group::all_nodes));
  CHECK(bed.stack.discovery().counters().drop_malformed == 3);
  Packet redirect(40);
  redirect[0] = std::byte{137};
  bed.arrive(peer.icmp(redirect, router, own_v6));
  CHECK(bed.stack.discovery().counters().drop_unwanted == 1);
  bed.arrive(advertisement({}));  // routers are not accepted here
  CHECK(bed.stack.discovery().counters().drop_unwanted == 2);
  CHECK(bed.net.sent.empty());
}

TEST_CASE("a neighbour is asked for in its group; what waits goes when it answers") {
  Bed6 bed;
  CHECK(send(bed, peer.ip));
  REQUIRE(bed.net.sent.size() == 1);
  const Parsed6 question = parse6(bed.take());
  CHECK(question.ip.source == own_v6);
  CHECK(question.ip.destination == wire::ipv6_group::solicited_node(peer.ip));
  CHECK(question.ethernet.destination == MacAddress{{0x33, 0x33, 0xff, 0, 0, 1}});
  CHECK(message_of(question).options.link_address(1) == own_mac);
  bed.arrive(peer.advertisement());
  CHECK(parse6(bed.take()).ip.next_header == 17);
  // RFC 4861 7.2.5: an advertisement of a stranger creates nothing.
  Peer6 stranger = peer;
  stranger.ip = v6("2001:db8::9");
  bed.arrive(stranger.advertisement());
  CHECK(bed.stack.link().counters().nd_unsolicited == 1);
}

TEST_CASE("a neighbour that does not answer is asked three times, then sending fails for a while") {
  Bed6 bed;
  CHECK(send(bed, peer.ip));
  bed.run(3500ms);
  CHECK(count(bed, 135) == 3);
  CHECK_FALSE(send(bed, peer.ip));
  CHECK(bed.stack.link().counters().drop_unresolved == 2);
  CHECK(bed.in_use() == 0);
}

TEST_CASE("reachability (RFC 4861 7.3): stale entries are used, then confirmed, then given up") {
  Bed6 bed;
  bed.meet(peer);
  bed.run(46s);  // longer than any reachable time
  CHECK(send(bed, peer.ip));
  CHECK(parse6(bed.take()).ip.next_header == 17);
  CHECK(bed.net.sent.empty());
  bed.run(5100ms);  // DELAY_FIRST_PROBE_TIME
  REQUIRE(count(bed, 135) == 1);
  const Parsed6 probe = parse6(bed.take());
  CHECK(probe.ethernet.destination == peer.mac);
  CHECK(probe.ip.destination == peer.ip);
  bed.arrive(peer.advertisement());
  bed.run(10s);
  CHECK(count(bed, 135) == 0);
  bed.run(46s);
  CHECK(send(bed, peer.ip));
  bed.run(8500ms);
  CHECK(count(bed, 135) == 3);
  CHECK_FALSE(send(bed, peer.ip));
}

TEST_CASE("no advertisement moves a neighbour that answers; without the right to override none at all") {
  Bed6 bed;
  bed.meet(peer);
  Peer6 thief = peer;
  thief.mac.octets[5] = 0x66;
  bed.arrive(thief.advertisement(0x40));
  CHECK(bed.stack.link().counters().nd_refused == 1);
  CHECK(send(bed, peer.ip));
  CHECK(parse6(bed.take()).ethernet.destination == peer.mac);
  for (const std::uint8_t flags : {std::uint8_t{0x20}, std::uint8_t{0x60}}) bed.arrive(thief.advertisement(flags));
  bed.arrive(thief.solicitation());
  CHECK(bed.stack.link().counters().claims_doubted == 3);
  CHECK(count(bed, 135) == 1);
  const auto question = std::ranges::find_if(bed.net.sent, [](const Sent& sent) { return parse6(sent).is_icmp(135); });
  REQUIRE(question != bed.net.sent.end());
  CHECK(parse6(*question).ethernet.destination == peer.mac);
  bed.arrive(peer.advertisement());  // the owner is there
  bed.run(5s);
  bed.net.sent.clear();
  CHECK(send(bed, peer.ip));
  CHECK(parse6(bed.take()).ethernet.destination == peer.mac);
  bed.arrive(thief.advertisement(0x60));  // now it is silent
  bed.run(2500ms);
  bed.net.sent.clear();
  CHECK(send(bed, peer.ip));
  CHECK(parse6(bed.take()).ethernet.destination == thief.mac);
  CHECK(bed.stack.link().counters().arp_changed == 1);
}

TEST_CASE("a router advertises: address, routes, name servers, limits (RFC 4861 6.3.4, 4862 5.5.3, 8106)") {
  Testbed bed{v6_options(true)};
  bed.start();
  bed.arrive(advertisement({.hop_limit = 33, .mtu = 1400, .flags = 0x48}));
  const IpAddress own = advertised_address(bed);
  CHECK_FALSE(own.is_unspecified());
  const auto* route = bed.stack.ip().routes().find(v6("2001:db8:ffff::1"));
  REQUIRE(route != nullptr);
  CHECK(route->gateway == router);
  CHECK(bed.stack.ip().routes().find(site.network())->gateway.is_unspecified());
  const auto& learnt = bed.stack.discovery().autoconfiguration();
  CHECK(learnt.servers()[0].address == v6("2001:db8:1::53"));
  CHECK(learnt.domains()[0].name() == "lan.de");
  REQUIRE(bed.stack.name_service().servers().size() == 1);
  CHECK(bed.stack.name_service().servers()[0] == v6("2001:db8:1::53"));
  CHECK(bed.stack.name_service().search() == "lan.de");
  CHECK(learnt.other());
  CHECK_FALSE(learnt.managed());
  bed.net.sent.clear();
  bed.run(5s);
  CHECK(count(bed, 133) == 0);  // nobody is asked any more
  // Through the router, whose link address came along; from the advertised address to its own network.
  bed.net.sent.clear();
  CHECK(send(bed, v6("2001:db8:ffff::1")));
  const Parsed6 packet = parse6(bed.take());
  CHECK(packet.ethernet.destination == peer.mac);
  CHECK(packet.ip.hop_limit == 33);
  CHECK(bed.stack.ip().route({}, v6("2001:db8:1::9"), 0)->source == own);
  CHECK(bed.stack.ip().route({}, v6("2001:db8::9"), 0)->source == own_v6);
  CHECK(bed.stack.ip().route({}, v6("2001:db8::9"), 0)->mtu == 1400);
  // Its end, and that of what it said about names.
  bed.run(600s);
  CHECK(bed.stack.name_service().servers().empty());
  bed.arrive(advertisement({.lifetime = 0}));
  CHECK(bed.stack.ip().routes().find(v6("2001:db8:ffff::1")) == nullptr);
}

TEST_CASE("who is no router any more is none; who is not believed as a neighbour is not believed (RFC 4861 7.2.5)") {
  Testbed bed{v6_options(true)};
  bed.start();
  bed.arrive(advertisement({}));
  const IpAddress far = v6("2001:db8:ffff::1");
  Peer6 thief = peer;
  thief.mac.octets[5] = 0x66;
  for (const std::uint8_t flags : std::array<std::uint8_t, 4>{0x00, 0x40, 0x20, 0x60}) {
    bed.arrive(thief.icmp(thief.neighbour(136, flags, router), router, own_v6));
    CHECK(bed.stack.ip().routes().find(far) != nullptr);
  }
  bed.arrive(peer.icmp(peer.neighbour(136, 0x80, router), router, own_v6));
  CHECK(bed.stack.ip().routes().find(far) != nullptr);
  bed.arrive(peer.icmp(peer.neighbour(136, 0x20, router), router, own_v6));
  CHECK(bed.stack.ip().routes().find(far) == nullptr);
}

TEST_CASE("a router that advertises few hops, or none, leaves the limit as it is (RFC 4861 6.3.4, CVE-2015-2922)") {
  Testbed bed{v6_options(true)};
  bed.start();
  std::uint8_t kept = 64;
  for (const std::uint8_t limit : std::array<std::uint8_t, 5>{1, 31, 32, 31, 0}) {
    bed.arrive(advertisement({.hop_limit = limit}));
    bed.run(1s);
    bed.net.sent.clear();
    CHECK(send(bed, v6("2001:db8:ffff::1")));
    if (limit == 32) kept = 32;
    CHECK(parse6(bed.take()).ip.hop_limit == kept);
  }
}

TEST_CASE("a router's reachable and retransmission times hold for its link, within bounds (RFC 4861 6.3.4)") {
  Bed6 bed{v6_options(true)};
  const auto questions = [&](Duration within) {
    bed.net.sent.clear();
    bed.run(within);
    return count(bed, 135);
  };
  bed.arrive(advertisement({.retransmit_time = 250}));
  CHECK(send(bed, peer.ip));
  CHECK(questions(600ms) == 2);  // and one at once
  CHECK(questions(10s) == 0);
  // What would flood the link, or never give up, says nothing (RFC 4861 11.1); neither does 0.
  for (const std::uint32_t time : {0U, 1U, 99U, 10'001U, 0xffffffffU})
    bed.arrive(advertisement({.retransmit_time = time}));
  CHECK(send(bed, peer.ip));
  CHECK(questions(600ms) == 2);
  // Nobody is asked for an hour; 30 s were at most 45.
  bed.run(10s);
  bed.arrive(advertisement({.reachable_time = 3'600'000}));
  bed.arrive(advertisement({.reachable_time = 3'600'001}));  // RFC 4861 6.2.1: no router may say so
  bed.meet(peer);
  bed.run(25min);
  CHECK(send(bed, peer.ip));
  CHECK(questions(10s) == 0);
  bed.arrive(advertisement({.reachable_time = 2000}));
  bed.meet(peer);
  bed.run(4s);
  CHECK(send(bed, peer.ip));
  CHECK(questions(5100ms) == 1);
}

TEST_CASE("the time between questions for an address of ours is the router's, too (RFC 4862 5.1)") {
  Bed6 bed{v6_options(true)};
  bed.arrive(advertisement({.retransmit_time = 5000}));
  const auto confirmed = [&] {
    return bed.stack.ip().addresses().find(advertised_address(bed), 0)->phase == ip::Address::Phase::confirmed;
  };
  bed.run(4s);
  CHECK_FALSE(confirmed());
  bed.run(1100ms);
  CHECK(confirmed());
}

TEST_CASE("our own question that comes back is no other station's (RFC 7527 4.2)") {
  Testbed bed{v6_options()};
  bed.start(true);
  const auto probe = std::ranges::find_if(bed.net.sent, [](const Sent& sent) {
    return parse6(sent).is_icmp(135) && message_of(parse6(sent)).target == own_v6;
  });
  REQUIRE(probe != bed.net.sent.end());
  const Packet looped = parse6(*probe).payload;
  const IpAddress group = wire::ipv6_group::solicited_node(own_v6);
  bed.net.sent.clear();
  bed.arrive(peer.icmp(looped, {}, group));
  CHECK(bed.stack.discovery().counters().looped == 1);
  CHECK(bed.stack.ip().addresses().find(own_v6) != nullptr);
  CHECK(bed.net.sent.empty());
  // The same question with another nonce is a duplicate.
  Packet other = looped;
  other[31] ^= std::byte{1};
  bed.arrive(peer.icmp(other, {}, group));
  CHECK(bed.stack.discovery().counters().duplicates == 1);
  CHECK(bed.stack.ip().addresses().find(own_v6) == nullptr);
}

TEST_CASE("advertisements that are not believed") {
  Testbed bed{v6_options(true)};
  bed.start();
  bed.arrive(advertisement({}, router, 254));
  bed.arrive(advertisement({}, v6("2001:db8::1")));  // not link-local
  bed.arrive(advertisement({.valid = 10, .preferred = 20}));
  CHECK(advertised_address(bed).is_unspecified());
  CHECK(bed.stack.discovery().counters().drop_hop_limit == 1);
  CHECK(bed.stack.discovery().counters().drop_malformed == 1);
  CHECK(bed.stack.discovery().autoconfiguration().counters().refused_prefix == 1);
}

TEST_CASE("the life of an address: deprecated, two hours' grace, gone (RFC 4862 5.5.3 (e), 5.5.4)") {
  Testbed bed{v6_options(true)};
  bed.start();
  bed.arrive(advertisement({.valid = 36000, .preferred = 100}));
  const IpAddress own = advertised_address(bed);
  REQUIRE_FALSE(own.is_unspecified());
  bed.run(2s);
  CHECK(bed.stack.ip().route({}, v6("2001:db8:1:1::1"), 0)->source == own);
  bed.run(200s);
  bed.arrive(advertisement({.valid = 36000, .preferred = 0}));
  CHECK(bed.stack.ip().route({}, v6("2001:db8:1:1::1"), 0)->source == own_v6);  // rule 3
  CHECK(bed.stack.ip().route(own, v6("2001:db8:1:1::1"), 0));                   // flows that have it keep it
  bed.arrive(advertisement({.lifetime = 0, .valid = 1, .preferred = 0}));
  bed.run(7000s);
  CHECK(advertised_address(bed) == own);
  bed.run(300s);
  CHECK(advertised_address(bed).is_unspecified());
  CHECK_FALSE(bed.stack.ip().route(own, v6("2001:db8:1:1::1"), 0));
  CHECK(bed.shard.timers().armed() == 0);
}

TEST_CASE("a link full of routers fills its share of the tables and no more") {
  Testbed bed{v6_options(true)};
  bed.start();
  for (unsigned i = 0; i < 200; ++i) {
    Packet message(16 + 32);
    store_big(MutableBytes(message), 0, std::uint8_t{134});
    store_big(MutableBytes(message), 6, std::uint16_t{1800});
    wire::PrefixInformation{.prefix = {IpAddress::of(0x2001'0db8'0100'0000 + i, 0), 64},
                            .on_link = true,
                            .autonomous = true,
                            .valid = 1000,
                            .preferred = 1000}
        .emit(MutableBytes(message).subspan(16));
    bed.arrive(peer.icmp(message, IpAddress::of(0xfe80'0000'0000'0000, i + 1), wire::ipv6_group::all_nodes));
  }
  CHECK(bed.stack.ip().addresses().size() == 2 + 8);
  CHECK(bed.stack.ip().routes().size() <= 2 + 16);
  CHECK(bed.stack.discovery().autoconfiguration().counters().refused_full > 300);
  CHECK(bed.stack.ip().addresses().find(own_v6) != nullptr);
}

TEST_CASE("the default router that does not answer is left for one that does") {
  Testbed bed{v6_options(true)};
  bed.start();
  bed.arrive(advertisement({.flags = 0x08}));  // preferred
  Peer6 second = peer;
  second.mac.octets[5] = 3;
  Packet message(24);
  store_big(MutableBytes(message), 0, std::uint8_t{134});
  store_big(MutableBytes(message), 6, std::uint16_t{1800});
  wire::emit_link_address(MutableBytes(message).subspan(16), 1, second.mac);
  bed.arrive(second.icmp(message, v6("fe80::3"), wire::ipv6_group::all_nodes));
  bed.run(3s);
  bed.net.sent.clear();
  CHECK(send(bed, v6("2001:db8:ffff::1")));
  CHECK(parse6(bed.take()).ethernet.destination == peer.mac);
  bed.run(9s);  // it does not confirm
  bed.net.sent.clear();
  CHECK(send(bed, v6("2001:db8:ffff::1")));
  CHECK(parse6(bed.take()).ethernet.destination == second.mac);
}

TEST_CASE("MLD: a query is answered within its time with every group (RFC 3810 6.2)") {
  Bed6 bed;
  Packet query(28);
  wire::Icmpv6Header{.type = 130, .rest = std::uint32_t{2000} << 16}.emit(query);
  bed.arrive(peer.icmp(query, router, wire::ipv6_group::all_nodes, 1));
  bed.run(2s);
  REQUIRE(bed.net.sent.size() == 1);
  const Parsed6 report = parse6(bed.take());
  CHECK(load_big<std::uint16_t>(report.payload, 8 + 6) == 2);
  CHECK(load_big<std::uint8_t>(report.payload, 16) == 2);  // MODE_IS_EXCLUDE
  bed.arrive(peer.icmp(query, router, wire::ipv6_group::all_nodes, 64));
  bed.arrive(peer.icmp(query, peer.ip, wire::ipv6_group::all_nodes, 1));
  bed.run(3s);
  CHECK(bed.net.sent.empty());
}

TEST_CASE("source selection: the examples of RFC 6724 10.1") {
  const auto choose = [](const char* destination, std::initializer_list<const char*> own) {
    ip::AddressTable table;
    for (const char* text : own) table.add({.prefix = {v6(text), 64}});
    const auto* chosen = ip::select_source(table, v6(destination), 0, Time{});
    return chosen == nullptr ? IpAddress{} : chosen->address();
  };
  CHECK(choose("2001:db8:1::1", {"2001:db8:3::1", "fe80::1"}) == v6("2001:db8:3::1"));
  CHECK(choose("ff05::1", {"2001:db8:3::1", "fe80::1"}) == v6("2001:db8:3::1"));
  CHECK(choose("ff02::1", {"2001:db8:3::1", "fe80::1"}) == v6("fe80::1"));
  CHECK(choose("2001:db8:1::1", {"2001:db8:1::1", "2001:db8:2::1"}) == v6("2001:db8:1::1"));
  CHECK(choose("2001:db8:1::1", {"2001:db8:1::2", "2001:db8:3::2"}) == v6("2001:db8:1::2"));
  CHECK(choose("2002:c633:6401::1", {"2002:c633:6401::d5e3:7953:13eb:22e8", "2001:db8:1::2"}) ==
        v6("2002:c633:6401::d5e3:7953:13eb:22e8"));
  CHECK(choose("fd00::1", {"2001:db8::2", "fd00:1::2"}) == v6("fd00:1::2"));
  CHECK(choose("10.0.0.1", {"2001:db8::2"}).is_unspecified());
}

TEST_CASE("of routers that are equal the one in use stays, whichever speaks last (RFC 4861 5.2, 6.3.6)") {
  Testbed bed{v6_options(true)};
  bed.start();
  const IpAddress far = v6("2001:db8:ffff::1");
  bed.arrive(advertisement({}));
  bed.arrive(advertisement({}, v6("fe80::3")));
  const IpAddress first = bed.stack.ip().routes().find(far)->gateway;
  for (int i = 0; i < 4; ++i) {
    bed.run(60s);
    bed.arrive(advertisement({}, i % 2 == 0 ? router : v6("fe80::3")));
    CHECK(bed.stack.ip().routes().find(far)->gateway == first);
  }
}

TEST_CASE("a router that says nothing about the MTU changes nothing about it (RFC 4861 6.3.4)") {
  Testbed bed{v6_options(true)};
  bed.start();
  bed.arrive(advertisement({.mtu = 1400}));
  CHECK(bed.stack.ip().mtu_of(0, false) == 1400);
  bed.arrive(advertisement({}, v6("fe80::3")));
  CHECK(bed.stack.ip().mtu_of(0, false) == 1400);
}

TEST_CASE("the end of a name server that is not known displaces none (RFC 8106 6.1)") {
  Testbed bed{v6_options(true)};
  bed.start();
  const auto name = [&](unsigned number, std::uint32_t lifetime) {
    Packet message(16 + 24);
    const MutableBytes out = message;
    store_big(out, 0, std::uint8_t{134});
    store_big(out, 6, std::uint16_t{1800});
    store_big(out, 16, std::uint16_t{25 << 8 | 3});
    store_big(out, 20, lifetime);
    wire::store_ip(out, 24, IpAddress::of(0x2001'0db8'0000'0000, number));
    bed.arrive(peer.icmp(message, router, wire::ipv6_group::all_nodes));
  };
  for (unsigned i = 0; i < 4; ++i) name(0x53 + i, 600);
  const auto before = bed.stack.name_service().servers().size();
  name(0x99, 0);
  CHECK(bed.stack.name_service().servers().size() == before);
}
