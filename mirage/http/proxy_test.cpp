// SPDX-License-Identifier: ISC
#include <doctest/doctest.h>

#include <mirage/http/proxy_bed_test.hpp>

using namespace mirage;
using namespace mirage::http;
using namespace mirage::http::test;

TEST_CASE("backends are parsed, strictly") {
  Backends backends;
  REQUIRE(backends.parse("10.0.0.2:80,[2001:db8::1]:8080"));
  CHECK(backends.all().size() == 2);
  CHECK(backends.all()[1].endpoint.port == 8080);
  CHECK(backends.all()[1].authority == "[2001:db8::1]:8080");
  REQUIRE(backends.parse("/api=10.0.0.2:80,/=10.0.0.3:80"));
  CHECK(backends.pick("/api", Balance::round_robin)->authority == "10.0.0.2:80");
  CHECK(backends.pick("/api/x", Balance::round_robin)->authority == "10.0.0.2:80");
  CHECK(backends.pick("/apis", Balance::round_robin)->authority == "10.0.0.3:80");
  for (const std::string_view bad : {"", ",", "10.0.0.2", "10.0.0.2:", "10.0.0.2:0", "10.0.0.2:99999", "x:80",
                                     "10.0.0.2:80,", "/api:10.0.0.2:80", "2001:db8::1:80", "[10.0.0.2]:80"}) {
    CAPTURE(bad);
    CHECK_FALSE(backends.parse(bad));
  }
}

TEST_CASE("requests go round, or to who has least to do") {
  Backends backends;
  REQUIRE(backends.parse("0.0.0.1:1,0.0.0.1:2,0.0.0.1:3"));
  std::string order;
  for (int i = 0; i < 6; ++i) order += std::to_string(backends.pick("/", Balance::round_robin)->endpoint.port);
  CHECK(order == "123123");
  backends.all()[1].up = false;
  order.clear();
  for (int i = 0; i < 4; ++i) order += std::to_string(backends.pick("/", Balance::round_robin)->endpoint.port);
  CHECK(order == "1313");
  backends.all()[0].active = 5;
  backends.all()[2].active = 2;
  CHECK(backends.pick("/", Balance::least_active)->endpoint.port == 3);
  CHECK(backends.pick("/", Balance::least_active, &backends.all()[2])->endpoint.port == 1);
  backends.all()[0].up = backends.all()[2].up = false;
  CHECK(backends.pick("/", Balance::least_active) == nullptr);
}

TEST_CASE("a proxy passes on what is meant for the end, and says who asked, RFC 9110 section 7.6") {
  ProxyWorld world{"0.0.0.1:1"};
  Script script;
  script.input.emplace_back(
      "POST /x?y HTTP/1.1\r\nHost: front:8080\r\nConnection: X-Private, keep-alive\r\nX-Private: 1\r\nKeep-Alive: "
      "1\r\nTE: trailers\r\n"
      "X-Forwarded-For: 1.2.3.4\r\nX-Forwarded-Proto: https\r\nProxy-Authorization: p\r\nCookie: c\r\nContent-Length: "
      "5\r\n\r\nhello"
      "GET http://front/two HTTP/1.1\r\nHost: front\r\n\r\n");
  const std::string answer = through(world, script);
  CHECK(count(answer, "HTTP/1.1 200 OK\r\n") == 2);
  CHECK(count(answer, "a /x?y\n") == 1);
  CHECK(count(answer, "a /two\n") == 1);
  CHECK(count(answer, "Host: 0.0.0.1:1\n") == 2);
  CHECK(count(answer, "X-Forwarded-For: 1.2.3.4, ::\n") == 1);
  CHECK(count(answer, "X-Forwarded-Host: front:8080\n") == 1);
  CHECK(count(answer, "X-Forwarded-Proto: http\n") == 2);
  CHECK(count(answer, "Cookie: c\n") == 1);
  CHECK(count(answer, "body 5\n") == 1);
  for (const std::string_view hop : {"X-Private:", "Keep-Alive:", "Proxy-Authorization:", "TE:"})
    CHECK(count(answer, hop) == 0);
  CHECK(count(answer, "X-Origin: a\r\n") == 2);
  CHECK(count(answer, "Via: 1.1 mirage\r\n") == 2);
  CHECK(world.tcp.connects == 1);
  CHECK(world.backends.all()[0].active == 0);
}

