// SPDX-License-Identifier: ISC
#include <memory>
#include <string>

#include <doctest/doctest.h>

#include <mirage/http/client.hpp>
#include <mirage/http/connection_test.hpp>
#include <mirage/http/mirror_test.hpp>
#include <mirage/http/pipe_test.hpp>
#include <mirage/http/server.hpp>

using namespace mirage;
using namespace mirage::http;
using namespace mirage::http::test;

namespace {

/// Reads a body to its end; "ERROR" when that fails. The result is given by reference: a string has no `no_memory`.
Task<Result<void, ReadError>> collect(Shard&, Body& body, std::string& out) {
  while (true) {
    auto part = co_await body.read();
    if (!part) co_return Failure{part.error()};
    if (part->empty()) co_return Result<void, ReadError>{};
    for (const Slice& slice : *part) out += slice.text();
  }
}

/// What a body is made of in these tests.
struct Uploaded final : BodySource {
  Uploaded(Shard& s, std::size_t n) : shard_(s), left(n) {}
  Shard& shard() { return shard_; }
  Task<Result<SliceList, BodyError>> next() noexcept override {
    const std::size_t size = left < 1000 ? left : 1000;
    left -= size;
    static const std::string text(1000, 'u');
    co_return SliceList{Slice::from_static(std::string_view{text}.substr(0, size))};
  }
  Shard& shard_;
  std::size_t left;
};

struct App {
  Shard& shard() { return shard_; }
  Task<Response> operator()(const Request& request, Body& body) {
    seen.emplace_back(std::string{request.method_text} + " " + std::string{request.target});
    if (const auto value = request.header("authorization")) seen.back() += " auth";
    if (request.path == "/slow") (void)co_await sleep(100s);
    if (request.path.starts_with("/to/")) {
      Response response = Response::text(static_cast<std::uint16_t>(request.path[4] - '0') + 300, "over there\n");
      (void)response.headers.add("Location", request.query);
      co_return response;
    }
    if (request.path == "/echo") {
      Response response;
      response.source = std::make_unique<Mirror>(shard_, body);
      co_return response;
    }
    if (request.path == "/refuse") co_return Response::text(403, "no\n");
    std::string got;
    if (!co_await collect(shard_, body, got)) co_return Response::text(400, "bad\n");
    received = got.size();
    Response response = Response::text(200, "hello\n");
    response.close = request.path == "/close";
    co_return response;
  }
  Shard& shard_;
  std::vector<std::string> seen;
  std::size_t received = 0;
};

using TestServer = Server<PipeTcp, App>;
using TestClient = Client<Names>;

struct World {
  explicit World(const ClientOptions& options = {}, const ServerOptions& server_options = {})
      : server(shard, tcp, app, server_options), client(shard, names, options) {}
  TestEnvironment environment;
  Shard shard_{environment};
  Shard& shard = shard_;
  PipeTcp tcp{shard};
  App app{shard, {}, 0};
  Names names{tcp};
  TestServer server;
  TestClient client;
};

/// Runs `talk` against the server at port 1.
template <class Talk>
void with(World& world, Talk talk) {
  auto body = [](World& w, Talk& t) -> Task<int> {
    Scope scope{w.shard};
    auto serve = [](World& world_) -> Task<void> { (void)co_await world_.server.serve(1); };
    REQUIRE(scope.spawn(serve(w)));
    co_await yield();
    co_await yield();
    co_await t(w);
    scope.cancel();
    co_await scope.join();
    co_return 0;
  };
  REQUIRE(run(world.shard, body(world, talk)) == 0);
}

}  // namespace

TEST_CASE("requests to one origin share a connection") {
  World world;
  with(world, [](World& w) -> Task<void> {
    for (int i = 0; i < 5; ++i) {
      auto response = co_await w.client.fetch("http://h:1/a?b");
      REQUIRE(response);
      CHECK(response->status() == 200);
      std::string text;
      CHECK(co_await collect(w.shard, response->body(), text));
      CHECK(text == "hello\n");
    }
    CHECK(w.tcp.connects == 1);
    CHECK(w.client.pool().counters().reused == 4);
    CHECK(w.tcp.wires[0]->pipes[1].no_delay);  // the end of an answer waits for no acknowledgement
    auto closing = co_await w.client.fetch("http://h:1/close");
    REQUIRE(closing);
    std::string text;
    CHECK(co_await collect(w.shard, closing->body(), text));
  });
  CHECK(world.app.seen.size() == 6);
  CHECK(world.client.pool().connections() == 0);
}

