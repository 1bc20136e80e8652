// SPDX-License-Identifier: ISC
// IPv6 as a station on the wire sees it: packets, extension headers, fragments, ICMPv6, path MTU.
#include <doctest/doctest.h>

#include <mirage/module/udp_socket.hpp>
#include <mirage/net/testbed_v6_test.hpp>

using namespace mirage;
using namespace mirage::net;
using namespace mirage::net::test;

namespace {

const Peer6 peer;

Packet octets(std::initializer_list<unsigned> values) {
  Packet out;
  for (const unsigned value : values) out.push_back(static_cast<std::byte>(value));
  return out;
}

Packet operator+(Packet a, const Packet& b) {
  a.insert(a.end(), b.begin(), b.end());
  return a;
}

Packet pattern(std::size_t size) {
  Packet data(size);
  for (std::size_t i = 0; i < size; ++i) data[i] = static_cast<std::byte>(i / 3);
  return data;
}

Packet fragment_header(std::uint8_t next, std::size_t offset, bool more, std::uint32_t id = 7) {
  Packet header(8);
  wire::Ipv6Fragment{next, static_cast<std::uint16_t>(offset), more, id}.emit(header);
  return header;
}

Packet part(const Packet& whole, std::size_t at, std::size_t size) {
  const auto first = whole.begin() + static_cast<std::ptrdiff_t>(at);
  return {first, first + static_cast<std::ptrdiff_t>(std::min(size, whole.size() - at))};
}

/// The ICMPv6 error that was sent: type, code, and the word that follows.
std::array<std::uint32_t, 3> error_of(const Parsed6& packet) {
  CHECK(packet.checksum_is_right());
  const auto header = wire::Icmpv6Header::parse(packet.payload).value_or(wire::Icmpv6Header{});
  return {header.type, header.code, header.rest};
}

using Error = std::array<std::uint32_t, 3>;

}  // namespace

TEST_CASE("IPv6 ping: the reply carries the same bytes and a right checksum") {
  Bed6 bed;
  bed.meet(peer);
  for (const std::size_t size : {0U, 1U, 56U, 1452U}) {
    bed.arrive(peer.icmp(Peer6::echo(pattern(size)), peer.ip, own_v6, 64));
    const Parsed6 reply = bed.take6();
    CHECK(reply.ip.source == own_v6);
    CHECK(reply.ip.destination == peer.ip);
    CHECK(reply.is_icmp(129));
    CHECK(reply.checksum_is_right());
    CHECK(part(reply.payload, 8, size) == pattern(size));
  }
  auto broken = peer.icmp(Peer6::echo(pattern(9)), peer.ip, own_v6, 64);
  broken.back() ^= std::byte{1};
  bed.arrive(broken);
  CHECK(bed.net.sent.empty());
  CHECK(bed.stack.icmpv6().counters().drop_checksum == 1);
  CHECK(bed.in_use() == 0);
}

TEST_CASE("IPv6 UDP: echo, closed port, no checksum") {
  Bed6 bed;
  bed.meet(peer);
  Collector echo;
  echo.echo = &bed.stack.udp();
  REQUIRE(bed.stack.udp().bind(7, echo));
  bed.arrive(peer.udp(5000, 7, bytes_of("hello")));
  const Parsed6 reply = bed.take6();
  CHECK(reply.ip.next_header == 17);
  CHECK(reply.checksum_is_right());
  CHECK(as_text(Bytes(reply.payload).subspan(8)) == "hello");
  CHECK(echo.last_remote.address == peer.ip);

  bed.arrive(peer.udp(5000, 9, bytes_of("anybody?")));
  const Parsed6 refused = bed.take6();
  CHECK(error_of(refused) == Error{1, 4, 0});  // RFC 4443 3.1
  CHECK(refused.payload.size() == 8 + 40 + 16);

  Packet unsummed = peer.datagram(5000, 7, bytes_of("x"));
  store_big(MutableBytes(unsummed), 6, std::uint16_t{0});
  bed.arrive(peer.ipv6(17, unsummed));  // RFC 8200 8.1
  CHECK(bed.stack.udp().counters().drop_checksum == 1);
  CHECK(bed.net.sent.empty());
}

