// SPDX-License-Identifier: ISC
#include <string>

#include <doctest/doctest.h>

#include <mirage/http/connection_test.hpp>

using namespace mirage;
using namespace mirage::http;
using namespace mirage::http::test;

TEST_CASE("pipelined requests are answered in order however the bytes arrive") {
  const std::string requests =
      "GET /1 HTTP/1.1\r\nHost: a\r\n\r\nGET /2 HTTP/1.1\r\nHost: a\r\n\r\nGET /3 HTTP/1.1\r\nHost: a\r\nConnection: "
      "close\r\n\r\n";
  for (std::size_t piece = 1; piece <= requests.size(); piece += piece < 8 ? 1 : 17) {
    Script script;
    for (std::size_t at = 0; at < requests.size(); at += piece) script.input.push_back(requests.substr(at, piece));
    Echo echo;
    const std::string answer = converse(echo, script);
    CHECK(echo.paths == std::vector<std::string>{"/1", "/2", "/3"});
    CHECK(count(answer, "HTTP/1.1 200 OK\r\n") == 3);
    CHECK(count(answer, "Content-Length: 13\r\n") == 3);
    CHECK(count(answer, "Connection: close\r\n") == 1);
    CHECK(answer.ends_with("\r\n\r\nHello, World!"));
  }
}

TEST_CASE("a body is framed by its length or by chunks, whatever the pieces") {
  const std::string requests =
      "POST /a HTTP/1.1\r\nHost: a\r\nContent-Length: 11\r\n\r\nhello world"
      "POST /b HTTP/1.1\r\nHost: a\r\nTransfer-Encoding: chunked\r\n\r\n"
      "5;x=y\r\nhello\r\n6\r\n world\r\n0\r\nTrailer: t\r\n\r\n"
      "POST /c HTTP/1.1\r\nHost: a\r\nContent-Length: 0\r\n\r\n";
  for (std::size_t piece = 1; piece <= requests.size(); piece += piece < 16 ? 1 : 23) {
    TestEnvironment environment;
    Shard shard{environment};
    CountBody handler{shard};
    Script script;
    for (std::size_t at = 0; at < requests.size(); at += piece) script.input.push_back(requests.substr(at, piece));
    const std::string answer = converse(handler, script);
    CHECK(count(answer, "X-Length: 11\r\n") == 2);
    CHECK(count(answer, "X-Length: 0\r\n") == 1);
  }
}

TEST_CASE("100 Continue is sent only when the body is wanted") {
  TestEnvironment environment;
  Shard shard{environment};
  const std::string head = "POST / HTTP/1.1\r\nHost: a\r\nContent-Length: 3\r\nExpect: 100-continue\r\n\r\n";
  {
    CountBody handler{shard};
    Script script;
    script.input = {head, "abc"};
    CHECK(converse(handler, script).starts_with("HTTP/1.1 100 Continue\r\n\r\nHTTP/1.1 200"));
  }
  Echo echo;
  Script script;
  script.input = {head, "abc"};
  const std::string answer = converse(echo, script);
  CHECK(answer.starts_with("HTTP/1.1 200"));
  CHECK(count(answer, "Connection: close") == 1);
}

TEST_CASE("oversized heads and bodies are refused") {
  Echo echo;
  Script large;
  large.input.push_back("GET / HTTP/1.1\r\nHost: a\r\nX: " + std::string(9000, 'x'));
  CHECK(converse(echo, large).starts_with("HTTP/1.1 431 "));
  Script line;
  line.input.push_back("GET /" + std::string(9000, 'x'));
  CHECK(converse(echo, line).starts_with("HTTP/1.1 414 "));
  Script body;
  body.input.push_back("POST / HTTP/1.1\r\nHost: a\r\nContent-Length: 2000000\r\n\r\n");
  CHECK(converse(echo, body).starts_with("HTTP/1.1 413 "));
  CHECK(echo.paths.empty());
}

