// SPDX-License-Identifier: ISC
// Several addresses of one interface, of both IP versions: each is claimed, answered for, and chosen by destination.
#include <doctest/doctest.h>

#include <mirage/net/testbed_v6_test.hpp>

using namespace mirage;
using namespace mirage::net;
using namespace mirage::net::test;
using wire::ArpPacket;

namespace {

constexpr Ipv4Address second = Ipv4Address::of(10, 0, 1, 2);
constexpr Ipv4Address third = Ipv4Address::of(172, 16, 0, 9);

StackOptions three_addresses() {
  StackOptions options;
  options.further_ipv4 = "10.0.1.2/24,172.16.0.9/16";
  options.gateway = Ipv4Address::of(10, 0, 1, 1);
  return options;
}

/// Sends a datagram; what went out, an ARP request or the datagram itself.
Sent send(Testbed& bed, Ipv4Address to, Ipv4Address from = {}) {
  bed.net.sent.clear();
  Datagram datagram;
  datagram.local = {from, 5000};
  datagram.remote = {to, 7};
  (void)datagram.payload.push_back(Slice::from_static("hello"));
  (void)bed.stack.udp().send({&datagram, 1});
  bed.turns(2);
  return bed.take();
}

std::string error_of(std::string_view further, std::string_view further_v6 = {}) {
  StackOptions options;
  options.further_ipv4 = further;
  options.ipv6 = {.enabled = true, .address = {own_v6, 64}, .further = further_v6};
  Testbed bed{options};
  bed.start();
  return bed.start_error;
}

}  // namespace

TEST_CASE("each address is asked for and announced (RFC 5227), and answered for (RFC 826)") {
  Testbed bed{three_addresses()};
  bed.start(true);
  REQUIRE(bed.start_error.empty());
  REQUIRE(bed.net.sent.size() == 6);
  for (const Ipv4Address own : {own_ip, second, third}) {
    const auto probe = parse_arp(bed.take());
    CHECK(probe.is_probe());
    CHECK(probe.target_ip == own);
    const auto claim = parse_arp(bed.take());
    CHECK(claim.sender_ip == own);
    CHECK(claim.target_ip == own);
  }
  for (const Ipv4Address own : {own_ip, second, third}) {
    Peer peer;
    peer.ip = Ipv4Address{own.value ^ 0x70};
    bed.arrive(peer.arp(ArpPacket::request, own));
    REQUIRE(bed.net.sent.size() == 1);
    CHECK(parse_arp(bed.take()) == ArpPacket{ArpPacket::reply, own_mac, own, peer.mac, peer.ip});
  }
  bed.arrive(Peer{}.arp(ArpPacket::request, Ipv4Address::of(10, 0, 1, 3)));
  CHECK(bed.net.sent.empty());
}

TEST_CASE("the source is the address in the destination's network, or in its router's (RFC 6724 5, rules 8 and 5.5)") {
  Testbed bed{three_addresses()};
  bed.start();
  for (const auto& [to, asked, from] :
       {std::tuple{Ipv4Address::of(10, 0, 0, 7), Ipv4Address::of(10, 0, 0, 7), own_ip},
        std::tuple{Ipv4Address::of(10, 0, 1, 7), Ipv4Address::of(10, 0, 1, 7), second},
        std::tuple{Ipv4Address::of(172, 16, 200, 1), Ipv4Address::of(172, 16, 200, 1), third},
        std::tuple{Ipv4Address::of(172, 17, 0, 1), Ipv4Address::of(10, 0, 1, 1), second},
        std::tuple{Ipv4Address::of(8, 8, 8, 8), Ipv4Address::of(10, 0, 1, 1), second}}) {
    const Sent first = send(bed, to);
    if (parse(first).ethernet.type == wire::ether_type::arp) {  // else the router is known already
      const auto question = parse_arp(first);
      CHECK(question.target_ip == asked);
      CHECK(question.sender_ip == from);  // who is asked must be able to answer
      Peer peer;
      peer.ip = asked;
      bed.net.sent.clear();
      bed.arrive(peer.arp(ArpPacket::reply, from, own_mac));
      REQUIRE(bed.net.sent.size() == 1);
      CHECK(parse(bed.take()).ip.source == from);
    } else {
      CHECK(parse(first).ip.source == from);
    }
  }
  CHECK(parse(send(bed, Ipv4Address::of(8, 8, 8, 8), third)).ip.source == third);  // who says so gets it
  CHECK(send(bed, Ipv4Address::of(8, 8, 8, 8), Ipv4Address::of(10, 0, 1, 3)).bytes.empty());
}

