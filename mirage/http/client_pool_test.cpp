// SPDX-License-Identifier: ISC
// Connections that are kept: their bounds, and who waits for one.
#include <doctest/doctest.h>

#include <mirage/http/client_bed_test.hpp>

using namespace mirage;
using namespace mirage::http;
using namespace mirage::http::test;

namespace {

/// A second origin, "http://h:2", for as long as `scope` is.
Task<void> open(Scope& scope, TestServer& server) {
  auto serve = [](TestServer& to) -> Task<void> { (void)co_await to.serve(2); };
  REQUIRE(scope.spawn(serve(server)));
  co_await sleep(1ms);
}

}  // namespace

TEST_CASE("connections are bounded per origin; who comes late waits, not for ever") {
  World world{{.maximum_per_origin = 2, .waiting_timeout = 5s}};
  with(world, [](World& w) -> Task<void> {
    auto a = co_await w.client.fetch("http://h:1/");
    auto b = co_await w.client.fetch("http://h:1/");
    REQUIRE(a);
    REQUIRE(b);
    const Time before = w.shard.now();
    const auto c = co_await w.client.fetch("http://h:1/");
    CHECK(c.error_or(ClientError::no_memory) == ClientError::busy);
    CHECK(w.shard.now() - before >= 5s);
    CHECK(w.client.pool().connections() == 2);
  });
  CHECK(world.tcp.connects == 2);
}

TEST_CASE("a connection that becomes free wakes who can use it, not who came first") {
  World world{{.maximum_per_origin = 1, .waiting_timeout = 5s}};
  TestServer second{world.shard, world.tcp, world.app};
  with(world, [&second](World& w) -> Task<void> {
    Scope scope{w.shard};
    co_await open(scope, second);
    auto a = co_await w.client.fetch("http://h:1/");
    auto b = std::make_unique<Result<ClientResponse, ClientError>>(co_await w.client.fetch("http://h:2/"));
    REQUIRE((a && *b));
    auto ask = [](World& of, std::string_view url, ClientError& error, Time& done) -> Task<void> {
      const auto answer = co_await of.client.fetch(url);
      error = answer ? ClientError::bad_url : answer.error();
      done = of.shard.now();
    };
    std::array<ClientError, 3> errors{};
    std::array<Time, 3> done{};
    REQUIRE(scope.spawn(ask(w, "http://h:1/", errors[0], done[0])));
    REQUIRE(scope.spawn(ask(w, "http://h:2/", errors[1], done[1])));
    REQUIRE(scope.spawn(ask(w, "http://h:2/", errors[2], done[2])));
    co_await sleep(1s);
    std::string text;
    CHECK(co_await collect(w.shard, (*b)->body(), text));
    const Time freed = w.shard.now();
    b.reset();
    co_await sleep(10s);
    CHECK(errors[0] == ClientError::busy);
    for (const std::size_t i : {1U, 2U}) {
      CHECK(errors[i] == ClientError::bad_url);
      CHECK(done[i] - freed < 1s);
    }
    scope.cancel();
    co_await scope.join();
  });
}

namespace {

/// Asks and reads the whole answer; then "name " is in `order`, or "-name " when there was none.
Task<void> take_turn(World& world, std::string_view url, std::string_view name, std::string& order) {
  auto answer = co_await world.client.fetch(url);
  std::string text;
  if (answer && !co_await collect(world.shard, answer->body(), text)) answer = Failure{ClientError::closed};
  order += (answer ? "" : "-") + std::string{name} + " ";
}

}  // namespace

TEST_CASE("a connection that becomes free is the first one's who waits for it, not that of who asks next") {
  World world{{.maximum_per_origin = 1, .waiting_timeout = 5s}};
  with(world, [](World& w) -> Task<void> {
    Scope scope{w.shard};
    std::string order;
    auto held = std::make_unique<Result<ClientResponse, ClientError>>(co_await w.client.fetch("http://h:1/"));
    REQUIRE(*held);
    for (const std::string_view name : {"a", "b"}) REQUIRE(scope.spawn(take_turn(w, "http://h:1/", name, order)));
    co_await sleep(1s);
    std::string text;
    CHECK(co_await collect(w.shard, (*held)->body(), text));
    held.reset();
    co_await take_turn(w, "http://h:1/", "next", order);
    CHECK(order == "a b next ");
    CHECK(w.tcp.connects == 1);
    co_await scope.join();
  });
}

