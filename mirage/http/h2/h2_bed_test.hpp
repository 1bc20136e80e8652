// SPDX-License-Identifier: ISC
// One application, served by HTTP/2 and HTTP/1.1 on a pipe, in virtual time.
#pragma once

#include <memory>
#include <string>

#include <doctest/doctest.h>

#include <mirage/http/h2/h2_test.hpp>
#include <mirage/http/h2/server.hpp>
#include <mirage/http/mirror_test.hpp>

namespace mirage::http::test {

struct Endless final : BodySource {
  Endless(Shard& s, std::size_t n, std::size_t& p) : shard_(s), left(n), pulled(p) {}
  Shard& shard() { return shard_; }
  Task<Result<SliceList, BodyError>> next() noexcept override {
    static const std::string text(1000, 'e');
    const std::size_t size = left < 1000 ? left : 1000;
    left -= size;
    pulled += size;
    co_return SliceList{Slice::from_static(std::string_view{text}.substr(0, size))};
  }
  Shard& shard_;
  std::size_t left;
  std::size_t& pulled;
};

/// A long answer beside which a task reads the request's body: what http::Proxy makes of an early answer.
struct Duplex final : BodySource {
  Duplex(Shard& s, Body& b, std::size_t& p) : shard_(s), body(b), scope(s), answer(s, 300'000, p) {
    REQUIRE(scope.spawn(take(*this)));
  }
  Shard& shard() { return shard_; }
  static Task<void> take(Duplex& self) {
    while (true) {
      const auto part = co_await self.body.read();
      if (!part || part->empty()) co_return;
    }
  }
  Task<Result<SliceList, BodyError>> next() noexcept override { co_return co_await answer.next(); }
  Scope* stop() noexcept override {
    scope.cancel();
    return &scope;
  }
  Shard& shard_;
  Body& body;
  Scope scope;
  Endless answer;
};

/// A short answer that something has to end for behind it, which takes a second.
struct Tail final : BodySource {
  explicit Tail(Shard& s) : shard_(s), scope(s) { REQUIRE(scope.spawn(rest(s))); }
  Shard& shard() { return shard_; }
  static Task<void> rest(Shard&) { (void)co_await sleep(1s); }
  Task<Result<SliceList, BodyError>> next() noexcept override {
    if (std::exchange(said, true)) co_return SliceList{};
    co_return SliceList{Slice::from_static(std::string_view{"tail"})};
  }
  Scope* stop() noexcept override { return &scope; }
  Shard& shard_;
  Scope scope;
  bool said = false;
};

/// Ten bytes, ten times, with time between them.
struct Events final : BodySource {
  explicit Events(Shard& s) : shard_(s) {}
  Shard& shard() { return shard_; }
  Task<Result<SliceList, BodyError>> next() noexcept override {
    if (left-- == 0) co_return SliceList{};
    (void)co_await sleep(50s);
    co_return SliceList{Slice::from_static(std::string_view{"something\n"})};
  }
  Shard& shard_;
  unsigned left = 10;
};

/// One application for both versions.
struct App {
  Shard& shard() { return shard_; }
  Task<Response> operator()(const Request& request, Body& body) {
    seen.push_back(std::string{request.method_text} + " " + std::string{request.path} + " " +
                   std::string{to_string(request.version)} + " " + std::string{request.authority});
    cookie = request.header("cookie").value_or("");
    had_body = request.framing.has_body();
    if (request.path == "/slow") (void)co_await sleep(1000s);
    Response response = Response::text(200, "hello\n");
    (void)response.headers.add("X-Upper-Case", "Yes");
    static const std::string large(1'000'000, 'l');
    if (request.path == "/large") response = Response::text(200, large);
    if (request.path == "/endless" || request.path == "/broken") {
      response.body.clear();
      response.source = std::make_unique<Endless>(shard_, 300'000, pulled);
      response.source_length_known = request.path == "/broken";
      response.source_length = 1500;
    }
    if (request.path == "/mirror" || request.path == "/mirror-403") {
      if (request.path == "/mirror-403") response.status = 403;
      response.body.clear();
      response.source = std::make_unique<Mirror>(shard_, body);
    }
    if (request.path == "/tail") response.source = std::make_unique<Tail>(shard_);
    if (request.path == "/events") response.source = std::make_unique<Events>(shard_);
    if (request.path == "/426") {
      response.status = 426;
      REQUIRE(response.headers.add_upgrade("websocket"));
    }
    if (request.path == "/101") response.status = 101;
    if (request.path == "/late") {  // takes its time before it reads
      (void)co_await sleep(1s);
      std::size_t size = 0;
      while (true) {
        const auto part = co_await body.read();
        late = part.has_value() ? "whole" : "broken";
        if (!part || part->empty()) break;
        size += part->byte_count();
      }
      late += " " + std::to_string(size);
    }
    if (request.path == "/duplex") {  // answers while it reads, as a proxy does
      response.body.clear();
      response.source = std::make_unique<Duplex>(shard_, body, pulled);
    }
    co_return response;
  }
  Shard& shard_;
  std::vector<std::string> seen;
  std::string cookie;
  std::size_t pulled = 0;
  bool had_body = false;
  std::string late{};
};

using TestServer = h2::Server<PipeTcp, App>;
static_assert(Counted<TestServer>);

struct World {
  explicit World(const ServerOptions& options = {}) : server(shard, tcp, app, options) {}
  TestEnvironment environment;
  Shard shard_{environment};
  Shard& shard = shard_;
  PipeTcp tcp{shard};
  App app{shard, {}, {}};
  TestServer server;
  [[nodiscard]] const h2::Counters& counters() const { return server.counters().h2; }
};

template <class Act>
Task<int> play(World& world, Act& act, bool windows) {
  Scope scope{world.shard};
  auto serve = [](Shard&, TestServer& s) -> Task<void> { (void)co_await s.serve(1); };
  CHECK(scope.spawn(serve(world.shard, world.server)));
  co_await sleep(1ms);
  {
    auto flow = co_await world.tcp.connect(Endpoint{{}, 1});
    REQUIRE(flow);
    Peer peer{world.shard, *std::move(flow), windows};
    co_await act(world, peer);
    scope.cancel();
    co_await peer.settle();
  }
  co_await scope.join();
  co_return 0;
}
/// Runs a server, a client that acts, and checks that nothing is left.
template <class Act>
void with(World& world, Act act, bool windows = true) {
  CHECK(run(world.shard, play(world, act, windows)) == 0);
  CHECK(world.shard.buffers().statistics().bytes_in_use == 0);
  CHECK(world.shard.frames().statistics().frames == 0);
}

inline std::string frame(unsigned type, unsigned flags, unsigned id, std::string_view payload) {
  std::string out;
  for (const std::size_t byte :
       {payload.size() >> 16, payload.size() >> 8, payload.size(), std::size_t{type}, std::size_t{flags},
        std::size_t{0}, std::size_t{0}, std::size_t{id >> 8}, std::size_t{id}}) {
    out += static_cast<char>(byte);
  }
  return out + std::string{payload};
}

}  // namespace mirage::http::test
