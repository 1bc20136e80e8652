// SPDX-License-Identifier: ISC
// ARP as the wire sees it, with a clock: asking, giving up, re-validating, defending, bounds.
#include <doctest/doctest.h>

#include <mirage/net/testbed_test.hpp>

using namespace mirage;
using namespace mirage::net;
using namespace mirage::net::test;
using wire::ArpPacket;

namespace {

constexpr Ipv4Address a(unsigned d) { return Ipv4Address::of(10, 0, 0, d); }

/// One datagram to `to`; what UDP said.
bool send(Testbed& bed, Ipv4Address to) {
  Datagram datagram;
  datagram.local.port = 9;
  datagram.remote = {to, 9};
  (void)datagram.payload.push_back(bed.shard.buffers().copy(bytes_of("x")));
  const bool sent = bed.stack.udp().send({&datagram, 1}) == 1;
  bed.turns(1);
  return sent;
}

std::size_t count_requests(Testbed& bed, Ipv4Address target) {
  return static_cast<std::size_t>(
      std::ranges::count_if(bed.net.sent, [&](const Sent& sent) { return parse_arp(sent).target_ip == target; }));
}

}  // namespace

TEST_CASE("a neighbour that does not answer is asked three times, then sending fails for a while") {
  Testbed bed;
  bed.start();
  CHECK(send(bed, a(9)));
  bed.run(10s);
  CHECK(count_requests(bed, a(9)) == 3);
  CHECK(bed.stack.link().counters().arp_failed == 1);
  CHECK(bed.stack.link().counters().drop_unresolved == 1);
  CHECK(bed.shard.buffers().statistics().bytes_in_use == 0);
  CHECK(bed.shard.timers().armed() == 0);  // an idle stack has no timer
  // After the failure time (it is over by now) the next packet asks again; right after a failure it is refused.
  CHECK(send(bed, a(9)));
  bed.run(3500ms);
  CHECK_FALSE(send(bed, a(9)));
  CHECK(bed.stack.udp().last_error() == UdpError::no_route);
}

TEST_CASE("an entry that grew old is used while its owner is asked, by unicast") {
  Testbed bed;
  bed.start();
  const Peer peer;
  bed.meet(peer);
  bed.run(59s);
  CHECK(send(bed, peer.ip));
  CHECK(bed.net.sent.size() == 1);
  bed.run(2s);
  bed.net.sent.clear();
  CHECK(send(bed, peer.ip));
  REQUIRE(bed.net.sent.size() == 2);
  const Sent request = bed.take();
  CHECK(parse_arp(request).target_ip == peer.ip);
  CHECK(parse(request).ethernet.destination == peer.mac);
  CHECK(parse(bed.take()).ip.protocol == 17);
  bed.arrive(peer.arp(ArpPacket::reply, own_ip, own_mac));
  bed.run(5s);
  CHECK(count_requests(bed, peer.ip) == 0);
}

TEST_CASE("what waits for an answer is bounded: the oldest makes room") {
  Testbed bed;
  bed.start();
  for (int i = 0; i < 20; ++i) CHECK(send(bed, a(1)));
  CHECK(bed.stack.link().counters().drop_pending_full == 12);
  for (unsigned host = 10; host < 30; ++host) {
    for (int i = 0; i < 8; ++i) (void)send(bed, a(host));
  }
  CHECK(bed.shard.buffers().statistics().bytes_in_use <= 64 * 2048 * 2);
  bed.net.sent.clear();
  const Peer peer;
  bed.arrive(peer.arp(ArpPacket::reply, own_ip, own_mac));
  CHECK(bed.net.sent.size() == 8);
}

TEST_CASE("a scan of the network does not grow the table, and known neighbours in use stay usable") {
  StackOptions options;
  options.ipv4 = {Ipv4Address::of(10, 0, 0, 2), 8};
  Testbed bed{options};
  bed.start();
  const Peer peer;
  bed.meet(peer);
  for (unsigned i = 0; i < 5000; ++i) {
    (void)send(bed, Ipv4Address::of(10, 1, i >> 8, i & 255));
    if (i % 50 == 0) {
      bed.run(100ms);
      (void)send(bed, peer.ip);
    }
  }
  CHECK(bed.stack.link().counters().arp_requests_sent < 5100);
  CHECK(bed.shard.buffers().statistics().bytes_in_use <= 256 * 1024);
  bed.run(20s);
  CHECK(bed.shard.buffers().statistics().bytes_in_use == 0);
}

