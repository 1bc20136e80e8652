// SPDX-License-Identifier: ISC
// Slow-loris beside an honest client: whoever sends a head byte by byte holds a connection for ten seconds, and nothing
// of what others get.
#include <memory>
#include <string>

#include <doctest/doctest.h>

#include <mirage/http/client_pool.hpp>
#include <mirage/http/connection_test.hpp>
#include <mirage/http/pipe_test.hpp>
#include <mirage/http/server.hpp>

using namespace mirage;
using namespace mirage::http;
using namespace mirage::http::test;

namespace {

constexpr std::uint32_t attackers = 100;
constexpr std::uint32_t questions = 1100;  // one each 10 ms: longer than a head may take

struct Answer {
  static constexpr bool upgrades = false;
  Response operator()(const Request&, Body&) noexcept { return Response::text(200, "hello\n"); }
};

struct Siege {
  Shard& shard() { return shard_; }
  TestEnvironment environment;
  Shard shard_{environment};
  PipeTcp tcp{shard_};
  Answer answer;
  Server<PipeTcp, Answer> server{shard_, tcp, answer};
  std::uint32_t served = 0;  // at once
  std::uint32_t told = 0;    // that it took too long
};

Task<void> serve(Siege& siege) { (void)co_await siege.server.serve(1); }

Task<void> trickle(Siege& siege) {
  auto flow = co_await siege.tcp.connect({.address = {}, .port = 1});
  if (!flow) co_return;
  (void)co_await flow->write(SliceList{Slice::from_static("GET / HTTP/1.1\r\nHost: x\r\nX-Slow: ")});
  for (unsigned i = 0; i < 99; ++i) {
    (void)co_await sleep(100ms);
    (void)co_await flow->write(SliceList{Slice::from_static("x")});
  }
  const auto said = co_await flow->read();
  if (said && !said->empty() && (*said)[0].text().starts_with("HTTP/1.1 408 ")) ++siege.told;
}

Task<void> ask(Siege& siege) {
  auto flow = co_await siege.tcp.connect({.address = {}, .port = 1});
  if (!flow) co_return;
  for (std::uint32_t i = 0; i < questions; ++i) {
    (void)co_await sleep(10ms);
    const Time begin = siege.shard().now();
    (void)co_await flow->write(SliceList{Slice::from_static("GET / HTTP/1.1\r\nHost: x\r\n\r\n")});
    const auto said = co_await flow->read();
    if (!said || said->empty()) co_return;
    const bool good = (*said)[0].text().starts_with("HTTP/1.1 200 ");
    siege.served += good && siege.shard().now() == begin ? 1 : 0;
  }
}

Task<int> play(Siege& siege) {
  Scope server{siege.shard()};
  if (!server.spawn(serve(siege))) co_return 1;
  co_await yield();
  Scope clients{siege.shard()};
  bool all = clients.spawn(ask(siege));
  for (std::uint32_t i = 0; i < attackers; ++i) all = clients.spawn(trickle(siege)) && all;
  co_await clients.join();
  server.cancel();
  co_await server.join();
  co_return all ? 0 : 1;
}

}  // namespace

TEST_CASE("slow-loris: a hundred heads that trickle in take nothing from others, and each ends after ten seconds") {
  Siege siege;
  REQUIRE(run(siege.shard(), play(siege)) == 0);
  CHECK(siege.served == questions);
  CHECK(siege.told == attackers);
  const ServerCounters& counters = siege.server.counters();
  CHECK(counters.timeouts == attackers);
  CHECK(counters.connections == attackers + 1);
  CHECK(counters.requests == questions);
  CHECK(counters.errors == 0);
  const auto& buffers = siege.shard().buffers().statistics();
  CHECK(buffers.peak_in_use <= attackers * std::size_t{16} * 1024);  // twice what a head may have
  siege.tcp.wires.clear();
  CHECK(buffers.bytes_in_use == 0);
  CHECK(siege.shard().frames().statistics().frames == 0);
}

