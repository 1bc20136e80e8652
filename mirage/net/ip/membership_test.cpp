// SPDX-License-Identifier: ISC
// Multicast as the wire sees it: joining, receiving, answering queries, leaving (RFC 3376, RFC 3810).
#include <doctest/doctest.h>

#include <mirage/net/testbed_v6_test.hpp>
#include <mirage/wire/membership.hpp>

using namespace mirage;
using namespace mirage::net;
using namespace mirage::net::test;

namespace {

constexpr Ipv4Address group = Ipv4Address::of(224, 0, 0, 251);
const IpAddress group_v6 = *IpAddress::parse("ff02::fb");

constexpr bool table_counts_members() {
  ip::GroupTable table;
  if (!table.join(group, 0) || !table.join(group, 0) || !table.take_change() || table.take_change()) return false;
  table.leave(group, 0);
  if (!table.contains(group, 0) || table.contains(group, 1)) return false;
  table.leave(group, 0);
  table.leave(group, 0);  // once too often
  if (table.contains(group, 0) || !table.take_change() || table.size() != 1) return false;
  return table.reported(0) && !table.reported(0) && table.size() == 0;
}
static_assert(table_counts_members());

constexpr bool table_is_bounded() {
  ip::GroupTable table;
  for (unsigned i = 0; i < ip::GroupTable::capacity; ++i) {
    if (!table.join(Ipv4Address::of(224, 1, 0, i), 0)) return false;
  }
  return !table.join(group, 0);
}
static_assert(table_is_bounded());

/// IGMPv3 report: the header that carries it and its records.
struct Report {
  Bytes ip;
  Bytes message;
  explicit Report(const Sent& sent) : ip(Bytes(sent.bytes).subspan(14, 24)), message(Bytes(sent.bytes).subspan(38)) {}
  [[nodiscard]] unsigned records() const { return load_big<std::uint16_t>(message, 6); }
  [[nodiscard]] unsigned type(std::size_t i) const { return load_big<std::uint8_t>(message, 8 + 8 * i); }
  [[nodiscard]] Ipv4Address address(std::size_t i) const { return {load_big<std::uint32_t>(message, 12 + 8 * i)}; }
};

Packet igmp_query(std::uint8_t tenths) {
  Packet message(12);
  message[0] = std::byte{0x11};
  message[1] = std::byte{tenths};
  store_big(MutableBytes(message), 2, wire::checksum_of(message));
  return message;
}

Packet to_group(const Peer& peer, Port port) {
  return peer.ipv4(
      17, peer.udp(5353, port, bytes_of("who?"), group), [](auto& header) { header.destination = group; },
      MacAddress{{1, 0, 0x5e, 0, 0, 0xfb}});
}

/// A stack beside a router that asks in some version of IGMP.
struct OldQuerier : Testbed {
  OldQuerier() { start(); }
  static Packet query(std::uint8_t tenths) {
    Packet message(8);
    message[0] = std::byte{0x11};
    message[1] = std::byte{tenths};
    return message;
  }
  void ask(Packet message) {
    store_big(MutableBytes(message), 2, std::uint16_t{0});
    store_big(MutableBytes(message), 2, wire::checksum_of(message));
    net.sent.clear();
    arrive(Peer{}.ipv4(2, message, [](auto& header) {
      header.destination = Ipv4Address::of(224, 0, 0, 1);
      header.time_to_live = 1;
    }));
    run(11s);
  }
  /// Where it went, and its type.
  void said(std::size_t i, Ipv4Address to, unsigned type) {
    const Report report{net.sent.at(i)};
    CHECK(Ipv4Address{load_big<std::uint32_t>(report.ip, 16)} == to);
    CHECK(load_big<std::uint32_t>(report.ip, 20) == 0x94040000);
    CHECK(load_big<std::uint8_t>(report.message, 0) == type);
    CHECK(Ipv4Address{load_big<std::uint32_t>(report.message, 4)} == group);
    CHECK(wire::checksum_is_valid(report.message));
    CHECK(report.message.size() == 8);
  }
};

}  // namespace

