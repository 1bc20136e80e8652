// SPDX-License-Identifier: ISC
// The resolver against scripted name servers.
#include <algorithm>
#include <set>

#include <doctest/doctest.h>

#include <mirage/dns/exchange.hpp>
#include <mirage/dns/testbed_test.hpp>
#include <mirage/module/check/resolver.hpp>

using namespace mirage;
using namespace mirage::dns;
using namespace mirage::dns::test;

namespace {

/// Answers "NUMBER.example" with 192.0.2.NUMBER, everything else does not exist.
Messages numbers(const Asked& asked) {
  const auto last = parse_unsigned<std::uint8_t>(std::string_view(asked.name).substr(0, asked.name.find('.')));
  if (!last || asked.name != std::to_string(*last) + ".example") return {Reply(asked.head, 3).soa(60, 60).bytes};
  if (asked.type != dns_type::a) return {Reply(asked.head).soa(60, 60).bytes};
  return {Reply(asked.head).a(asked.name, *last).bytes};
}

IpAddress number(unsigned last) { return Ipv4Address::of(192, 0, 2, last); }

void is_error(const Result<Records, ResolveError>& result, ResolveError error) {
  REQUIRE_FALSE(result);
  CHECK(result.error() == error);
}

}  // namespace

TEST_CASE("the resolver conforms to Resolver") {
  Testbed bed;
  REQUIRE(bed.started == "");
  bed.serve([](const Asked& asked) { return asked.name == "silent.example" ? Messages{} : numbers(asked); });
  const check::ResolverZone zone{"7.example", number(7), "none.example", "silent.example"};
  CHECK(run(bed.shard, check::check_resolver(bed.shard, bed.resolver, zone)) == std::string_view{});
  CHECK(bed.resolver.counters().joined >= 15);
}

TEST_CASE("nothing of a lookup stays behind but the cache") {
  Testbed bed;
  bed.serve(numbers);
  {
    CHECK(bed.lookup("7.example")->address(0) == number(7));
  }
  bed.pass(1min);
  CHECK(bed.shard.buffers().statistics().bytes_in_use == 0);
  CHECK(bed.resolver.cache().size() == 1);
}

TEST_CASE("an answer is kept for its time to live, without regard to case (RFC 4343)") {
  Testbed bed;
  Server& server = bed.serve([](const Asked& asked) { return Messages{Reply(asked.head).a(asked.name, 1, 60).bytes}; });
  REQUIRE(bed.lookup("www.example"));
  bed.pass(59s);
  REQUIRE(bed.lookup("WWW.Example."));
  CHECK(server.log.size() == 1);
  CHECK(bed.resolver.counters().cache_hits == 1);
  bed.pass(2s);
  REQUIRE(bed.lookup("www.example"));
  CHECK(server.log.size() == 2);
}

TEST_CASE("an answer with a time to live of 0 is used once (RFC 1035 3.2.1)") {
  Testbed bed;
  Server& server = bed.serve([](const Asked& asked) { return Messages{Reply(asked.head).a(asked.name, 1, 0).bytes}; });
  REQUIRE(bed.lookup("www.example"));
  REQUIRE(bed.lookup("www.example"));
  CHECK(server.log.size() == 2);
}

TEST_CASE("who waits for an answer that is not kept has it, too: one question, not one after the other") {
  Testbed bed;
  Server& server = bed.serve([](const Asked& asked) { return Messages{Reply(asked.head).a(asked.name, 7, 0).bytes}; });
  std::vector<Result<Records, ResolveError>> results(20, Failure{ResolveError::failed});
  auto all = [](Testbed& b, auto& found) -> Task<int> {
    Scope scope{b.shard};
    for (auto& each : found) (void)scope.spawn(check::detail::look_up(b.shard, b.resolver, "7.example", each));
    co_await scope.join();
    co_return 0;
  };
  (void)run(bed.shard, all(bed, results));
  for (const auto& each : results) {
    REQUIRE(each);
    CHECK(each->address(0) == number(7));
  }
  CHECK(server.log.size() == 1);
  CHECK(bed.lookup("7.example"));  // RFC 1035 3.2.1: not for whoever comes later
  CHECK(server.log.size() == 2);
}