TEST_CASE("what a server and a proxy count is shown") {
  struct Seen final : CounterVisitor {
    void counters(std::string_view part, const CounterSet& set) noexcept override {
      for (std::size_t i = 0; i < set.names.size(); ++i) {
        text += std::string{part} + "." + std::string{set.names[i]} + "=" + std::to_string(set.value(i)) + "\n";
      }
    }
    void gauge(std::string_view part, std::string_view name, std::uint64_t value) noexcept override {
      text += std::string{part} + "." + std::string{name} + "=" + std::to_string(value) + "\n";
    }
    std::string text;
  };
  ProxyWorld world{"0.0.0.1:1,0.0.0.1:2"};
  Script script;
  for (int i = 0; i < 3; ++i) script.input.emplace_back("GET / HTTP/1.1\r\nHost: f\r\n\r\n");
  (void)through(world, script);
  static_assert(Counted<Proxy<PipeTcp>> && Counted<Server<PipeTcp, Origin>>);
  Seen proxy, server;
  world.proxy.visit_counters(proxy);
  world.server_a.visit_counters(server);
  for (const std::string_view line :
       {"http_client.requests=3\n", "http_client.opened=2\n", "http_client.connections=2\n", "backend.requests=2\n",
        "backend.requests=1\n", "backend.active=0\n", "backend.up=1\n"}) {
    CAPTURE(line);
    CHECK(count(proxy.text, line) >= 1);
  }
  CHECK(count(proxy.text, "backend.up=1\n") == 2);
  CHECK(count(server.text, "http.requests=2\n") == 1);
}

TEST_CASE("bodies stream through a proxy") {
  ProxyWorld world{"0.0.0.1:1"};
  Script script;
  script.input.emplace_back("PUT / HTTP/1.1\r\nHost: f\r\nTransfer-Encoding: chunked\r\n\r\n");
  for (int i = 0; i < 100; ++i) script.input.push_back("3e8\r\n" + std::string(1000, 'x') + "\r\n");
  script.input.emplace_back("0\r\n\r\n");
  // The origin's own bound is passed on as it is.
  CHECK(count(through(world, script), "body 100000\n") == 1);
}

TEST_CASE("trailers go on with the body, RFC 9110 section 6.5") {
  ProxyWorld world{"0.0.0.1:1"};
  Script script;
  script.input.emplace_back(
      "PUT / HTTP/1.1\r\nHost: f\r\nTransfer-Encoding: chunked\r\n\r\n3\r\nabc\r\n0\r\nX-Sum: 6\r\n"
      "Content-Length: 9\r\n\r\n");
  const std::string answer = through(world, script);
  CHECK(count(answer, "body 3\ntrailer X-Sum: 6\n") == 1);
  CHECK(count(answer, "trailer ") == 1);
}

TEST_CASE("trailers that concern one connection go no further, RFC 9110 section 7.6.1") {
  ProxyWorld world{"0.0.0.1:1"};
  Script script;
  script.input.emplace_back(
      "PUT / HTTP/1.1\r\nHost: f\r\nConnection: X-Hop\r\nTransfer-Encoding: chunked\r\n\r\n0\r\nX-Sum: 6\r\n"
      "X-Hop: 1\r\nKeep-Alive: 1\r\n\r\n");
  const std::string asked = through(world, script);
  CHECK(count(asked, "trailer X-Sum: 6\n") == 1);
  CHECK(count(asked, "trailer ") == 1);
  ProxyWorld other{"0.0.0.1:1"};
  Script back;
  back.input.emplace_back("GET / HTTP/1.1\r\nHost: f\r\nTE: trailers\r\n\r\n");
  // One line is more than what a block of fields holds by itself.
  const std::string sum = "X-Sum: " + std::string(700, '6') + "\r\n";
  const std::string answer = "HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\nConnection: X-Hop\r\n\r\n0\r\n" + sum +
                             "X-Hop: 1\r\nProxy-Connection: 1\r\n\r\n";
  Stubborn backend{other.shard_, answer};
  CHECK(through(other, backend, back).ends_with("\r\n\r\n0\r\n" + sum + "\r\n"));
}

