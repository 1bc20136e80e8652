// SPDX-License-Identifier: ISC
// An HTTP client that finds its servers by name, over the whole stack in virtual time, while one address family is
// dead.
#include <string>

#include <doctest/doctest.h>

#include <mirage/dns/connect.hpp>
#include <mirage/dns/testbed_test.hpp>
#include <mirage/http/client.hpp>
#include <mirage/http/server.hpp>

using namespace mirage;
using namespace mirage::dns::test;

namespace {

constexpr IpAddress dead = IpAddress::of(0x2001'0db8'0000'0000, 0x99);  // on the link, and nobody has it

struct Hello {
  http::Response operator()(const http::Request&, http::Body&) { return http::Response::text(200, "hello\n"); }
};

Messages both_families(const Asked& asked) {
  Reply reply(asked.head);
  Message v6(16);
  for (std::size_t i = 0; i < v6.size(); ++i) v6[i] = std::byte{dead.octets[i]};
  if (asked.type == dns_type::a) reply.answer(asked.name, asked.type, Reply::data({10, 0, 0, 1}));
  if (asked.type == dns_type::aaaa) reply.answer(asked.name, asked.type, v6);
  return Messages{reply.bytes};
}

/// Gives the client an IPv6 address whose network is the link.
void give_ipv6(net::Stack& stack) {
  const IpPrefix own{IpAddress::of(0x2001'0db8'0000'0000, 2), 64};
  REQUIRE(stack.ip().addresses().add({.prefix = own}) != nullptr);
  REQUIRE(stack.ip().routes().add({.prefix = {own.network(), own.length}}));
}

template <class Talk>
int with_server(Testbed& bed, Talk talk) {
  auto body = [](Testbed& b, Talk& t) -> Task<int> {
    Hello hello;
    http::Server<net::Stack::Tcp, Hello> server{b.shard, b.server_stack.tcp(), hello};
    Scope scope{b.shard};
    auto serve = [](Shard&, auto& s) -> Task<void> { (void)co_await s.serve(80); };
    CHECK(scope.spawn(serve(b.shard, server)));
    const int outcome = co_await t(b);
    scope.cancel();
    co_await scope.join();
    co_return outcome;
  };
  return mirage::run(bed.shard, body(bed, talk)).value_or(-1);
}

}  // namespace

static_assert(mirage::Connector<dns::Connector<net::Stack, dns::Resolver>>);

TEST_CASE("an HTTP client whose IPv6 is dead waits for a head start, not for a time limit (RFC 8305 5)") {
  Testbed bed;
  bed.serve(both_families);
  give_ipv6(bed.client_stack);
  const int status = with_server(bed, [](Testbed& b) -> Task<int> {
    dns::Connector names{b.client_stack, b.resolver};
    http::Client client{b.shard, names};
    for (int i = 0; i < 2; ++i) {
      const Time began = b.shard.now();
      auto response = co_await client.fetch(i == 0 ? "http://www.example/" : "http://WWW.example/");
      if (!response) co_return static_cast<int>(response.error());
      const auto text = co_await response->body().read();
      CHECK((text && (*text)[0].text() == "hello\n"));
      // The second request goes over the connection that there is.
      CHECK((i == 0) == (b.shard.now() - began >= 250ms));
      CHECK(b.shard.now() - began < 400ms);
    }
    CHECK(client.pool().counters().opened == 1);
    CHECK(client.pool().counters().reused == 1);
    co_return 200;
  });
  CHECK(status == 200);
}

TEST_CASE("what a name lacks is told apart from what a host refuses") {
  Testbed bed;
  bed.serve([](const Asked& asked) {
    if (asked.name.starts_with("www")) return both_families(asked);
    return Messages{Reply(asked.head, wire::dns_code::no_such_name).bytes};
  });
  const int status = with_server(bed, [](Testbed& b) -> Task<int> {
    dns::Connector names{b.client_stack, b.resolver};
    http::Client client{b.shard, names};
    const auto nobody = co_await client.fetch("http://nobody.example/");
    CHECK(nobody.error_or(http::ClientError::busy) == http::ClientError::not_resolved);
    const auto refused = co_await client.fetch("http://www.example:81/");
    CHECK(refused.error_or(http::ClientError::busy) == http::ClientError::not_connected);
    auto literal = co_await client.fetch("http://10.0.0.1/");
    co_return literal ? literal->status() : 0;
  });
  CHECK(status == 200);
}