TEST_CASE(
    "what comes to an address is answered from it; a network's broadcast is none of a host's (RFC 1122 3.3.4.2)") {
  Testbed bed{three_addresses()};
  bed.start();
  Peer peer;
  peer.ip = Ipv4Address::of(10, 0, 1, 70);
  bed.arrive(peer.arp(ArpPacket::request, second));
  bed.net.sent.clear();
  const auto to = [&](Ipv4Address address) {
    return peer.ipv4(1, Peer::icmp(8, 0, 1, bytes_of("x")), [=](auto& ip) { ip.destination = address; });
  };
  for (const Ipv4Address own : {own_ip, second, third}) {
    bed.arrive(to(own));
    REQUIRE(bed.net.sent.size() == 1);
    CHECK(parse(bed.take()).ip.source == own);
  }
  bed.arrive(to(Ipv4Address::of(10, 0, 1, 255)));
  bed.arrive(to(Ipv4Address::of(172, 16, 255, 255)));
  bed.arrive(to(Ipv4Address::of(10, 0, 1, 3)));
  CHECK(bed.net.sent.empty());
}

TEST_CASE("each address is defended for itself, and the conflict names it (RFC 5227 2.4)") {
  Testbed bed{three_addresses()};
  bed.start();
  for (const Ipv4Address own : {second, third}) {
    Peer thief;
    thief.ip = own;
    bed.arrive(thief.arp(ArpPacket::request, own));
    bed.arrive(thief.arp(ArpPacket::request, own));
    REQUIRE(bed.net.sent.size() == 1);
    CHECK(parse_arp(bed.take()).sender_ip == own);
  }
  CHECK(bed.environment.console.find("another station uses 10.0.1.2") != std::string::npos);
  CHECK(bed.environment.console.find("another station uses 172.16.0.9") != std::string::npos);
}

TEST_CASE("a bad list is refused at start, with the address that is wrong") {
  CHECK(error_of("10.0.1.2/24").empty());
  CHECK(error_of("10.0.1.2/24,10.0.1.0/24") == "net: 10.0.1.0/24 is no address for a host");
  CHECK(error_of("10.0.1.2/24,10.0.1") == "net: 10.0.1 is no address for a host");
  CHECK(error_of("2001:db8:1::2/64") == "net: 2001:db8:1::2/64 is no address for a host");  // not among these
  CHECK(error_of("10.0.1.2/24,10.0.0.2/16") == "net: 10.0.0.2/16 is given twice");
  CHECK(error_of("10.1.0.2/16,10.2.0.2/16,10.3.0.2/16,10.4.0.2/16,10.5.0.2/16,10.6.0.2/16,10.7.0.2/16").empty());
  CHECK(error_of("10.1.0.2/16,10.2.0.2/16,10.3.0.2/16,10.4.0.2/16,10.5.0.2/16,10.6.0.2/16,10.7.0.2/16,10.8.0.2/16") ==
        "net: 10.8.0.2/16 is one address too many");
  CHECK(error_of("", "2001:db8:1::2/64").empty());
  CHECK(error_of("", "2001:db8:1::2/64,ff02::1/64") == "net: ff02::1/64 is no address for a host");
  CHECK(error_of("", "2001:db8::2/48") == "net: 2001:db8::2/48 is given twice");
}

TEST_CASE("IPv6: each address is asked for (RFC 4862 5.4), answered for, and chosen by destination (RFC 6724 5)") {
  StackOptions options = v6_options();
  options.ipv6.further = "2001:db8:1::2/64,fd00:5::9/64";
  Testbed bed{options};
  bed.start(true);
  REQUIRE(bed.start_error.empty());
  const IpAddress other = *IpAddress::parse("2001:db8:1::2");
  const IpAddress local = *IpAddress::parse("fd00:5::9");
  std::vector<IpAddress> asked;
  for (Sent sent = bed.take(); !sent.bytes.empty(); sent = bed.take()) {
    const Parsed6 packet = parse6(sent);
    if (!packet.is_icmp(135)) continue;
    CHECK(packet.ip.source.is_unspecified());
    asked.push_back(wire::NeighbourMessage::parse(packet.payload)->target);
  }
  for (const IpAddress& own : {own_v6, other, local}) CHECK(std::ranges::count(asked, own) == 1);
  bed.run(2s);
  for (const auto& [to, from] :
       {std::pair{"2001:db8::77", own_v6}, std::pair{"2001:db8:1::77", other}, std::pair{"fd00:5::77", local}}) {
    const auto path = bed.stack.ip().route({}, *IpAddress::parse(to), 0);
    REQUIRE(path.has_value());
    CHECK(path->source == from);
  }
  bed.net.sent.clear();
  Peer6 peer;
  bed.arrive(peer.solicitation(other));
  REQUIRE(bed.net.sent.size() == 1);
  const Parsed6 answer = parse6(bed.take());
  CHECK(answer.is_icmp(136));
  CHECK(answer.ip.source == other);
}