TEST_CASE("negative answers are kept for as long as the SOA record says (RFC 2308 5)") {
  Testbed bed;
  Server& server = bed.serve([](const Asked& asked) { return Messages{Reply(asked.head, 3).soa(600, 30).bytes}; });
  is_error(bed.lookup("none.example"), ResolveError::not_found);
  bed.pass(29s);
  is_error(bed.lookup("none.example"), ResolveError::not_found);
  CHECK(server.log.size() == 1);
  bed.pass(2s);
  is_error(bed.lookup("none.example"), ResolveError::not_found);
  CHECK(server.log.size() == 2);
}

TEST_CASE("a negative answer without an SOA record is not kept (RFC 2308 5)") {
  Testbed bed;
  Server& server = bed.serve([](const Asked& asked) { return Messages{Reply(asked.head, 3).bytes}; });
  is_error(bed.lookup("none.example"), ResolveError::not_found);
  is_error(bed.lookup("none.example"), ResolveError::not_found);
  CHECK(server.log.size() == 2);
}

TEST_CASE("a name without such a record: no_data, kept for this type only (RFC 2308 2.2)") {
  Testbed bed;
  Server& server = bed.serve(numbers);
  is_error(bed.lookup("7.example", RecordType::aaaa), ResolveError::no_data);
  is_error(bed.lookup("7.example", RecordType::aaaa), ResolveError::no_data);
  CHECK(bed.lookup("7.example"));
  CHECK(server.log.size() == 2);
}

TEST_CASE("aliases within a reply are followed; the shortest time to live counts") {
  Testbed bed;
  Server& server = bed.serve([](const Asked& asked) {
    return Messages{Reply(asked.head)
                        .cname("b.example", "c.example")
                        .cname(asked.name, "b.example", 10)
                        .a("c.example", 3)
                        .a("d.example", 4)
                        .bytes};
  });
  const auto found = bed.lookup("a.example");
  REQUIRE(found);
  CHECK(found->size() == 1);  // not that of d, which nobody asked about
  CHECK(found->address(0) == number(3));
  bed.pass(11s);
  CHECK(bed.lookup("a.example"));
  CHECK(server.log.size() == 2);
}

TEST_CASE("an alias whose end the server leaves out is asked about") {
  Testbed bed;
  Server& server = bed.serve([](const Asked& asked) {
    if (asked.name == "a.example") return Messages{Reply(asked.head).cname("a.example", "9.example").bytes};
    return numbers(asked);
  });
  CHECK(bed.lookup("a.example")->address(0) == number(9));
  CHECK(server.log.size() == 2);
}

TEST_CASE("loops and long chains of aliases end") {
  Testbed bed;
  Server& server = bed.serve([](const Asked& asked) {
    if (asked.name == "loop.example") {
      return Messages{Reply(asked.head).cname("loop.example", "x.example").cname("x.example", "loop.example").bytes};
    }
    // Each name leads to one that is a letter longer.
    return Messages{Reply(asked.head).cname(asked.name, "x" + asked.name).bytes};
  });
  is_error(bed.lookup("loop.example"), ResolveError::failed);
  const std::size_t before = server.log.size();
  is_error(bed.lookup("y.example"), ResolveError::failed);
  CHECK(server.log.size() - before == maximum_aliases + 1);
}

TEST_CASE("an alias to nothing is no_data when the zone says so, not_found when the server says so") {
  Testbed bed;
  bed.serve([](const Asked& asked) {
    const bool exists = asked.name == "a.example";
    return Messages{Reply(asked.head, exists ? 0 : 3).cname(asked.name, "c.example").soa(60, 60).bytes};
  });
  is_error(bed.lookup("a.example"), ResolveError::no_data);
  is_error(bed.lookup("b.example"), ResolveError::not_found);
}