TEST_CASE("IPv6: addresses that may not be on the wire") {
  Bed6 bed;
  bed.meet(peer);
  const auto from = [&](const char* text) {
    bed.arrive(
        peer.udp(1, 9, bytes_of("x"), [&](wire::Ipv6Header& header) { header.source = *IpAddress::parse(text); }));
  };
  for (const char* source : {"::1", "ff02::1", "::ffff:10.0.0.1", "::", "2001:db8::2"}) from(source);
  CHECK(bed.stack.ip().counters().drop_bad_source == 5);
  for (const char* destination : {"::ffff:10.0.0.2", "2001:db8::3", "ff02::1:ff00:77", "ff01::1"}) {
    bed.arrive(peer.udp(1, 9, bytes_of("x"),
                        [&](wire::Ipv6Header& header) { header.destination = *IpAddress::parse(destination); }));
  }
  CHECK(bed.stack.ip().counters().drop_transit == 2);
  CHECK(bed.stack.ip().counters().drop_not_for_us == 2);
  CHECK(bed.net.sent.empty());
}

TEST_CASE("IPv6 extension headers: skipped, refused, reported (RFC 8200 4)") {
  Bed6 bed;
  bed.meet(peer);
  Collector got;
  REQUIRE(bed.stack.udp().bind(7, got));
  const Packet datagram = peer.datagram(5000, 7, bytes_of("x"));
  const Packet pad = octets({60, 0, 1, 4, 0, 0, 0, 0});
  const Packet last = octets({17, 0, 1, 4, 0, 0, 0, 0});
  bed.arrive(peer.ipv6(0, pad + last + datagram));
  CHECK(got.received.size() == 1);
  // In pieces of any size, as a hostile device might deliver it.
  const Packet frame = peer.ipv6(0, pad + last + datagram);
  bed.net.arrive(frame, {}, 60);
  bed.turns(2);
  CHECK(got.received.size() == 2);

  bed.arrive(peer.ipv6(60, octets({17, 0, 0xc7, 4, 0, 0, 0, 0}) + datagram));
  CHECK(error_of(bed.take6()) == Error{4, 2, 42});
  bed.arrive(peer.ipv6(60, octets({17, 0, 0x47, 4, 0, 0, 0, 0}) + datagram));
  CHECK(bed.net.sent.empty());
  bed.arrive(peer.ipv6(43, octets({17, 0, 0, 1, 0, 0, 0, 0}) + datagram));  // RFC 5095
  CHECK(error_of(bed.take6()) == Error{4, 0, 42});
  bed.arrive(peer.ipv6(60, octets({132, 0, 1, 4, 0, 0, 0, 0}) + datagram));
  CHECK(error_of(bed.take6()) == Error{4, 1, 40});  // SCTP: nobody here
  bed.arrive(peer.ipv6(59, datagram));
  CHECK(bed.stack.ip().counters().drop_no_next_header == 1);
  CHECK(bed.net.sent.empty());
  CHECK(got.received.size() == 2);
  CHECK(bed.in_use() == 0);
}

TEST_CASE("IPv6 fragments in any order; the echo in fragments") {
  Bed6 bed;
  bed.meet(peer);
  Collector echo;
  echo.echo = &bed.stack.udp();
  REQUIRE(bed.stack.udp().bind(7, echo));
  const Packet data = pattern(4000);
  const Packet datagram = peer.datagram(5000, 7, data);
  for (const std::size_t at : {2896U, 0U, 1448U}) {
    bed.arrive(peer.ipv6(44, fragment_header(17, at, at + 1448 < datagram.size()) + part(datagram, at, 1448)));
  }
  REQUIRE(echo.received.size() == 1);
  CHECK(echo.received[0] == data);
  REQUIRE(bed.net.sent.size() == 3);
  Packet joined;
  std::uint32_t identification = 0;
  for (int i = 0; i < 3; ++i) {
    const Parsed6 packet = bed.take6();
    CHECK(packet.ip.next_header == 44);
    CHECK(packet.payload.size() + 40 <= 1500);
    const auto fragment = wire::Ipv6Fragment::parse(packet.payload);
    CHECK(fragment.next_header == 17);
    CHECK(fragment.offset == joined.size());
    CHECK(fragment.more == (i < 2));
    if (i > 0) CHECK(fragment.identification == identification);
    identification = fragment.identification;
    joined = joined + part(packet.payload, 8, packet.payload.size());
  }
  CHECK(part(joined, 8, 4000) == data);
  const auto pseudo = wire::pseudo_header_complete(wire::pseudo_header_sum(own_v6, peer.ip), 17, 4008);
  CHECK(wire::checksum_is_valid(joined, pseudo));
  CHECK(bed.in_use() == 0);
}