TEST_CASE("a place for a connection that becomes free is the first one's who waits for it") {
  World world{{.maximum_connections = 1, .waiting_timeout = 5s}};
  TestServer second{world.shard, world.tcp, world.app};
  with(world, [&second](World& w) -> Task<void> {
    Scope server{w.shard};
    co_await open(server, second);
    Scope scope{w.shard};
    std::string order;
    auto held = std::make_unique<Result<ClientResponse, ClientError>>(co_await w.client.fetch("http://h:1/close"));
    REQUIRE(*held);
    REQUIRE(scope.spawn(take_turn(w, "http://h:2/", "a", order)));
    REQUIRE(scope.spawn(take_turn(w, "http://h:1/", "b", order)));
    co_await sleep(1s);
    held.reset();
    co_await take_turn(w, "http://h:1/", "next", order);
    co_await scope.join();
    CHECK(order == "a b next ");
    CHECK(w.client.pool().connections() == 1);
    server.cancel();
    co_await server.join();
  });
}

TEST_CASE("who asks once more because a kept connection had ended keeps its turn") {
  World world{{.maximum_per_origin = 1, .waiting_timeout = 60s}};
  with(world, [](World& w) -> Task<void> {
    Scope scope{w.shard};
    std::string order;
    co_await take_turn(w, "http://h:1/", "first", order);
    REQUIRE(scope.spawn(take_turn(w, "http://h:1/slow", "a", order)));
    REQUIRE(scope.spawn(take_turn(w, "http://h:1/b", "b", order)));
    co_await sleep(1s);
    w.tcp.wires[0]->break_off();
    co_await scope.join();
    CHECK(w.client.pool().counters().retried == 1);
    CHECK(w.app.seen == std::vector<std::string>{"GET /", "GET /slow", "GET /slow", "GET /b"});
    CHECK(order == "first -a b ");
  });
}

TEST_CASE("what was handed to somebody who gives up at that moment goes to the next one") {
  for (const std::string_view path : {"/", "/close"}) {
    for (const bool handed_first : {false, true}) {
      CAPTURE(path);
      CAPTURE(handed_first);
      World world{{.maximum_per_origin = 1, .waiting_timeout = 5s}};
      with(world, [path, handed_first](World& w) -> Task<void> {
        Scope first{w.shard}, second{w.shard};
        std::string order;
        auto held = std::make_unique<Result<ClientResponse, ClientError>>(
            co_await w.client.fetch("http://h:1" + std::string{path}));
        REQUIRE(*held);
        REQUIRE(first.spawn(take_turn(w, "http://h:1/", "a", order)));
        REQUIRE(second.spawn(take_turn(w, "http://h:1/", "b", order)));
        co_await sleep(1s);
        std::string text;
        CHECK(co_await collect(w.shard, (*held)->body(), text));
        if (!handed_first) first.cancel();
        held.reset();
        if (handed_first) first.cancel();
        const Time freed = w.shard.now();
        co_await first.join();
        co_await second.join();
        CHECK(order == "-a b ");
        CHECK(w.shard.now() - freed < 1s);
        CHECK(w.client.pool().connections() == 1);
        co_await take_turn(w, "http://h:1/", "c", order);
        CHECK(order == "-a b c ");
      });
    }
  }
}

TEST_CASE("a connection that becomes free as the time of who waits is over is not lost") {
  for (const bool earlier : {false, true}) {
    World world{{.maximum_per_origin = 1, .waiting_timeout = 5s}};
    with(world, [earlier](World& w) -> Task<void> {
      Scope scope{w.shard};
      std::string order;
      auto held = std::make_unique<Result<ClientResponse, ClientError>>(co_await w.client.fetch("http://h:1/"));
      REQUIRE(*held);
      std::string text;
      CHECK(co_await collect(w.shard, (*held)->body(), text));
      auto let_go = [](Shard&, auto& what) -> Task<void> {
        (void)co_await sleep(5s);
        what.reset();
      };
      if (earlier) REQUIRE(scope.spawn(let_go(w.shard, held)));
      REQUIRE(scope.spawn(take_turn(w, "http://h:1/", "a", order)));
      if (!earlier) REQUIRE(scope.spawn(let_go(w.shard, held)));
      co_await scope.join();
      const Time before = w.shard.now();
      co_await take_turn(w, "http://h:1/", "b", order);
      CHECK(order.ends_with("a b "));
      CHECK(w.shard.now() - before < 1s);
      CHECK(w.client.pool().connections() == 1);
    });
  }
}

