// SPDX-License-Identifier: ISC
// Redirects: ignored by default; where they are linked, taken from the current first hop only, bounded and with an end.
#include <doctest/doctest.h>

#include <mirage/net/testbed_v6_test.hpp>

using namespace mirage;
using namespace mirage::net;
using namespace mirage::net::test;

namespace {

constexpr Ipv4Address gateway = Ipv4Address::of(10, 0, 0, 1);
constexpr Ipv4Address better = Ipv4Address::of(10, 0, 0, 7);
constexpr Ipv4Address far = Ipv4Address::of(192, 0, 2, 9);

StackOptions taking(StackOptions options = {}) {
  options.gateway = gateway;
  options.ip.redirects = ip::redirects<true>();
  return options;
}

/// An ICMP redirect about a datagram of ours to `destination`.
Packet redirect_of(const Peer& from, Ipv4Address destination, Ipv4Address target, Ipv4Address source = own_ip,
                   std::uint8_t code = 1) {
  Packet quoted(28);
  wire::Ipv4Header{.total_length = 28, .protocol = 17, .source = source, .destination = destination}.emit(quoted);
  return from.ipv4(1, Peer::icmp(5, code, target.value, quoted));
}

/// The next hop that a packet to `to` has now; unspecified: none, or on the link.
IpAddress hop(Testbed& bed, const IpAddress& to) {
  const ip::Route* route = bed.stack.ip().route_to(to, 0);
  return route == nullptr ? IpAddress{} : route->gateway;
}

Testbed& started(Testbed& bed) {
  bed.start();
  Peer router;
  router.ip = gateway;
  bed.meet(router);
  return bed;
}

// --- IPv6 ---

const Peer6 peer;
const IpAddress router6 = *IpAddress::parse("fe80::1");
const IpAddress better6 = *IpAddress::parse("fe80::7");
const IpAddress far6 = *IpAddress::parse("2001:db8:ffff::9");

StackOptions taking6() {
  StackOptions options = taking(v6_options());
  options.ipv6.gateway = router6;
  return options;
}

Packet message6(const IpAddress& destination, const IpAddress& target, bool with_mac = true) {
  Packet message(with_mac ? 48 : 40);
  const MutableBytes out = message;
  store_big(out, 0, std::uint8_t{137});
  wire::store_ip(out, 8, target);
  wire::store_ip(out, 24, destination);
  if (with_mac) wire::emit_link_address(out.subspan(40), 2, MacAddress{{2, 0, 0, 0, 0, 7}});
  return message;
}

Packet redirect6(const IpAddress& destination, const IpAddress& target, const IpAddress& from = router6,
                 std::uint8_t hop_limit = 255) {
  return peer.icmp(message6(destination, target), from, own_v6, hop_limit);
}

}  // namespace

TEST_CASE("redirects are ignored by default, and counted") {
  StackOptions options;
  options.gateway = gateway;
  Testbed bed{options};
  started(bed).arrive(redirect_of({}, far, better));
  CHECK(hop(bed, far) == IpAddress{gateway});
  CHECK(bed.stack.icmp().counters().drop_unknown == 1);
  StackOptions six = v6_options();
  six.ipv6.gateway = router6;
  Bed6 bed6{six};
  bed6.arrive(redirect6(far6, better6));
  CHECK(hop(bed6, far6) == router6);
  CHECK(bed6.stack.discovery().counters().drop_unwanted == 1);
}

TEST_CASE("IPv4: the current first hop names a better one for one host (RFC 1122 3.2.2.2)") {
  Testbed bed{taking()};
  started(bed).arrive(redirect_of({}, far, better));
  CHECK(bed.stack.discovery().counters().redirects == 1);
  CHECK(hop(bed, far) == IpAddress{better});
  CHECK(hop(bed, Ipv4Address::of(192, 0, 2, 10)) == IpAddress{gateway});  // a network's redirect is a host's
  // Now the other one is asked for; who was the first hop is none any more.
  bed.arrive(redirect_of({}, far, Ipv4Address::of(10, 0, 0, 8)));
  CHECK(hop(bed, far) == IpAddress{better});
  // It ends by itself.
  bed.run(ip::redirect_lifetime + 1s);
  CHECK(hop(bed, far) == IpAddress{gateway});
  CHECK(bed.stack.ip().routes().size() == 2);
}