TEST_CASE("an answer that nobody asked for answers no request, RFC 9112 section 9.2") {
  World world;
  with(world, [](World& w) -> Task<void> {
    const auto get = [](World& to, std::string_view method, std::string& text) -> Task<void> {
      ClientRequest request;
      request.method = method;
      auto response = co_await to.client.fetch("http://h:1/", std::move(request));
      REQUIRE(response);
      CHECK(co_await collect(to.shard, response->body(), text));
    };
    std::string text;
    co_await get(w, "HEAD", text);
    CHECK(text.empty());
    CHECK(w.client.pool().connections() == 1);
    // A body of HEAD's answer, in a segment of its own.
    constexpr std::string_view evil = "HTTP/1.1 200 OK\r\nContent-Length: 5\r\n\r\nevil\n";
    w.tcp.wires[0]->pipes[1].slices.push_back(Slice::from_static(evil));
    co_await get(w, "GET", text);
    CHECK(text == "hello\n");
    REQUIRE(w.tcp.connects == 2);
    CHECK(w.client.pool().counters().unasked == 1);
    // So a server's 408 on a connection that it gives up.
    w.tcp.wires[1]->pipes[1].slices.push_back(
        Slice::from_static("HTTP/1.1 408 Request Timeout\r\nContent-Length: 0\r\n\r\n"));
    w.tcp.wires[1]->pipes[1].ended = true;
    text.clear();
    co_await get(w, "POST", text);
    CHECK(text == "hello\n");
    CHECK(w.client.pool().counters().unasked == 2);
    CHECK(w.client.pool().counters().retried == 0);
    CHECK(w.client.pool().connections() == 1);
  });
}

TEST_CASE("a kept connection that has ended meanwhile costs one more attempt, for requests that may be repeated") {
  World world;
  with(world, [](World& w) -> Task<void> {
    {
      auto first = co_await w.client.fetch("http://h:1/");
      std::string text;
      CHECK(co_await collect(w.shard, first->body(), text));
    }
    w.tcp.wires[0]->late = true;  // the server's end is on its way when the request goes out
    w.tcp.wires[0]->pipes[1].ended = true;
    auto second = co_await w.client.fetch("http://h:1/");
    REQUIRE(second);
    CHECK(second->status() == 200);
    CHECK(w.client.pool().counters().retried == 1);
  });
  World posting;
  with(posting, [](World& w) -> Task<void> {
    {
      auto first = co_await w.client.fetch("http://h:1/");
      std::string text;
      CHECK(co_await collect(w.shard, first->body(), text));
    }
    w.tcp.wires[0]->late = true;
    w.tcp.wires[0]->pipes[1].ended = true;
    ClientRequest request;
    request.method = "POST";
    const auto second = co_await w.client.fetch("http://h:1/", std::move(request));
    CHECK(second.error_or(ClientError::no_memory) == ClientError::closed);
  });
}

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
    auto serve = [](TestServer& server) -> Task<void> { (void)co_await server.serve(2); };
    REQUIRE(scope.spawn(serve(second)));
    co_await sleep(1ms);
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
    auto serve = [](TestServer& to) -> Task<void> { (void)co_await to.serve(2); };
    REQUIRE(server.spawn(serve(second)));
    co_await sleep(1ms);
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

namespace {

/// Changes to "shout" when asked for it, and keeps the connection.
Task<void> shout(PipeTcp& tcp, std::vector<PipeFlow>& flows) {
  auto listener = tcp.listen(2, {});
  while (true) {
    auto flow = co_await listener->accept();
    if (!flow) co_return;
    const auto asked = co_await flow->read();
    if (!asked || asked->empty()) continue;
    const bool upgrade = (*asked)[0].text().find("Upgrade: shout") != std::string_view::npos;
    const std::string_view answer = upgrade ? "HTTP/1.1 101 S\r\nConnection: Upgrade\r\nUpgrade: shout\r\n\r\n"
                                            : "HTTP/1.1 200 OK\r\nConnection: close\r\nContent-Length: 0\r\n\r\n";
    (void)co_await flow->write(SliceList{Slice::from_static(answer)});
    flows.push_back(*std::move(flow));
  }
}

Task<Result<ClientResponse, ClientError>> ask_to_shout(World& world) {
  ClientRequest request;
  request.upgrade = "shout";
  co_return co_await world.client.fetch("http://h:2/", std::move(request));
}

}  // namespace

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

