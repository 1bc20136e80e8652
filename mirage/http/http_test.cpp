// SPDX-License-Identifier: ISC
#include <algorithm>
#include <deque>
#include <string>
#include <vector>

#include <doctest/doctest.h>

#include <mirage/http/server.hpp>
#include <mirage/http/site.hpp>
#include <mirage/module/ready.hpp>
#include <mirage/store/crunch/crunch.hpp>

using namespace mirage;
using namespace mirage::http;

namespace {

class TestEnvironment final : public Environment {
 public:
  Time monotonic() noexcept override { return now; }
  WallTime wall() noexcept override { return WallTime{784111777s}; }
  bool entropy(MutableBytes) noexcept override { return false; }
  void wait(Time deadline) noexcept override {
    REQUIRE(deadline != never);
    now = deadline;
  }
  void write_console(std::string_view) noexcept override {}
  Time now{1s};
};

/// A flow that receives what a test scripted, then the end of the stream (or silence), and collects what is written.
struct Script {
  std::deque<std::string> input;
  std::string output;
  bool silent_at_end = false;
  bool aborted = false;
  WaitQueue reading;
};

class ScriptedFlow {
 public:
  ScriptedFlow(Shard& shard, Script& script) noexcept : shard_(&shard), script_(&script) {}
  Task<Result<SliceList, FlowError>> read() {
    while (script_->input.empty() && script_->silent_at_end) {
      if (script_->aborted) co_return Failure{FlowError::reset};
      (void)co_await script_->reading.wait();
    }
    if (script_->input.empty()) co_return SliceList{};
    const Slice slice = shard_->buffers().copy(as_bytes(script_->input.front()));
    script_->input.pop_front();
    co_return SliceList{slice};
  }
  Ready<Result<void, FlowError>> write(SliceList slices) {
    for (const Slice& slice : slices) script_->output += slice.text();
    return Ready{Result<void, FlowError>{}};
  }
  Ready<Result<void, FlowError>> write(Bytes bytes) {
    script_->output += as_text(bytes);
    return Ready{Result<void, FlowError>{}};
  }
  void shutdown() noexcept {}
  void close() noexcept {}
  void abort() noexcept {
    script_->aborted = true;
    script_->reading.notify_all();
  }
  Endpoint peer() noexcept { return {}; }
  Endpoint local() noexcept { return {}; }
  std::uint32_t headroom() noexcept { return 0; }
  std::uint32_t tailroom() noexcept { return 0; }
  Shard& shard() noexcept { return *shard_; }

 private:
  Shard* shard_;
  Script* script_;
};
static_assert(Flow<ScriptedFlow>);

template <class H>
std::string converse(H& handler, Script& script, const ServerOptions& options = {}) {
  TestEnvironment environment;
  Shard shard{environment};
  ServerCounters counters;
  DateCache date;
  {
    auto body = [](Shard& s, Script& sc, H& h, const ServerOptions& o, ServerCounters& c, DateCache& d) -> Task<int> {
      Connection<ScriptedFlow, H> connection{ScriptedFlow{s, sc}, h, o, c, d};
      co_await connection.run();
      co_return 0;
    };
    CHECK(run(shard, body(shard, script, handler, options, counters, date)) == 0);
  }
  CHECK(shard.buffers().statistics().bytes_in_use == 0);
  CHECK(shard.frames().statistics().frames == 0);
  CHECK(shard.timers().armed() == 0);
  return script.output;
}

struct Echo {
  Response operator()(const Request& request, Body&) {
    paths.emplace_back(request.path);
    return Response::text(200, "Hello, World!");
  }
  std::vector<std::string> paths;
};

struct CountBody {
  explicit CountBody(Shard& s) : shard_(s) {}
  Shard& shard() { return shard_; }
  Task<Response> operator()(const Request&, Body& body) {
    std::size_t total = 0;
    while (true) {
      auto part = co_await body.read();
      if (!part) co_return Response::text(400, "bad body");
      if (part->empty()) break;
      total += part->byte_count();
    }
    Response response = Response::text(200, "");
    (void)response.headers.add("X-Length", std::uint64_t{total});
    co_return response;
  }
  Shard& shard_;
};

Result<Request, ParseError> parse(std::string_view head) {
  Request request;
  if (auto ok = parse_head(head, request); !ok) return Failure{ok.error()};
  return request;
}

std::size_t count(std::string_view text, std::string_view part) {
  std::size_t n = 0;
  for (auto at = text.find(part); at != std::string_view::npos; at = text.find(part, at + 1)) ++n;
  return n;
}

constexpr std::array<std::byte, 10> digits{std::byte{'0'}, std::byte{'1'}, std::byte{'2'}, std::byte{'3'},
                                           std::byte{'4'}, std::byte{'5'}, std::byte{'6'}, std::byte{'7'},
                                           std::byte{'8'}, std::byte{'9'}};
constexpr std::array<CrunchFile, 2> files{
    {{"digits.txt", "text/plain", "d1", digits}, {"index.html", "text/html", "i1", digits}}};
constexpr CrunchTable table{files};

std::string get(std::string_view request) {
  TestEnvironment environment;
  Shard shard{environment};
  store::Crunch crunch{shard, table};
  Site<store::Crunch> site{shard, crunch};
  Script script;
  script.input.emplace_back(request);
  return converse(site, script);
}

}  // namespace

