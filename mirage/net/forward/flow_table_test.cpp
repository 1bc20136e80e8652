// SPDX-License-Identifier: ISC
// How many flows there are, which make room for others, and how long they live.
#include <mirage/net/forward/testbed_test.hpp>

using namespace mirage;
using namespace mirage::net::forward;
using namespace mirage::net::forward::test;

TEST_CASE("bounds: of flows, of a host's flows; what nobody answered makes room, established connections stay") {
  ForwarderOptions options;
  options.flows.flows = 4;
  options.flows.flows_per_host = 3;
  Router router{options};
  const Tuple tuple = tcp(host, 4000, server, 80);
  router.establish(host, 4000);
  router.open_udp(host, 1);
  const Port second = router.open_udp(host, 2);
  router.open_udp(host, 3);  // instead of the first
  CHECK(router.forwarder.flow_count() == 3);
  CHECK(router.forwarder.flows_evicted() == 1);
  CHECK(router.in({.tuple = udp(server, 53, external, second)}).forwarded());
  for (Port port = 10; port < 13; ++port) router.open_udp(other_host, port);
  CHECK(router.forwarder.flow_count() == 4);
  CHECK(router.forwarder.flows_evicted() == 3);
  CHECK(router.out({.tuple = tuple}).forwarded());
}

TEST_CASE("a host of many short connections goes on: its closing ones make room, established ones do not") {
  ForwarderOptions options;
  options.flows.flows_per_host = 3;
  Router router{options};
  router.establish(host, 4000);
  for (Port port = 4001; port < 4020; ++port) {
    CAPTURE(port);
    router.establish(host, port);
    CHECK(router.out({.tuple = tcp(host, port, server, 80), .flags = TcpFlags::fin | TcpFlags::ack}).forwarded());
    CHECK(router.in({.tuple = tcp(server, 80, external, port), .flags = TcpFlags::fin | TcpFlags::ack}).forwarded());
  }
  CHECK(router.out({.tuple = tcp(host, 4000, server, 80)}).forwarded());
  router.establish(host, 5001);
  router.establish(host, 5002);
  CHECK(router.out({.tuple = udp(host, 3, server, 53)}).dropped());
  CHECK(router.dropped(ForwardDrop::host_flows_full) == 1);
}

TEST_CASE(
    "a flood of openings to a port forward displaces itself, nothing that the host opened or that is established") {
  ForwarderOptions options;
  options.flows.flows_per_host = 6;
  Router router{options};
  REQUIRE(router.forwarder.add({ip_protocol::tcp, 8080, host, 80}));
  REQUIRE(router.forwarder.add({ip_protocol::udp, 8080, host, 80}));
  const auto flood = [&](bool answers) {
    for (std::uint32_t i = 1; i <= 100; ++i) {
      const Ipv4Address forged{Ipv4Address::of(192, 0, 2, 0).value + i};
      CHECK(router.in({.tuple = tcp(forged, 999, external, 8080), .flags = TcpFlags::syn}).forwarded());
      if (!answers) continue;
      const Build answer{.tuple = tcp(host, 80, forged, 999), .flags = TcpFlags::syn | TcpFlags::ack};
      CHECK(router.out(answer).forwarded());
      CHECK(router.in({.tuple = udp(forged, 999, external, 8080)}).forwarded());
      CHECK(router.out({.tuple = udp(host, 80, forged, 999)}).forwarded());
      CHECK(router.in({.tuple = udp(forged, 999, external, 8080)}).forwarded());
    }
  };
  flood(false);
  // A stranger whose connection comes about
  CHECK(router.in({.tuple = tcp(stranger, 999, external, 8080), .flags = TcpFlags::syn}).forwarded());
  const Build answer{.tuple = tcp(host, 80, stranger, 999), .flags = TcpFlags::syn | TcpFlags::ack};
  CHECK(router.out(answer).forwarded());
  CHECK(router.in({.tuple = tcp(stranger, 999, external, 8080)}).forwarded());
  // and what the host opens: a connection, a question that is open yet, a conversation.
  CHECK(router.out({.tuple = tcp(host, 4000, server, 80), .flags = TcpFlags::syn}).forwarded());
  router.open_udp(host, 5000);
  router.open_udp(host, 5001);
  CHECK(router.in({.tuple = udp(server, 53, external, 5001)}).forwarded());
  flood(false);
  flood(true);
  CHECK(router.forwarder.flow_count() == 6);
  CHECK(router.in({.tuple = tcp(stranger, 999, external, 8080)}).forwarded());
  const Build syn_ack{.tuple = tcp(server, 80, external, 4000), .flags = TcpFlags::syn | TcpFlags::ack};
  CHECK(router.in(syn_ack).forwarded());
  CHECK(router.in({.tuple = udp(server, 53, external, 5000)}).forwarded());
  CHECK(router.in({.tuple = udp(server, 53, external, 5001)}).forwarded());
  // Where only such are left, strangers are the ones who find no room.
  for (Port port = 6000; port < 6002; ++port) router.open_udp(host, port);
  CHECK(router.in({.tuple = udp(stranger, 1, external, 8080)}).dropped());
  CHECK(router.dropped(ForwardDrop::host_flows_full) == 1);
}

