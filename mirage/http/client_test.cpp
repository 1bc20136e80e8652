// SPDX-License-Identifier: ISC
#include <doctest/doctest.h>

#include <mirage/http/client_bed_test.hpp>

using namespace mirage;
using namespace mirage::http;
using namespace mirage::http::test;

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

TEST_CASE("what a redirect says to people is not waited for") {
  World world;
  auto trickle = [](Shard&, PipeTcp& tcp) -> Task<void> {
    auto listener = tcp.listen(2, {});
    auto flow = co_await listener->accept();
    if (!flow) co_return;
    std::string_view text = "HTTP/1.1 302 Found\r\nLocation: http://h:1/\r\nContent-Length: 1000\r\n\r\n";
    for (int i = 0; i < 100 && co_await flow->write(SliceList{Slice::from_static(text)}); ++i, text = ".") {
      (void)co_await sleep(30s);
    }
  };
  with(world, [&trickle](World& w) -> Task<void> {
    Scope scope{w.shard};
    REQUIRE(scope.spawn(trickle(w.shard, w.tcp)));
    co_await sleep(1ms);
    const Time before = w.shard.now();
    const auto response = co_await w.client.fetch("http://h:2/");
    REQUIRE(response);
    CHECK(response->status() == 200);
    CHECK(w.shard.now() - before < 5s);
    CHECK(w.client.pool().connections() == 1);
    scope.cancel();
    co_await scope.join();
  });
}

TEST_CASE("what a redirect has no use for is no hindrance to the next one, RFC 9110 sections 15.4 and 15.4.4") {
  World world;
  with(world, [](World& w) -> Task<void> {
    ClientRequest post;
    post.method = "POST";
    post.source = std::make_unique<Uploaded>(w.shard, 3000);
    const auto response = co_await w.client.fetch("http://h:1/to/3?/to/2?/seen", std::move(post));
    REQUIRE(response);
    CHECK(response->status() == 200);
    ClientRequest put;
    put.method = "PUT";
    put.source = std::make_unique<Uploaded>(w.shard, 3000);
    CHECK((co_await w.client.fetch("http://h:1/to/2?/again", std::move(put))).error_or(ClientError::busy) ==
          ClientError::too_many_redirects);
  });
  CHECK(world.app.seen ==
        std::vector<std::string>{"POST /to/3?/to/2?/seen", "GET /to/2?/seen", "GET /seen", "PUT /to/2?/again"});
  ClientRequest request;
  request.method = "POST";
  for (const std::string_view name : {"Content-Type", "Content-Encoding", "Content-Language", "Content-Location",
                                      "Content-Digest", "Last-Modified", "Accept"}) {
    REQUIRE(request.headers.add(name, std::string_view{"x"}));
  }
  bool spent = true;
  REQUIRE(follow(request, 303, true, spent));
  CHECK(request.headers.text() == "Accept: x\r\n");
  CHECK_FALSE(spent);
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

TEST_CASE("the time for an answer begins behind the request, however long its source takes") {
  struct Late final : BodySource {
    explicit Late(Shard& s) : shard_(s) {}
    Shard& shard() { return shard_; }
    Task<Result<SliceList, BodyError>> next() noexcept override {
      if (left-- == 0) co_return SliceList{};
      (void)co_await sleep(45s);
      co_return SliceList{Slice::from_static(std::string_view{"late"})};
    }
    Shard& shard_;
    unsigned left = 2;
  };
  World world;
  with(world, [](World& w) -> Task<void> {
    ClientRequest request;
    request.method = "PUT";
    request.source = std::make_unique<Late>(w.shard);
    auto response = co_await w.client.fetch("http://h:1/", std::move(request));
    REQUIRE(response);
    CHECK(response->status() == 200);
    CHECK(w.app.received == 8);
    co_await response->end();
    ClientRequest slow;
    slow.method = "PUT";
    slow.source = std::make_unique<Uploaded>(w.shard, 4000);
    const Time before = w.shard.now();
    const auto none = co_await w.client.fetch("http://h:1/slow", std::move(slow));
    CHECK(none.error_or(ClientError::busy) == ClientError::timed_out);
    CHECK(w.shard.now() - before < 31s);
  });
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
        "HTTP/1.1 101 S\r\nUpgrade: h2c\r\nUpgrade: websocket\r\nConnection: upgrade\r\n\r\n",
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