TEST_CASE("IPv6 fragments: overlap, broken lengths, incomplete chains, time (RFC 5722, 7112, 8200 4.5)") {
  Bed6 bed;
  bed.meet(peer);
  const Packet datagram = peer.datagram(5000, 9, pattern(2000));
  const auto send = [&](std::size_t at, std::size_t size, bool more, std::uint32_t id) {
    bed.arrive(peer.ipv6(44, fragment_header(17, at, more, id) + part(datagram, at, size)));
  };
  send(0, 800, true, 1);
  send(792, 800, false, 1);
  CHECK(bed.stack.ip().counters().drop_overlap == 1);
  send(0, 801, true, 2);
  CHECK(error_of(bed.take6()) == Error{4, 0, 4});
  bed.arrive(peer.ipv6(44, fragment_header(17, 65528, false, 3) + Packet(16)));
  CHECK(error_of(bed.take6()) == Error{4, 0, 42});
  bed.arrive(peer.ipv6(44, fragment_header(60, 0, true, 4) + octets({6, 4, 1, 4, 0, 0, 0, 0})));
  CHECK(error_of(bed.take6()) == Error{4, 3, 0});
  bed.arrive(peer.ipv6(44, fragment_header(44, 0, false, 5) + fragment_header(17, 0, true, 5) + Packet(16)));
  CHECK(bed.stack.ip().counters().drop_extension == 1);
  CHECK(bed.net.sent.empty());
  CHECK(bed.in_use() == 0);
  send(0, 800, true, 6);
  bed.run(31s);
  CHECK(error_of(bed.take6()) == Error{3, 1, 0});
  CHECK(bed.in_use() == 0);
}

TEST_CASE("an atomic fragment is a whole packet and joins no other (RFC 6946)") {
  Bed6 bed;
  bed.meet(peer);
  Collector got;
  REQUIRE(bed.stack.udp().bind(7, got));
  const Packet datagram = peer.datagram(5000, 7, bytes_of("whole"));
  bed.arrive(peer.ipv6(44, fragment_header(17, 0, true) + part(datagram, 0, 8)));
  bed.arrive(peer.ipv6(44, fragment_header(17, 0, false) + datagram));
  CHECK(got.received.size() == 1);
  CHECK(bed.stack.ip().counters().drop_overlap == 0);
}

TEST_CASE("ICMPv6 errors: none about errors, groups and nobody; limited (RFC 4443 2.4)") {
  Bed6 bed;
  bed.meet(peer);
  bed.arrive(peer.udp(1, 9, bytes_of("x"), [](auto& header) { header.destination = wire::ipv6_group::all_nodes; }));
  Packet error(8 + 48);
  wire::Icmpv6Header{.type = 200}.emit(error);
  error[0] = std::byte{100};  // an unknown error that quotes nothing of ours
  bed.arrive(peer.icmp(error, peer.ip, own_v6, 64));
  CHECK(bed.net.sent.empty());
  CHECK(bed.stack.icmpv6().counters().drop_bad_quote == 1);
  for (int i = 0; i < 200; ++i) bed.net.arrive(peer.udp(1, 9, bytes_of("x")));
  bed.turns(10);
  CHECK(bed.net.sent.size() < 100);
  CHECK(bed.net.sent.size() + bed.stack.ip().counters().errors_limited == 200);
  // An option that demands an answer is reported for a group too.
  bed.run(1s);
  bed.net.sent.clear();
  bed.arrive(peer.ipv6(60, octets({17, 0, 0x87, 4, 0, 0, 0, 0}),
                       [](auto& header) { header.destination = wire::ipv6_group::all_nodes; }));
  CHECK(error_of(bed.take6()) == Error{4, 2, 42});
}

TEST_CASE("packet too big: datagrams are cut to the path for ten minutes (RFC 8201)") {
  Bed6 bed;
  bed.meet(peer);
  Collector got;
  REQUIRE(bed.stack.udp().bind(4000, got));
  const auto send = [&] {
    Datagram datagram{.local = {own_v6, 4000}, .remote = {peer.ip, 9}, .payload = {}};
    (void)datagram.payload.push_back(bed.shard.buffers().copy(pattern(1400)));
    bed.net.sent.clear();
    CHECK(bed.stack.udp().send({&datagram, 1}) == 1);
    bed.turns(1);
    return bed.net.sent.size();
  };
  CHECK(send() == 1);
  const Packet sent = bed.net.sent[0].bytes;
  const auto too_big = [&](std::uint32_t mtu, Port port) {
    Packet message(8);
    wire::Icmpv6Header{.type = 2, .rest = mtu}.emit(message);
    message = message + part(sent, 14, 100);
    store_big(MutableBytes(message), 8 + 40, port);
    return peer.icmp(message, *IpAddress::parse("2001:db8:ffff::1"), own_v6, 60);
  };
  bed.arrive(too_big(1300, 4001));  // no such port of ours
  bed.arrive(too_big(1279, 4000));  // no link is that small
  CHECK(send() == 1);
  bed.arrive(too_big(1300, 4000));
  CHECK(send() == 2);
  CHECK(parse6(bed.net.sent[0]).payload.size() + 40 <= 1300);
  bed.run(601s);
  bed.meet(peer);
  CHECK(send() == 1);
}

