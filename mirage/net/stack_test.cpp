// SPDX-License-Identifier: ISC
// The stack as a station on the wire sees it: each case is a packet trace.
#include <set>

#include <doctest/doctest.h>

#include <mirage/net/testbed_test.hpp>

using namespace mirage;
using namespace mirage::net;
using namespace mirage::net::test;
using wire::ArpPacket;

namespace {

const Peer peer;

bool udp_checksum_is_right(const Parsed& packet) {
  const auto pseudo = wire::pseudo_header_complete(wire::pseudo_header_sum(packet.ip.source, packet.ip.destination), 17,
                                                   static_cast<std::uint32_t>(packet.payload.size()));
  return wire::checksum_is_valid(packet.payload, pseudo);
}

std::size_t in_use(Testbed& bed) { return bed.shard.buffers().statistics().bytes_in_use; }

}  // namespace

TEST_CASE("an unknown congestion control is refused at start") {
  CHECK(tcp::algorithm_named("newreno") == tcp::Algorithm::newreno);
  test::Testbed bed{{.tcp = {.congestion = tcp::algorithm_named("reno")}}};
  bed.start();
  CHECK(bed.start_error == "net: TCP's congestion control: cubic, newreno or none; or bbr, with configure --tcp-bbr");
}

TEST_CASE("a stack without DHCP clients refuses --dhcp, and works without") {
  BasicTestbed<BasicStack<1, DhcpClients::none>> without{{InterfaceOptions{.dhcp = true}}};
  without.start();
  CHECK(without.start_error == "net: no DHCP client in this image: configure without --dhcp-clients=none");
  BasicTestbed<BasicStack<1, DhcpClients::none>> bed;
  bed.start();
  CHECK(bed.start_error.empty());
  CHECK(bed.stack.address() == IpAddress{own_ip});
}

TEST_CASE("a static address is announced at once, and asked for once") {
  Testbed bed;
  bed.start(true);
  REQUIRE(bed.started);
  CHECK(bed.start_error.empty());
  CHECK(bed.environment.now == Time{1s});  // no time has passed
  REQUIRE(bed.net.sent.size() == 2);
  const auto probe = parse_arp(bed.take());
  CHECK(probe.is_probe());
  CHECK(probe.target_ip == own_ip);
  const auto claim = parse_arp(bed.take());
  CHECK(claim.sender_ip == own_ip);
  CHECK(claim.target_ip == own_ip);
  CHECK(bed.stack.address() == IpAddress{own_ip});
}

TEST_CASE("without entropy the stack refuses to start and says why") {
  Testbed bed;
  bed.environment.has_entropy = false;
  bed.start();
  CHECK(bed.start_error.find("entropy") != std::string::npos);
}

TEST_CASE("an address that no host may have is refused; an own gateway is not used") {
  for (const auto address :
       {Ipv4Address{}, Ipv4Address::of(10, 0, 0, 255), Ipv4Address::of(127, 0, 0, 1), Ipv4Address::of(224, 0, 0, 1)}) {
    StackOptions options;
    options.ipv4 = {address, 24};
    Testbed bed{options};
    bed.start();
    CHECK(bed.start_error.find("no address for a host") != std::string::npos);
  }
  StackOptions options;
  options.gateway = own_ip;
  Testbed bed{options};
  bed.start();
  CHECK(bed.start_error.empty());
  CHECK(bed.stack.ip().routes().size() == 1);
}

TEST_CASE("ARP: answers for our address only, learns who asked") {
  Testbed bed;
  bed.start();
  bed.arrive(peer.arp(ArpPacket::request, Ipv4Address::of(10, 0, 0, 3)));
  CHECK(bed.net.sent.empty());
  bed.arrive(peer.arp(ArpPacket::request, own_ip));
  REQUIRE(bed.net.sent.size() == 1);
  const Sent answer = bed.take();
  CHECK(parse(answer).ethernet.destination == peer.mac);
  CHECK(parse_arp(answer) == ArpPacket{ArpPacket::reply, own_mac, own_ip, peer.mac, peer.ip});
  // Now a ping is answered without asking.
  bed.arrive(peer.ipv4(1, Peer::icmp(8, 0, 1, bytes_of("x"))));
  CHECK(bed.net.sent.size() == 1);
}