TEST_CASE("an alias to nothing is kept no longer than the alias (RFC 2181 5.2, RFC 2308 5)") {
  Testbed bed;
  unsigned code = 0;
  SUBCASE("no_data") { code = 0; }
  SUBCASE("not_found") { code = 3; }
  bool pointed_elsewhere = false;
  bed.serve([&](const Asked& asked) {
    if (pointed_elsewhere)
      return Messages{Reply(asked.head).cname(asked.name, "d.example", 30).a("d.example", 4).bytes};
    return Messages{Reply(asked.head, code).cname(asked.name, "c.example", 30).soa(3600, 3600).bytes};
  });
  is_error(bed.lookup("a.example"), code == 0 ? ResolveError::no_data : ResolveError::not_found);
  pointed_elsewhere = true;
  bed.pass(31s);
  CHECK(bed.lookup("a.example"));
}

TEST_CASE("a truncated reply is asked for again by TCP, and not used (RFC 2181 9)") {
  Testbed bed;
  Server& server = bed.serve([](const Asked& asked) {
    Reply reply(asked.head);
    for (unsigned i = 0; i < (asked.by_tcp ? 40U : 1U); ++i) reply.a(asked.name, asked.by_tcp ? 100 + i : 1);
    if (!asked.by_tcp) reply.flags(wire::dns_flag::truncated);
    return Messages{reply.bytes};
  });
  const auto found = bed.lookup("many.example");
  REQUIRE(found);
  CHECK(found->size() == 40);
  CHECK(found->address(0) == number(100));
  CHECK(server.log.size() == 2);
  CHECK(server.log[1].by_tcp);
  CHECK(bed.resolver.counters().truncated == 1);
}

TEST_CASE("more records than Records holds: the first ones") {
  Testbed bed;
  bed.serve([](const Asked& asked) {
    Reply reply(asked.head);
    for (unsigned i = 0; i < (asked.by_tcp ? 200U : 0U); ++i) reply.a(asked.name, i);
    if (!asked.by_tcp) reply.flags(wire::dns_flag::truncated);
    return Messages{reply.bytes};
  });
  CHECK(bed.lookup("many.example")->size() == Records::maximum);
}

TEST_CASE("a server that does not keep the letters is asked by TCP (RFC 5452 9.2, 0x20)") {
  Testbed bed;
  Server& server = bed.serve([](const Asked& asked) {
    auto question = *asked.head.question;
    question.name = question.name.lower();
    return Messages{Reply(asked.head.id, question).a(asked.name, 5).bytes};
  });
  CHECK(bed.lookup("a-name-with-many-letters.example")->address(0) == number(5));
  CHECK(server.log.back().by_tcp);
  CHECK(bed.resolver.counters().case_changed == 1);
}

TEST_CASE("ids, ports and letters change from query to query (RFC 5452 9.2)") {
  Testbed bed;
  Server& server = bed.serve(numbers);
  for (unsigned i = 0; i < 32; ++i) REQUIRE(bed.lookup(std::to_string(i) + ".example"));
  std::set<std::uint16_t> ids;
  std::set<Port> ports;
  unsigned upper = 0;
  for (const Asked& asked : server.log) {
    ids.insert(asked.head.id);
    ports.insert(asked.from.port);
    for (const std::uint8_t octet : asked.head.question->name.octets()) upper += octet >= 'A' && octet <= 'Z' ? 1 : 0;
    CHECK(asked.from.port >= PortShare::first_ephemeral);
  }
  CHECK(ids.size() > 30);
  CHECK(ports.size() > 30);
  CHECK(upper > 32 * 7 / 4);  // half of the letters, about
  CHECK(upper < 32 * 7 * 3 / 4);
}

TEST_CASE("shards of one interface: a question leaves from a port whose answers come back to this shard") {
  Testbed bed;
  Server& server = bed.serve(numbers);
  const PortShare share{.shard = 1, .shards = 4};
  bed.client_stack.udp().share_ports(share);
  for (unsigned i = 0; i < 16; ++i) REQUIRE(bed.lookup(std::to_string(i) + ".example"));
  for (const Asked& asked : server.log) {
    CHECK(asked.from.port >= PortShare::first_ephemeral);
    CHECK(share.owns(asked.from.port));
  }
}