TEST_CASE("redirects, RFC 9110 section 15.4") {
  World world;
  with(world, [](World& w) -> Task<void> {
    ClientRequest request;
    (void)request.headers.add("Authorization", std::string_view{"secret"});
    auto response = co_await w.client.fetch("http://h:1/to/2?../x/./y", std::move(request));
    REQUIRE(response);
    CHECK(response->status() == 200);
    ClientRequest other;
    (void)other.headers.add("Authorization", std::string_view{"secret"});
    CHECK(co_await w.client.fetch("http://h:1/to/1?http://other:1/z", std::move(other)));
    ClientRequest post;
    post.method = "POST";
    post.body = SliceList{Slice::from_static(std::string_view{"abc"})};
    CHECK(co_await w.client.fetch("http://h:1/to/8?/again", std::move(post)));
    ClientRequest see_other;
    see_other.method = "POST";
    see_other.body = SliceList{Slice::from_static(std::string_view{"abc"})};
    CHECK(co_await w.client.fetch("http://h:1/to/3?/seen", std::move(see_other)));
    CHECK((co_await w.client.fetch("http://h:1/to/2?/to/2")).error_or(ClientError::busy) ==
          ClientError::too_many_redirects);
  });
  const std::vector<std::string> expected{"GET /to/2?../x/./y auth",
                                          "GET /x/y auth",
                                          "GET /to/1?http://other:1/z auth",
                                          "GET /z",
                                          "POST /to/8?/again",
                                          "POST /again",
                                          "POST /to/3?/seen",
                                          "GET /seen"};
  REQUIRE(world.app.seen.size() >= expected.size());
  for (std::size_t i = 0; i < expected.size(); ++i) CHECK(world.app.seen[i] == expected[i]);
}