TEST_CASE("answers to no question are ignored; known neighbours may move when they are silent at the old place") {
  Testbed bed;
  bed.start();
  const Peer peer;
  bed.arrive(peer.arp(ArpPacket::reply, own_ip, own_mac));
  CHECK(bed.stack.link().counters().arp_unsolicited == 1);
  bed.meet(peer);
  Peer moved = peer;
  moved.mac.octets[5] = 0x77;
  bed.arrive(moved.arp(ArpPacket::request, moved.ip));  // a gratuitous announcement
  CHECK(bed.stack.link().counters().claims_doubted == 1);
  bed.run(1500ms);
  CHECK(count_requests(bed, peer.ip) == 2);
  CHECK(parse(bed.take()).ethernet.destination == peer.mac);
  bed.net.sent.clear();
  CHECK(send(bed, peer.ip));
  CHECK(parse(bed.take()).ethernet.destination == peer.mac);
  bed.run(1s);
  CHECK(bed.stack.link().counters().arp_changed == 1);
  bed.net.sent.clear();
  CHECK(send(bed, peer.ip));
  CHECK(count_requests(bed, peer.ip) == 1);  // whether it is really there
  CHECK(parse(bed.net.sent.back()).ethernet.destination == moved.mac);
}

TEST_CASE("spoofing: a thousand claims to a neighbour's address move nothing while it answers, each is counted") {
  Testbed bed;
  bed.start();
  const Peer peer;
  bed.meet(peer);
  Peer thief = peer;
  thief.mac.octets[5] = 0x66;
  bed.net.sent.clear();
  std::size_t asked = 0;
  for (unsigned i = 0; i < 1000; ++i) {
    bed.arrive(thief.arp(i % 2 == 0 ? ArpPacket::request : ArpPacket::reply, i % 4 == 0 ? thief.ip : own_ip, own_mac));
    for (const Sent& sent : bed.net.sent) {
      if (parse_arp(sent).operation != ArpPacket::request) continue;  // else an answer to the thief
      ++asked;
      CHECK(parse(sent).ethernet.destination == peer.mac);
    }
    bed.arrive(peer.arp(ArpPacket::reply, own_ip, own_mac));
    bed.net.sent.clear();
    CHECK(send(bed, peer.ip));
    REQUIRE(bed.net.sent.size() == 1);
    CHECK(parse(bed.take()).ethernet.destination == peer.mac);
    bed.run(10ms);
  }
  CHECK(bed.stack.link().counters().claims_doubted == 1000);
  CHECK(bed.stack.link().counters().arp_changed == 0);
  CHECK(asked == 10);  // once a second
}

TEST_CASE("a conflict is counted, and answered once in ten seconds") {
  Testbed bed;
  bed.start();
  Peer thief;
  thief.ip = own_ip;
  for (int i = 0; i < 5; ++i) bed.arrive(thief.arp(ArpPacket::request, own_ip));
  CHECK(bed.stack.link().counters().arp_conflicts == 5);
  REQUIRE(bed.net.sent.size() == 1);
  CHECK(parse_arp(bed.take()).sender_ip == own_ip);
  bed.run(11s);
  bed.arrive(thief.arp(ArpPacket::request, own_ip));
  CHECK(bed.net.sent.size() == 1);
  CHECK(bed.environment.console.find("another station uses 10.0.0.2") != std::string::npos);
}

TEST_CASE("a probe for our address is answered; malformed ARP is counted") {
  Testbed bed;
  bed.start();
  Peer prober;
  prober.ip = {};
  bed.arrive(prober.arp(ArpPacket::request, own_ip));
  REQUIRE(bed.net.sent.size() == 1);
  CHECK(parse_arp(bed.take()).operation == ArpPacket::reply);
  Packet broken = prober.arp(ArpPacket::request, own_ip);
  broken[14] = std::byte{9};
  bed.arrive(broken);
  bed.arrive(prober.frame(wire::ether_type::arp, Packet(27)));
  CHECK(bed.stack.link().counters().drop_bad_arp == 2);
  CHECK(bed.net.sent.empty());
}