TEST_CASE("a body that trickles is given up, and its backend is not blamed") {
  ProxyWorld world{"0.0.0.1:1"};
  for (int round = 0; round < 3; ++round) {
    Script script;
    script.input.emplace_back("PUT / HTTP/1.1\r\nHost: f\r\nTransfer-Encoding: chunked\r\n\r\n");
    for (int i = 0; i < 40; ++i) script.input.emplace_back("1\r\nx\r\n");
    script.input.emplace_back("0\r\n\r\n");
    script.pause = 6s;
    CHECK(through(world, script).starts_with("HTTP/1.1 400 "));
    CHECK(script.input.size() > 30);
  }
  CHECK(world.backends.all()[0].up);
  CHECK(world.backends.all()[0].failures == 0);
  CHECK(world.a.asked == 3);  // as much as came went there
  // Fast enough: as long as it takes.
  Script script;
  script.input.emplace_back("PUT / HTTP/1.1\r\nHost: f\r\nTransfer-Encoding: chunked\r\n\r\n");
  for (int i = 0; i < 40; ++i) script.input.push_back("fa0\r\n" + std::string(4000, 'x') + "\r\n");
  script.input.emplace_back("0\r\n\r\n");
  script.pause = 6s;
  CHECK(count(through(world, script), "body 160000\n") == 1);
}

TEST_CASE("clients that give up in the middle of a body, or before it, take no backend away") {
  ProxyWorld world{"0.0.0.1:1"};
  for (int round = 0; round < 3; ++round) {
    Script script;
    script.input.emplace_back("PUT / HTTP/1.1\r\nHost: f\r\nContent-Length: 5\r\n\r\nabc");
    CHECK(through(world, script).starts_with("HTTP/1.1 400 "));
  }
  CHECK(world.backends.all()[0].up);
  CHECK(world.backends.all()[0].failures == 0);
  const unsigned connects = world.tcp.connects;
  Script script;
  script.input.emplace_back("PUT / HTTP/1.1\r\nHost: f\r\nContent-Length: 5\r\n\r\n");
  script.silent_at_end = true;
  CHECK(through(world, script).starts_with("HTTP/1.1 400 "));
  CHECK(world.tcp.connects == connects);
}

TEST_CASE("a backend whose connections are all in use is up: checks have their own") {
  ProxyOptions options;
  options.client.maximum_per_origin = 1;
  ProxyWorld world{"0.0.0.1:1", options};
  Script script;
  script.input.emplace_back("GET /nap HTTP/1.1\r\nHost: f\r\n\r\n");
  CHECK(count(through(world, script, true, 1s), "a /nap\n") == 1);
  CHECK(world.backends.all()[0].up);
  CHECK(world.backends.all()[0].failures == 0);
  CHECK(world.a.asked >= 4);
}

TEST_CASE("a backend that does not answer costs its requests nothing, as long as another one does") {
  ProxyWorld world{"0.0.0.1:1,0.0.0.1:2"};
  Script script;
  for (int i = 0; i < 6; ++i) script.input.emplace_back("GET / HTTP/1.1\r\nHost: f\r\n\r\n");
  const std::string answer = through(world, script, false);
  CHECK(count(answer, "HTTP/1.1 200 OK\r\n") == 6);
  CHECK(count(answer, "X-Origin: a\r\n") == 6);
  CHECK_FALSE(world.backends.all()[1].up);

  ProxyWorld none{"0.0.0.1:3"};
  Script alone;
  for (int i = 0; i < 3; ++i) alone.input.emplace_back("GET / HTTP/1.1\r\nHost: f\r\n\r\n");
  const std::string refused = through(none, alone, false);
  CHECK(count(refused, "HTTP/1.1 502 ") == 2);
  CHECK(count(refused, "HTTP/1.1 503 ") == 1);

  ProxyWorld other{"/api=0.0.0.1:1"};
  Script elsewhere;
  elsewhere.input.emplace_back("GET / HTTP/1.1\r\nHost: f\r\n\r\n");
  CHECK(through(other, elsewhere, false).starts_with("HTTP/1.1 404 "));
}