TEST_CASE("forged replies: what does not match in everything is not looked at (RFC 5452 9.1)") {
  Testbed bed;
  Server* server = nullptr;
  server = &bed.serve([&server](const Asked& asked) {
    const Reply good = Reply(asked.head).a(asked.name, 1);
    const auto forged = [&](auto change) {
      wire::DnsHead head = asked.head;
      change(head);
      return Reply(head).a(asked.name, 66).bytes;
    };
    server->send(Reply(asked.head).a(asked.name, 66).bytes, asked.from, 54);  // from another port
    return Messages{forged([](auto& head) { head.id ^= 1; }),
                    forged([](auto& head) { head.question->name = name("other.example"); }),
                    forged([](auto& head) { head.question->type = dns_type::aaaa; }),
                    forged([](auto& head) { head.question->of_class = 3; }),
                    Reply(asked.head).flags(0, wire::dns_flag::response).a(asked.name, 66).bytes,
                    Reply(asked.head).flags(0x2000).a(asked.name, 66).bytes,
                    Message(11),
                    good.bytes,
                    Reply(asked.head).a(asked.name, 66).bytes};  // too late
  });
  CHECK(bed.lookup("www.example")->address(0) == number(1));
  bed.pass(1ms);
  const Counters& counters = bed.resolver.counters();
  CHECK(counters.drop_source == 1);
  CHECK(counters.drop_mismatch == 6);
  CHECK(counters.drop_malformed == 1);
}

TEST_CASE("a reply to another address than the question came from, to all stations here, is none (RFC 5452 9.1)") {
  Testbed bed;
  Server* server = nullptr;
  server = &bed.serve([&server](const Asked& asked) {
    CHECK(asked.from.address == IpAddress{Ipv4Address::of(10, 0, 0, 2)});
    Endpoint elsewhere = asked.from;
    elsewhere.address = Ipv4Address::of(10, 0, 0, 255);
    server->send(Reply(asked.head).a(asked.name, 66).bytes, elsewhere, 53);
    return Messages{};
  });
  CHECK_FALSE(bed.lookup("www.example").has_value());
  CHECK(bed.resolver.counters().drop_source == server->log.size());
  CHECK(bed.resolver.counters().answers == 0);
}

TEST_CASE("many replies that do not match: the question goes by TCP (RFC 5452 9.3)") {
  Testbed bed;
  Server& server = bed.serve([](const Asked& asked) {
    if (asked.by_tcp) return Messages{Reply(asked.head).a(asked.name, 1).bytes};
    std::vector<Message> guesses;
    for (unsigned i = 1; i <= Exchange::tolerance; ++i) {
      guesses.push_back(
          Reply(static_cast<std::uint16_t>(asked.head.id + i), *asked.head.question).a(asked.name, 66).bytes);
    }
    return guesses;
  });
  CHECK(bed.lookup("www.example")->address(0) == number(1));
  CHECK(server.log.back().by_tcp);
  CHECK(bed.resolver.counters().suspicious == 1);
}

TEST_CASE("a silent server: the next one is asked, and first from then on") {
  Testbed bed{{.name_servers = "10.0.0.1:1000,10.0.0.1:2000"}};
  Server& first = bed.serve([](const Asked&) { return Messages{}; }, 1000);
  Server& second = bed.serve(numbers, 2000);
  const Time began = bed.environment.now;
  CHECK(bed.lookup("1.example")->address(0) == number(1));
  CHECK(bed.environment.now - began >= 1s);
  CHECK(bed.environment.now - began < 1100ms);
  CHECK(bed.lookup("2.example"));
  CHECK(first.log.size() == 1);
  CHECK(second.log.size() == 2);
  bed.pass(ServerOrder::avoidance);
  CHECK(bed.lookup("3.example"));
  CHECK(first.log.size() == 2);
}

TEST_CASE("no server answers: three rounds of twice the patience each, then timed_out; remembered (RFC 9520)") {
  Testbed bed;
  Server& server = bed.serve([](const Asked&) { return Messages{}; });
  const Time began = bed.environment.now;
  is_error(bed.lookup("www.example"), ResolveError::timed_out);
  CHECK(bed.environment.now - began >= 7s);
  CHECK(bed.environment.now - began < 7100ms);
  CHECK(server.log.size() == 3);
  is_error(bed.lookup("www.example"), ResolveError::timed_out);
  CHECK(server.log.size() == 3);
  bed.pass(failure_ttl + 1s);
  is_error(bed.lookup("www.example"), ResolveError::timed_out);
  CHECK(server.log.size() == 6);
}

