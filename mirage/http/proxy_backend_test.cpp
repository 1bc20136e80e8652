// SPDX-License-Identifier: ISC
// A proxy and its backends: which are up, who waits for their connections, what it says on the way.
#include <doctest/doctest.h>

#include <mirage/http/proxy_bed_test.hpp>

using namespace mirage;
using namespace mirage::http;
using namespace mirage::http::test;

TEST_CASE("requests that a backend takes long for do not take it away from others") {
  ProxyOptions options;
  options.client.head_timeout = 10s;
  ProxyWorld world{"0.0.0.1:1", options};
  Script script;
  for (const std::string_view path : {"/nap", "/a", "/b", "/nap", "/c"}) {
    script.input.push_back("GET " + std::string{path} + " HTTP/1.1\r\nHost: f\r\n\r\n");
  }
  const std::string answer = through(world, script, false);
  CHECK(count(answer, "HTTP/1.1 504 ") == 2);
  CHECK(count(answer, "HTTP/1.1 200 ") == 3);
  CHECK(count(answer, "HTTP/1.1 503 ") == 0);
}

TEST_CASE("a host that is not there costs a request its time, no more: another one takes it") {
  ProxyWorld world{"0.0.0.1:9,0.0.0.1:1"};
  Script script;
  for (int i = 0; i < 5; ++i) script.input.emplace_back("GET / HTTP/1.1\r\nHost: f\r\n\r\n");
  script.input.emplace_back("PUT / HTTP/1.1\r\nHost: f\r\nContent-Length: 5\r\n\r\nhello");
  const std::string answer = through(world, script, false);
  CHECK(count(answer, "X-Origin: a\r\n") == 6);
  CHECK_FALSE(world.backends.all()[0].up);
  CHECK(world.backends.all()[1].up);
  CHECK(world.shard_.now() - Time{1s} < 10s);  // two that were tried in vain
}

TEST_CASE("connections that are refused count when they follow each other; an answer says that the backend is there") {
  ProxyWorld world{"0.0.0.1:2"};
  for (const bool there : {false, true, false, true, false, false, true}) {
    Script script;
    script.input.emplace_back("GET / HTTP/1.1\r\nHost: f\r\n\r\n");
    const bool was_up = world.backends.all()[0].up;
    const std::string answer = through(world, script, there);
    CHECK(answer.starts_with(there && was_up ? "HTTP/1.1 200 " : was_up ? "HTTP/1.1 502 " : "HTTP/1.1 503 "));
  }
  CHECK(world.backends.all()[0].failures == 4);
}

TEST_CASE("answers to requests are no checks: what checks find wrong stays so") {
  ProxyWorld world{"0.0.0.1:1"};
  world.a.sick = true;
  Script script;
  for (int i = 0; i < 10; ++i) script.input.emplace_back("GET / HTTP/1.1\r\nHost: f\r\n\r\n");
  script.pause = 1s;
  const std::string answer = through(world, script, false, 1ms);
  CHECK(answer.starts_with("HTTP/1.1 500 "));
  CHECK(answer.find("HTTP/1.1 503 ") != std::string::npos);
}

TEST_CASE("hosts that are not there do not delay the checks of others") {
  ProxyWorld world{"0.0.0.1:9,0.0.0.2:9,0.0.0.3:9,0.0.0.4:9,0.0.0.1:1"};
  world.a.sick = true;
  auto body = [](ProxyWorld& w) -> Task<int> {
    Scope scope{w.shard_};
    auto serve = [](Server<PipeTcp, Origin>& to) -> Task<void> { (void)co_await to.serve(1); };
    REQUIRE(scope.spawn(serve(w.server_a)));
    co_await sleep(1ms);
    REQUIRE(scope.spawn(w.proxy.check_health()));
    co_await sleep(10s);  // two rounds of 2 s for who says nothing, 5 s between them
    for (const Backend& backend : w.backends.all()) CHECK_FALSE(backend.up);
    w.a.sick = false;
    co_await sleep(14s);
    CHECK(w.backends.all()[4].up);
    const auto failures = w.backends.all()[0].failures;
    co_await sleep(5s);  // in the middle of a round
    scope.cancel();
    co_await scope.join();
    CHECK(w.backends.all()[0].failures == failures);  // what is cancelled says nothing
    co_return 0;
  };
  CHECK(run(world.shard_, body(world)) == 0);
}

