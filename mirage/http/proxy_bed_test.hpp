// SPDX-License-Identifier: ISC
// A proxy in front of two origins, in virtual time.
#pragma once

#include <memory>
#include <string>

#include <doctest/doctest.h>

#include <mirage/http/connection_test.hpp>
#include <mirage/http/pipe_test.hpp>
#include <mirage/http/proxy.hpp>
#include <mirage/http/server.hpp>

namespace mirage::http::test {

/// A backend that says who it is and what it was asked.
struct Origin {
  Shard& shard() { return shard_; }
  Task<Response> operator()(const Request& request, Body& body) {
    ++asked;
    std::string text = name + " " + std::string{request.target} + "\n";
    for (const Header& header : request.headers()) {
      text += std::string{header.name} + ": " + std::string{header.value} + "\n";
    }
    std::size_t size = 0;
    while (true) {
      const auto part = co_await body.read();
      if (!part || part->empty()) break;
      size += part->byte_count();
    }
    text += "body " + std::to_string(size) + "\n";
    for (const Header field : body.trailers()) {
      text += "trailer " + std::string{field.name} + ": " + std::string{field.value} + "\n";
    }
    if (request.path == "/nap") (void)co_await sleep(20s);
    if (sick) co_return Response::text(500, "sick\n");
    Response response;
    response.body = SliceList{shard_.buffers().copy(as_bytes(text))};
    (void)response.headers.add("X-Origin", name);
    (void)response.headers.add("Keep-Alive", std::string_view{"timeout=5"});
    co_return response;
  }
  Shard& shard_;
  std::string name;
  bool sick = false;
  unsigned asked = 0;
};

struct ProxyWorld {
  explicit ProxyWorld(std::string_view specification, const ProxyOptions& options = {})
      : proxy(shard_, tcp, parsed(specification), options) {}
  Shard& shard() { return shard_; }
  Backends& parsed(std::string_view text) {
    REQUIRE(backends.parse(text));
    return backends;
  }
  TestEnvironment environment;
  Shard shard_{environment};
  PipeTcp tcp{shard_};
  Origin a{shard_, "a"}, b{shard_, "b"};
  Backends backends;
  Proxy<PipeTcp> proxy;
  Server<PipeTcp, Origin> server_a{shard_, tcp, a}, server_b{shard_, tcp, b};
  ServerOptions front_options{.maximum_body = UINT64_MAX, .listen = {}};
};

/// A client's connection to the proxy from beginning to end, which is the end of `scope`, too.
inline Task<void> talk(ProxyWorld& world, Script& script, Scope& scope) {
  ServerCounters counters;
  DateCache date;
  Connection<ScriptedFlow, Proxy<PipeTcp>> connection{ScriptedFlow{world.shard_, script}, world.proxy,
                                                      world.front_options, counters, date};
  (void)co_await connection.run();
  scope.cancel();
  co_await scope.join();
}

/// Origins at ports 1 and 2; `input` is a client's connection to the proxy.
inline std::string through(ProxyWorld& world, Script& script, bool with_b = true, Duration wait = {}) {
  auto body = [](ProxyWorld& w, Script& s, bool both, Duration pause) -> Task<int> {
    Scope scope{w.shard_};
    auto serve = [](Server<PipeTcp, Origin>& to, Port port) -> Task<void> { (void)co_await to.serve(port); };
    REQUIRE(scope.spawn(serve(w.server_a, 1)));
    if (both) REQUIRE(scope.spawn(serve(w.server_b, 2)));
    if (pause > Duration{}) REQUIRE(scope.spawn(w.proxy.check_health()));
    co_await sleep(pause + 1ms);
    co_await talk(w, s, scope);
    co_return 0;
  };
  REQUIRE(run(world.shard_, body(world, script, with_b, wait)) == 0);
  return script.output;
}

/// A backend that answers its first request with what it was told to, whatever that asks, and keeps the connection.
struct Stubborn {
  Shard& shard() { return shard_; }
  Task<void> serve(PipeTcp& tcp) {
    auto listener = tcp.listen(1, {});
    auto flow = co_await listener->accept();
    if (!flow) co_return;
    if (const auto asked = co_await flow->read()) request += (*asked)[0].text();
    (void)co_await flow->write(SliceList{Slice::from_static(answer)});
    while (true) {
      const auto got = co_await flow->read();
      if (!got || got->empty()) break;
      for (const Slice& slice : *got) seen += slice.text();
    }
  }
  Shard& shard_;
  std::string_view answer;
  std::string request{};
  std::string seen{};
};

inline std::string through(ProxyWorld& world, Stubborn& backend, Script& script) {
  auto body = [](ProxyWorld& w, Stubborn& to, Script& s) -> Task<int> {
    Scope scope{w.shard_};
    REQUIRE(scope.spawn(to.serve(w.tcp)));
    co_await sleep(1ms);
    co_await talk(w, s, scope);
    co_return 0;
  };
  CHECK(run(world.shard_, body(world, backend, script)) == 0);
  return script.output;
}

}  // namespace mirage::http::test