TEST_CASE("a server that fails, refuses or only refers: the next one is asked; when all do, no second round") {
  Testbed bed{{.name_servers = "10.0.0.1:1000,10.0.0.1:2000"}};
  unsigned code = 2;
  bool referral = false;
  const auto broken = [&](const Asked& asked) {
    Reply reply(asked.head, referral ? 0 : code);
    if (referral)
      reply.record(wire::dns_at::authorities, name("example"), dns_type::ns, 60, Reply::data({}, "ns.example"));
    return Messages{reply.bytes};
  };
  Server& first = bed.serve(broken, 1000);
  bool second_is_fine = true;
  Server& second = bed.serve([&](const Asked& asked) { return second_is_fine ? numbers(asked) : broken(asked); }, 2000);
  CHECK(bed.lookup("1.example"));
  code = 5;
  CHECK(bed.lookup("2.example"));
  referral = true;
  CHECK(bed.lookup("3.example"));
  CHECK(first.log.size() == 3);
  CHECK(second.log.size() == 3);
  second_is_fine = false;
  is_error(bed.lookup("4.example"), ResolveError::failed);
  CHECK(first.log.size() == 4);
  CHECK(second.log.size() == 4);
  CHECK(bed.resolver.counters().server_errors == 5);
}

TEST_CASE("a malformed reply counts as the server's failure") {
  Testbed bed;
  bed.serve([](const Asked& asked) {
    Message reply = Reply(asked.head).a(asked.name, 1).bytes;
    reply.pop_back();
    return Messages{reply};
  });
  is_error(bed.lookup("www.example"), ResolveError::failed);
  CHECK(bed.resolver.counters().drop_malformed == 1);
}

TEST_CASE("EDNS: asked with it, and without it where the server does not know it (RFC 6891 7)") {
  Testbed bed;
  int form = 0;
  Server& server = bed.serve([&form](const Asked& asked) {
    if (!asked.edns) return Messages{Reply(asked.head).a(asked.name, 1).bytes};
    Message refusal = Reply(asked.head, form == 1 ? 4 : 1).bytes;
    if (form == 2) {  // header only
      refusal.resize(12);
      refusal[5] = std::byte{0};
    }
    return Messages{refusal};
  });
  for (form = 0; form < 3; ++form) {
    CHECK(bed.lookup(std::to_string(form) + ".example")->address(0) == number(1));
  }
  CHECK(server.log.size() == 6);
  CHECK(bed.resolver.counters().edns_refused == 3);
}

TEST_CASE("MX and SRV in the order of preference, with what they say; PTR, TXT, AAAA") {
  Testbed bed;
  bed.serve([](const Asked& asked) {
    Reply reply(asked.head);
    switch (asked.type) {
      case dns_type::mx:
        reply.answer(asked.name, asked.type, Reply::data({0, 20}, "b.example"));
        reply.answer(asked.name, asked.type, Reply::data({0, 10}, "a.example"));
        reply.answer(asked.name, asked.type, Reply::data({0, 20}, "c.example"));
        break;
      case dns_type::srv:
        reply.answer(asked.name, asked.type, Reply::data({0, 2, 0, 0, 0, 80}, "."));
        reply.answer(asked.name, asked.type, Reply::data({0, 1, 0, 5, 0x1f, 0x90}, "s.example"));
        break;
      case dns_type::ptr:
        reply.answer(asked.name, asked.type, Reply::data({}, "host.example"));
        break;
      case dns_type::txt:
        reply.answer(asked.name, asked.type, Reply::data({3, 'a', '=', '1', 0, 2, 'b', 0xff}));
        break;
      case dns_type::aaaa:
        reply.answer(asked.name, asked.type, Reply::data({0x20, 1, 0xd, 0xb8, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 7}));
        break;
      default:
        break;
    }
    return Messages{reply.bytes};
  });
  const auto mail = bed.lookup("example", RecordType::mx);
  REQUIRE(mail);
  REQUIRE(mail->size() == 3);
  CHECK(mail->mail(0).host == "a.example");
  CHECK(mail->mail(0).preference == 10);
  CHECK(mail->mail(1).host == "b.example");
  CHECK(mail->mail(2).host == "c.example");
  const auto service = bed.lookup("_http._tcp.example", RecordType::srv);
  REQUIRE(service);
  CHECK(service->service(0).host == "s.example");
  CHECK(service->service(0).port == 8080);
  CHECK(service->service(0).weight == 5);
  CHECK(service->service(1).host == ".");
  const auto host = bed.lookup(ReverseName(number(7)).view(), RecordType::ptr);
  REQUIRE(host);
  CHECK(host->host(0) == "host.example");
  const auto text = bed.lookup("example", RecordType::txt);
  REQUIRE(text);
  std::vector<std::string> strings;
  text->each_text(0, [&](Bytes bytes) { strings.emplace_back(as_text(bytes)); });
  CHECK(strings == std::vector<std::string>{"a=1", "", "b\xff"});
  const auto six = bed.lookup("example", RecordType::aaaa);
  REQUIRE(six);
  CHECK(Text<64>("{}", six->address(0)).view() == "2001:db8::7");
}