TEST_CASE("what is refused of HEAD has no content either, RFC 9110 section 9.3.2") {
  struct Sizes final : AccessLog {
    void record(const AccessRecord& record) noexcept override { last = record.body_bytes; }
    std::uint64_t last = 99;
  };
  struct Refused {
    std::string rest;
    std::string_view status;
  };
  for (const Refused& refused : {Refused{" / HTTP/1.1\r\n\r\n", "400"},
                                 Refused{" / HTTP/1.1\r\nHost: a\r\nContent-Length: 2000000\r\n\r\n", "413"},
                                 Refused{" / HTTP/1.1\r\nX: " + std::string(9000, 'x'), "431"}}) {
    for (const std::string_view method : {"HEAD", "GET"}) {
      Script script;
      script.input.push_back(std::string{method} + refused.rest);
      Echo echo;
      Sizes sizes;
      const std::string answer = converse(echo, script, {.listen = {}, .access_log = &sizes});
      CHECK(answer.substr(9, 3) == refused.status);
      CHECK(answer.ends_with("\r\n\r\n") == (method == "HEAD"));
      CHECK(sizes.last == (method == "HEAD" ? 0 : 16));
    }
  }
}

TEST_CASE("a slow head ends the connection") {
  Echo echo;
  Script script;
  script.input = {"GET / HT"};
  script.silent_at_end = true;
  CHECK(converse(echo, script).starts_with("HTTP/1.1 408 "));
  CHECK(script.took >= 10s);
  CHECK(script.took < 11s);
}

TEST_CASE("a head that trickles in has no more time than any other") {
  Echo echo;
  Script script;
  const std::string head = "\r\n\r\nGET / HTTP/1.1\r\nHost: a\r\n\r\n";
  for (const char c : head) script.input.emplace_back(1, c);
  script.pause = 3s;
  CHECK(converse(echo, script).starts_with("HTTP/1.1 408 "));
  CHECK(script.took < 15s);
  CHECK(echo.paths.empty());
}

TEST_CASE("an idle connection is closed, not reset") {
  Echo echo;
  Script script;
  script.input = {"GET / HTTP/1.1\r\nHost: a\r\n\r\n"};
  script.silent_at_end = true;
  CHECK(converse(echo, script).starts_with("HTTP/1.1 200 "));
  CHECK_FALSE(script.aborted);
  CHECK(script.took >= 60s);
  CHECK(script.took < 61s);
}

TEST_CASE("a body may take long as long as it comes, and its silence ends the connection") {
  TestEnvironment environment;
  Shard shard{environment};
  CountBody handler{shard};
  Script script;
  script.input = {"POST / HTTP/1.1\r\nHost: a\r\nContent-Length: 5\r\n\r\n", "a", "b", "c", "d", "e"};
  script.pause = 50s;
  CHECK(count(converse(handler, script), "X-Length: 5\r\n") == 1);
  CHECK_FALSE(script.aborted);
  Script stuck;
  stuck.input = {"POST / HTTP/1.1\r\nHost: a\r\nContent-Length: 5\r\n\r\n", "a"};
  stuck.silent_at_end = true;
  converse(handler, stuck);
  CHECK(stuck.took < 62s);
}

namespace {
struct Slow {
  Task<Response> operator()(const Request& request, Body&) {
    done = co_await sleep(300s) == WaitStatus::done;
    co_return Response::text(200, request.query);
  }
  void attach(Shard& shard) { shard_ = &shard; }
  Shard& shard() { return *shard_; }
  Shard* shard_ = nullptr;
  bool done = false;
};
}  // namespace

TEST_CASE("a handler takes the time that it needs") {
  Slow slow;
  Script script;
  script.input = {"GET /?q HTTP/1.1\r\nHost: a\r\n\r\n"};
  CHECK(converse(slow, script).ends_with("\r\n\r\nq"));
  CHECK(slow.done);
}

TEST_CASE("what follows a refused request is read before the connection is given up") {
  Echo echo;
  Script script;
  script.input = {"GET / HTTP/1.1\r\n\r\n", std::string(1000, 'x'), std::string(1000, 'y')};
  CHECK(converse(echo, script).starts_with("HTTP/1.1 400 "));
  CHECK(script.unread_at_shutdown == 2);
  CHECK(script.unread_at_close == 0);
  CHECK_FALSE(script.aborted);
}