TEST_CASE("a request head is parsed into views") {
  const auto r = parse("GET /a/b?x=1 HTTP/1.1\r\nHost: example\r\nAccept:  */* \r\n\r\n");
  REQUIRE(r);
  CHECK(r->method == Method::get);
  CHECK(r->path == "/a/b");
  CHECK(r->query == "x=1");
  CHECK(r->header("ACCEPT") == "*/*");
  CHECK(r->keep_alive);
  CHECK(parse("GET http://h/x HTTP/1.1\r\nHost: h\r\n\r\n")->path == "/x");
  CHECK(parse("OPTIONS * HTTP/1.1\r\nHost: h\r\n\r\n")->path == "*");
  CHECK_FALSE(parse("GET / HTTP/1.0\r\n\r\n")->keep_alive);
  CHECK(parse("GET / HTTP/1.0\r\nConnection: Keep-Alive\r\n\r\n")->keep_alive);
}

TEST_CASE("malformed and smuggling heads are refused") {
  const auto error = [](std::string_view head) { return parse(head).error_or(ParseError{99}); };
  CHECK(error("GET /\r\n\r\n") == ParseError::bad_request_line);
  CHECK(error("GET / HTTP/2.0\r\n\r\n") == ParseError::unsupported_version);
  CHECK(error("G@T / HTTP/1.1\r\nHost: a\r\n\r\n") == ParseError::bad_request_line);
  CHECK(error("GET / HTTP/1.1\r\n\r\n") == ParseError::missing_host);
  CHECK(error("GET / HTTP/1.1\r\nHost: a\r\nHost: b\r\n\r\n") == ParseError::missing_host);
  CHECK(error("GET / HTTP/1.1\r\nHost : a\r\n\r\n") == ParseError::bad_header);
  CHECK(error("GET / HTTP/1.1\r\nHost: a\r\n folded\r\n\r\n") == ParseError::bad_header);
  CHECK(error("GET / HTTP/1.1\nHost: a\r\n\r\n") == ParseError::bad_request_line);
  CHECK(error("POST / HTTP/1.1\r\nHost: a\r\nContent-Length: 5\r\nContent-Length: 5\r\n\r\n") ==
        ParseError::bad_framing);
  CHECK(error("POST / HTTP/1.1\r\nHost: a\r\nContent-Length: +5\r\n\r\n") == ParseError::bad_framing);
  CHECK(error("POST / HTTP/1.1\r\nHost: a\r\nContent-Length: 5, 5\r\n\r\n") == ParseError::bad_framing);
  CHECK(error("POST / HTTP/1.1\r\nHost: a\r\nContent-Length: 99999999999999999999\r\n\r\n") == ParseError::bad_framing);
  CHECK(error("POST / HTTP/1.1\r\nHost: a\r\nTransfer-Encoding: chunked\r\nContent-Length: 5\r\n\r\n") ==
        ParseError::bad_framing);
  CHECK(error("POST / HTTP/1.1\r\nHost: a\r\nTransfer-Encoding: gzip, chunked\r\n\r\n") ==
        ParseError::unsupported_coding);
  CHECK(error("POST / HTTP/1.0\r\nTransfer-Encoding: chunked\r\n\r\n") == ParseError::bad_framing);
  CHECK(error("GET / HTTP/1.1\r\nHost: a\r\nX: a\rb\r\n\r\n") == ParseError::bad_header);
}

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
  Script body;
  body.input.push_back("POST / HTTP/1.1\r\nHost: a\r\nContent-Length: 2000000\r\n\r\n");
  CHECK(converse(echo, body).starts_with("HTTP/1.1 413 "));
  CHECK(echo.paths.empty());
}

