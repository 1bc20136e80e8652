// SPDX-License-Identifier: ISC
// What the stack tells of the source of a flow that does not exist yet (TellsSource).
#include <doctest/doctest.h>

#include <mirage/net/testbed_v6_test.hpp>

using namespace mirage;
using namespace mirage::net;
using namespace mirage::net::test;

namespace {

std::optional<SourceAddress> source(Testbed& bed, const char* destination) {
  return bed.stack.source_for({*IpAddress::parse(destination), 80, 0});
}

}  // namespace

static_assert(TellsSource<net::Stack> && TellsSource<BasicStack<2>>);

TEST_CASE("the source that a flow would have, with its network (RFC 6724 5)") {
  Bed6 bed;
  CHECK(source(bed, "2001:db8::7") == SourceAddress{{own_v6, 64}});
  const auto local = source(bed, "fe80::7");
  REQUIRE(local);
  CHECK(local->prefix.address.is_link_local());
  // Without a way there, for what is no other host, and for our own address: nothing, and nothing is counted.
  for (const char* none : {"2001:db9::1", "192.0.2.1", "ff02::1", "::1", "2001:db8::2"}) {
    CAPTURE(none);
    CHECK_FALSE(source(bed, none));
  }
  CHECK(bed.stack.ip().counters().drop_no_route == 0);
  CHECK(bed.net.sent.empty());
}

TEST_CASE("a deprecated source is told as such (RFC 4862 5.5.4)") {
  Bed6 bed;
  bed.stack.ip().addresses().find(own_v6, 0)->preferred_until = bed.shard.now();
  CHECK(source(bed, "2001:db8::7") == SourceAddress{{own_v6, 64}, true});
}

TEST_CASE("where the next hop is known not to answer there is no way (RFC 6724 6, rule 1)") {
  Bed6 bed;
  Datagram datagram{.local = {IpAddress{}, 9}, .remote = {*IpAddress::parse("2001:db8::7"), 9}, .payload = {}};
  (void)datagram.payload.push_back(bed.shard.buffers().copy(bytes_of("x")));
  CHECK(bed.stack.udp().send({&datagram, 1}) == 1);
  CHECK(source(bed, "2001:db8::7"));
  bed.run(5s);
  CHECK_FALSE(source(bed, "2001:db8::7"));
}
