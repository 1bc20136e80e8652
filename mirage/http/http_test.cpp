// SPDX-License-Identifier: ISC
#include <string>

#include <doctest/doctest.h>

#include <mirage/http/connection_test.hpp>
#include <mirage/http/site.hpp>
#include <mirage/store/crunch/crunch.hpp>

using namespace mirage;
using namespace mirage::http;
using namespace mirage::http::test;

namespace {

Result<Request, ParseError> parse(std::string_view head) {
  Request request;
  if (auto ok = parse_head(head, request); !ok) return Failure{ok.error()};
  return request;
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
  CHECK(parse("GET http://h?x=/../y HTTP/1.1\r\nHost: h\r\n\r\n")->path == "/");
  CHECK(parse("GET http://h?x=/../y HTTP/1.1\r\nHost: h\r\n\r\n")->query == "x=/../y");
  CHECK(parse("GET / HTTP/1.1\r\nHost: [::1]:80\r\n\r\n"));
  CHECK_FALSE(parse("GET / HTTP/1.0\r\n\r\n")->keep_alive);
  CHECK(parse("GET / HTTP/1.0\r\nConnection: Keep-Alive\r\n\r\n")->keep_alive);
}

TEST_CASE("malformed and smuggling heads are refused") {
  const auto error = [](std::string_view head) { return parse(head).error_or(ParseError{99}); };
  CHECK(error("GET /\r\n\r\n") == ParseError::bad_request_line);
  CHECK(error("GET / HTTP/2.0\r\n\r\n") == ParseError::unsupported_version);
  CHECK(status_of(ParseError::target_too_long) == 414);
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
  CHECK(error("GET / HTTP/1.1\r\nHost: a b\r\n\r\n") == ParseError::bad_header);
  CHECK(error("GET / HTTP/1.1\r\nHost: a/b\r\n\r\n") == ParseError::bad_header);
  CHECK(error("GET / HTTP/1.1\r\nHost: u@h\r\n\r\n") == ParseError::bad_header);
}

TEST_CASE("a host is a name or an address, with or without a port, RFC 3986 section 3.2.2") {
  const auto host = [](std::string_view value) {
    return parse("GET / HTTP/1.1\r\nHost: " + std::string{value} + "\r\n\r\n").has_value();
  };
  for (const std::string_view good : {"", "a", "a.example", "a:", "a:80", "10.0.0.1:8080",
                                      "%41-._~!$&'()*+,;=", "[::1]", "[::1]:80", "[::ffff:1.2.3.4]:", "[v1.a:b]"}) {
    CAPTURE(good);
    CHECK(host(good));
  }
  for (const std::string_view bad : {"a:b", "a:80:81", "a:80a", "::1", "[::1", "::1]", "[::1]x", "[::1]80", "a[::1]",
                                     "a]", "[", "[]", "[[::1]]", "[::1]:8x", "[a/b]", "a b"}) {
    CAPTURE(bad);
    CHECK_FALSE(host(bad));
  }
  // RFC 9110 section 4.2.1: that of a URI is not empty.
  CHECK(parse("GET http://:80/ HTTP/1.1\r\nHost: a\r\n\r\n").error_or(ParseError{99}) == ParseError::bad_target);
}

TEST_CASE("the authority is that of the absolute-form, else Host; Upgrade counts when Connection says so") {
  CHECK(parse("GET / HTTP/1.1\r\nHost: h:8080\r\n\r\n")->authority == "h:8080");
  CHECK(parse("GET http://x:1/ HTTP/1.1\r\nHost: h\r\n\r\n")->authority == "x:1");
  const auto asks = [](std::string_view head) { return parse(head)->asks_for("websocket"); };
  CHECK(asks("GET / HTTP/1.1\r\nHost: h\r\nConnection: x, Upgrade\r\nUpgrade: WebSocket\r\n\r\n"));
  CHECK(asks("GET / HTTP/1.1\r\nHost: h\r\nConnection: Upgrade\r\nUpgrade: websocket\r\nUpgrade: h2c, x\r\n\r\n"));
  CHECK_FALSE(asks("GET / HTTP/1.1\r\nHost: h\r\nConnection: Upgrade\r\nUpgrade: web\r\nUpgrade: socket\r\n\r\n"));
  CHECK_FALSE(asks("GET / HTTP/1.1\r\nHost: h\r\nUpgrade: websocket\r\n\r\n"));
  CHECK_FALSE(asks("GET / HTTP/1.0\r\nConnection: Upgrade\r\nUpgrade: websocket\r\n\r\n"));
  CHECK(parse("GET / HTTP/1.1\r\nHost: h\r\nTE: gzip, trailers\r\n\r\n")->takes_trailers);
}

TEST_CASE("no memory for a coroutine's frame ends a connection, not the program") {
  // Every bound at which some coroutine of a request goes without a frame, and a few beyond.
  for (std::size_t bytes = 1024; bytes < 48 * 1024; bytes += 256) {
    TestEnvironment environment;
    Shard shard{environment, {.buffer_bytes = 1 << 20, .frame_bytes = bytes}};
    store::Crunch crunch{shard, table};
    Site<store::Crunch> site{shard, crunch};
    Script script;
    script.input = {"GET / HTTP/1.1\r\nHost: a\r\nContent-Length: 3\r\n\r\n1", "23"};
    ServerCounters counters;
    DateCache date;
    const ServerOptions options;
    auto body = [](Shard& s, Script& sc, auto& h, const ServerOptions& o, ServerCounters& c,
                   DateCache& d) -> Task<int> {
      Connection<ScriptedFlow, Site<store::Crunch>> connection{ScriptedFlow{s, sc}, h, o, c, d};
      (void)co_await connection.run();
      co_return 0;
    };
    (void)run(shard, body(shard, script, site, options, counters, date));
    CHECK(shard.buffers().statistics().bytes_in_use == 0);
    CHECK(shard.frames().statistics().frames == 0);
  }
}

TEST_CASE("dates, RFC 9110 section 5.6.7") {
  Text<32> text;
  append_http_date(text.writer(), WallTime{784111777s});
  CHECK(text.view() == "Sun, 06 Nov 1994 08:49:37 GMT");
  CHECK(parse_http_date("Sun, 06 Nov 1994 08:49:37 GMT") == WallTime{784111777s});
  // The obsolete forms, which a recipient must accept.
  CHECK(parse_http_date("Sunday, 06-Nov-94 08:49:37 GMT") == WallTime{784111777s});
  CHECK(parse_http_date("Sun Nov  6 08:49:37 1994") == WallTime{784111777s});
  CHECK(parse_http_date("Wednesday, 01-Jan-25 00:00:00 GMT") == WallTime{1735689600s});
  for (const std::string_view bad :
       {"", "Sun", "Sun,", "Sun, 06 No", "Sun, 31 Feb 1994 08:49:37 GMT", "Sun, 06 Nov 1994 08:49:37 GMTx",
        "Sun, 06 ovD 1994 08:49:37 GMT", "Sun, 0x Nov 1994 08:49:37 GMT", "Sun, 06 Nov 1994  8:49:37 GMT",
        "Sun, 06 Nov 1994 24:49:37 GMT", "Sun Nov  6 08:49:37 94", "Sunday, 06-No", "Sun Nov 1  08:49:37 1994",
        "Sun Nov    08:49:37 1994"}) {
    CAPTURE(bad);
    CHECK_FALSE(parse_http_date(bad));
  }
}

TEST_CASE("a site serves whole values, ranges and conditions") {
  CHECK(get("GET / HTTP/1.1\r\nHost: a\r\n\r\n").ends_with("\r\n\r\n0123456789"));
  CHECK(count(get("GET /digits.txt HTTP/1.1\r\nHost: a\r\n\r\n"), "ETag: \"d1\"\r\n") == 1);
  CHECK(get("GET /none HTTP/1.1\r\nHost: a\r\n\r\n").starts_with("HTTP/1.1 404 "));
  CHECK(get("GET /../x HTTP/1.1\r\nHost: a\r\n\r\n").starts_with("HTTP/1.1 400 "));
  CHECK(get("GET /%2e%2E/x HTTP/1.1\r\nHost: a\r\n\r\n").starts_with("HTTP/1.1 400 "));
  CHECK(get("GET /a%2Fb HTTP/1.1\r\nHost: a\r\n\r\n").starts_with("HTTP/1.1 400 "));
  CHECK(get("GET /a. HTTP/1.1\r\nHost: a\r\n\r\n").starts_with("HTTP/1.1 404 "));
  CHECK(get("GET /%64igits.txt HTTP/1.1\r\nHost: a\r\n\r\n").starts_with("HTTP/1.1 200 "));
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

TEST_CASE("conditions are evaluated over all fields and in order, RFC 9110 section 13.2.2") {
  const KvInfo info{
      .size = 10, .etag = "d,1", .content_type = {}, .last_modified = WallTime{784111777s}, .encoding = {}};
  const auto verdict = [&info](std::string_view fields) {
    const std::string head = "GET / HTTP/1.1\r\nHost: a\r\n" + std::string{fields} + "\r\n";
    return evaluate_preconditions(*parse(head), info);
  };
  CHECK(verdict("If-None-Match: \"x\"\r\nIf-None-Match: \"d,1\"\r\n") == Precondition::not_modified);
  CHECK(verdict("If-None-Match: \"x, \"d,1\"\r\n") == Precondition::proceed);
  CHECK(verdict("If-None-Match: *\r\n") == Precondition::not_modified);
  CHECK(verdict("If-Match: W/\"d,1\"\r\n") == Precondition::failed);
  CHECK(verdict("If-Match: \"d,1\"\r\n") == Precondition::proceed);
  CHECK(verdict("If-Unmodified-Since: Sun, 06 Nov 1994 08:49:36 GMT\r\n") == Precondition::failed);
  CHECK(verdict("If-Unmodified-Since: Sun, 06 Nov 1994 08:49:37 GMT\r\n") == Precondition::proceed);
  CHECK(verdict("If-Match: *\r\nIf-Unmodified-Since: Sun, 06 Nov 1994 08:49:36 GMT\r\n") == Precondition::proceed);
  CHECK(verdict("If-Modified-Since: Sun, 06 Nov 1994 08:49:37 GMT\r\n") == Precondition::not_modified);
  CHECK(verdict("If-Modified-Since: yesterday\r\n") == Precondition::proceed);
  const auto ranged = [&info](std::string_view field) {
    const std::string head = "GET / HTTP/1.1\r\nHost: a\r\nIf-Range: " + std::string{field} + "\r\n\r\n";
    return range_applies(*parse(head), info);
  };
  CHECK(ranged("\"d,1\""));
  CHECK_FALSE(ranged("W/\"d,1\""));
  CHECK_FALSE(ranged("*"));
  CHECK_FALSE(ranged("\"x\", \"d,1\""));
}