TEST_CASE("head and body of a request do not wait for each other: no Nagle towards backends") {
  ProxyWorld world{"0.0.0.1:1"};
  Script script;
  script.input.emplace_back("POST / HTTP/1.1\r\nHost: f\r\nContent-Length: 5\r\n\r\nhello");
  (void)through(world, script, false);
  REQUIRE(world.tcp.wires.size() == 1);
  CHECK(world.tcp.wires[0]->pipes[0].no_delay);
}

TEST_CASE("a target that the server takes is no fault of the backend") {
  ProxyWorld world{"0.0.0.1:1"};
  Script script;
  script.input.emplace_back("GET /J\xc3\xbcrg HTTP/1.1\r\nHost: f\r\n\r\n");
  const std::string answer = through(world, script, false);
  CAPTURE(answer);
  CHECK(answer.starts_with("HTTP/1.1 200 "));
  CHECK(count(answer, "a /J\xc3\xbcrg\n") == 1);  // as it came
}

TEST_CASE("who waits for a connection gets the next one, whoever asks again") {
  ProxyOptions options;
  options.client.maximum_per_origin = 1;
  ProxyWorld world{"0.0.0.1:1", options};
  Script greedy;  // pipelines: a request of it is there whenever one is answered
  greedy.input.emplace_back();
  for (int i = 0; i < 8; ++i) greedy.input.front() += "GET /nap HTTP/1.1\r\nHost: f\r\n\r\n";
  Script modest;
  modest.input.emplace_back("GET /modest HTTP/1.1\r\nHost: f\r\n\r\n");
  modest.pause = 1s;
  world.proxy.~Proxy();
  ProxyOptions patient = options;
  patient.client.waiting_timeout = 25s;  // one nap
  new (&world.proxy) Proxy<PipeTcp>(world.shard_, world.tcp, world.backends, patient);
  auto body = [](ProxyWorld& w, Script& one, Script& two) -> Task<int> {
    Scope scope{w.shard_};
    auto origin = [](Server<PipeTcp, Origin>& to) -> Task<void> { (void)co_await to.serve(1); };
    REQUIRE(scope.spawn(origin(w.server_a)));
    co_await sleep(1ms);
    ServerCounters counters;
    DateCache date;
    using C = Connection<ScriptedFlow, Proxy<PipeTcp>>;
    C first{ScriptedFlow{w.shard_, one}, w.proxy, w.front_options, counters, date};
    C second{ScriptedFlow{w.shard_, two}, w.proxy, w.front_options, counters, date};
    Scope clients{w.shard_};
    auto serve = [](Shard&, C& c) -> Task<void> { (void)co_await c.run(); };
    REQUIRE(clients.spawn(serve(w.shard_, first)));
    REQUIRE(clients.spawn(serve(w.shard_, second)));
    co_await clients.join();
    scope.cancel();
    co_await scope.join();
    co_return 0;
  };
  CHECK(run(world.shard_, body(world, greedy, modest)) == 0);
  CHECK(modest.output.starts_with("HTTP/1.1 200 "));
  CHECK(count(greedy.output, "HTTP/1.1 200 ") == 8);
}

TEST_CASE("a request that got no connection of one backend in time goes to another one") {
  ProxyOptions options;
  options.client.maximum_per_origin = 1;
  options.client.waiting_timeout = 1s;
  ProxyWorld world{"0.0.0.1:1,0.0.0.1:2", options};
  Script slow, other;
  slow.input.emplace_back("GET /nap HTTP/1.1\r\nHost: f\r\n\r\n");
  for (int i = 0; i < 2; ++i) other.input.emplace_back("GET /x HTTP/1.1\r\nHost: f\r\n\r\n");
  other.pause = 1s;
  auto body = [](ProxyWorld& w, Script& one, Script& two) -> Task<int> {
    Scope scope{w.shard_}, clients{w.shard_};
    auto origin = [](Server<PipeTcp, Origin>& to, Port port) -> Task<void> { (void)co_await to.serve(port); };
    REQUIRE(scope.spawn(origin(w.server_a, 1)));
    REQUIRE(scope.spawn(origin(w.server_b, 2)));
    co_await sleep(1ms);
    REQUIRE(clients.spawn(talk(w, one, scope)));
    REQUIRE(clients.spawn(talk(w, two, scope)));
    co_await clients.join();
    co_return 0;
  };
  CHECK(run(world.shard_, body(world, slow, other)) == 0);
  CHECK(count(other.output, "X-Origin: b\r\n") == 2);
  CHECK(world.backends.all()[0].failures == 0);
}

