// SPDX-License-Identifier: ISC
// Request smuggling: a message that two recipients could delimit differently must be refused, and nothing behind it may
// be taken for a request. Every row is a whole conversation; "/evil" must never reach the handler.
#include <array>
#include <string>

#include <doctest/doctest.h>

#include <mirage/http/connection_test.hpp>

using namespace mirage;
using namespace mirage::http;
using namespace mirage::http::test;

namespace {

/// Reads its body to the end and remembers the paths that it was asked for.
struct Reader {
  void attach(Shard& s) { shard_ = &s; }
  Shard& shard() { return *shard_; }
  Task<Response> operator()(const Request& request, Body& body) {
    paths.emplace_back(request.path);
    while (true) {
      const auto part = co_await body.read();
      if (!part) co_return Response::text(400, "bad body\n");
      if (part->empty()) break;
      for (const Slice& slice : *part) text += slice.text();
    }
    co_return Response::text(200, "read\n");
  }
  Shard* shard_ = nullptr;
  std::vector<std::string> paths;
  std::string text;
};

struct Attack {
  std::string_view section;  // of RFC 9112, or RFC 9110 where it says so
  std::string_view bytes;    // followed by a request for /evil
  int status;
};

#define POST "POST /first HTTP/1.1\r\nHost: a\r\n"
constexpr std::array attacks{
    // Two lengths.
    Attack{"6.1", POST "Content-Length: 3\r\nTransfer-Encoding: chunked\r\n\r\n0\r\n\r\n", 400},
    Attack{"6.1", POST "Transfer-Encoding: chunked\r\nContent-Length: 3\r\n\r\n0\r\n\r\n", 400},
    Attack{"6.3", POST "Content-Length: 3\r\nContent-Length: 3\r\n\r\nabc", 400},
    Attack{"6.3", POST "Content-Length: 3\r\nContent-Length: 30\r\n\r\nabc", 400},
    Attack{"6.3", POST "Content-Length: 3, 3\r\n\r\nabc", 400},
    // No numbers.
    Attack{"6.3", POST "Content-Length: \r\n\r\n", 400},
    Attack{"6.3", POST "Content-Length: -1\r\n\r\n", 400},
    Attack{"6.3", POST "Content-Length: +3\r\n\r\nabc", 400},
    Attack{"6.3", POST "Content-Length: 0x3\r\n\r\nabc", 400},
    Attack{"6.3", POST "Content-Length: 3 4\r\n\r\nabc", 400},
    Attack{"6.3", POST "Content-Length: 3;\r\n\r\nabc", 400},
    Attack{"6.3", POST "Content-Length: 18446744073709551619\r\n\r\nabc", 400},
    Attack{"6.3", POST "Content-Length: 9223372036854775808\r\n\r\nabc", 400},
    // Codings that are not exactly chunked.
    Attack{"6.1", POST "Transfer-Encoding: xchunked\r\n\r\n0\r\n\r\n", 501},
    Attack{"6.1", POST "Transfer-Encoding: chunked, identity\r\n\r\n0\r\n\r\n", 501},
    Attack{"6.1", POST "Transfer-Encoding: gzip, chunked\r\n\r\n0\r\n\r\n", 501},
    Attack{"6.1", POST "Transfer-Encoding: chunked, chunked\r\n\r\n0\r\n\r\n", 501},
    Attack{"6.1", POST "Transfer-Encoding: identity\r\n\r\n", 501},
    Attack{"6.1", POST "Transfer-Encoding: \"chunked\"\r\n\r\n0\r\n\r\n", 501},
    Attack{"6.1", POST "Transfer-Encoding:\r\n\r\n", 501},
    Attack{"6.1", POST "Transfer-Encoding: chunked\r\nTransfer-Encoding: chunked\r\n\r\n0\r\n\r\n", 400},
    Attack{"6.1", POST "Transfer-Encoding: chunked\r\nTransfer-Encoding: identity\r\n\r\n0\r\n\r\n", 400},
    Attack{"6.1", "POST / HTTP/1.0\r\nTransfer-Encoding: chunked\r\n\r\n0\r\n\r\n", 400},
    Attack{"6.1",
           POST "Transfer-Encoding: \x0b"
                "chunked\r\n\r\n0\r\n\r\n",
           400},
    // Fields that some would read as another name.
    Attack{"5.1", POST "Content-Length : 3\r\n\r\nabc", 400},
    Attack{"5.1", POST "Transfer-Encoding : chunked\r\n\r\n0\r\n\r\n", 400},
    Attack{"5.1", POST "Transfer-Encoding\t: chunked\r\n\r\n0\r\n\r\n", 400},
    Attack{"5.1", POST " Transfer-Encoding: chunked\r\n\r\n0\r\n\r\n", 400},
    Attack{"5.1", POST ": chunked\r\n\r\n", 400},
    Attack{"5.1", POST "Transfer-Encoding\r\n\r\n", 400},
    Attack{"5.1", POST "Transfer-Encoding\0: chunked\r\n\r\n", 400},
    Attack{"5.2", POST "X: y\r\n Content-Length: 3\r\n\r\nabc", 400},
    Attack{"5.2", POST "X: y\r\n\tfolded\r\n\r\n", 400},
    Attack{"5.2", POST "Transfer-Encoding:\r\n chunked\r\n\r\n0\r\n\r\n", 501},
    // Lines that end otherwise.
    Attack{"2.2", POST "X: y\nContent-Length: 3\r\n\r\nabc", 400},
    Attack{"2.2", POST "X: y\rContent-Length: 3\r\n\r\nabc", 400},
    Attack{"2.2", POST "X: y\r\r\nContent-Length: 3\r\n\r\nabc", 400},
    Attack{"2.2", "GET / HTTP/1.1\nHost: a\r\n\r\n", 400},
    Attack{"2.2", " \r\nGET / HTTP/1.1\r\nHost: a\r\n\r\n", 400},
    Attack{"RFC 9110 5.5", POST "X: a\0b\r\n\r\n", 400},
    Attack{"RFC 9110 5.5", POST "X: a\x7f\r\n\r\n", 400},
    // Hosts.
    Attack{"3.2", "GET / HTTP/1.1\r\n\r\n", 400},
    Attack{"3.2", "GET / HTTP/1.1\r\nHost: a\r\nHost: b\r\n\r\n", 400},
    Attack{"3.2", "GET / HTTP/1.1\r\nHost: a, b\r\nX: \x01\r\n\r\n", 400},
    Attack{"3.2", "GET / HTTP/1.1\r\nHost: a\\b\r\n\r\n", 400},
    Attack{"3.2.2", "GET http:// HTTP/1.1\r\nHost: a\r\n\r\n", 400},
    Attack{"3.2.2", "GET http://u@h/ HTTP/1.1\r\nHost: h\r\n\r\n", 400},
    // Request lines.
    Attack{"3", "GET  / HTTP/1.1 \r\nHost: a\r\n\r\n", 400},
    Attack{"3", "GET /a b HTTP/1.1\r\nHost: a\r\n\r\n", 400},
    Attack{"3", "GET\t/ HTTP/1.1\r\nHost: a\r\n\r\n", 400},
    Attack{"3", "GET /#f HTTP/1.1\r\nHost: a\r\n\r\n", 400},
    Attack{"3", "GET / HTTP/1.1, HTTP/1.1\r\nHost: a\r\n\r\n", 400},
    Attack{"2.3", "GET / http/1.1\r\nHost: a\r\n\r\n", 400},
    Attack{"2.3", "GET / HTTP/1.10\r\nHost: a\r\n\r\n", 400},
    Attack{"2.3", "GET / HTTP/2.0\r\nHost: a\r\n\r\n", 505},
    Attack{"RFC 9110 10.1.1", POST "Expect: 200-ok\r\nContent-Length: 3\r\n\r\nabc", 417},
    // Chunks (section 7.1); the handler has seen the head and finds that the body is bad.
    Attack{"7.1", POST "Transfer-Encoding: chunked\r\n\r\n0x1\r\na\r\n0\r\n\r\n", -400},
    Attack{"7.1", POST "Transfer-Encoding: chunked\r\n\r\n-1\r\na\r\n0\r\n\r\n", -400},
    Attack{"7.1", POST "Transfer-Encoding: chunked\r\n\r\n\r\na\r\n0\r\n\r\n", -400},
    Attack{"7.1", POST "Transfer-Encoding: chunked\r\n\r\n1\na\r\n0\r\n\r\n", -400},
    Attack{"7.1", POST "Transfer-Encoding: chunked\r\n\r\n1\r\na\n0\r\n\r\n", -400},
    Attack{"7.1", POST "Transfer-Encoding: chunked\r\n\r\n1\r\nab\r\n0\r\n\r\n", -400},
    Attack{"7.1", POST "Transfer-Encoding: chunked\r\n\r\n1 \r\na\r\n0\r\n\r\n", -400},
    Attack{"7.1", POST "Transfer-Encoding: chunked\r\n\r\n 1\r\na\r\n0\r\n\r\n", -400},
    Attack{"7.1", POST "Transfer-Encoding: chunked\r\n\r\n10000000000000001\r\na\r\n0\r\n\r\n", -400},
    Attack{"7.1.1", POST "Transfer-Encoding: chunked\r\n\r\n1;x\n0\r\na\r\n0\r\n\r\n", -400},
    Attack{"7.1.1", POST "Transfer-Encoding: chunked\r\n\r\n1;x\ry\r\na\r\n0\r\n\r\n", -400},
    Attack{"7.1.1", POST "Transfer-Encoding: chunked\r\n\r\n1;\x01\r\na\r\n0\r\n\r\n", -400},
    Attack{"7.1.2", POST "Transfer-Encoding: chunked\r\n\r\n0\r\nX : y\r\n\r\n", -400},
    Attack{"7.1.2", POST "Transfer-Encoding: chunked\r\n\r\n0\r\nX: y\n\r\n", -400},
    Attack{"7.1.2", POST "Transfer-Encoding: chunked\r\n\r\n0\r\nX: y\r\n folded\r\n\r\n", -400},
    Attack{"7.1.2", POST "Transfer-Encoding: chunked\r\n\r\n0\r\n\n", -400},
};

}  // namespace

