// SPDX-License-Identifier: ISC
// The server against nghttp2's client side, and against frames that no client should send; in virtual time.
#include <doctest/doctest.h>

#include <mirage/http/h2/h2_bed_test.hpp>

using namespace mirage;
using namespace mirage::http;
using namespace mirage::http::test;

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

TEST_CASE("what begins as the preface does may go on in as many pieces as one read brings") {
  World world;
  with(world, [](World& w, Peer&) -> Task<int> {
    auto flow = co_await w.tcp.connect(Endpoint{{}, 1});
    CHECK(co_await flow->write(SliceList{Slice::from_static(std::string_view{"P"})}));
    co_await sleep(1ms);
    for (const char c :
         std::string_view{"OST / HTTP/1.1\r\nHost: b\r\nContent-Length: 0\r\nConnection: close\r\n\r\n"}) {
      CHECK(co_await flow->write(SliceList{w.shard.buffers().copy(as_bytes(std::string_view{&c, 1}))}));
    }
    const auto text = co_await flow->read();
    REQUIRE(text);
    REQUIRE_FALSE(text->empty());
    CHECK((*text)[0].text().starts_with("HTTP/1.1 200 OK\r\n"));
    co_return 0;
  });
  CHECK(world.app.seen == std::vector<std::string>{"POST / HTTP/1.1 b"});
}

TEST_CASE("what is refused of HEAD has no content either, RFC 9110 section 9.3.2") {
  World world;
  with(world, [](World& w, Peer& peer) -> Task<int> {
    const std::string large(9000, 'x');
    const auto id =
        peer.ask({{":method", "HEAD"}, {":scheme", "http"}, {":path", "/"}, {":authority", "a"}, {"x", large}});
    co_await peer.settle();
    CHECK(peer.answers[id].fields[":status"] == "431");
    CHECK(peer.answers[id].ended);
    CHECK(w.counters().resets == 0);  // nghttp2 takes content for an error
    co_return 0;
  });
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

TEST_CASE("trailers that fill a block to its end are trailers, too") {
  TestEnvironment environment;
  Shard shard{environment};
  for (std::size_t left = 0; left < 4; ++left) {
    h2::Head head;
    head.add(shard.buffers(), "x", std::string(frame_capacity - std::string_view{"x: \r\n"}.size() - left, 'y'), 8000);
    CHECK(head.take_fields().tailroom() >= 2);  // for the empty line that ends a section
  }
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

namespace {

/// A request whose `body` is held back for now.
std::int32_t ask_for_continue(Peer& peer, const char* path, const std::string& body) {
  peer.hold = true;
  return peer.ask(
      {{":method", "POST"}, {":scheme", "http"}, {":path", path}, {":authority", "a"}, {"expect", "100-continue"}},
      &body);
}

}  // namespace

TEST_CASE("100 Continue when the handler reads, RFC 9110 section 10.1.1") {
  World world;
  with(world, [](World&, Peer& peer) -> Task<int> {
    const std::string body = "content";
    const auto id = ask_for_continue(peer, "/mirror", body);
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

TEST_CASE("no interim response comes behind a final head, whose source may read the body all the same") {
  World world;
  with(world, [](World&, Peer& peer) -> Task<int> {
    const std::string body = "content";
    const auto id = ask_for_continue(peer, "/mirror-403", body);
    co_await peer.settle(1s);
    CHECK(peer.answers[id].statuses == "403 ");
    peer.hold = false;  // RFC 9110 section 10.1.1: it need not wait for ever
    nghttp2_session_resume_data(peer.session, id);
    co_await peer.settle();
    CHECK(peer.answers[id].body == body);
    CHECK(peer.answers[id].statuses == "403 ");
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

TEST_CASE("a stream that has its answer counts no more, whatever its handler still does, RFC 9113 section 5.1.2") {
  World world;
  with(world, [](World& w, Peer& peer) -> Task<int> {
    co_await peer.settle();
    std::vector<std::int32_t> asked;
    for (int round = 0; round < 3; ++round) {
      for (int i = 0; i < 100; ++i) asked.push_back(peer.get("/tail"));
      co_await peer.settle(1ms);
      for (int i = 0; i < 100; ++i)
        CHECK(peer.answers[asked[static_cast<std::size_t>(round * 100 + i)]].ended == round < 2);
    }
    CHECK(w.counters().refused == 100);  // such handlers are bounded, too
    CHECK(w.app.seen.size() == 200);
    co_await peer.settle(2s);
    asked.push_back(peer.get("/a"));
    co_await peer.settle();
    CHECK(peer.answers[asked.back()].ended);
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
  flood(frame(NGHTTP2_DATA, NGHTTP2_FLAG_PADDED, 1, std::string_view{"\2\0\0", 3}));  // nothing but padding
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