TEST_CASE("IPv4: a group is reported twice when joined, heard, and reported when left") {
  Testbed bed;
  bed.start();
  const Peer peer;
  Collector got;
  REQUIRE(bed.stack.udp().bind(5353, got));
  bed.arrive(to_group(peer, 5353));
  CHECK(got.received.empty());
  CHECK(bed.stack.udp().join(Ipv4Address::of(10, 0, 0, 9)).error() == UdpError::no_route);
  REQUIRE(bed.stack.udp().join(group));
  REQUIRE(bed.stack.udp().join(group));  // two members, one report
  bed.run(2s);
  REQUIRE(bed.net.sent.size() == 2);
  const Report report{bed.net.sent[0]};
  CHECK(bed.net.sent[0].bytes[5] == std::byte{22});  // 01:00:5e:00:00:16
  CHECK(load_big<std::uint8_t>(report.ip, 0) == 0x46);
  CHECK(load_big<std::uint8_t>(report.ip, 8) == 1);             // TTL
  CHECK(load_big<std::uint32_t>(report.ip, 20) == 0x94040000);  // router alert
  CHECK(wire::checksum_is_valid(report.ip));
  CHECK(wire::checksum_is_valid(report.message));
  CHECK(report.records() == 1);
  CHECK(report.type(0) == 4);  // CHANGE_TO_EXCLUDE
  CHECK(report.address(0) == group);
  bed.arrive(to_group(peer, 5353));
  CHECK(got.received.size() == 1);
  bed.arrive(to_group(peer, 9));  // no error about a group
  bed.net.sent.clear();
  bed.stack.udp().leave(group);
  bed.run(2s);
  CHECK(bed.net.sent.empty());
  bed.stack.udp().leave(group);
  bed.run(2s);
  REQUIRE(bed.net.sent.size() == 2);
  CHECK(Report{bed.net.sent[1]}.type(0) == 3);  // CHANGE_TO_INCLUDE
  bed.arrive(to_group(peer, 5353));
  CHECK(got.received.size() == 1);
  CHECK(bed.shard.timers().armed() == 0);
}

TEST_CASE("IGMP: a query is answered within its time with what is joined; foreign ones are not") {
  Testbed bed;
  bed.start();
  const Peer router;
  REQUIRE(bed.stack.udp().join(group));
  bed.run(2s);
  bed.net.sent.clear();
  const auto ask = [&](std::uint8_t ttl) {
    bed.arrive(router.ipv4(2, igmp_query(20), [&](auto& header) {
      header.destination = Ipv4Address::of(224, 0, 0, 1);
      header.time_to_live = ttl;
    }));
  };
  ask(1);
  bed.run(2s);
  REQUIRE(bed.net.sent.size() == 1);
  CHECK(Report{bed.net.sent[0]}.type(0) == 2);  // MODE_IS_EXCLUDE
  ask(2);
  bed.run(3s);
  CHECK(bed.net.sent.size() == 1);
  CHECK(bed.stack.discovery().membership().counters().drop_no_query == 1);
}

TEST_CASE("IPv6: a group is joined and heard; sending to one needs no membership") {
  Bed6 bed;
  const Peer6 peer;
  Collector got;
  REQUIRE(bed.stack.udp().bind(5353, got));
  REQUIRE(bed.stack.udp().join(group_v6));
  bed.turns(1);
  REQUIRE(bed.net.sent.size() == 1);
  const Parsed6 report = bed.take6();
  CHECK(load_big<std::uint16_t>(report.payload, 8 + 6) == 1);  // the group alone: the others are known
  CHECK(load_big<std::uint8_t>(report.payload, 16) == 4);
  CHECK(wire::load_ip(report.payload, 20) == group_v6);
  Packet message = peer.datagram(5353, 5353, bytes_of("who?"));
  Peer6::seal(message, 6, 17, peer.ip, group_v6);
  bed.arrive(peer.ipv6(17, message, [](auto& header) { header.destination = group_v6; }));
  REQUIRE(got.received.size() == 1);
  bed.net.sent.clear();
  Datagram datagram{.local = {IpAddress{}, 5353}, .remote = {group_v6, 5353}, .payload = {}};
  (void)datagram.payload.push_back(bed.shard.buffers().copy(bytes_of("me")));
  CHECK(bed.stack.udp().send({&datagram, 1}) == 1);
  bed.turns(1);
  const Parsed6 sent = bed.take6();
  CHECK(sent.ethernet.destination == MacAddress{{0x33, 0x33, 0, 0, 0, 0xfb}});
  CHECK(sent.ip.hop_limit == 1);
  CHECK(sent.ip.source.is_link_local());
}

TEST_CASE("an IGMPv2 querier is answered in its format, changes are reported likewise (RFC 3376 7.2)") {
  OldQuerier bed;
  constexpr Ipv4Address other = Ipv4Address::of(239, 1, 2, 3);
  REQUIRE(bed.stack.udp().join(group));
  bed.run(2s);
  bed.ask(OldQuerier::query(20));
  REQUIRE(bed.net.sent.size() == 1);
  bed.said(0, group, 0x16);
  // A change, too; one message for each group.
  bed.net.sent.clear();
  REQUIRE(bed.stack.udp().join(other));
  bed.run(2s);
  CHECK(bed.net.sent.size() == 2);
  bed.ask(OldQuerier::query(20));
  CHECK(bed.net.sent.size() == 2);
  bed.stack.udp().leave(other);
  bed.run(2s);
  bed.net.sent.clear();
  bed.stack.udp().leave(group);
  bed.run(2s);
  REQUIRE(bed.net.sent.size() == 2);
  bed.said(0, Ipv4Address::of(224, 0, 0, 2), 0x17);
}