TEST_CASE("the bound of all flows: strangers displace only what strangers opened") {
  ForwarderOptions options;
  options.flows.flows = 2;
  Router router{options};
  REQUIRE(router.forwarder.add({ip_protocol::udp, 8080, host, 80}));
  router.open_udp(other_host, 5000);
  CHECK(router.in({.tuple = udp(stranger, 1, external, 8080)}).forwarded());
  CHECK(router.in({.tuple = udp(stranger, 2, external, 8080)}).forwarded());
  CHECK(router.in({.tuple = udp(server, 53, external, 5000)}).forwarded());
  router.open_udp(other_host, 5002);
  CHECK(router.in({.tuple = udp(stranger, 3, external, 8080)}).dropped());
  CHECK(router.dropped(ForwardDrop::flows_full) == 1);
}

TEST_CASE("RFC 7857 2.2: what a stranger opened lives a minute until he has shown that our answers reach him") {
  Router router;
  REQUIRE(router.forwarder.add({ip_protocol::tcp, 8080, host, 80}));
  REQUIRE(router.forwarder.add({ip_protocol::udp, 8080, host, 80}));
  const auto deadline_in = [&] { return router.forwarder.next_deadline() - router.now; };
  const Tuple tuple = tcp(stranger, 999, external, 8080);
  const Tuple back = tcp(host, 80, stranger, 999);
  SUBCASE("TCP") {
    CHECK(router.in({.tuple = tuple, .flags = TcpFlags::syn}).forwarded());
    CHECK(deadline_in() == 60s);
    CHECK(router.out({.tuple = back, .flags = TcpFlags::syn | TcpFlags::ack}).forwarded());
    CHECK(deadline_in() == 60s);
    CHECK(router.in({.tuple = tuple}).forwarded());
    CHECK(deadline_in() == 7440s);
    CHECK(router.out({.tuple = back, .flags = TcpFlags::rst}).forwarded());
    CHECK(deadline_in() == 240s);
    CHECK(router.in({.tuple = tuple, .flags = TcpFlags::syn}).forwarded());  // from the same port again
    CHECK(deadline_in() == 60s);
  }
  SUBCASE("refused") {
    CHECK(router.in({.tuple = tuple, .flags = TcpFlags::syn}).forwarded());
    CHECK(router.out({.tuple = back, .flags = TcpFlags::rst | TcpFlags::ack}).forwarded());
    CHECK(deadline_in() == 60s);
  }
  SUBCASE("UDP") {
    CHECK(router.in({.tuple = udp(stranger, 999, external, 8080)}).forwarded());
    CHECK(router.in({.tuple = udp(stranger, 999, external, 8080)}).forwarded());
    CHECK(router.out({.tuple = udp(host, 80, stranger, 999)}).forwarded());
    CHECK(deadline_in() == 60s);
    CHECK(router.in({.tuple = udp(stranger, 999, external, 8080)}).forwarded());
    CHECK(deadline_in() == 300s);
  }
}
