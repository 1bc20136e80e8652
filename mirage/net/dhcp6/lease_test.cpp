// SPDX-License-Identifier: ISC
// DHCPv6 within the stack: what routers say starts it, what it grants becomes an address.
#include <doctest/doctest.h>

#include <mirage/net/testbed_v6_test.hpp>
#include <mirage/wire/dhcpv6.hpp>

using namespace mirage;
using namespace mirage::net;
using namespace mirage::net::test;
using wire::Dhcpv6Message;
using wire::Dhcpv6Type;

namespace {

const IpAddress leased = *IpAddress::parse("2001:db8:5::50");
constexpr std::uint32_t association = 0x00000002;  // of own_mac: its last four octets, see Bed::next()

template <class Tested>
struct BasicBed : BasicTestbed<Tested> {
  using BasicTestbed<Tested>::arrive, BasicTestbed<Tested>::net, BasicTestbed<Tested>::stack,
      BasicTestbed<Tested>::take;
  BasicBed() : BasicTestbed<Tested>(v6_options(true)) {}
  /// A router's advertisement with these flags: 0x80 managed, 0x40 other.
  void advertise(unsigned flags) {
    Packet message(16);
    message[0] = std::byte{134};
    message[4] = std::byte{64};
    message[5] = static_cast<std::byte>(flags);
    message[6] = std::byte{7};
    arrive(router.icmp(message, router.link_local, *IpAddress::parse("ff02::1")));
  }
  /// The next DHCPv6 message that was sent; what else was sent before it is dropped.
  std::optional<Dhcpv6Message> next() {
    while (!net.sent.empty()) {
      packet = take_v6();
      if (packet.ip.next_header != 17 || packet.payload.size() < 8) continue;
      const Bytes message = Bytes(packet.payload).subspan(8);
      // The association's id stands behind its option's head.
      for (std::size_t at = 0; at + 8 <= message.size(); ++at) {
        if (load_big<std::uint32_t>(message, at) == 0x0003000c) id = load_big<std::uint32_t>(message, at + 4);
      }
      return Dhcpv6Message::parse(message, id);
    }
    return std::nullopt;
  }
  Parsed6 take_v6() { return parse6(take()); }
  void answer(const Dhcpv6Message& asked, Dhcpv6Type type, const IpAddress& also = {}) {
    Dhcpv6Message reply;
    reply.type = type;
    reply.transaction = asked.transaction;
    reply.client = asked.client;
    reply.server.emplace();
    reply.server->octets = {0, 2, 1};
    reply.server->size = 3;
    reply.rapid_commit = true;
    wire::Dhcpv6Association& granted = reply.association.emplace();
    granted.id = id;
    granted.addresses[0] = {leased, 100, 200};
    granted.count = 1;
    if (!also.is_unspecified()) {  // renumbered: the first one ends now
      granted.addresses[0] = {leased, 0, 0};
      granted.addresses[granted.count++] = {also, 100, 200};
    }
    Packet bytes(Dhcpv6Message::maximum_size);
    bytes.resize(reply.emit(bytes));
    Packet datagram(8 + bytes.size());
    wire::UdpHeader{547, 546, static_cast<std::uint16_t>(datagram.size()), 0}.emit(datagram);
    std::ranges::copy(bytes, datagram.begin() + 8);
    const IpAddress to = packet.ip.source;
    Peer6::seal(datagram, 6, 17, router.link_local, to);
    arrive(router.ipv6(17, datagram, [&](wire::Ipv6Header& header) {
      header.source = router.link_local;
      header.destination = to;
    }));
  }
  [[nodiscard]] const ip::Address* own() { return stack.ip().addresses().find(leased, 0); }
  Peer6 router;
  Parsed6 packet;
  std::uint32_t id = association;
};
using Bed = BasicBed<net::Stack>;

}  // namespace

TEST_CASE("an image with the IPv4 client alone does not ask, whatever a router says") {
  BasicBed<BasicStack<1, DhcpClients::ipv4>> bed;
  bed.start();
  CHECK(!bed.stack.dhcp6().started(dhcp6::Machine::Mode::stateless));
  bed.advertise(0x80);
  bed.run(3s);
  CHECK(!bed.next());
  CHECK(bed.stack.dhcp6().started(dhcp6::Machine::Mode::stateless));  // it was told, and says so once
}