TEST_CASE("checks take a sick backend out and bring it back") {
  ProxyWorld world{"0.0.0.1:1,0.0.0.1:2"};
  world.a.sick = true;
  Script script;
  for (int i = 0; i < 4; ++i) script.input.emplace_back("GET / HTTP/1.1\r\nHost: f\r\n\r\n");
  CHECK(count(through(world, script, true, 12s), "X-Origin: b\r\n") == 4);
  CHECK_FALSE(world.backends.all()[0].up);
  CHECK(world.a.asked >= 2);
  world.a.sick = false;
  Script again;
  for (int i = 0; i < 4; ++i) again.input.emplace_back("GET / HTTP/1.1\r\nHost: f\r\n\r\n");
  const std::string answer = through(world, again, true, 12s);
  CHECK(count(answer, "X-Origin: a\r\n") == 2);
  CHECK(count(answer, "X-Origin: b\r\n") == 2);
}

TEST_CASE("the target of the absolute-form goes on whole, RFC 9112 sections 3.2.1 and 3.2.4") {
  ProxyWorld world{"0.0.0.1:1"};
  Script script;
  script.input.emplace_back(
      "GET http://h/p?q=1 HTTP/1.1\r\nHost: h\r\n\r\nGET http://h?q=2 HTTP/1.1\r\nHost: h\r\n\r\n"
      "GET HTTP://h/? HTTP/1.1\r\nHost: h\r\n\r\nGET http://h HTTP/1.1\r\nHost: h\r\n\r\n"
      "OPTIONS http://h HTTP/1.1\r\nHost: h\r\n\r\nOPTIONS * HTTP/1.1\r\nHost: h\r\n\r\n"
      "GET /p?u=http://x/y HTTP/1.1\r\nHost: h\r\n\r\n");
  const std::string answer = through(world, script);
  for (const std::string_view target : {"/p?q=1", "/?q=2", "/?", "/", "/p?u=http://x/y"}) {
    CAPTURE(target);
    CHECK(count(answer, "a " + std::string{target} + "\n") == 1);
  }
  CHECK(count(answer, "a *\n") == 2);
}

TEST_CASE("an upgrade to h2c is not passed on, nor what belongs to it") {
  ProxyWorld world{"0.0.0.1:1"};
  Script script;
  script.input.emplace_back(
      "GET /plain HTTP/1.1\r\nHost: h\r\nConnection: Upgrade\r\nUpgrade: h2c\r\n"
      "HTTP2-Settings: AAMAAABkAARAAAAAAAIAAAAA\r\n\r\n"
      "GET /both HTTP/1.1\r\nHost: h\r\nConnection: Upgrade\r\nUpgrade: h2c, websocket\r\n\r\n");
  const std::string answer = through(world, script);
  CHECK(count(answer, "HTTP/1.1 200 OK\r\n") == 2);
  CHECK(count(answer, "HTTP2-Settings") == 0);
  CHECK(count(answer, "h2c") == 0);
  CHECK(count(answer, "Upgrade: websocket\n") == 1);
}

TEST_CASE("a backend that changes to a protocol that it was not asked for gets no tunnel, RFC 9110 section 7.8") {
  ProxyWorld world{"0.0.0.1:1"};
  Script script;
  script.input = {"GET / HTTP/1.1\r\nHost: h\r\nConnection: Upgrade\r\nUpgrade: h2c, websocket\r\n\r\n",
                  "PRI * HTTP/2.0\r\n"};
  script.pause = 100ms;
  Stubborn backend{world.shard_, "HTTP/1.1 101 Switching Protocols\r\nConnection: Upgrade\r\nUpgrade: h2c\r\n\r\n"};
  CHECK(through(world, backend, script).starts_with("HTTP/1.1 502 "));
  CHECK(backend.seen.empty());
}

TEST_CASE("a request with a body changes no protocol, and a backend that says so in the middle of it gets no tunnel") {
  ProxyWorld world{"0.0.0.1:1"};
  Script script;
  script.input = {
      "GET / HTTP/1.1\r\nHost: h\r\nConnection: Upgrade\r\nUpgrade: websocket\r\nContent-Length: 2\r\n\r\nA"};
  script.silent_at_end = true;
  Stubborn backend{world.shard_,
                   "HTTP/1.1 101 Switching Protocols\r\nConnection: Upgrade\r\nUpgrade: websocket\r\n\r\n"};
  CHECK(through(world, backend, script).starts_with("HTTP/1.1 502 "));
  CHECK(count(backend.request, "Upgrade") == 0);
  CHECK(world.backends.all()[0].active == 0);
}