namespace {

/// As trickle(), with more of a head than a small block of the pool holds.
Task<void> trickle_much(Siege& siege) {
  auto flow = co_await siege.tcp.connect({.address = {}, .port = 1});
  if (!flow) co_return;
  static const std::string much = "GET / HTTP/1.1\r\nHost: x\r\nX-Slow: " + std::string(2000, 'x');
  (void)co_await flow->write(SliceList{Slice::from_static(std::string_view{much})});
  for (unsigned i = 0; i < 99; ++i) {
    (void)co_await sleep(100ms);
    (void)co_await flow->write(SliceList{Slice::from_static("x")});
  }
  (void)co_await flow->read();
}

Task<int> play_much(Siege& siege) {
  Scope server{siege.shard()};
  if (!server.spawn(serve(siege))) co_return 1;
  co_await yield();
  Scope clients{siege.shard()};
  bool all = clients.spawn(ask(siege));
  for (std::uint32_t i = 0; i < 500; ++i) all = clients.spawn(trickle_much(siege)) && all;
  co_await clients.join();
  server.cancel();
  co_await server.join();
  co_return all ? 0 : 1;
}

}  // namespace

TEST_CASE("slow-loris: heads of more than one small block take no more than twice what a head may have") {
  Siege siege;
  REQUIRE(run(siege.shard(), play_much(siege)) == 0);
  CHECK(siege.served == questions);
  CHECK(siege.shard().buffers().statistics().peak_in_use <= 500 * std::size_t{16} * 1024);
}

TEST_CASE("when memory for frames is there again connections are taken again, though none has ended") {
  Siege siege;
  auto body = [](Siege& s) -> Task<int> {
    Scope server{s.shard()};
    REQUIRE(server.spawn(serve(s)));
    co_await yield();
    auto first = co_await s.tcp.connect({.address = {}, .port = 1});
    co_await sleep(1s);
    void* const others = s.shard().frames().allocate(15 << 20);  // of 16 MiB
    REQUIRE(others != nullptr);
    REQUIRE_FALSE(s.shard().frames().admits());
    auto second = co_await s.tcp.connect({.address = {}, .port = 1});
    co_await sleep(1s);
    FramePool::free(others);
    auto third = co_await s.tcp.connect({.address = {}, .port = 1});
    (void)co_await third->write(SliceList{Slice::from_static("GET / HTTP/1.1\r\nHost: x\r\n\r\n")});
    const Time begin = s.shard().now();
    const auto said = co_await third->read();
    CHECK((said && !said->empty()));
    CHECK(s.shard().now() - begin <= 1s);
    first->close();
    second->close();
    third->close();
    server.cancel();
    co_await server.join();
    co_return 0;
  };
  CHECK(run(siege.shard(), body(siege)) == 0);
}