TEST_CASE("IPv4: redirects that are not believed (RFC 1122 3.2.2.2)") {
  Testbed bed{taking()};
  started(bed);
  Peer stranger;
  stranger.ip = Ipv4Address::of(10, 0, 0, 66);
  const Peer router;
  for (const Packet& packet : {
           redirect_of(stranger, far, stranger.ip),                   // not from the first hop
           redirect_of(router, far, Ipv4Address::of(172, 16, 0, 1)),  // to one that is not on the link
           redirect_of(router, far, gateway),                         // to itself
           redirect_of(router, far, own_ip),                          // to us
           redirect_of(router, far, Ipv4Address::of(224, 0, 0, 1)),   // to a group
           redirect_of(router, far, Ipv4Address::of(255, 255, 255, 255)),
           redirect_of(router, far, better, Ipv4Address::of(10, 0, 0, 3)),  // about a packet that is not ours
           redirect_of(router, Ipv4Address::of(10, 0, 0, 9), better),       // what is on the link has no router
           redirect_of(router, own_ip, better),
           redirect_of(router, Ipv4Address::of(224, 0, 0, 9), better),
           redirect_of(router, far, better, own_ip, 4),                 // no such code
           router.ipv4(1, Peer::icmp(5, 1, better.value, Packet(20))),  // cut short
           router.ipv4(1, Peer::icmp(5, 1, better.value, {})),
       }) {
    bed.arrive(packet);
    CHECK(hop(bed, far) == IpAddress{gateway});
  }
  CHECK(bed.stack.discovery().counters().redirects == 0);
  CHECK(bed.stack.ip().routes().size() == 2);
}

TEST_CASE("a redirect to one that does not answer holds no longer (RFC 4861 7.3.3)") {
  Testbed bed{taking()};
  started(bed).arrive(redirect_of({}, far, better));
  Datagram datagram;
  datagram.remote = {far, 7};
  (void)datagram.payload.push_back(Slice::from_static("x"));
  CHECK(bed.stack.udp().send({&datagram, 1}) == 1);
  bed.run(4s);
  CHECK(hop(bed, far) == IpAddress{gateway});
}

TEST_CASE("redirects are bounded: the one that ends first makes room") {
  Testbed bed{taking()};
  started(bed);
  for (std::uint32_t i = 0; i < 40; ++i) {
    bed.arrive(redirect_of({}, Ipv4Address{far.value + i}, better));
    bed.run(1s);
  }
  CHECK(bed.stack.discovery().counters().redirects == 40);
  CHECK(bed.stack.ip().routes().size() == 2 + ip::maximum_redirects);
  CHECK(hop(bed, far) == IpAddress{gateway});
  CHECK(hop(bed, Ipv4Address{far.value + 39}) == IpAddress{better});
}

TEST_CASE("IPv6: another router, or the destination itself, with its link address (RFC 4861 8.3)") {
  Bed6 bed{taking6()};
  bed.arrive(redirect6(far6, better6));
  CHECK(hop(bed, far6) == better6);
  Datagram datagram;
  datagram.remote = {far6, 7};
  (void)datagram.payload.push_back(Slice::from_static("x"));
  CHECK(bed.stack.udp().send({&datagram, 1}) == 1);
  bed.turns(2);
  REQUIRE(bed.net.sent.size() == 1);  // nobody is asked
  CHECK(bed.take6().ethernet.destination == MacAddress{{2, 0, 0, 0, 0, 7}});
  const IpAddress near = *IpAddress::parse("2001:db8:ffff::10");
  bed.arrive(redirect6(near, near));
  CHECK(hop(bed, near) == near);
  bed.run(ip::redirect_lifetime + 1s);
  CHECK(hop(bed, far6) == router6);
  CHECK(hop(bed, near) == router6);
}

TEST_CASE("IPv6: redirects that are not believed (RFC 4861 8.1)") {
  Bed6 bed{taking6()};
  Packet code = message6(far6, better6);
  code[1] = std::byte{1};
  Packet cut = message6(far6, better6);
  cut.resize(39);
  Packet no_length = message6(far6, better6);
  no_length[41] = std::byte{0};
  for (const Packet& packet : {
           redirect6(far6, better6, router6, 254),                   // from beyond the link
           redirect6(far6, better6, peer.ip),                        // not link-local
           redirect6(far6, better6, *IpAddress::parse("fe80::66")),  // not the first hop
           redirect6(far6, *IpAddress::parse("2001:db8:ffff::1")),   // neither a router nor the destination
           redirect6(far6, router6),                                 // to itself
           redirect6(*IpAddress::parse("ff0e::9"), better6),         // for a group
           redirect6(own_v6, own_v6),                                // for us
           redirect6(peer.ip, peer.ip),                              // what is on the link has no router
           peer.icmp(code, router6, own_v6),
           peer.icmp(no_length, router6, own_v6),
           peer.icmp(cut, router6, own_v6),
       }) {
    bed.arrive(packet);
    CHECK(hop(bed, far6) == router6);
  }
  CHECK(bed.stack.discovery().counters().redirects == 0);
}