TEST_CASE("ping: the reply carries the same bytes and a right checksum") {
  Testbed bed;
  bed.start();
  bed.meet(peer);
  for (const std::size_t size : {0U, 1U, 56U, 1472U}) {
    bed.arrive(peer.ipv4(1, Peer::icmp(8, 0, 0x00070001, Packet(size, std::byte{0xa5}))));
    const Parsed reply = parse(bed.take());
    CHECK(reply.ip.destination == peer.ip);
    CHECK(reply.ip.source == own_ip);
    CHECK(reply.payload == Peer::icmp(0, 0, 0x00070001, Packet(size, std::byte{0xa5})));
  }
  CHECK(bed.stack.icmp().counters().echo_replies == 4);
  CHECK(in_use(bed) == 0);
}

TEST_CASE("ping: not to broadcasts, not with a bad checksum") {
  Testbed bed;
  bed.start();
  bed.meet(peer);
  const auto ping = Peer::icmp(8, 0, 1, bytes_of("x"));
  bed.arrive(peer.ipv4(
      1, ping, [](auto& header) { header.destination = Ipv4Address::of(10, 0, 0, 255); }, MacAddress::broadcast()));
  CHECK(bed.stack.icmp().counters().drop_broadcast == 1);
  auto broken = ping;
  broken[8] ^= std::byte{1};
  bed.arrive(peer.ipv4(1, broken));
  CHECK(bed.stack.icmp().counters().drop_checksum == 1);
  CHECK(bed.net.sent.empty());
}

TEST_CASE("UDP: an echo, first asking for the peer's link address") {
  Testbed bed;
  bed.start();
  Collector echo;
  echo.echo = &bed.stack.udp();
  REQUIRE(bed.stack.udp().bind(7, echo) == Port{7});
  bed.arrive(peer.ipv4(17, peer.udp(5000, 7, bytes_of("hello"))));
  REQUIRE(bed.net.sent.size() == 1);
  CHECK(parse_arp(bed.take()).target_ip == peer.ip);
  bed.arrive(peer.arp(ArpPacket::reply, own_ip, own_mac));
  REQUIRE(bed.net.sent.size() == 1);
  const Parsed reply = parse(bed.take());
  CHECK(reply.ethernet.destination == peer.mac);
  CHECK(udp_checksum_is_right(reply));
  CHECK(wire::UdpHeader::parse(reply.payload, 13)->destination_port == 5000);
  CHECK(as_text(Bytes(reply.payload).subspan(8)) == "hello");
  CHECK(in_use(bed) == 0);
}

TEST_CASE("UDP: one call per burst and port") {
  Testbed bed;
  bed.start();
  Collector a;
  Collector b;
  REQUIRE(bed.stack.udp().bind(7, a));
  REQUIRE(bed.stack.udp().bind(8, b));
  for (int i = 0; i < 40; ++i) bed.net.arrive(peer.ipv4(17, peer.udp(5000, 7, bytes_of("a"))));
  for (int i = 0; i < 3; ++i) bed.net.arrive(peer.ipv4(17, peer.udp(5000, 8, bytes_of("b"))));
  bed.turns(1);
  CHECK(a.received.size() == 40);
  CHECK(a.bursts == 2);  // at most 32 at once
  CHECK(b.bursts == 1);
  CHECK(bed.stack.udp().counters().received == 43);
}

TEST_CASE("UDP: a closed port is answered with port-unreachable that quotes the packet") {
  Testbed bed;
  bed.start();
  bed.meet(peer);
  bed.arrive(peer.ipv4(17, peer.udp(5000, 9, bytes_of("anybody?"))));
  const Parsed error = parse(bed.take());
  CHECK(error.ip.protocol == 1);
  REQUIRE(error.payload.size() == 8 + 20 + 16);
  CHECK(wire::Icmpv4Header::parse(error.payload)->type == 3);
  CHECK(wire::Icmpv4Header::parse(error.payload)->code == 3);
  CHECK(wire::checksum_is_valid(error.payload));
  const auto quoted = wire::Ipv4View::parse(Bytes(error.payload).subspan(8), 36);
  REQUIRE(quoted);
  CHECK(quoted->source() == peer.ip);
  // Not for broadcasts (RFC 1122 3.2.2).
  bed.arrive(peer.ipv4(
      17, peer.udp(5000, 9, bytes_of("x"), {0xffffffff}), [](auto& header) { header.destination = {0xffffffff}; },
      MacAddress::broadcast()));
  CHECK(bed.net.sent.empty());
  CHECK(bed.stack.ip().counters().errors_forbidden == 1);
}