namespace {

/// A kilobyte a time, without end.
struct Drops final : BodySource {
  explicit Drops(Shard& s) : shard_(s) {}
  Shard& shard() { return shard_; }
  Task<Result<SliceList, BodyError>> next() noexcept override {
    static const std::string text(1000, 'd');
    co_return SliceList{Slice::from_static(std::string_view{text})};
  }
  Shard& shard_;
};
struct Dripping {
  Shard& shard() { return shard_; }
  Response operator()(const Request&, Body&) {
    Response response;
    response.source = std::make_unique<Drops>(shard_);
    return response;
  }
  Shard& shard_;
};

/// The same through a tunnel.
struct DrippingTunnel final : Upgrade {
  std::string_view protocol() const noexcept override { return "drops"; }
  Task<Result<void, FlowError>> run(Tunnel& tunnel) noexcept override {
    Drops drops{tunnel.shard()};
    while (true) {
      auto drop = co_await drops.next();
      if (!co_await tunnel.write(*std::move(drop))) co_return Failure{FlowError::closed};
    }
  }
};
struct Switching {
  Response operator()(const Request&, Body&) {
    Response response;
    response.status = 101;
    response.upgrade = std::make_unique<DrippingTunnel>();
    return response;
  }
};

/// Takes a kilobyte out of the pipe each `pause`, `times` times; `taken`: how often there was one.
Task<void> take_slowly(Shard&, Pipe& pipe, Duration pause, unsigned times, unsigned& taken) {
  for (; taken < times && !pipe.broken && !pipe.ended; ++taken) {
    co_await sleep(pause);
    if (pipe.slices.empty()) break;
    for (std::size_t size = 0; size < 1000 && !pipe.slices.empty(); pipe.slices.pop_front()) {
      size += pipe.slices.front().size();
      pipe.bytes -= pipe.slices.front().size();
    }
    pipe.writable.notify_all();
  }
}

/// Of a server's answer to `request`.
template <class H>
unsigned taken_of_answer(H& handler, Shard& shard, std::string_view request, Duration pause, unsigned times) {
  PipeTcp tcp{shard};
  Server<PipeTcp, H> server{shard, tcp, handler};
  unsigned taken = 0;
  auto body = [](PipeTcp& to, auto& serving, std::string_view asked, Duration each, unsigned count,
                 unsigned& got) -> Task<int> {
    Scope scope{to.shard()};
    auto serve = [](auto& one) -> Task<void> { (void)co_await one.serve(1); };
    REQUIRE(scope.spawn(serve(serving)));
    co_await sleep(1ms);
    auto flow = co_await to.connect({.address = {}, .port = 1});
    REQUIRE(flow);
    (void)co_await flow->write(SliceList{Slice::from_static(asked)});
    co_await take_slowly(to.shard(), to.wires[0]->pipes[1], each, count, got);
    scope.cancel();
    co_await scope.join();
    co_return 0;
  };
  CHECK(run(shard, body(tcp, server, request, pause, times, taken)) == 0);
  return taken;
}

/// Of a client's request.
unsigned taken_of_request(Duration pause, unsigned times) {
  TestEnvironment environment;
  Shard shard{environment};
  PipeTcp tcp{shard};
  ClientPool pool{AddressDialler{shard, tcp}};
  unsigned taken = 0;
  auto body = [](PipeTcp& to, auto& from, Duration each, unsigned count, unsigned& got) -> Task<int> {
    Scope scope{to.shard()};
    auto ask = [](PipeTcp& at, auto& by) -> Task<void> {
      ClientRequest request;
      request.method = "PUT";
      request.source = std::make_unique<Drops>(at.shard());
      (void)co_await by.ask(Endpoint{{}, 1}, "/", "h", request);
    };
    auto listener = to.listen(1, {});
    REQUIRE(scope.spawn(ask(to, from)));
    auto flow = co_await listener->accept();
    REQUIRE(flow);
    co_await take_slowly(to.shard(), to.wires[0]->pipes[0], each, count, got);
    scope.cancel();
    co_await scope.join();
    co_return 0;
  };
  CHECK(run(shard, body(tcp, pool, pause, times, taken)) == 0);
  return taken;
}

}  // namespace

TEST_CASE("who takes an answer in small parts has transfer_timeout for 64 KiB, not for each part") {
  TestEnvironment environment;
  Shard shard{environment};
  Dripping handler{shard};
  const std::string_view request = "GET / HTTP/1.1\r\nHost: x\r\n\r\n";
  CHECK(taken_of_answer(handler, shard, request, 20s, 200) < 50);
  CHECK(taken_of_answer(handler, shard, request, 700ms, 1000) == 1000);  // 64 KiB in less than a minute
}

TEST_CASE("the same through a tunnel: the messages of many protocols are small") {
  TestEnvironment environment;
  Shard shard{environment};
  Switching handler;
  const std::string_view request = "GET / HTTP/1.1\r\nHost: x\r\nConnection: upgrade\r\nUpgrade: drops\r\n\r\n";
  CHECK(taken_of_answer(handler, shard, request, 20s, 200) < 50);
  CHECK(taken_of_answer(handler, shard, request, 700ms, 1000) == 1000);
}

TEST_CASE("the same of a server that takes a request in small parts: it holds a connection, and who waits for one") {
  CHECK(taken_of_request(20s, 200) < 50);
  CHECK(taken_of_request(700ms, 1000) == 1000);
}