TEST_CASE("bodies stream both ways at once, and neither side runs ahead of the other") {
  for (const bool known : {false, true}) {
    World world{{}, {.maximum_body = UINT64_MAX, .listen = {}}};
    with(world, [known](World& w) -> Task<void> {
      constexpr std::size_t size = 300'000;
      ClientRequest request;
      request.method = "POST";
      request.source = std::make_unique<Uploaded>(w.shard, size);
      request.source_length = size;
      request.source_length_known = known;
      auto response = co_await w.client.fetch("http://h:1/echo", std::move(request));
      REQUIRE(response);
      // As long as nobody reads the answer, the request stops as well.
      co_await sleep(10s);
      CHECK(w.tcp.wires[0]->pipes[0].total < 60'000);
      std::string text;
      CHECK(co_await collect(w.shard, response->body(), text));
      CHECK(text == std::string(size, 'u'));
      co_await response->end();
    });
    CHECK(world.tcp.wires[0]->pipes[0].largest < 2 * Pipe::window + 1024);
    CHECK(world.client.pool().connections() == 1);
  }
}

TEST_CASE("a body that is refused is not sent any further, RFC 9112 section 9.5") {
  World world{{}, {.maximum_body = UINT64_MAX, .listen = {}}};
  with(world, [](World& w) -> Task<void> {
    ClientRequest request;
    request.method = "PUT";
    request.source = std::make_unique<Uploaded>(w.shard, 10'000'000);
    auto response = co_await w.client.fetch("http://h:1/refuse", std::move(request));
    if (response) co_await response->end();
    CHECK(w.tcp.wires[0]->pipes[0].total < 200'000);
  });
  CHECK(world.client.pool().connections() == 0);
}

namespace {

/// Takes a request's head, refuses what follows it, and says why a second later; never reads any further.
Task<void> refuse_early(PipeTcp& tcp) {
  auto listener = tcp.listen(2, {});
  std::vector<PipeFlow> flows;
  while (true) {
    auto flow = co_await listener->accept();
    if (!flow) co_return;
    flows.push_back(*std::move(flow));
    (void)co_await flows.back().read();
    (void)co_await flows.back().write(SliceList{Slice::from_static("HTTP/1.1 413 C\r\nContent-Length: 9\r\n\r\n")});
    (void)co_await sleep(1s);
    (void)co_await flows.back().write(SliceList{Slice::from_static("too large")});
  }
}

}  // namespace

TEST_CASE("the answer that refuses a body is read to its end, RFC 9112 section 9.5") {
  World world;
  with(world, [](World& w) -> Task<void> {
    Scope scope{w.shard};
    REQUIRE(scope.spawn(refuse_early(w.tcp)));
    co_await sleep(1ms);
    for (const bool wait : {false, true}) {
      ClientRequest request;
      request.method = "PUT";
      request.source = std::make_unique<Uploaded>(w.shard, 10'000'000);
      request.expect_continue = wait;
      auto response = co_await w.client.fetch("http://h:2/", std::move(request));
      REQUIRE(response);
      CHECK(response->status() == 413);
      std::string text;
      CHECK(co_await collect(w.shard, response->body(), text));
      CHECK(text == "too large");
      co_await response->end();
    }
    CHECK(w.tcp.wires[0]->pipes[0].total < 200'000);
    scope.cancel();
    co_await scope.join();
  });
  CHECK(world.client.pool().connections() == 0);
}

TEST_CASE("a change of protocol in the middle of a request's body is none") {
  World world;
  std::vector<PipeFlow> flows;
  with(world, [&flows](World& w) -> Task<void> {
    Scope scope{w.shard};
    REQUIRE(scope.spawn(shout(w.tcp, flows)));
    co_await sleep(1ms);
    ClientRequest request;
    request.method = "PUT";
    request.upgrade = "shout";
    request.source = std::make_unique<Uploaded>(w.shard, 10'000'000);
    const auto answer = co_await w.client.fetch("http://h:2/", std::move(request));
    CHECK(answer.error_or(ClientError::busy) == ClientError::malformed);
    scope.cancel();
    co_await scope.join();
  });
  CHECK(world.client.pool().tunnels() == 0);
  CHECK(world.client.pool().connections() == 0);
}

TEST_CASE("a body waits for 100 Continue, RFC 9110 section 10.1.1") {
  World world;
  with(world, [](World& w) -> Task<void> {
    ClientRequest request;
    request.method = "PUT";
    request.expect_continue = true;
    request.body = SliceList{Slice::from_static(std::string_view{"content"})};
    const Time before = w.shard.now();
    auto response = co_await w.client.fetch("http://h:1/", std::move(request));
    REQUIRE(response);
    CHECK(response->status() == 200);
    CHECK(w.shard.now() - before < 1s);
    ClientRequest refused;
    refused.method = "PUT";
    refused.expect_continue = true;
    refused.body = SliceList{Slice::from_static(std::string_view{"content"})};
    auto no = co_await w.client.fetch("http://h:1/refuse", std::move(refused));
    REQUIRE(no);
    CHECK(no->status() == 403);
  });
  CHECK(world.app.received == 7);
}

TEST_CASE("time limits and failures are told apart") {
  World world{{.head_timeout = 3s}};
  with(world, [](World& w) -> Task<void> {
    const auto error = [](const auto& result) { return result.error_or(ClientError::busy); };
    ClientRequest bad;
    bad.method = "GET /evil HTTP/1.1\r\nX:";
    CHECK(error(co_await w.client.fetch("http://h:1/", std::move(bad))) == ClientError::bad_request);
    CHECK(error(co_await w.client.fetch("http://h:1/slow")) == ClientError::timed_out);
    CHECK(error(co_await w.client.fetch("http://h:2/")) == ClientError::not_connected);
    CHECK(error(co_await w.client.fetch("http://h:9/")) == ClientError::not_connected);  // in time
    CHECK(error(co_await w.client.fetch("http://nowhere/")) == ClientError::not_resolved);
    CHECK(error(co_await w.client.fetch("https://h/")) == ClientError::bad_url);
  });
}

TEST_CASE("heads of answers are as strictly read as those of requests, RFC 9112 sections 4 and 6.3") {
  const auto framing = [](std::string_view head, std::string_view method = "GET") -> std::string {
    ResponseHead out;
    if (!parse_response_head(head, method, out)) return "refused";
    if (out.framing.chunked) return "chunked";
    if (out.framing.until_close) return out.keep_alive ? "?" : "close";
    return std::to_string(out.framing.content_length) + (out.keep_alive ? "" : " last");
  };
  CHECK(framing("HTTP/1.1 200 OK\r\nContent-Length: 5\r\n\r\n") == "5");
  CHECK(framing("HTTP/1.1 200\r\nContent-Length: 5\r\n\r\n") == "5");
  CHECK(framing("HTTP/1.1 200 \r\nContent-Length: 5\r\nConnection: close\r\n\r\n") == "5 last");
  CHECK(framing("HTTP/1.0 200 OK\r\nContent-Length: 5\r\n\r\n") == "5 last");
  CHECK(framing("HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\n") == "chunked");
  CHECK(framing("HTTP/1.1 200 OK\r\n\r\n") == "close");
  CHECK(framing("HTTP/1.1 204 No\r\n\r\n") == "0");
  CHECK(framing("HTTP/1.1 304 No\r\nContent-Length: 5\r\n\r\n") == "0");
  CHECK(framing("HTTP/1.1 200 OK\r\nContent-Length: 5\r\n\r\n", "HEAD") == "0");
  for (const std::string_view bad :
       {"HTTP/1.1 200 OK\r\nContent-Length: 5\r\nTransfer-Encoding: chunked\r\n\r\n",
        "HTTP/1.1 200 OK\r\nContent-Length: 5\r\nContent-Length: 5\r\n\r\n", "HTTP/2 200 OK\r\n\r\n",
        "HTTP/1.1 20 OK\r\n\r\n", "HTTP/1.1 2000 OK\r\n\r\n", "HTTP/1.1  200 OK\r\n\r\n",
        "HTTP/1.1 200 OK\nContent-Length: 5\r\n\r\n", "HTTP/1.0 200 OK\r\nTransfer-Encoding: chunked\r\n\r\n",
        "HTTP/1.1 200 OK\r\nTransfer-Encoding: gzip\r\n\r\n", "HTTP/1.1 200 OK\r\nX: y\r\n z\r\n\r\n",
        "HTTP/1.1 101 S\r\nUpgrade: websocket\r\n\r\n",
        "HTTP/1.1 101 S\r\nUpgrade: websocket\r\nConnection: close\r\n\r\n"}) {
    CHECK(framing(bad) == "refused");
  }
  CHECK(framing("HTTP/1.1 101 S\r\nUpgrade: websocket\r\nConnection: keep-alive, Upgrade\r\n\r\n") == "0");
}

TEST_CASE("URLs and references, RFC 3986 section 5.4") {
  const auto url = Url::parse("http://User-host.example:8080/a/b/c?q#f");
  REQUIRE(url);
  CHECK(url->authority() == "User-host.example:8080");
  CHECK(url->host() == "User-host.example");
  CHECK(url->port() == 8080);
  CHECK(url->target() == "/a/b/c?q");
  CHECK(Url::parse("http://h:80")->authority() == "h");
  CHECK(Url::parse("http://h:80")->target() == "/");
  CHECK(Url::parse("http://h?x")->target() == "/?x");
  CHECK(Url::parse("http://[::1]:81/")->host() == "::1");
  CHECK(Url::parse("http://[::1]:81/")->authority() == "[::1]:81");
  for (const std::string_view bad :
       {"", "h", "https://h/", "http:///x", "http://u@h/", "http://h:0/", "http://h:x/", "http://h:99999/",
        "http://[::1/", "http://[::1]x/", "http://h /", "http://h/\r"}) {
    CAPTURE(bad);
    CHECK_FALSE(Url::parse(bad));
  }
  const auto base = Url::parse("http://a/b/c/d;p?q");
  const auto target = [&base](std::string_view reference) {
    const auto to = base->resolve(reference);
    return to ? std::string{to->authority()} + std::string{to->target()} : std::string{"none"};
  };
  CHECK(target("g") == "a/b/c/g");
  CHECK(target("./g") == "a/b/c/g");
  CHECK(target("g/") == "a/b/c/g/");
  CHECK(target("/g") == "a/g");
  CHECK(target("//g") == "g/");
  CHECK(target("?y") == "a/b/c/d;p?y");
  CHECK(target("g?y/../x") == "a/b/c/g?y/../x");
  CHECK(target("#s") == "a/b/c/d;p?q");
  CHECK(target("") == "a/b/c/d;p?q");
  CHECK(target(".") == "a/b/c/");
  CHECK(target("..") == "a/b/");
  CHECK(target("../..") == "a/");
  CHECK(target("../../../g") == "a/g");
  CHECK(target("/./g") == "a/g");
  CHECK(target("g;x=1/../y") == "a/b/c/y");
  CHECK(target("http://x:8/y") == "x:8/y");
  CHECK(target("https://x/") == "none");
  CHECK(target(std::string(3000, 'x')) == "none");
}