TEST_CASE("a slow head ends the connection") {
  Echo echo;
  Script script;
  script.input = {"GET / HT"};
  script.silent_at_end = true;
  converse(echo, script);
  CHECK(script.aborted);
}

TEST_CASE("dates, RFC 9110 section 5.6.7") {
  Text<32> text;
  append_http_date(text.writer(), WallTime{784111777s});
  CHECK(text.view() == "Sun, 06 Nov 1994 08:49:37 GMT");
  CHECK(parse_http_date("Sun, 06 Nov 1994 08:49:37 GMT") == WallTime{784111777s});
  CHECK_FALSE(parse_http_date("Sun, 31 Feb 1994 08:49:37 GMT"));
}

TEST_CASE("a site serves whole values, ranges and conditions") {
  CHECK(get("GET / HTTP/1.1\r\nHost: a\r\n\r\n").ends_with("\r\n\r\n0123456789"));
  CHECK(count(get("GET /digits.txt HTTP/1.1\r\nHost: a\r\n\r\n"), "ETag: \"d1\"\r\n") == 1);
  CHECK(get("GET /none HTTP/1.1\r\nHost: a\r\n\r\n").starts_with("HTTP/1.1 404 "));
  CHECK(get("GET /../x HTTP/1.1\r\nHost: a\r\n\r\n").starts_with("HTTP/1.1 400 "));
  CHECK(get("GET /%00 HTTP/1.1\r\nHost: a\r\n\r\n").starts_with("HTTP/1.1 400 "));
  CHECK(get("POST / HTTP/1.1\r\nHost: a\r\nContent-Length: 0\r\n\r\n").starts_with("HTTP/1.1 405 "));
  const std::string part = get("GET /digits.txt HTTP/1.1\r\nHost: a\r\nRange: bytes=2-4\r\n\r\n");
  CHECK(part.starts_with("HTTP/1.1 206 "));
  CHECK(part.ends_with("\r\n\r\n234"));
  CHECK(count(part, "Content-Range: bytes 2-4/10\r\n") == 1);
  CHECK(get("GET /digits.txt HTTP/1.1\r\nHost: a\r\nRange: bytes=-3\r\n\r\n").ends_with("\r\n\r\n789"));
  CHECK(get("GET /digits.txt HTTP/1.1\r\nHost: a\r\nRange: bytes=8-\r\n\r\n").ends_with("\r\n\r\n89"));
  CHECK(get("GET /digits.txt HTTP/1.1\r\nHost: a\r\nRange: bytes=10-\r\n\r\n").starts_with("HTTP/1.1 416 "));
  CHECK(get("GET /digits.txt HTTP/1.1\r\nHost: a\r\nRange: bytes=2-4\r\nIf-Range: \"old\"\r\n\r\n")
            .ends_with("0123456789"));
  const std::string unchanged = get("GET /digits.txt HTTP/1.1\r\nHost: a\r\nIf-None-Match: \"x\", W/\"d1\"\r\n\r\n");
  CHECK(unchanged.starts_with("HTTP/1.1 304 "));
  CHECK(unchanged.ends_with("\r\n\r\n"));
  CHECK(get("GET /digits.txt HTTP/1.1\r\nHost: a\r\nIf-Match: \"x\"\r\n\r\n").starts_with("HTTP/1.1 412 "));
  const std::string head = get("HEAD /digits.txt HTTP/1.1\r\nHost: a\r\n\r\n");
  CHECK(count(head, "Content-Length: 10\r\n") == 1);
  CHECK(head.ends_with("\r\n\r\n"));
}
