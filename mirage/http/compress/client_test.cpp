// SPDX-License-Identifier: ISC
// The decoding client against servers that compress, and against servers that lie.
#include <memory>
#include <string>

#include <doctest/doctest.h>
#include <zlib.h>

#include <mirage/http/client.hpp>
#include <mirage/http/compress/decoder.hpp>
#include <mirage/http/compress/handler.hpp>
#include <mirage/http/connection_test.hpp>
#include <mirage/http/pipe_test.hpp>
#include <mirage/http/server.hpp>

using namespace mirage;
using namespace mirage::http;
using namespace mirage::http::test;
using compress::DecodedResponse;
using compress::DecodingClient;

namespace {

std::string deflated(std::string_view text, int bits) {
  z_stream stream{};
  REQUIRE(deflateInit2(&stream, 9, Z_DEFLATED, bits, 8, Z_DEFAULT_STRATEGY) == Z_OK);
  std::string input{text};
  std::string out(deflateBound(&stream, input.size()) + 64, '\0');
  stream.next_in = reinterpret_cast<Bytef*>(input.data());
  stream.avail_in = static_cast<uInt>(input.size());
  stream.next_out = reinterpret_cast<Bytef*>(out.data());
  stream.avail_out = static_cast<uInt>(out.size());
  REQUIRE(deflate(&stream, Z_FINISH) == Z_STREAM_END);
  out.resize(out.size() - stream.avail_out);
  deflateEnd(&stream);
  return out;
}
constexpr int gzip = MAX_WBITS + 16;

/// Answers with the bytes and the coding that a test says.
struct Liar {
  Response operator()(const Request& request, Body&) {
    asked.emplace_back(request.header("accept-encoding").value_or("-"));
    Response response = Response::text(status, bytes);
    if (!coding.empty()) (void)response.headers.add("Content-Encoding", coding);
    return response;
  }
  std::string bytes;
  std::string coding;
  std::uint16_t status = 200;
  std::vector<std::string> asked;
};

struct World {
  TestEnvironment environment;
  Shard shard_{environment};
  Shard& shard = shard_;
  PipeTcp tcp{shard};
  Names names{tcp};
  Liar liar;
  compress::Compressed<Liar> honest{shard, liar};
  Client<Names> client{shard, names};
};

/// Reads a body to its end; what was read so far is there after an error too.
Task<Result<void, ReadError>> collect(Shard&, Body& body, std::string& out) {
  while (true) {
    auto part = co_await body.read();
    if (!part) co_return Failure{part.error()};
    if (part->empty()) co_return Result<void, ReadError>{};
    for (const Slice& slice : *part) out += slice.text();
  }
}

struct Outcome {
  std::string text;
  std::optional<ReadError> error;
  bool decoded = false;
  compress::DecodeCounters counters;
};

template <class H>
Task<int> ask(World& world, H& handler, std::string_view method, std::string_view field, Outcome& out,
              compress::DecodeOptions options) {
  Server<PipeTcp, H> server{world.shard, world.tcp, handler};
  Scope scope{world.shard};
  auto serve = [](Shard&, Server<PipeTcp, H>& s) -> Task<void> { (void)co_await s.serve(1); };
  CHECK(scope.spawn(serve(world.shard, server)));
  co_await sleep(1ms);
  DecodingClient<Client<Names>> client{world.client, options};
  ClientRequest request;
  request.method = method;
  if (!field.empty()) (void)request.headers.add("Accept-Encoding", field);
  {
    auto response = co_await client.fetch("http://h:1/", std::move(request));
    REQUIRE(response);
    out.decoded = response->decoded();
    if (const auto read = co_await collect(world.shard, response->body(), out.text); !read) out.error = read.error();
  }
  out.counters = client.counters();
  scope.cancel();
  co_await scope.join();
  co_return 0;
}

template <class H>
Outcome fetch(World& world, H& handler, compress::DecodeOptions options = {}, std::string_view method = "GET",
              std::string_view field = "") {
  Outcome out;
  CHECK(run(world.shard, ask(world, handler, method, field, out, options)) == 0);
  return out;
}
Outcome lie(std::string bytes, std::string coding, compress::DecodeOptions options = {},
            std::string_view method = "GET") {
  World world;
  world.liar = {std::move(bytes), std::move(coding), 200, {}};
  return fetch(world, world.liar, options, method);
}

const std::string text = [] {
  std::string all;
  for (int i = 0; i < 30'000; ++i) all += std::to_string(i * 7919) + ",";
  return all;
}();

}  // namespace

TEST_CASE("an answer is asked for compressed and handed out decoded") {
  World world;
  world.liar.bytes = text;
  const Outcome out = fetch(world, world.honest);
  CHECK(world.liar.asked == std::vector<std::string>{"gzip, deflate"});
  CHECK(out.decoded);
  CHECK_FALSE(out.error);
  CHECK(out.text == text);
  CHECK(out.counters.decoded == 1);
  CHECK(world.tcp.wires[0]->pipes[1].total < text.size() * 3 / 4);
  // The coded body has ended, so the connection is kept for the next request.
  CHECK(world.client.pool().connections() == 1);
}

TEST_CASE("both formats, members one after another (RFC 1952 section 2.2), and answers without coding") {
  CHECK(lie(deflated(text, gzip), "GZIP").text == text);
  CHECK(lie(deflated(text, gzip), "x-gzip").text == text);
  CHECK(lie(deflated(text, MAX_WBITS), "deflate").text == text);
  const Outcome members = lie(deflated("one", gzip) + deflated("", gzip) + deflated("two", gzip), "gzip");
  CHECK(members.text == "onetwo");
  CHECK_FALSE(members.error);
  const Outcome plain = lie(text, "");
  CHECK_FALSE(plain.decoded);
  CHECK(plain.text == text);
  // What we did not ask for is left as it is.
  CHECK(lie("br", "br").text == "br");
  CHECK(lie("", "gzip").text.empty());
  const Outcome head = lie(deflated(text, gzip), "gzip", {}, "HEAD");
  CHECK(head.text.empty());
  CHECK_FALSE(head.error);
}

TEST_CASE("an application that says what it takes gets it as it comes") {
  World world;
  world.liar.bytes = text;
  const Outcome out = fetch(world, world.honest, {}, "GET", "gzip");
  CHECK_FALSE(out.decoded);
  CHECK(out.text.starts_with("\x1f\x8b"));
}

TEST_CASE("what expands beyond the bound is refused and counted") {
  const std::string bomb = deflated(std::string(8'000'000, '\0'), gzip);
  REQUIRE(bomb.size() < 10'000);
  const Outcome out = lie(bomb, "gzip", {.maximum_expanded = 100'000});
  CHECK(out.error == ReadError::too_large);
  CHECK(out.text.size() <= 100'000);
  CHECK(out.counters.bombs == 1);
  CHECK(lie(bomb, "gzip", {.maximum_expanded = 8'000'000}).text.size() == 8'000'000);
  // Bombs in many members are no way around.
  std::string many;
  for (int i = 0; i < 50; ++i) many += deflated(std::string(20'000, 'x'), gzip);
  CHECK(lie(many, "gzip", {.maximum_expanded = 100'000}).error == ReadError::too_large);
}

TEST_CASE("what is not what its coding says is an error, RFC 9110 section 8.4") {
  const std::string whole = deflated(text, gzip);
  const auto malformed = [](std::string bytes, std::string coding) {
    const Outcome out = lie(std::move(bytes), std::move(coding));
    return out.error == ReadError::malformed && out.counters.malformed == 1;
  };
  CHECK(malformed("plain text, no gzip", "gzip"));
  CHECK(malformed(whole.substr(0, whole.size() - 1), "gzip"));
  CHECK(malformed(whole.substr(0, 5), "gzip"));
  CHECK(malformed(whole + "garbage", "gzip"));
  CHECK(malformed(deflated("x", MAX_WBITS) + "garbage", "deflate"));
  CHECK(malformed(deflated("x", -MAX_WBITS), "deflate"));
  std::string wrong_sum = whole;
  wrong_sum[wrong_sum.size() - 6] = static_cast<char>(wrong_sum[wrong_sum.size() - 6] ^ 1);
  CHECK(malformed(wrong_sum, "gzip"));
  // What came before the damage is handed out.
  CHECK(lie(wrong_sum, "gzip").text.size() > 100'000);
}