TEST_CASE("what could be delimited in two ways is refused and ends the connection, RFC 9112 section 11.2") {
  for (const Attack& attack : attacks) {
    CAPTURE(attack.section);
    CAPTURE(attack.bytes);
    const std::string bytes = std::string{attack.bytes} + "GET /evil HTTP/1.1\r\nHost: a\r\n\r\n";
    for (const std::size_t piece : {bytes.size(), std::size_t{1}}) {
      Reader reader;
      Script script;
      for (std::size_t at = 0; at < bytes.size(); at += piece) script.input.push_back(bytes.substr(at, piece));
      const std::string answer = converse(reader, script);
      const bool seen = attack.status < 0;
      CHECK(answer.starts_with("HTTP/1.1 " + std::to_string(seen ? -attack.status : attack.status) + " "));
      CHECK(count(answer, "HTTP/1.1 ") == 1);
      CHECK(count(answer, "Connection: close\r\n") == 1);
      CHECK(reader.paths.size() == (seen ? 1U : 0U));
    }
  }
}

TEST_CASE("the same messages in good form are served, one after the other") {
  constexpr std::array good{
      std::string_view{POST "Content-Length: 3\r\n\r\nabc"},
      std::string_view{POST "content-length:3 \r\n\r\nabc"},
      std::string_view{POST "TRANSFER-ENCODING:\tChunked \r\n\r\n3\r\nabc\r\n0\r\n\r\n"},
      std::string_view{POST "Transfer-Encoding: chunked\r\n\r\n003;a=\"b\" ;c\r\nabc\r\n000\r\nX: y\r\n\r\n"},
      std::string_view{POST "Transfer-Encoding: chunked\r\n\r\n3 \t;a\r\nabc\r\n0;e\r\n\r\n"},
      std::string_view{"POST /first HTTP/1.0\r\nContent-Length: 3\r\nConnection: keep-alive\r\n\r\nabc"},
      std::string_view{"POST http://a:80/first HTTP/1.1\r\nHost: b\r\nContent-Length: 3\r\n\r\nabc"},
  };
  for (const std::string_view bytes : good) {
    CAPTURE(bytes);
    Reader reader;
    Script script;
    script.input.emplace_back(std::string{bytes} + "GET /second HTTP/1.1\r\nHost: a\r\n\r\n");
    CHECK(count(converse(reader, script), "HTTP/1.1 200 OK\r\n") == 2);
    CHECK(reader.paths == std::vector<std::string>{"/first", "/second"});
    CHECK(reader.text == "abc");
  }
}

TEST_CASE("extensions are bounded per line and per body, trailers as a whole, RFC 9112 section 7.1.1") {
  const auto status = [](const std::string& body) {
    Reader reader;
    Script script;
    script.input.emplace_back(POST "Transfer-Encoding: chunked\r\n\r\n" + body);
    return converse(reader, script).substr(9, 3);
  };
  const auto chunks = [](int n, std::size_t extension) {
    std::string text;
    while (n-- > 0) text += "1;" + std::string(extension, 'x') + "\r\na\r\n";
    return text + "0\r\n\r\n";
  };
  CHECK(status(chunks(1, 1000)) == "200");
  CHECK(status(chunks(1, 1100)) == "400");
  CHECK(status(chunks(16, 1000)) == "200");
  CHECK(status(chunks(17, 1000)) == "400");
  CHECK(status("0\r\nX: " + std::string(1800, 'x') + "\r\n\r\n") == "200");
  CHECK(status("0\r\nX: " + std::string(2000, 'x') + "\r\n\r\n") == "400");
}