TEST_CASE("a head that the client takes is not too large for the proxy") {
  ProxyWorld world{"0.0.0.1:1"};
  static const std::string head = "HTTP/1.1 200 OK\r\nContent-Length: 0\r\nX-Much: " + std::string(16'000, 'm');
  static const std::string answer = head + "\r\n\r\n";
  Stubborn backend{world.shard_, answer};
  Script script;
  script.input.emplace_back("GET / HTTP/1.1\r\nHost: f\r\n\r\n");
  const std::string got = through(world, backend, script);
  CHECK(got.starts_with("HTTP/1.1 200 "));
  CHECK(count(got, std::string(16'000, 'm')) == 1);
}

TEST_CASE("a request with the fields of a browser takes buffers of about their size while it is passed on") {
  ProxyWorld world{"0.0.0.1:1"};
  Script script;
  script.input.emplace_back("GET /nap HTTP/1.1\r\nHost: f\r\nCookie: " + std::string(1100, 'c') + "\r\n\r\n");
  CHECK(through(world, script, false).starts_with("HTTP/1.1 200 "));
  CAPTURE(world.shard_.buffers().statistics().peak_in_use);
  CHECK(world.shard_.buffers().statistics().peak_in_use <= std::size_t{32} * 1024);
}

TEST_CASE("Via says what the message came by, RFC 9110 section 7.6.3") {
  ProxyWorld world{"0.0.0.1:1"};
  Script script;
  script.input.emplace_back("GET / HTTP/1.0\r\nHost: f\r\nVia: 1.1 front\r\n\r\n");
  const std::string answer = through(world, script);
  CHECK(count(answer, "Via: 1.1 front\n") == 1);
  CHECK(count(answer, "Via: 1.0 mirage\n") == 1);
  CHECK(count(answer, "Via: 1.1 mirage\r\n") == 1);

  ProxyWorld old{"0.0.0.1:1"};
  Script other;
  other.input.emplace_back("GET / HTTP/1.1\r\nHost: f\r\n\r\n");
  Stubborn backend{old.shard_, "HTTP/1.0 200 OK\r\nContent-Length: 0\r\n\r\n"};
  CHECK(count(through(old, backend, other), "Via: 1.0 mirage\r\n") == 1);
  CHECK(count(backend.request, "Via: 1.1 mirage\r\n") == 1);

  Request request;
  request.version = Version::http_2;
  HeaderBlock fields;
  REQUIRE(add_forwarded(fields, request));
  CHECK(count(fields.text(), "Via: 2 mirage\r\n") == 1);
}

TEST_CASE("Max-Forwards of TRACE and OPTIONS, RFC 9110 section 7.6.2") {
  ProxyWorld world{"0.0.0.1:1"};
  Script script;
  for (const std::string_view request : {"OPTIONS /a HTTP/1.1\r\nHost: f\r\nMax-Forwards: 2\r\n\r\n",
                                         "OPTIONS /b HTTP/1.1\r\nHost: f\r\nMax-Forwards: 0\r\n\r\n",
                                         "TRACE /c HTTP/1.1\r\nHost: f\r\nMax-Forwards: 0\r\n\r\n",
                                         "GET /d HTTP/1.1\r\nHost: f\r\nMax-Forwards: 0\r\n\r\n",
                                         "OPTIONS /e HTTP/1.1\r\nHost: f\r\nMax-Forwards: many\r\n\r\n",
                                         "OPTIONS /f HTTP/1.1\r\nHost: f\r\nMax-Forwards: \r\n\r\n",
                                         "TRACE /g HTTP/1.1\r\nHost: f\r\nMax-Forwards: 0000000000000\r\n\r\n",
                                         "OPTIONS /h HTTP/1.1\r\nHost: f\r\nMax-Forwards: 4294967296\r\n\r\n"}) {
    script.input.emplace_back(request);
  }
  const std::string answer = through(world, script);
  CHECK(count(answer, "a /a\n") == 1);
  CHECK(count(answer, "Max-Forwards: 1\n") == 1);
  CHECK(count(answer, "a /d\n") == 1);
  CHECK(count(answer, "Max-Forwards: 0\n") == 1);  // it means nothing to GET
  CHECK(count(answer, "a /h\n") == 1);
  CHECK(count(answer, "Max-Forwards: 4294967294\n") == 1);
  CHECK(world.a.asked == 3);
  CHECK(count(answer, "HTTP/1.1 200 ") == 4);
  CHECK(count(answer, "HTTP/1.1 501 ") == 2);
  CHECK(count(answer, "HTTP/1.1 400 ") == 2);
}