TEST_CASE("a body that the handler leaves is skipped after the answer") {
  Echo echo;
  Script script;
  script.input = {"POST /1 HTTP/1.1\r\nHost: a\r\nContent-Length: 10\r\n\r\n12345", "67890",
                  "GET /2 HTTP/1.1\r\nHost: a\r\n\r\n"};
  CHECK(count(converse(echo, script), "HTTP/1.1 200 OK") == 2);
  CHECK(echo.paths == std::vector<std::string>{"/1", "/2"});
}

TEST_CASE("empty lines in front of a request are skipped, however they arrive") {
  for (std::size_t piece = 1; piece < 6; ++piece) {
    const std::string text = "\r\n\r\nGET / HTTP/1.1\r\nHost: a\r\n\r\n\r\nGET / HTTP/1.1\r\nHost: a\r\n\r\n";
    Script script;
    for (std::size_t at = 0; at < text.size(); at += piece) script.input.push_back(text.substr(at, piece));
    Echo echo;
    CHECK(count(converse(echo, script), "HTTP/1.1 200 OK") == 2);
  }
}

TEST_CASE("a tunnel is refused") {
  Echo echo;
  Script script;
  script.input.emplace_back("CONNECT a:1 HTTP/1.1\r\nHost: a\r\n\r\n");
  CHECK(converse(echo, script).starts_with("HTTP/1.1 501 "));
  CHECK(echo.paths.empty());
}

TEST_CASE("no memory for buffers ends a connection with its pools intact") {
  for (std::size_t blocks = 1; blocks < 12; ++blocks) {
    TestEnvironment environment;
    Shard shard{environment, {.buffer_bytes = blocks * 2048, .frame_bytes = 1 << 20}};
    Echo echo;
    Script script;
    const std::string text = "GET / HTTP/1.1\r\nHost: a\r\nX: " + std::string(1800, 'x') + "\r\n\r\n";
    for (std::size_t at = 0; at < text.size(); at += 100) script.input.push_back(text.substr(at, 100));
    ServerCounters counters;
    DateCache date;
    const ServerOptions options;
    auto body = [](Shard& s, Script& sc, Echo& h, const ServerOptions& o, ServerCounters& c,
                   DateCache& d) -> Task<int> {
      Connection<ScriptedFlow, Echo> connection{ScriptedFlow{s, sc}, h, o, c, d};
      (void)co_await connection.run();
      co_return 0;
    };
    CHECK(run(shard, body(shard, script, echo, options, counters, date)) == 0);
    CHECK(shard.buffers().statistics().bytes_in_use == 0);
  }
}

TEST_CASE("an idle connection holds no buffer") {
  TestEnvironment environment;
  Shard shard{environment};
  Echo echo;
  Script script;
  script.silent_at_end = true;
  for (const char c : std::string_view{"GET / HTTP/1.1\r\nHost: a\r\n\r\n"}) script.input.emplace_back(1, c);
  ServerCounters counters;
  DateCache date;
  const ServerOptions options;
  std::size_t idle = 1;
  auto serve = [](Shard& s, Script& sc, Echo& h, const ServerOptions& o, ServerCounters& c,
                  DateCache& d) -> Task<void> {
    Connection<ScriptedFlow, Echo> connection{ScriptedFlow{s, sc}, h, o, c, d};
    (void)co_await connection.run();
  };
  auto body = [](Shard& s, Script& sc, Echo& h, const ServerOptions& o, ServerCounters& c, DateCache& d, auto& make,
                 std::size_t& out) -> Task<int> {
    Scope scope{s};
    CHECK(scope.spawn(make(s, sc, h, o, c, d)));
    co_await sleep(5s);
    out = s.buffers().statistics().bytes_in_use;
    MESSAGE("frames of an idle connection: " << s.frames().statistics().bytes_in_use);
    scope.cancel();
    co_await scope.join();
    co_return 0;
  };
  CHECK(run(shard, body(shard, script, echo, options, counters, date, serve, idle)) == 0);
  CHECK(count(script.output, "200 OK") == 1);
  CHECK(idle == 0);
}
