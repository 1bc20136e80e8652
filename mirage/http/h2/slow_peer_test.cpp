// SPDX-License-Identifier: ISC
// Peers that take or give little, or nothing any more.
#include <doctest/doctest.h>

#include <mirage/http/h2/h2_bed_test.hpp>

using namespace mirage;
using namespace mirage::http;
using namespace mirage::http::test;

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

TEST_CASE("who takes the frames of a connection in small parts has transfer_timeout for 64 KiB of them") {
  for (const bool fast : {false, true}) {
    CAPTURE(fast);
    World world;
    with(world, [fast](World&, Peer& peer) -> Task<int> {
      const auto id = peer.get("/endless");
      peer.rest = fast ? 6s : 40s;  // for each 8 KiB
      co_await peer.settle(100s);
      CHECK(peer.answers[id].ended == fast);
      co_return 0;
    });
  }
}

TEST_CASE("on a slow line answers take turns, whatever they consist of: one does not hold up the others") {
  for (const std::string_view path : {"/large", "/endless"}) {
    CAPTURE(path);
    World world;
    with(
        world,
        [path](World&, Peer& peer) -> Task<int> {
          const auto large = peer.ask(
              {{":method", "GET"}, {":scheme", "http"}, {":path", "/large"}, {":authority", "a"}, {"priority", "u=0"}});
          const auto other = peer.get(path);
          for (int i = 0; i < 8; ++i) {
            co_await peer.settle(50s);
            nghttp2_submit_window_update(peer.session, 0, large, 65'536);
            nghttp2_submit_window_update(peer.session, 0, other, 65'536);
            nghttp2_submit_window_update(peer.session, 0, 0, 65'536);
          }
          co_await peer.settle(1s);
          CHECK(peer.answers[large].body.size() >= 200'000);
          // Of small parts there is one a turn.
          CHECK(peer.answers[other].body.size() >= (path == "/large" ? 200'000 : 10'000));
          co_return 0;
        },
        false);
  }
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

TEST_CASE("a header section without measure is not read to its end: one byte can stand for 4 KiB of it") {
  World world;
  with(world, [](World& w, Peer& peer) -> Task<int> {
    const std::string value(2900, 'v');
    const auto id = peer.ask({{":method", "GET"},
                              {":scheme", "http"},
                              {":path", "/"},
                              {":authority", "a"},
                              {"x-a", value},
                              {"x-a", value},
                              {"x-a", value},
                              {"x-a", value}});
    co_await peer.settle();
    CHECK(peer.answers[id].fields[":status"] == "431");
    const auto more =
        peer.ask({{":method", "GET"}, {":scheme", "http"}, {":path", "/"}, {":authority", "a"}, {"x-a", value},
                  {"x-a", value},     {"x-a", value},      {"x-a", value}, {"x-a", value},      {"x-a", value},
                  {"x-a", value},     {"x-a", value},      {"x-a", value}, {"x-a", value},      {"x-a", value},
                  {"x-a", value},     {"x-a", value},      {"x-a", value}, {"x-a", value},      {"x-a", value}});
    co_await peer.settle();
    CHECK(peer.answers[more].reset == NGHTTP2_INTERNAL_ERROR);
    const auto next = peer.ask({{":method", "GET"},
                                {":scheme", "http"},
                                {":path", "/"},
                                {":authority", "a"},
                                {"cookie", "c"},
                                {"x-a", value}});
    co_await peer.settle();
    CHECK(peer.answers[next].fields[":status"] == "200");
    CHECK(w.app.cookie == "c");
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