TEST_CASE("errors are limited in rate") {
  Testbed bed;
  bed.start();
  bed.meet(peer);
  for (int i = 0; i < 200; ++i) bed.net.arrive(peer.ipv4(17, peer.udp(5000, 9, bytes_of("x"))));
  bed.turns(2);
  CHECK(bed.net.sent.size() + bed.stack.ip().counters().errors_limited == 200);
  bed.run(1s);
  bed.net.sent.clear();
  bed.arrive(peer.ipv4(17, peer.udp(5000, 9, bytes_of("x"))));
  CHECK(bed.net.sent.size() == 1);
}

TEST_CASE("how many errors a flood is answered with is known on average only (CVE-2020-25705)") {
  Testbed bed;
  bed.start();
  std::set<std::size_t> answers;
  std::size_t total = 0;
  for (int trial = 0; trial < 32; ++trial) {
    bed.meet(peer);
    bed.net.sent.clear();
    for (int i = 0; i < 200; ++i) bed.net.arrive(peer.ipv4(17, peer.udp(5000, 9, bytes_of("x"))));
    bed.turns(2);
    answers.insert(bed.net.sent.size());
    total += bed.net.sent.size();
    bed.run(1s);
  }
  CHECK(answers.size() > 8);
  CHECK(total / 32 >= 45);
  CHECK(total / 32 <= 55);
}

TEST_CASE("an unknown protocol is answered with protocol-unreachable") {
  Testbed bed;
  bed.start();
  bed.meet(peer);
  bed.arrive(peer.ipv4(132, bytes_of("sctp?")));
  CHECK(wire::Icmpv4Header::parse(parse(bed.take()).payload)->code == 2);
}

TEST_CASE("IP: what is malformed, foreign or impossible is dropped and counted") {
  Testbed bed;
  bed.start();
  const auto& counters = bed.stack.ip().counters();
  const Packet data = peer.udp(5000, 9, bytes_of("x"));
  bed.arrive(peer.ipv4(17, data, [](auto& h) { h.destination = Ipv4Address::of(10, 0, 0, 3); }));
  CHECK(counters.drop_transit == 1);
  for (const auto source : {Ipv4Address{0}, Ipv4Address::of(127, 0, 0, 1), Ipv4Address::of(224, 0, 0, 5),
                            Ipv4Address::of(10, 0, 0, 255), own_ip}) {
    bed.arrive(peer.ipv4(17, data, [=](auto& h) { h.source = source; }));
  }
  CHECK(counters.drop_bad_source == 5);
  bed.arrive(peer.ipv4(17, data, {}, MacAddress::broadcast()));
  CHECK(counters.drop_unicast_in_broadcast == 1);
  auto frame = peer.ipv4(17, data);
  frame[14 + 8] ^= std::byte{1};
  bed.arrive(frame);
  CHECK(counters.drop_checksum == 1);
  bed.arrive(peer.ipv4(17, data, [](auto& h) { h.total_length = 2000; }));
  CHECK(counters.drop_length == 1);
  bed.arrive(peer.frame(wire::ether_type::ipv4, Packet(10)));
  CHECK(counters.drop_truncated == 1);
  bed.arrive(peer.frame(wire::ether_type::ipv6, Packet(40)));
  CHECK(counters.drop_version == 1);
  bed.arrive(peer.frame(0x88cc, Packet(40)));
  CHECK(bed.stack.link().counters().drop_unknown_type == 1);
  CHECK(bed.net.sent.empty());
  CHECK(in_use(bed) == 0);
}