TEST_CASE("an IGMPv1 querier hears nothing of leaving; both are forgotten when they are silent (RFC 3376 7.2, 8.12)") {
  OldQuerier bed;
  REQUIRE(bed.stack.udp().join(group));
  bed.run(2s);
  bed.ask(OldQuerier::query(0));
  bed.ask(OldQuerier::query(20));  // one of version 2 beside it changes nothing
  REQUIRE(bed.net.sent.size() == 1);
  bed.said(0, group, 0x12);
  bed.net.sent.clear();
  bed.stack.udp().leave(group);
  bed.run(2s);
  CHECK(bed.net.sent.empty());
  REQUIRE(bed.stack.udp().join(group));
  bed.run(2s);
  bed.run(260s);
  bed.ask(igmp_query(20));
  REQUIRE(bed.net.sent.size() == 1);
  CHECK(Report{bed.net.sent[0]}.type(0) == 2);
  CHECK(bed.shard.timers().armed() == 0);
}

TEST_CASE("IGMP messages of no query's size are none (RFC 3376 7.1)") {
  OldQuerier bed;
  REQUIRE(bed.stack.udp().join(group));
  bed.run(2s);
  for (const std::size_t size : {9U, 10U, 11U}) {
    Packet message = OldQuerier::query(20);
    message.resize(size);
    bed.ask(message);
    CHECK(bed.net.sent.empty());
  }
  CHECK(bed.stack.discovery().membership().counters().drop_no_query == 3);
}

TEST_CASE("MLDv1 queriers are answered in their format, for as long as they are there (RFC 3810 8.2)") {
  Bed6 bed;
  const Peer6 peer;
  const auto ask = [&](std::size_t size) {
    Packet query(size);
    wire::Icmpv6Header{.type = 130, .rest = std::uint32_t{2000} << 16}.emit(query);
    bed.net.sent.clear();
    bed.arrive(peer.icmp(query, peer.link_local, wire::ipv6_group::all_nodes, 1));
    bed.run(2s);
  };
  const auto said = [&](std::size_t i, const IpAddress& to, unsigned type) {
    const Parsed6 packet = parse6(bed.net.sent.at(i));
    CHECK(packet.ip.destination == to);
    CHECK(packet.ip.source.is_link_local());
    CHECK(packet.ip.hop_limit == 1);
    CHECK(load_big<std::uint16_t>(packet.payload, 2) == 0x0502);  // router alert
    REQUIRE(packet.payload.size() == 8 + 24);
    CHECK(load_big<std::uint8_t>(packet.payload, 8) == type);
    CHECK(wire::load_ip(packet.payload, 16) == group_v6);
  };
  REQUIRE(bed.stack.udp().join(group_v6));
  bed.run(2s);
  ask(24);
  REQUIRE(bed.net.sent.size() == 3);  // two solicited-node groups besides
  said(2, group_v6, 131);
  bed.net.sent.clear();
  bed.stack.udp().leave(group_v6);
  bed.run(2s);
  REQUIRE(bed.net.sent.size() == 2);
  said(0, wire::ipv6_group::all_routers, 132);
  bed.run(260s);
  ask(28);
  REQUIRE(bed.net.sent.size() == 1);
  CHECK(load_big<std::uint8_t>(parse6(bed.net.sent[0]).payload, 8) == 143);
  for (const std::size_t size : {25U, 26U, 27U}) {  // RFC 3810 8.1: no query
    ask(size);
    CHECK(bed.net.sent.empty());
  }
  CHECK(bed.stack.discovery().membership().counters().drop_no_query == 3);
}

TEST_CASE("IGMP: a query of a switch that has no address, such as Linux's bridge, is answered (RFC 4541 2.1.1)") {
  Testbed bed;
  bed.start();
  REQUIRE(bed.stack.udp().join(group));
  bed.run(5s);
  bed.net.sent.clear();
  bed.arrive(Peer{}.ipv4(
      2, igmp_query(10),
      [](auto& header) {
        header.source = {};
        header.destination = Ipv4Address::of(224, 0, 0, 1);
        header.time_to_live = 1;
      },
      MacAddress{{1, 0, 0x5e, 0, 0, 1}}));
  bed.run(2s);
  CHECK(bed.net.sent.size() == 1);
}
