// SPDX-License-Identifier: ISC
// One query and what ICMP says of it.
#include <doctest/doctest.h>

#include <mirage/dns/exchange.hpp>
#include <mirage/dns/testbed_test.hpp>

using namespace mirage;
using namespace mirage::dns;
using namespace mirage::dns::test;

TEST_CASE("an ICMP error is heeded for the server that was asked, whatever its zone, and ends nothing (RFC 5927)") {
  Testbed bed;
  const UdpPort udp{bed.client_stack.udp()};
  const wire::DnsQuery query{7, {name("7.example"), dns_type::a}, 0};
  const Endpoint server{Ipv4Address::of(10, 0, 0, 1), 53, 2};
  Counters counters;
  Exchange exchange{bed.shard, udp, IpAddress{}, server, query, counters};
  REQUIRE(exchange.start(1s) == Exchange::State::waiting);
  CHECK(exchange.on_error({server.address, 53}, UdpError::refused));
  CHECK(exchange.on_error({server.address, 53}, UdpError::too_long));
  CHECK_FALSE(exchange.on_error({server.address, 54}, UdpError::refused));
  CHECK_FALSE(exchange.on_error({Ipv4Address::of(10, 0, 0, 3), 53}, UdpError::refused));
  CHECK(exchange.state() == Exchange::State::waiting);
}

TEST_CASE("who refuses a question by ICMP alone is waited for, then the next server is asked") {
  Testbed bed{{.name_servers = "10.0.0.1:1000,10.0.0.1:2000"}};  // nobody is at the first port
  bed.serve([](const Asked& asked) { return Messages{Reply(asked.head).a(asked.name, 7).bytes}; }, 2000);
  const Time began = bed.environment.now;
  CHECK(bed.lookup("7.example"));
  CHECK(bed.environment.now - began >= 1s);
  CHECK(bed.client_stack.udp().counters().errors == 1);
}