TEST_CASE("link padding is not payload; a packet in many slices is read") {
  Testbed bed;
  bed.start();
  Collector collector;
  REQUIRE(bed.stack.udp().bind(7, collector));
  Packet padded = peer.ipv4(17, peer.udp(5000, 7, bytes_of("hi")));
  padded.resize(60);
  bed.arrive(padded);
  bed.net.arrive(peer.ipv4(17, peer.udp(5000, 7, bytes_of("a longer text"))), {}, 34);
  bed.turns(1);
  REQUIRE(collector.received.size() == 2);
  CHECK(collector.received[0] == bytes_of("hi"));
  CHECK(collector.received[1] == bytes_of("a longer text"));
}

TEST_CASE("a checksum that the device has not filled in is not looked at") {
  Testbed bed;
  bed.start();
  Collector collector;
  REQUIRE(bed.stack.udp().bind(7, collector));
  Packet message = peer.udp(5000, 7, bytes_of("hi"));
  message[6] = std::byte{0x12};
  bed.net.arrive(peer.ipv4(17, message), {.needs_checksum = true, .checksum_start = 34, .checksum_offset = 6});
  bed.arrive(peer.ipv4(17, message));
  CHECK(collector.received.size() == 1);
  CHECK(bed.stack.udp().counters().drop_checksum == 1);
}

TEST_CASE("a device that takes nothing for a while gets everything later") {
  Testbed bed;
  bed.start();
  bed.meet(peer);
  bed.net.room = 3;
  for (int i = 0; i < 10; ++i) bed.net.arrive(peer.ipv4(1, Peer::icmp(8, 0, 1, bytes_of("x"))));
  bed.turns(1);
  CHECK(bed.net.sent.size() == 3);
  bed.net.room = SIZE_MAX;
  bed.run(2ms);
  CHECK(bed.net.sent.size() == 10);
}

TEST_CASE("an overloaded device: the queue is bounded and the excess counted") {
  StackOptions options;
  options.ethernet.transmit_queue = 16;
  Testbed bed{options};
  bed.start();
  bed.meet(peer);
  bed.net.room = 0;
  for (int i = 0; i < 100; ++i) bed.net.arrive(peer.ipv4(1, Peer::icmp(8, 0, 1, bytes_of("x"))));
  bed.turns(1);
  CHECK(bed.stack.link().counters().drop_queue_full == 84);
}

namespace {

Packet tcp_segment(const Peer& from, Port port, std::uint8_t flags, std::uint32_t sequence,
                   std::uint32_t acknowledgement) {
  Packet segment(wire::tcp_header_size);
  wire::TcpHeader header{.source_port = port,
                         .destination_port = 80,
                         .sequence = sequence,
                         .acknowledgement = acknowledgement,
                         .flags = flags,
                         .window = 60000};
  header.emit(segment, 0);
  const auto pseudo = wire::pseudo_header_complete(wire::pseudo_header_sum(from.ip, own_ip), ip_protocol::tcp, 20);
  store_big(MutableBytes(segment), wire::tcp_offset::checksum, wire::checksum_of(segment, pseudo));
  return from.ipv4(ip_protocol::tcp, segment);
}

}  // namespace

TEST_CASE("TCP: neighbours that do not answer hold up nobody else") {
  Testbed bed;
  bed.start();
  bed.meet(peer);
  auto listener = bed.stack.tcp().listen(80, {.backlog = 256});
  REQUIRE(listener.has_value());
  // SYNs from stations of our network that do not exist: as many as may wait for an address, and one more.
  for (std::uint8_t station = 100; station < 109; ++station) {
    const Peer nobody{.ip = Ipv4Address::of(10, 0, 0, station)};
    for (Port port = 1000; port < 1008; ++port) bed.arrive(tcp_segment(nobody, port, wire::TcpFlags::syn, 1, 0));
  }
  bed.net.sent.clear();
  bed.arrive(tcp_segment(peer, 5000, wire::TcpFlags::syn, 100, 0));
  bed.run(500ms);
  std::size_t answers = 0;
  for (const Sent& sent : bed.net.sent) answers += parse(sent).ip.destination == peer.ip ? 1 : 0;
  CHECK(answers > 0);
}