TEST_CASE("a router says managed: an address by DHCPv6, claimed as any other (RFC 4862 5.5.2, RFC 8415 18.2.10.1)") {
  Bed bed;
  bed.start();
  bed.advertise(0x80);
  bed.run(3s);
  const auto solicit = bed.next();
  REQUIRE(solicit);
  CHECK(solicit->type == Dhcpv6Type::solicit);
  CHECK(bed.packet.ip.destination == wire::dhcpv6_servers);
  CHECK(bed.packet.ip.source.is_link_local());
  while (bed.next()) {
  }
  bed.run(1500ms);
  const auto again = bed.next();
  REQUIRE(again);
  bed.answer(*again, Dhcpv6Type::reply);
  REQUIRE(bed.own() != nullptr);
  CHECK(bed.own()->prefix.length == 128);
  bed.run(2s);
  CHECK(bed.own()->phase == ip::Address::Phase::confirmed);
  CHECK(bed.own()->valid_until - bed.shard.now() <= 200s);
  // Nobody renews it: at its end it is gone.
  bed.run(250s);
  CHECK(bed.own() == nullptr);
  CHECK(bed.stack.dhcp6().counters().expired == 1);
}

TEST_CASE("somebody else has the granted address: declined (RFC 8415 18.2.8)") {
  Bed bed;
  bed.start();
  bed.advertise(0x80);
  bed.run(3s);
  std::optional<Dhcpv6Message> last;
  while (auto message = bed.next()) last = message;
  REQUIRE(last);
  bed.answer(*last, Dhcpv6Type::reply);
  REQUIRE(bed.own() != nullptr);
  bed.net.sent.clear();
  Packet claim = bed.router.neighbour(136, 0x20, leased);
  bed.arrive(bed.router.icmp(claim, bed.router.link_local, *IpAddress::parse("ff02::1")));
  CHECK(bed.own() == nullptr);
  const auto decline = bed.next();
  REQUIRE(decline);
  CHECK(decline->type == Dhcpv6Type::decline);
  CHECK(decline->association->addresses[0].address == leased);
}

TEST_CASE("a router says other: no address is asked for; one that says neither: nothing") {
  Bed bed;
  bed.start();
  bed.advertise(0);
  bed.run(5s);
  CHECK_FALSE(bed.next());
  bed.advertise(0x40);
  bed.run(3s);
  const auto asked = bed.next();
  REQUIRE(asked);
  CHECK(asked->type == Dhcpv6Type::information_request);
}

TEST_CASE("a router says managed after another one, or it itself, said other: addresses are asked for from then on") {
  Bed bed;
  bed.start();
  bed.advertise(0x40);
  bed.run(3s);
  bed.net.sent.clear();
  for (const unsigned flags : {0x80U, 0xc0U, 0x40U}) {  // and that once
    bed.advertise(flags);
    const auto asked = bed.next();
    CHECK(asked.has_value() == (flags == 0x80));
    if (asked) CHECK(asked->type == Dhcpv6Type::solicit);
  }
  bed.run(2s);
  const auto again = bed.next();
  REQUIRE(again);
  bed.answer(*again, Dhcpv6Type::reply);
  CHECK(bed.own() != nullptr);
}

TEST_CASE("an address whose life the server ends is given up at once (RFC 8415 18.2.10.1)") {
  Bed bed;
  bed.start();
  bed.advertise(0x80);
  bed.run(3s);
  std::optional<Dhcpv6Message> last;
  while (auto message = bed.next()) last = message;
  REQUIRE(last);
  bed.answer(*last, Dhcpv6Type::reply);
  REQUIRE(bed.own() != nullptr);
  const IpAddress other = *IpAddress::parse("2001:db8:6::50");
  for (int again = 0; again < 2; ++again) {
    bed.run(51s);  // T1
    std::optional<Dhcpv6Message> renew;
    while (auto message = bed.next()) renew = message;
    REQUIRE(renew);
    CHECK(renew->type == Dhcpv6Type::renew);
    REQUIRE(renew->association->count == 1);  // what has ended is not asked for again
    CHECK(renew->association->addresses[0].address == (again == 0 ? leased : other));
    bed.answer(*renew, Dhcpv6Type::reply, other);
    CHECK(bed.own() == nullptr);
    bed.run(1s);
    CHECK(bed.stack.ip().addresses().find(other, 0) != nullptr);
    CHECK(bed.own() == nullptr);
    // The group where others would ask for it is the other one's too: the low 24 bits are the same.
    CHECK(bed.stack.ip().groups().contains(wire::ipv6_group::solicited_node(other), 0));
  }
}