TEST_CASE("IPv4: datagrams learn the path's MTU (RFC 1191) and say that they do") {
  Testbed bed;
  bed.start();
  const Peer station;
  bed.meet(station);
  Collector got;
  REQUIRE(bed.stack.udp().bind(4000, got));
  const auto send = [&] {
    Datagram datagram{.local = {own_ip, 4000}, .remote = {station.ip, 9}, .payload = {}};
    (void)datagram.payload.push_back(bed.shard.buffers().copy(pattern(1400)));
    bed.net.sent.clear();
    CHECK(bed.stack.udp().send({&datagram, 1}) == 1);
    bed.turns(1);
  };
  send();
  REQUIRE(bed.net.sent.size() == 1);
  CHECK(parse(bed.net.sent[0]).ip.dont_fragment);
  const Packet quoted = part(bed.net.sent[0].bytes, 14, 28);
  bed.arrive(station.ipv4(1, Peer::icmp(3, 4, 1000, quoted)));
  send();
  REQUIRE(bed.net.sent.size() == 2);
  CHECK(parse(bed.net.sent[0]).ip.total_length <= 1000);
  CHECK_FALSE(parse(bed.net.sent[0]).ip.dont_fragment);
  for (const unsigned mtu : {0U, 60U, 68U}) {  // RFC 1191 5: routers that do not tell; RFC 5927 7: nobody makes it tiny
    CAPTURE(mtu);
    bed.run(601s);
    bed.meet(station);
    send();
    REQUIRE(bed.net.sent.size() == 1);
    bed.arrive(station.ipv4(1, Peer::icmp(3, 4, mtu, quoted)));
    send();
    REQUIRE(bed.net.sent.size() == 3);
    CHECK(parse(bed.net.sent[0]).ip.total_length == 548);  // of 552
  }
}

TEST_CASE("a path's MTU is not believed of whoever knows the port of a flow, but not its other end (RFC 5927 4.1)") {
  Testbed bed;
  bed.start();
  const Peer station;
  bed.meet(station);
  UdpSocket socket{bed.stack.udp()};
  REQUIRE(socket.connect({station.ip, 9}, 4000));
  const auto too_big = [&](Ipv4Address to, Port port) {
    Packet quoted(28);
    wire::Ipv4Header{.total_length = 1400, .time_to_live = 9, .protocol = 17, .source = own_ip, .destination = to}.emit(
        quoted);
    wire::UdpHeader{4000, port, 1380, 0}.emit(MutableBytes(quoted).subspan(20));
    bed.arrive(station.ipv4(1, Peer::icmp(3, 4, 1000, quoted)));
    return bed.stack.ip().route({}, to, 0)->mtu;
  };
  const Ipv4Address other = Ipv4Address::of(10, 0, 0, 77);
  CHECK(too_big(other, 9) == 1500);
  CHECK(too_big(station.ip, 8) == 1500);
  CHECK(too_big(station.ip, 9) == 1000);
}

TEST_CASE("DSCP and ECN pass both ways; congestion that a fragment met is the datagram's (RFC 2474, RFC 3168 5.3)") {
  Bed6 bed;
  bed.meet(peer);
  Collector echo;
  echo.echo = &bed.stack.udp();
  REQUIRE(bed.stack.udp().bind(7, echo));
  bed.arrive(peer.udp(5000, 7, bytes_of("x"), [](auto& header) { header.traffic_class = 0xba; }));
  CHECK(bed.take6().ip.traffic_class == 0xba);
  const Packet datagram = peer.datagram(5000, 7, pattern(1000));
  const auto send = [&](std::size_t at, std::uint8_t ecn, std::uint32_t id) {
    bed.arrive(peer.ipv6(44, fragment_header(17, at, at == 0, id) + part(datagram, at, at == 0 ? 800 : 1000),
                         [&](auto& header) { header.traffic_class = ecn; }));
  };
  send(0, 2, 1);
  send(800, 3, 1);
  CHECK(bed.take6().ip.traffic_class == 3);
  send(0, 0, 2);
  send(800, 3, 2);
  CHECK(bed.net.sent.empty());
  CHECK(bed.stack.ip().counters().drop_reassembly == 1);
}