TEST_CASE("names of addresses (RFC 1035 3.5, RFC 3596 2.5)") {
  CHECK(ReverseName(number(7)).view() == "7.2.0.192.in-addr.arpa");
  IpAddress six;
  six.octets = {0x20, 1, 0xd, 0xb8, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 7};
  CHECK(ReverseName(six).view() == "7.0.0.0.0.0.0.0.0.0.0.0.0.0.0.0.0.0.0.0.0.0.0.0.8.b.d.0.1.0.0.2.ip6.arpa");
}

TEST_CASE("a host whose name is not text is left out") {
  Testbed bed;
  bed.serve([](const Asked& asked) {
    Reply reply(asked.head);
    reply.answer(asked.name, asked.type, Reply::data({4, 'a', '\n', '.', 'b', 0}));
    reply.answer(asked.name, asked.type, Reply::data({}, "host.example"));
    return Messages{reply.bytes};
  });
  const auto found = bed.lookup("1.2.0.192.in-addr.arpa", RecordType::ptr);
  REQUIRE(found);
  CHECK(found->size() == 1);
  CHECK(found->host(0) == "host.example");
}

TEST_CASE("short names are looked for in the search domains, then as they are; others are not") {
  Testbed bed{{.name_servers = "10.0.0.1", .search = "one.example,example"}};
  Server& server = bed.serve(numbers);
  CHECK(bed.lookup("7")->address(0) == number(7));
  REQUIRE(server.log.size() == 2);
  CHECK(server.log[0].name == "7.one.example");
  CHECK(server.log[1].name == "7.example");
  is_error(bed.lookup("none"), ResolveError::not_found);
  CHECK(server.log.size() == 5);
  CHECK(server.log[4].name == "none");
  is_error(bed.lookup("a.b"), ResolveError::not_found);
  is_error(bed.lookup("x."), ResolveError::not_found);
  CHECK(server.log.size() == 7);
  CHECK(server.log[6].name == "x");
}

TEST_CASE("some names are never asked about (RFC 6761, RFC 7686)") {
  Testbed bed;
  Server& server = bed.serve(numbers);
  CHECK(bed.lookup("a.LocalHost.", RecordType::aaaa)->address(0).octets[15] == 1);
  is_error(bed.lookup("localhost", RecordType::mx), ResolveError::no_data);
  is_error(bed.lookup("a.invalid"), ResolveError::not_found);
  is_error(bed.lookup("a.onion"), ResolveError::not_found);
  is_error(bed.lookup("192.0.2.7", RecordType::aaaa), ResolveError::no_data);
  CHECK(server.log.empty());
  is_error(bed.lookup("notlocalhost"), ResolveError::not_found);
  CHECK(server.log.size() == 1);
}

