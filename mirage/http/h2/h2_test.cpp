// SPDX-License-Identifier: ISC
// The server against nghttp2's client side, and against frames that no client should send; in virtual time.
#include <memory>
#include <string>

#include <doctest/doctest.h>

#include <mirage/http/h2/h2_test.hpp>
#include <mirage/http/h2/server.hpp>
#include <mirage/http/mirror_test.hpp>

using namespace mirage;
using namespace mirage::http;
using namespace mirage::http::test;

namespace {

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
    if (request.path == "/mirror") {
      response.body.clear();
      response.source = std::make_unique<Mirror>(shard_, body);
    }
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

std::string frame(unsigned type, unsigned flags, unsigned id, std::string_view payload) {
  std::string out;
  for (const std::size_t byte :
       {payload.size() >> 16, payload.size() >> 8, payload.size(), std::size_t{type}, std::size_t{flags},
        std::size_t{0}, std::size_t{0}, std::size_t{id >> 8}, std::size_t{id}}) {
    out += static_cast<char>(byte);
  }
  return out + std::string{payload};
}

}  // namespace

TEST_CASE("one application serves both versions on one port, RFC 9113 section 3.3") {
  World world;
  with(world, [](World& w, Peer& peer) -> Task<int> {
    const auto first = peer.get("/a?x");
    const auto second = peer.get("/b", "HEAD");
    co_await peer.settle();
    Answer& answer = peer.answers[first];
    CHECK(answer.fields[":status"] == "200");
    CHECK(answer.fields["x-upper-case"] == "Yes");
    CHECK(answer.fields["content-length"] == "6");
    CHECK(answer.fields["date"] == "Sun, 06 Nov 1994 08:49:37 GMT");
    CHECK(answer.body == "hello\n");
    CHECK(answer.ended);
    CHECK(peer.answers[second].fields["content-length"] == "6");
    CHECK(peer.answers[second].body.empty());
    CHECK(peer.answers[second].ended);
    auto old = co_await w.tcp.connect(Endpoint{{}, 1});
    // In pieces of one byte: what looks like the preface at first is not taken for it.
    for (const char c :
         std::string_view{"PUT /c HTTP/1.1\r\nHost: b\r\nContent-Length: 0\r\nConnection: close\r\n\r\n"}) {
      SliceList list{w.shard.buffers().copy(as_bytes(std::string_view{&c, 1}))};
      CHECK(co_await old->write(std::move(list)));
      co_await sleep(1ms);
    }
    const auto text = co_await old->read();
    REQUIRE(text);
    CHECK((*text)[0].text().starts_with("HTTP/1.1 200 OK\r\n"));
    co_return 0;
  });
  CHECK(world.app.seen == std::vector<std::string>{"GET /a HTTP/2.0 a", "HEAD /b HTTP/2.0 a", "PUT /c HTTP/1.1 b"});
  CHECK(world.server.counters().requests == 3);
  CHECK(world.counters().connections == 1);
  CHECK(world.counters().streams == 2);
}

TEST_CASE("the end of the server is said: GOAWAY, RFC 9113 section 6.8") {
  World world;
  std::uint32_t goaway = nothing;
  auto act = [](World&, Peer& peer) -> Task<int> { co_return co_await peer.settle(); };
  auto body = [](World& w, auto& a, std::uint32_t& out) -> Task<int> {
    Scope scope{w.shard};
    auto serve = [](Shard&, TestServer& s) -> Task<void> { (void)co_await s.serve(1); };
    CHECK(scope.spawn(serve(w.shard, w.server)));
    co_await sleep(1ms);
    auto flow = co_await w.tcp.connect(Endpoint{{}, 1});
    Peer peer{w.shard, *std::move(flow)};
    co_await a(w, peer);
    scope.cancel();
    co_await peer.settle();
    out = peer.goaway;
    co_await scope.join();
    co_return 0;
  };
  CHECK(run(world.shard, body(world, act, goaway)) == 0);
  CHECK(goaway == NGHTTP2_NO_ERROR);
}