TEST_CASE("Upgrade lines are one list, RFC 9110 section 5.3; a 426 says what to change to, section 15.5.22") {
  ProxyWorld world{"0.0.0.1:1"};
  Script script;
  script.input.emplace_back(
      "GET / HTTP/1.1\r\nHost: h\r\nConnection: Upgrade\r\nUpgrade: websocket\r\nUpgrade: h2c\r\n\r\n");
  CHECK(count(through(world, script), "Upgrade: websocket\n") == 1);
  for (const std::string_view protocol : {"h2c, websocket", "h2c"}) {
    ProxyWorld other{"0.0.0.1:1"};
    Script plain;
    plain.input.emplace_back("GET / HTTP/1.1\r\nHost: h\r\n\r\n");
    const std::string answer =
        "HTTP/1.1 426 Upgrade Required\r\nConnection: upgrade\r\nUpgrade: " + std::string{protocol} +
        "\r\nContent-Length: 0\r\n\r\n";
    Stubborn backend{other.shard_, answer};
    const std::string got = through(other, backend, plain);
    CHECK(got.starts_with("HTTP/1.1 426 "));
    CHECK(count(got, "Upgrade: websocket\r\nConnection: upgrade\r\n") == (protocol == "h2c" ? 0 : 1));
    CHECK(count(got, "h2c") == 0);
  }
}

TEST_CASE("a status that is none counts as a server's error, RFC 9110 section 15") {
  ProxyWorld world{"0.0.0.1:1"};
  Script script;
  script.input.emplace_back("GET / HTTP/1.1\r\nHost: h\r\n\r\n");
  Stubborn backend{world.shard_, "HTTP/1.1 999 No\r\nContent-Length: 2\r\n\r\nno"};
  const std::string answer = through(world, backend, script);
  CHECK(answer.starts_with("HTTP/1.1 502 "));
  CHECK(answer.ends_with("\r\n\r\nno"));
}

TEST_CASE("nothing is said of a host that the client has not named") {
  ProxyWorld world{"0.0.0.1:1"};
  Script script;
  script.input.emplace_back("GET / HTTP/1.0\r\n\r\n");
  const std::string answer = through(world, script);
  CHECK(count(answer, "X-Forwarded-For: ::\n") == 1);
  CHECK(count(answer, "X-Forwarded-Host") == 0);
}

TEST_CASE("HEAD has the length that the backend says, or none, RFC 9110 section 8.6") {
  for (const std::string_view field : {"Transfer-Encoding: chunked\r\n", "", "Content-Length: 7\r\n"}) {
    CAPTURE(field);
    ProxyWorld world{"0.0.0.1:1"};
    Script script;
    script.input = {"HEAD / HTTP/1.1\r\nHost: h\r\n\r\n"};
    const std::string answer = "HTTP/1.1 200 OK\r\n" + std::string{field} + "\r\n";
    Stubborn backend{world.shard_, answer};
    const std::string got = through(world, backend, script);
    CAPTURE(got);
    CHECK(got.starts_with("HTTP/1.1 200 "));
    CHECK(got.ends_with("\r\n\r\n"));
    CHECK(count(got, "Content-Length") == count(field, "Content-Length"));
    CHECK(count(got, "Content-Length: 7\r\n") == count(field, "Content-Length"));
  }
}

TEST_CASE("who forwarded a request is kept from all lines, and of a long list its end, RFC 9110 section 5.3") {
  ProxyWorld world{"0.0.0.1:1"};
  Script script;
  script.input.emplace_back(
      "GET / HTTP/1.1\r\nHost: f\r\nX-Forwarded-For: 10.0.0.1\r\nX-Forwarded-For: 203.0.113.9\r\n\r\n");
  script.input.emplace_back("GET / HTTP/1.1\r\nHost: f\r\nX-Forwarded-For: 203.0.113.8\r\nX-Forwarded-For: " +
                            std::string(600, '1') + ", 203.0.113.9\r\n\r\n");
  script.input.emplace_back("GET / HTTP/1.1\r\nHost: f\r\nX-Forwarded-For: " + std::string(600, '1') + "\r\n\r\n");
  const std::string answer = through(world, script);
  CHECK(count(answer, "X-Forwarded-For: 10.0.0.1, 203.0.113.9, ::\n") == 1);
  CHECK(count(answer, "X-Forwarded-For: 203.0.113.9, ::\n") == 1);
  CHECK(count(answer, "X-Forwarded-For: ::\n") == 1);
}