TEST_CASE("servers that the network tells; with new ones the cache is empty") {
  Testbed bed{ResolverOptions{}};
  Server& server = bed.serve(numbers);
  is_error(bed.lookup("7.example"), ResolveError::no_server);
  bed.learning.names.add_server(Ipv4Address::of(10, 0, 0, 1));
  bed.learning.names.add_search("example");
  CHECK(bed.lookup("7"));
  CHECK(bed.lookup("7"));
  CHECK(server.log.size() == 1);
  bed.learning.names.add_server(Ipv4Address::of(10, 0, 0, 9));
  CHECK(bed.lookup("7"));
  CHECK(server.log.size() == 2);
}

TEST_CASE("what a server says after the network has named others is not kept") {
  Testbed bed{ResolverOptions{}};
  bed.learning.names.add_server(Ipv4Address::of(10, 0, 0, 1));
  Server& server = bed.serve(numbers);
  auto slow = [](Testbed& b) -> Task<int> {
    Result<Records, ResolveError> first = Failure{ResolveError::failed};
    Scope scope{b.shard};
    (void)scope.spawn(check::detail::look_up(b.shard, b.resolver, "7.example", first));
    co_await yield();
    b.learning.names.add_server(Ipv4Address::of(10, 0, 0, 9));
    Result<Records, ResolveError> other = Failure{ResolveError::failed};
    (void)scope.spawn(check::detail::look_up(b.shard, b.resolver, "8.example", other));
    co_await scope.join();
    co_return first ? 1 : 0;
  };
  CHECK(run(bed.shard, slow(bed)) == 1);
  const std::size_t before = server.log.size();
  CHECK(bed.lookup("7.example"));
  CHECK(server.log.size() == before + 1);
}

TEST_CASE("a server that cannot be reached") {
  Testbed bed{{.name_servers = "192.0.2.1"}};  // no route
  is_error(bed.lookup("7.example"), ResolveError::no_server);
  CHECK(bed.resolver.counters().queries_udp == 0);
}

TEST_CASE("more questions at once than the bound: refused and counted") {
  Testbed bed;
  bed.serve([](const Asked&) { return Messages{}; });
  std::vector<std::string> names;
  for (unsigned i = 0; i < Resolver::maximum_pending + 3; ++i) names.push_back("n" + std::to_string(i) + ".example");
  std::vector<Result<Records, ResolveError>> results(names.size(), Failure{ResolveError::failed});
  auto all = [](Testbed& b, auto& asked, auto& found) -> Task<int> {
    Scope scope{b.shard};
    for (std::size_t i = 0; i < asked.size(); ++i) {
      (void)scope.spawn(check::detail::look_up(b.shard, b.resolver, asked[i], found[i]));
    }
    co_await scope.join();
    co_return 0;
  };
  (void)run(bed.shard, all(bed, names, results));
  CHECK(bed.resolver.counters().refused == 3);
  is_error(results[0], ResolveError::timed_out);
  is_error(results.back(), ResolveError::no_memory);
}

TEST_CASE("options that make no sense are named at the start") {
  for (const char* servers : {"10.0.0.1,", "x", "10.0.0.1:0", "10.0.0.1:99999", "0.0.0.0", "[10.0.0.1]:53", "[::1",
                              "::1]:53", ":", "[]:1", "1.1.1.1,1.1.1.2,1.1.1.3,1.1.1.4,1.1.1.5"}) {
    CHECK(Testbed{{.name_servers = servers}}.started.starts_with("dns: bad name servers"));
  }
  CHECK(Testbed{{.search = "a..b"}}.started == "dns: bad search domain 'a..b'");
}

TEST_CASE("servers as text: addresses of both versions, with and without a port") {
  const auto list = ServerList::parse("10.0.0.1,10.0.0.2:5353,2001:db8::1,[2001:db8::1]:5353");
  REQUIRE(list);
  REQUIRE(list->count == 4);
  CHECK(Text<128>("{} {} {} {}", list->items[0], list->items[1], list->items[2], list->items[3]).view() ==
        "10.0.0.1:53 10.0.0.2:5353 [2001:db8::1]:53 [2001:db8::1]:5353");
  CHECK(ServerList::parse("")->count == 0);
}
