// SPDX-License-Identifier: ISC
// A client and a server on pipes, in virtual time.
#pragma once

#include <memory>
#include <string>

#include <doctest/doctest.h>

#include <mirage/http/client.hpp>
#include <mirage/http/connection_test.hpp>
#include <mirage/http/mirror_test.hpp>
#include <mirage/http/pipe_test.hpp>
#include <mirage/http/server.hpp>

namespace mirage::http::test {

/// Reads a body to its end; "ERROR" when that fails. The result is given by reference: a string has no `no_memory`.
inline Task<Result<void, ReadError>> collect(Shard&, Body& body, std::string& out) {
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

/// Changes to "shout" when asked for it, and keeps the connection.
inline Task<void> shout(PipeTcp& tcp, std::vector<PipeFlow>& flows) {
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

inline Task<Result<ClientResponse, ClientError>> ask_to_shout(World& world) {
  ClientRequest request;
  request.upgrade = "shout";
  co_return co_await world.client.fetch("http://h:2/", std::move(request));
}

}  // namespace mirage::http::test