TEST_CASE("who takes nothing of an answer is given up, also while its request's body is waited for") {
  ProxyWorld world{"0.0.0.1:3"};
  struct Large {
    Response operator()(const Request&, Body&) {
      static const std::string text(200'000, 'l');
      return Response::text(200, text);
    }
  } large;
  Server<PipeTcp, Large> backend{world.shard_, world.tcp, large};
  Server<PipeTcp, Proxy<PipeTcp>> front{world.shard_, world.tcp, world.proxy};
  auto body = [](ProxyWorld& w, Server<PipeTcp, Large>& to, Server<PipeTcp, Proxy<PipeTcp>>& by) -> Task<int> {
    Scope scope{w.shard_};
    auto serve = [](auto& server, Port port) -> Task<void> { (void)co_await server.serve(port); };
    REQUIRE(scope.spawn(serve(to, 3)));
    REQUIRE(scope.spawn(serve(by, 4)));
    co_await sleep(1ms);
    auto client = co_await w.tcp.connect(Endpoint{{}, 4});
    REQUIRE(client);
    (void)co_await client->write(
        SliceList{Slice::from_static("GET / HTTP/1.1\r\nHost: f\r\nContent-Length: 2\r\n\r\nA")});
    co_await sleep(50s);  // the patience with the body has ended
    CHECK(w.backends.all()[0].active == 1);
    co_await sleep(15s);
    CHECK(w.backends.all()[0].active == 0);
    scope.cancel();
    co_await scope.join();
    co_return 0;
  };
  CHECK(run(world.shard_, body(world, backend, front)) == 0);
}

TEST_CASE("an upgrade becomes a tunnel, for as long as something goes through it") {
  struct Shout final : Upgrade {
    std::string_view protocol() const noexcept override { return "shout"; }
    Task<Result<void, FlowError>> run(Tunnel& tunnel) noexcept override {
      while (true) {
        auto got = co_await tunnel.read();
        if (!got || got->empty()) break;
        std::string text;
        for (const Slice& slice : *got) text += slice.text();
        text += "!";
        (void)co_await tunnel.write(SliceList{tunnel.shard().buffers().copy(as_bytes(text))});
      }
      tunnel.shutdown();
      co_return Result<void, FlowError>{};
    }
  };
  struct Upgrading {
    Response operator()(const Request&, Body&) {
      Response response;
      response.status = 101;
      response.upgrade = std::make_unique<Shout>();
      return response;
    }
  } upgrading;
  ProxyOptions options;
  options.upgrades = "shout";
  options.tunnel_idle_timeout = 30s;
  ProxyWorld world{"0.0.0.1:3", options};
  Server<PipeTcp, Upgrading> server{world.shard_, world.tcp, upgrading};
  Script script;
  script.input = {"GET / HTTP/1.1\r\nHost: f\r\nConnection: upgrade\r\nUpgrade: shout\r\n\r\n", "hey", "you"};
  script.pause = 20s;
  script.silent_at_end = true;
  auto body = [](ProxyWorld& w, Server<PipeTcp, Upgrading>& to, Script& s) -> Task<int> {
    Scope scope{w.shard_};
    auto serve = [](Server<PipeTcp, Upgrading>& srv) -> Task<void> { (void)co_await srv.serve(3); };
    REQUIRE(scope.spawn(serve(to)));
    co_await talk(w, s, scope);
    co_return 0;
  };
  CHECK(run(world.shard_, body(world, server, script)) == 0);
  CHECK(script.output.starts_with("HTTP/1.1 101 "));
  CHECK(count(script.output, "Upgrade: shout\r\n") == 1);
  CHECK(script.output.ends_with("\r\n\r\nhey!you!"));
  CHECK(world.shard_.now() - Time{1s} >= 90s);
  CHECK(world.shard_.now() - Time{1s} < 100s);
}
