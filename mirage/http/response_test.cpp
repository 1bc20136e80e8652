// SPDX-License-Identifier: ISC
#include <algorithm>
#include <memory>
#include <string>

#include <doctest/doctest.h>

#include <mirage/http/connection_test.hpp>

using namespace mirage;
using namespace mirage::http;
using namespace mirage::http::test;

TEST_CASE("a response has room for every slice that a list can hold") {
  struct Slices {
    Response operator()(const Request&, Body&) {
      static const std::string text(3000, 's');
      Response response;
      while (!response.body.full()) {
        const std::size_t size = response.body.size() % 3 == 0 ? 20 : 3000;
        REQUIRE(response.body.push_back(Slice::from_static(std::string_view{text}.substr(0, size))));
      }
      total = response.body.byte_count();
      return response;
    }
    std::size_t total = 0;
  } slices;
  Script script;
  for (int i = 0; i < 5; ++i) script.input.emplace_back("GET / HTTP/1.1\r\nHost: a\r\n\r\n");
  const std::string answer = converse(slices, script);
  CHECK(count(answer, "HTTP/1.1 200 OK") == 5);
  CHECK(static_cast<std::size_t>(std::ranges::count(answer, 's')) == 5 * slices.total);
}

namespace {
/// `parts` lists of 18 slices each, with a known length or without.
struct Source final : BodySource {
  Source(Shard& s, int n) : shard_(s), parts(n) {}
  Shard& shard() { return shard_; }
  Task<Result<SliceList, BodyError>> next() noexcept override {
    SliceList list;
    static const std::string text(300, 's');
    if (parts-- > 0) {
      while (!list.full()) (void)list.push_back(Slice::from_static(text));
    }
    co_return list;
  }
  static constexpr std::size_t part = 18 * 300;
  Shard& shard_;
  int parts;
};
struct Streaming {
  Response operator()(const Request&, Body&) {
    Response response;
    response.source = std::make_unique<Source>(shard, parts);
    response.source_length_known = announced.has_value();
    response.source_length = announced.value_or(0);
    return response;
  }
  Shard& shard;
  int parts = 3;
  std::optional<std::uint64_t> announced;
};

std::string stream(std::string_view version, std::optional<std::uint64_t> announced, Script& script) {
  TestEnvironment environment;
  Shard shard{environment};
  Streaming handler{.shard = shard, .announced = announced};
  for (int i = 0; i < 2; ++i) {
    script.input.push_back(std::string{"GET / HTTP/"} + std::string{version} +
                           "\r\nHost: a\r\nConnection: keep-alive\r\n\r\n");
  }
  return converse(handler, script);
}
}  // namespace

TEST_CASE("a streamed body is delimited whatever its number of slices") {
  Script chunked;
  const std::string answer = stream("1.1", std::nullopt, chunked);
  CHECK(count(answer, "HTTP/1.1 200 OK") == 2);
  std::string_view body{answer};
  body.remove_prefix(body.find("\r\n\r\n") + 4);
  body = body.substr(0, body.find("HTTP/1.1"));
  ChunkedDecoder decoder;
  std::size_t total = 0;
  while (!body.empty() && !decoder.finished()) {
    const auto step = decoder.step(body);
    REQUIRE(step);
    total += step->payload;
    body.remove_prefix(step->consumed);
  }
  CHECK(decoder.finished());
  CHECK(body.empty());
  CHECK(total == 3 * Source::part);

  Script known;
  CHECK(count(stream("1.1", 3 * Source::part, known), "HTTP/1.1 200 OK") == 2);
  // HTTP/1.0 without a length: no Content-Length, the end of the connection is the end of the body.
  Script old;
  const std::string until_close = stream("1.0", std::nullopt, old);
  CHECK(count(until_close, "HTTP/1.1 200 OK") == 1);
  CHECK(count(until_close, "Content-Length") == 0);
  CHECK(count(until_close, "Connection: close") == 1);
}

TEST_CASE("a source that does not keep to its length ends the connection") {
  Script more;
  CHECK(count(stream("1.1", 2 * Source::part, more), "HTTP/1.1 200 OK") == 1);
  CHECK(static_cast<std::size_t>(std::ranges::count(more.output, 's')) <= 2 * Source::part);
  Script less;
  CHECK(count(stream("1.1", 9 * Source::part, less), "HTTP/1.1 200 OK") == 1);
}

TEST_CASE("a large body is written in pieces, each with its own deadline") {
  struct Large {
    Response operator()(const Request&, Body&) { return Response::text(200, text); }
    std::string text = std::string(1'000'000, 'l');
  } large;
  Script script;
  script.input.emplace_back("GET / HTTP/1.1\r\nHost: a\r\n\r\n");
  CHECK(converse(large, script).size() > 1'000'000);
  CHECK(script.largest_write <= 64 * 1024);
}

TEST_CASE("statuses without a body have none, and a handler cannot forge the framing") {
  struct Status {
    Response operator()(const Request&, Body&) {
      Response response = Response::text(status, "body");
      CHECK_FALSE(response.headers.add("content-length", std::uint64_t{9}));
      CHECK_FALSE(response.headers.add("Transfer-Encoding", std::string_view{"chunked"}));
      CHECK_FALSE(response.headers.add("X:", std::string_view{"y"}));
      CHECK_FALSE(response.headers.add("X", std::string_view{"y\r\nZ: 1"}));
      return response;
    }
    std::uint16_t status;
  };
  for (const std::uint16_t status : std::array<std::uint16_t, 3>{204, 205, 304}) {
    Status handler{status};
    Script script;
    script.input.emplace_back("GET / HTTP/1.1\r\nHost: a\r\n\r\n");
    const std::string answer = converse(handler, script);
    CHECK(answer.ends_with("\r\n\r\n"));
    CHECK(count(answer, "Content-Length: 4") == 0);
  }
  Status interim{103};
  Script script;
  script.input.emplace_back("GET / HTTP/1.1\r\nHost: a\r\n\r\n");
  CHECK(converse(interim, script).starts_with("HTTP/1.1 500 "));
}

TEST_CASE("persistence is said to a client of HTTP/1.0") {
  Echo echo;
  Script script;
  script.input.emplace_back("GET / HTTP/1.0\r\nConnection: keep-alive\r\n\r\nGET / HTTP/1.0\r\n\r\n");
  const std::string answer = converse(echo, script);
  CHECK(count(answer, "Connection: keep-alive\r\n") == 1);
  CHECK(count(answer, "Connection: close\r\n") == 1);
}
