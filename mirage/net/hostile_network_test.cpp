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