TEST_CASE("a source is asked for no more than the peer's window takes, RFC 9113 section 5.2") {
  World world;
  with(
      world,
      [](World& w, Peer& peer) -> Task<int> {
        const auto id = peer.get("/endless");
        co_await peer.settle(1s);
        CHECK(peer.answers[id].body.size() == 65535);
        CHECK(w.app.pulled < 70'000);
        // Nothing moves for too long: the stream is given up, the connection is not.
        co_await peer.settle(70s);
        CHECK(peer.answers[id].reset == NGHTTP2_CANCEL);
        CHECK(w.counters().timeouts == 1);
        co_return 0;
      },
      false);
  World open;
  with(open, [](World&, Peer& peer) -> Task<int> {
    const auto id = peer.get("/endless");
    const auto other = peer.get("/a");
    co_await peer.settle();
    CHECK((peer.answers[id].body == std::string(300'000, 'e')));
    CHECK(peer.answers[id].ended);
    CHECK(peer.answers[other].ended);
    co_return 0;
  });
}

TEST_CASE("one large slice goes out in frames, however many the peer's window takes at once") {
  World world;
  with(world, [](World&, Peer& peer) -> Task<int> {
    nghttp2_settings_entry window{NGHTTP2_SETTINGS_INITIAL_WINDOW_SIZE, 1 << 24};
    nghttp2_submit_settings(peer.session, 0, &window, 1);
    nghttp2_session_set_local_window_size(peer.session, 0, 0, 1 << 24);
    co_await peer.settle();
    const auto id = peer.get("/large");
    co_await peer.settle();
    CHECK(peer.answers[id].body.size() == 1'000'000);
    CHECK(peer.answers[id].ended);
    co_return 0;
  });
}

TEST_CASE("a body comes in as it is read, with trailers both ways, RFC 9113 section 8.1") {
  World world;
  with(world, [](World&, Peer& peer) -> Task<int> {
    std::string body;
    for (int i = 0; i < 50'000; ++i) body += std::to_string(i) + ",";
    peer.trailing = true;
    const auto id = peer.ask(
        {{":method", "POST"}, {":scheme", "http"}, {":path", "/mirror"}, {":authority", "a"}, {"te", "trailers"}},
        &body);
    co_await peer.settle();
    CHECK((peer.answers[id].body == body));
    CHECK(peer.answers[id].reset == nothing);
    CHECK(peer.goaway == nothing);
    CHECK(peer.answers[id].body.size() == body.size());
    CHECK(peer.uploads[id].size() == 0);
    CHECK(peer.answers[id].fields["digest"] == "d");
    CHECK(peer.answers[id].ended);
    co_return 0;
  });
}

TEST_CASE("a handler knows whether there is a body, also when all of it came with the head") {
  World world;
  with(world, [](World& w, Peer& peer) -> Task<int> {
    const std::string body = "short";
    for (const std::string* each : {&body, static_cast<const std::string*>(nullptr)}) {
      w.app.had_body = each == nullptr;
      const auto id = peer.ask({{":method", "POST"}, {":scheme", "http"}, {":path", "/"}, {":authority", "a"}}, each);
      co_await peer.settle();
      CHECK(peer.answers[id].body == "hello\n");
      CHECK(w.app.had_body == (each != nullptr));
    }
    co_return 0;
  });
}

TEST_CASE("what nobody reads fills the stream's window and no more; the answer ends it, RFC 9113 section 8.1") {
  World world{{.maximum_body = UINT64_MAX, .listen = {}}};
  with(world, [](World&, Peer& peer) -> Task<int> {
    const std::string body(500'000, 'b');
    const auto slow =
        peer.ask({{":method", "POST"}, {":scheme", "http"}, {":path", "/slow"}, {":authority", "a"}}, &body);
    co_await peer.settle(1s);
    // The client may send 65535 before it knows of our window, and no more.
    CHECK(peer.uploaded <= 65'535);
    CHECK_FALSE(peer.answers[slow].ended);
    const auto id = peer.ask({{":method", "PUT"}, {":scheme", "http"}, {":path", "/a"}, {":authority", "a"}}, &body);
    co_await peer.settle(1s);
    CHECK(peer.answers[id].body == "hello\n");
    CHECK(peer.answers[id].reset == NGHTTP2_NO_ERROR);
    CHECK(peer.uploads[id].size() >= 400'000);
    co_return 0;
  });
}

TEST_CASE("100 Continue when the handler reads, RFC 9110 section 10.1.1") {
  World world;
  with(world, [](World&, Peer& peer) -> Task<int> {
    const std::string body = "content";
    peer.hold = true;
    const auto id = peer.ask({{":method", "POST"},
                              {":scheme", "http"},
                              {":path", "/mirror"},
                              {":authority", "a"},
                              {"expect", "100-continue"}},
                             &body);
    co_await peer.settle();
    CHECK(peer.answers[id].statuses == "100 200 ");
    co_await peer.settle();
    peer.hold = false;
    nghttp2_session_resume_data(peer.session, id);
    co_await peer.settle();
    CHECK(peer.answers[id].body == body);
    co_return 0;
  });
}

TEST_CASE("requests that are answered by the server itself") {
  World world;
  with(world, [](World& w, Peer& peer) -> Task<int> {
    peer.hold = true;  // a length that does not come true ends the stream by itself
    const std::string large(9000, 'x');
    const std::string some(5000, 'x');
    const auto status = [&peer](std::int32_t id) { return peer.answers[id].fields[":status"]; };
    const auto too_large =
        peer.ask({{":method", "GET"}, {":scheme", "http"}, {":path", "/"}, {":authority", "a"}, {"x", large}});
    const auto fits =
        peer.ask({{":method", "GET"}, {":scheme", "http"}, {":path", "/"}, {":authority", "a"}, {"x", some}});
    const auto long_body = peer.ask(
        {{":method", "POST"}, {":scheme", "http"}, {":path", "/"}, {":authority", "a"}, {"content-length", "2000000"}},
        &some);
    const auto tunnel = peer.ask({{":method", "CONNECT"}, {":authority", "a:1"}});
    // RFC 9113 section 8.3.1: a Host that says otherwise; the same one is no harm.
    const auto two =
        peer.ask({{":method", "GET"}, {":scheme", "http"}, {":path", "/"}, {":authority", "a"}, {"host", "b"}});
    const auto same =
        peer.ask({{":method", "GET"}, {":scheme", "http"}, {":path", "/"}, {":authority", "a"}, {"host", "a"}});
    // Section 8.2.3.
    const auto cookies = peer.ask({{":method", "GET"},
                                   {":scheme", "http"},
                                   {":path", "/"},
                                   {":authority", "a"},
                                   {"cookie", "a=1"},
                                   {"x", "y"},
                                   {"cookie", "b=2"}});
    const auto interim = peer.get("/101");
    const auto upgrade = peer.get("/426");
    const auto short_source = peer.get("/broken");
    co_await peer.settle();
    CHECK(status(too_large) == "431");
    CHECK(status(fits) == "200");
    CHECK(status(long_body) == "413");
    CHECK(status(tunnel) == "501");
    CHECK(status(two) == "400");
    CHECK(status(same) == "200");
    CHECK(status(cookies) == "200");
    CHECK(w.app.cookie.empty());
    CHECK(status(interim) == "500");
    CHECK(status(upgrade) == "426");
    CHECK(peer.answers[upgrade].ended);  // it has no field that makes it malformed
    CHECK(peer.answers[short_source].reset == NGHTTP2_INTERNAL_ERROR);
    CHECK(w.counters().too_large == 1);
    const auto again = peer.ask({{":method", "GET"},
                                 {":scheme", "http"},
                                 {":path", "/"},
                                 {":authority", "a"},
                                 {"cookie", "a=1"},
                                 {"x", "y"},
                                 {"cookie", "b=2"}});
    co_await peer.settle();
    CHECK(status(again) == "200");
    CHECK(w.app.cookie == "a=1; b=2");
    co_return 0;
  });
}

TEST_CASE("streams are bounded until their handlers have returned, whatever the peer resets: CVE-2023-44487") {
  World world;
  with(world, [](World& w, Peer& peer) -> Task<int> {
    std::vector<std::int32_t> asked;
    co_await peer.settle();
    for (int i = 0; i < 100; ++i) asked.push_back(peer.get("/slow"));
    co_await peer.settle();
    for (const auto id : asked) nghttp2_submit_rst_stream(peer.session, 0, id, NGHTTP2_CANCEL);
    co_await peer.settle();
    CHECK(w.app.seen.size() == 100);
    const auto more = peer.get("/slow");
    co_await peer.settle();
    CHECK(peer.answers[more].reset == NGHTTP2_REFUSED_STREAM);
    CHECK(w.counters().refused == 1);
    CHECK(w.counters().resets == 100);
    CHECK(w.app.seen.size() == 100);
    co_return 0;
  });
}

namespace {

/// Frames that ask for nothing, many of them, after the preface.
void flood(const std::string& one, bool calm = true) {
  World world;
  std::uint32_t goaway = nothing;
  auto act = [&](World&, Peer& peer) -> Task<int> {
    const std::string body = "never sent";
    peer.hold = true;
    peer.ask({{":method", "POST"}, {":scheme", "http"}, {":path", "/slow"}, {":authority", "a"}}, &body);
    co_await peer.settle();
    for (int i = 0; i < 3000 && peer.goaway == nothing && !peer.ended; i += 100) {
      for (int k = 0; k < 100; ++k) peer.raw += one;
      co_await peer.settle(1ms);
    }
    goaway = peer.goaway;
    co_return 0;
  };
  with(world, act);
  CHECK(goaway == (calm ? NGHTTP2_ENHANCE_YOUR_CALM : nothing));
  CHECK(world.counters().floods == (calm ? 1 : 0));
}

}  // namespace

TEST_CASE("floods are answered with ENHANCE_YOUR_CALM and counted, RFC 9113 section 10.5") {
  flood(frame(NGHTTP2_PING, 0, 0, "12345678"));
  flood(frame(NGHTTP2_SETTINGS, 0, 0, ""));
  flood(frame(NGHTTP2_WINDOW_UPDATE, 0, 0, std::string_view{"\0\0\0\1", 4}));
  flood(frame(NGHTTP2_DATA, 0, 1, ""));
  // Priorities of old (RFC 9218 section 2.1) and what is unknown (section 4.1) are skipped: nothing to pay for.
  flood(frame(NGHTTP2_PRIORITY, 0, 5, std::string_view{"\0\0\0\0\1", 5}), false);
  flood(frame(0xee, 0, 0, ""), false);
}

TEST_CASE("rapid resets end the connection: CVE-2023-44487") {
  World world;
  std::uint32_t goaway = nothing;
  with(world, [&](World&, Peer& peer) -> Task<int> {
    co_await peer.settle();
    for (int i = 0; i < 300 && peer.goaway == nothing; ++i) {
      const auto next = peer.get("/slow");
      co_await peer.settle(1us);
      nghttp2_submit_rst_stream(peer.session, 0, next, NGHTTP2_CANCEL);
      co_await peer.settle(1us);
    }
    goaway = peer.goaway;
    co_return 0;
  });
  CHECK(goaway == NGHTTP2_ENHANCE_YOUR_CALM);
  CHECK(world.counters().floods == 1);
}

TEST_CASE("a header section without end: CONTINUATION frames are bounded, CVE-2024-28182") {
  World world;
  with(world, [](World& w, Peer& peer) -> Task<int> {
    co_await peer.settle();
    peer.raw = frame(NGHTTP2_HEADERS, 0, 1, "");
    for (int i = 0; i < 100; ++i) peer.raw += frame(NGHTTP2_CONTINUATION, 0, 1, "");
    co_await peer.settle();
    CHECK(peer.goaway == NGHTTP2_ENHANCE_YOUR_CALM);
    CHECK(w.counters().floods == 1);
    CHECK(w.app.seen.empty());
    co_return 0;
  });
}

TEST_CASE("time limits: a header section that trickles, and a connection without streams") {
  World world{{.head_timeout = 3s, .idle_timeout = 20s, .listen = {}}};
  with(world, [](World& w, Peer& peer) -> Task<int> {
    co_await peer.settle();
    peer.raw = frame(NGHTTP2_HEADERS, 0, 1, "");
    const Time before = w.shard.now();
    co_await peer.settle(10s);
    CHECK(peer.goaway == NGHTTP2_ENHANCE_YOUR_CALM);
    CHECK(w.shard.now() - before < 10s);
    co_return 0;
  });
  CHECK(world.counters().timeouts >= 1);
  World idle{{.idle_timeout = 20s, .listen = {}}};
  with(idle, [](World& w, Peer& peer) -> Task<int> {
    peer.get("/a");
    co_await peer.settle(10s);
    CHECK(peer.goaway == nothing);
    co_await peer.settle(30s);
    CHECK(peer.goaway == NGHTTP2_NO_ERROR);
    CHECK(w.shard.now() < Time{1s} + 60s);
    co_return 0;
  });
}

TEST_CASE("what is no HTTP/2 behind the preface's first line ends the connection") {
  World world;
  with(world, [](World& w, Peer&) -> Task<int> {
    auto flow = co_await w.tcp.connect(Endpoint{{}, 1});
    SliceList list{Slice::from_static(std::string_view{"PRI * HTTP/2.0\r\n\r\nXX\r\n\r\n"})};
    CHECK(co_await flow->write(std::move(list)));
    while (true) {
      const auto got = co_await flow->read();
      if (!got || got->empty()) break;
    }
    CHECK(w.server.counters().requests == 0);
    co_return 0;
  });
}

TEST_CASE("little memory for nghttp2, for buffers or for frames ends a connection, with the pools intact") {
  for (std::size_t kib = 8; kib < 40; kib += 2) {
    TestEnvironment environment;
    Shard shard{environment, {.buffer_bytes = kib * 1024, .frame_bytes = kib * 1024}};
    PipeTcp tcp{shard};
    App app{shard, {}, {}, 0};
    using C = h2::Connection<PipeFlow, App>;
    auto body = [](Shard& s, App& a, std::size_t memory) -> Task<int> {
      auto wire = std::make_shared<Wire>();
      ServerOptions http;
      ServerCounters totals;
      h2::Counters counters;
      DateCache date;
      Scope scope{s};
      auto serve = [](Shard&, C& c) -> Task<void> { (void)co_await c.run(); };
      auto c = std::make_unique<C>(PipeFlow{s, wire, 1}, a, http, h2::Options{.maximum_memory = memory}, totals,
                                   counters, date);
      if (scope.spawn(serve(s, *c))) {
        Peer peer{s, PipeFlow{s, wire, 0}};
        for (int i = 0; i < 20; ++i) peer.get("/endless");
        co_await peer.settle();
      }
      scope.cancel();
      co_await scope.join();
      co_return 0;
    };
    (void)run(shard, body(shard, app, kib * 1024));
    CHECK(shard.buffers().statistics().bytes_in_use == 0);
    CHECK(shard.frames().statistics().frames == 0);
  }
}

TEST_CASE("a request that is given up behind its end is no shorter request, RFC 9113 section 8.1") {
  World world;
  with(world, [](World& w, Peer& peer) -> Task<int> {
    const std::string body(20'000, 'b');
    const auto id = peer.ask({{":method", "PUT"}, {":scheme", "http"}, {":path", "/late"}, {":authority", "a"}}, &body);
    co_await peer.settle();
    REQUIRE(peer.uploads[id].empty());
    nghttp2_submit_rst_stream(peer.session, 0, id, NGHTTP2_CANCEL);
    co_await peer.settle(2s);
    CAPTURE(w.app.late);
    CHECK((w.app.late == "whole 20000" || w.app.late.starts_with("broken")));
    co_return 0;
  });
}

TEST_CASE("what there was no memory for makes no shorter request") {
  TestEnvironment environment;
  Shard shard{environment, {.buffer_bytes = 64 * 1024}};
  App app{shard, {}, {}, 0};
  // Nine small blocks hold 18144 bytes; the large one that is to come behind them is beyond the bound. The end of the
  // stream comes in the same read as what has no room.
  static const std::string content(16'000, 'b'), rest(2'300, 'b');
  static const std::string request = "PRI * HTTP/2.0\r\n\r\nSM\r\n\r\n" + frame(NGHTTP2_SETTINGS, 0, 0, "") +
                                     frame(NGHTTP2_HEADERS, NGHTTP2_FLAG_END_HEADERS, 1,
                                           "\x83\x86\x44\x05/late\x41\x01"
                                           "a") +
                                     frame(NGHTTP2_DATA, 0, 1, content) +
                                     frame(NGHTTP2_DATA, NGHTTP2_FLAG_END_STREAM, 1, rest);
  using C = h2::Connection<PipeFlow, App>;
  auto body = [](Shard& s, App& a) -> Task<int> {
    auto wire = std::make_shared<Wire>();
    ServerOptions http;
    ServerCounters totals;
    h2::Counters counters;
    DateCache date;
    Scope scope{s};
    auto serve = [](Shard&, C& c) -> Task<void> { (void)co_await c.run(); };
    auto c = std::make_unique<C>(PipeFlow{s, wire, 1}, a, http, h2::Options{}, totals, counters, date);
    REQUIRE(scope.spawn(serve(s, *c)));
    PipeFlow client{s, wire, 0};
    CHECK(co_await client.write(SliceList{Slice::from_static(request)}));
    co_await sleep(3s);
    scope.cancel();
    co_await scope.join();
    co_return 0;
  };
  CHECK(run(shard, body(shard, app)) == 0);
  CAPTURE(app.late);
  CHECK((app.late == "whole 18300" || app.late.starts_with("broken")));
}

TEST_CASE("who takes nothing of an answer is given up, also when its request's body has come meanwhile") {
  World world;
  with(
      world,
      [](World&, Peer& peer) -> Task<int> {
        const std::string body = "content";
        peer.hold = true;
        const auto id =
            peer.ask({{":method", "POST"}, {":scheme", "http"}, {":path", "/duplex"}, {":authority", "a"}}, &body);
        co_await peer.settle(1s);
        CHECK(peer.answers[id].body.size() == 65535);
        peer.hold = false;
        nghttp2_session_resume_data(peer.session, id);
        co_await peer.settle(300s);
        CHECK(peer.answers[id].reset == NGHTTP2_CANCEL);
        co_return 0;
      },
      false);
}

TEST_CASE("who takes an answer byte by byte is given up: ServerOptions::transfer_timeout is for 64 KiB") {
  World world;
  with(
      world,
      [](World&, Peer& peer) -> Task<int> {
        const auto id = peer.get("/endless");
        for (int i = 0; i < 60 && peer.answers[id].reset == nothing; ++i) {
          co_await peer.settle(50s);
          nghttp2_submit_window_update(peer.session, 0, id, 1);
          nghttp2_submit_window_update(peer.session, 0, 0, 1);
        }
        CHECK(peer.answers[id].reset == NGHTTP2_CANCEL);
        co_return 0;
      },
      false);
}

TEST_CASE("who takes 64 KiB of an answer within transfer_timeout gets all of it") {
  World world;
  with(
      world,
      [](World&, Peer& peer) -> Task<int> {
        const auto id = peer.get("/endless");
        for (int i = 0; i < 30 && !peer.answers[id].ended; ++i) {
          co_await peer.settle(14s);
          nghttp2_submit_window_update(peer.session, 0, id, 17'000);
          nghttp2_submit_window_update(peer.session, 0, 0, 17'000);
        }
        CHECK(peer.answers[id].body.size() == 300'000);
        CHECK(peer.answers[id].reset == nothing);
        co_return 0;
      },
      false);
}

TEST_CASE("what an answer's source waits for is not the peer's time") {
  World world;
  with(world, [](World&, Peer& peer) -> Task<int> {
    const auto id = peer.get("/events");
    co_await peer.settle(1000s);
    CHECK(peer.answers[id].body.size() == 100);
    CHECK(peer.answers[id].ended);
    co_return 0;
  });
}

TEST_CASE("many answers at once on a slow line: each gets its part") {
  for (const std::int32_t window : {65'535, 16 << 20}) {
    CAPTURE(window);
    World world;
    with(world, [window](World&, Peer& peer) -> Task<int> {
      const std::array<nghttp2_settings_entry, 1> settings{{{NGHTTP2_SETTINGS_INITIAL_WINDOW_SIZE, 1 << 20}}};
      nghttp2_submit_settings(peer.session, 0, settings.data(), settings.size());
      nghttp2_session_set_local_window_size(peer.session, 0, 0, window);
      co_await peer.settle();
      std::vector<std::int32_t> ids;
      for (int i = 0; i < 20; ++i) ids.push_back(peer.get("/endless"));
      peer.rest = 1s;  // 8 KiB a second
      co_await peer.settle(2s);
      std::size_t whole = 0;
      for (const auto id : ids) whole += peer.answers[id].ended && peer.answers[id].body.size() == 300'000 ? 1 : 0;
      CHECK(whole == ids.size());
      co_return 0;
    });
  }
}

TEST_CASE("a malformed request ends its stream and no other, RFC 9113 section 8.1.1") {
  World world;
  with(world, [](World&, Peer& peer) -> Task<int> {
    const auto slow = peer.get("/slow");
    co_await peer.settle();
    const auto bad = peer.ask(
        {{":method", "GET"}, {":scheme", "http"}, {":path", "/"}, {":authority", "a"}, {"connection", "close"}});
    co_await peer.settle();
    CHECK(peer.answers[bad].reset == NGHTTP2_PROTOCOL_ERROR);
    co_await peer.settle(30s);
    CHECK(peer.goaway == nothing);
    CHECK(peer.answers[slow].reset == nothing);
    co_return 0;
  });
}

TEST_CASE("a head of more than one small block takes buffers of about its size") {
  ServerOptions options;
  options.maximum_head = 64 * 1024;
  World world{options};
  with(world, [](World& w, Peer& peer) -> Task<int> {
    const std::string cookie(3000, 'c');
    const auto id = peer.ask({{":method", "GET"},
                              {":scheme", "http"},
                              {":path", "/"},
                              {":authority", "a"},
                              {"x-a", "b"},
                              {"cookie", cookie}});
    co_await peer.settle();
    CHECK(peer.answers[id].fields[":status"] == "200");
    CHECK(w.app.cookie == cookie);
    co_return 0;
  });
  CHECK(world.shard.buffers().statistics().peak_in_use <= std::size_t{40} * 1024);
}