TEST_CASE("who waits for an origin that hangs gives way to others when the queue is full, who came last first") {
  World world{{.maximum_per_origin = 1, .maximum_waiting = 8, .waiting_timeout = 5s}};
  TestServer second{world.shard, world.tcp, world.app};
  with(world, [&second](World& w) -> Task<void> {
    Scope scope{w.shard};
    co_await open(scope, second);
    std::string hung, other;
    Scope clients{w.shard};
    for (int i = 0; i < 20; ++i) REQUIRE(clients.spawn(take_turn(w, "http://h:1/slow", "x", hung)));
    co_await sleep(1ms);
    CHECK(hung.size() / 3 == 20 - 1 - 8);  // refused at once: all places are taken, and nobody else wants one
    for (const std::string_view name : {"a", "b", "c"}) {
      REQUIRE(clients.spawn(take_turn(w, "http://h:2/", name, other)));
    }
    co_await sleep(1s);
    CHECK(other == "a b c ");
    CHECK(hung.size() / 3 == 20 - 1 - 8 + 2);  // "a" has not waited
    clients.cancel();
    co_await clients.join();
    scope.cancel();
    co_await scope.join();
  });
}

namespace {

/// An origin that counts how often it is looked at.
struct Watched {
  int id = 0;
  bool operator==(const Watched& other) const noexcept {
    ++looks;
    return id == other.id;
  }
  static inline unsigned looks = 0;
};
struct WatchedDialler {
  using Flow = PipeFlow;
  using Origin = Watched;
  using Error = FlowError;
  Shard& shard() { return tcp.shard(); }
  Task<Result<PipeFlow, FlowError>> connect(const Watched&) { co_return co_await tcp.connect(Endpoint{{}, 1}); }
  PipeTcp& tcp;
};

}  // namespace

TEST_CASE("who waits for origins that hang is hardly looked at when another one's connection becomes free") {
  World world;
  with(world, [](World& w) -> Task<void> {
    ClientPool pool{WatchedDialler{w.tcp}, {.waiting_timeout = 100s}};
    auto ask = [](Shard&, ClientPool<WatchedDialler>& by, int id, std::string_view path) -> Task<void> {
      ClientRequest request;
      (void)co_await by.ask(Watched{id}, path, "h", request);
    };
    Scope clients{w.shard};
    for (int i = 0; i < 60; ++i) REQUIRE(clients.spawn(ask(w.shard, pool, i % 2, "/slow")));
    co_await sleep(1s);
    Watched::looks = 0;
    co_await ask(w.shard, pool, 2, "/");
    CHECK(Watched::looks < 300);
    clients.cancel();
    co_await clients.join();
  });
}

TEST_CASE("tunnels take no connections away; they have a bound of their own") {
  World world{{.maximum_connections = 2, .maximum_per_origin = 1, .maximum_tunnels = 3}};
  std::vector<PipeFlow> flows;
  with(world, [&flows](World& w) -> Task<void> {
    Scope scope{w.shard};
    REQUIRE(scope.spawn(shout(w.tcp, flows)));
    co_await yield();
    co_await yield();
    {
      auto a = co_await ask_to_shout(w);
      auto b = co_await ask_to_shout(w);
      auto c = co_await ask_to_shout(w);
      REQUIRE((a && b && c));
      CHECK(w.client.pool().tunnels() == 3);
      CHECK(w.client.pool().connections() == 0);
      const auto d = co_await ask_to_shout(w);
      CHECK(d.error_or(ClientError::closed) == ClientError::busy);
      CHECK(co_await w.client.fetch("http://h:2/"));
    }
    CHECK(w.client.pool().tunnels() == 0);
    CHECK(w.client.pool().counters().tunnels == 3);
    CHECK(co_await ask_to_shout(w));
    scope.cancel();
    co_await scope.join();
  });
}

TEST_CASE("kept connections are closed when nobody needs them") {
  World world{{.idle_timeout = 20s}};
  with(world, [](World& w) -> Task<void> {
    {
      auto response = co_await w.client.fetch("http://h:1/");
      std::string text;
      CHECK(co_await collect(w.shard, response->body(), text));
    }
    CHECK(w.client.pool().connections() == 1);
    co_await sleep(19s);
    CHECK(w.client.pool().connections() == 1);
    co_await sleep(2s);
    CHECK(w.client.pool().connections() == 0);
  });
}
