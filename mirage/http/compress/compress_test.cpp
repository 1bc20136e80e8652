// SPDX-License-Identifier: ISC
// What is expected of the coded bytes is said by zlib's own inflate(), not by our decoder.
#include <memory>
#include <string>

#include <doctest/doctest.h>
#include <zlib.h>

#include <mirage/http/compress/handler.hpp>
#include <mirage/http/connection_test.hpp>
#include <mirage/http/site.hpp>
#include <mirage/store/crunch/crunch.hpp>

using namespace mirage;
using namespace mirage::http;
using namespace mirage::http::test;
using compress::choose_coding;
using compress::Coding;
using compress::Compressed;

namespace {

std::string choice(std::initializer_list<std::string_view> fields) {
  Request request;
  for (const std::string_view field : fields) REQUIRE(request.fields.push_back({"accept-Encoding", field}));
  const auto made = choose_coding(request);
  return made.none() ? "none" : std::string{compress::to_string(made.coding)} + (made.identity ? "" : " only");
}

std::string inflated(std::string_view coded, int bits) {
  z_stream stream{};
  REQUIRE(inflateInit2(&stream, bits) == Z_OK);
  std::string input{coded};
  stream.next_in = reinterpret_cast<Bytef*>(input.data());
  stream.avail_in = static_cast<uInt>(input.size());
  std::string out;
  int status = Z_OK;
  while (status == Z_OK) {
    std::array<Bytef, 4096> piece;
    stream.next_out = piece.data();
    stream.avail_out = piece.size();
    status = inflate(&stream, Z_NO_FLUSH);
    out.append(reinterpret_cast<const char*>(piece.data()), piece.size() - stream.avail_out);
    if (stream.avail_in == 0 && stream.avail_out != 0) break;
  }
  const bool whole = status == Z_STREAM_END && stream.avail_in == 0;
  inflateEnd(&stream);
  return whole ? out : "NOT WHOLE: " + out;
}
constexpr int gzip = MAX_WBITS + 16;
constexpr int zlib_format = MAX_WBITS;

/// The bytes of a chunked body behind the first head.
std::string content(std::string_view answer) {
  answer.remove_prefix(answer.find("\r\n\r\n") + 4);
  ChunkedDecoder decoder;
  std::string out;
  while (!decoder.finished() && !answer.empty()) {
    const auto step = decoder.step(answer);
    REQUIRE(step);
    out += answer.substr(step->consumed - step->payload - step->trailer, step->payload);
    answer.remove_prefix(step->consumed);
  }
  return out;
}

const std::string page = [] {
  std::string text;
  for (int i = 0; i < 2000; ++i) text += "<p>line " + std::to_string(i) + "</p>\n";
  return text;
}();
const std::array<CrunchFile, 4> files{{{"index.html", "text/html", "i1", as_bytes(page)},
                                       {"picture.png", "image/png", "p1", as_bytes(page)},
                                       {"short.txt", "text/plain", "s1", as_bytes(std::string_view{"short"})},
                                       {"style.css", "text/css", "c1", as_bytes(page)}}};
const CrunchTable table{files};

/// A site, compressed.
struct Compressing {
  void attach(Shard& shard) {
    crunch.emplace(shard, table);
    site.emplace(shard, *crunch);
    outer.emplace(shard, *site, options);
  }
  Shard& shard() { return outer->shard(); }
  auto operator()(const Request& request, Body& body) { return (*outer)(request, body); }
  compress::Options options;
  std::optional<store::Crunch> crunch;
  std::optional<Site<store::Crunch>> site;
  std::optional<Compressed<Site<store::Crunch>>> outer;
};

std::string ask(Compressing& site, std::string_view line, std::string_view fields = "",
                std::string_view version = "HTTP/1.1") {
  Script script;
  script.input.emplace_back(std::string{line} + " " + std::string{version} + "\r\nHost: a\r\n" + std::string{fields} +
                            "\r\n");
  return converse(site, script);
}
std::string ask(std::string_view line, std::string_view fields = "", std::string_view version = "HTTP/1.1") {
  Compressing site;
  return ask(site, line, fields, version);
}

}  // namespace

TEST_CASE("Accept-Encoding, RFC 9110 section 12.5.3") {
  CHECK(choice({}) == "identity");
  CHECK(choice({""}) == "identity");
  CHECK(choice({"gzip"}) == "gzip");
  CHECK(choice({"x-gzip"}) == "gzip");
  CHECK(choice({"GZip , deflate, br"}) == "gzip");
  CHECK(choice({"deflate"}) == "deflate");
  CHECK(choice({"br"}) == "identity");
  CHECK(choice({"*"}) == "gzip");
  CHECK(choice({"br;q=1.0, gzip;q=0.2"}) == "gzip");
  CHECK(choice({"gzip;q=0.5, deflate;q=0.501"}) == "deflate");
  CHECK(choice({"gzip ; Q=0.5", "deflate;\tq=1"}) == "deflate");
  CHECK(choice({"gzip;q=0, *"}) == "deflate");
  CHECK(choice({"gzip;q=0"}) == "identity");
  CHECK(choice({"gzip;q=0.000, deflate;q=0"}) == "identity");
  CHECK(choice({"identity;q=1, gzip;q=0.5"}) == "identity");
  CHECK(choice({"identity;q=0.5, gzip;q=0.5"}) == "gzip");
  CHECK(choice({"gzip, identity;q=0"}) == "gzip only");
  CHECK(choice({"gzip;q=0.1, *;q=0"}) == "gzip only");
  CHECK(choice({"identity;q=0"}) == "none");
  CHECK(choice({"br, *;q=0"}) == "none");
  CHECK(choice({"*;q=0, identity;q=0.1"}) == "identity");
  // Malformed members are as if not there.
  for (const std::string_view bad : {"gzip;q=", "gzip;q=2", "gzip;q=1.001", "gzip;q=0.1234", "gzip;q=.5", "gzip;q=-1",
                                     "gzip;x=1", "gzip;", "gzip;q=1x", ";q=1", ",,", "gzip deflate"}) {
    CAPTURE(bad);
    CHECK(choice({bad}) == "identity");
  }
}

TEST_CASE("content types worth compressing") {
  for (const std::string_view type : {"text/html; charset=utf-8", "TEXT/plain", "application/json", "image/svg+xml",
                                      "application/problem+json ;x=y", "application/atom+xml"}) {
    CHECK(compress::is_compressible(type));
  }
  for (const std::string_view type :
       {"image/png", "application/octet-stream", "", "+json", "application/gzip", "text"}) {
    CHECK_FALSE(compress::is_compressible(type));
  }
}

TEST_CASE("a page is compressed for who asks for it, under an entity tag of its own, RFC 9110 section 8.8.3.3") {
  const std::string answer = ask("GET /", "Accept-Encoding: gzip\r\n");
  CHECK(answer.starts_with("HTTP/1.1 200 OK\r\n"));
  CHECK(count(answer, "Content-Encoding: gzip\r\n") == 1);
  CHECK(count(answer, "Vary: Accept-Encoding\r\n") == 1);
  CHECK(count(answer, "ETag: W/\"i1-gzip\"\r\n") == 1);
  CHECK(count(answer, "ETag") == 1);
  CHECK(count(answer, "Content-Length") == 0);
  CHECK(count(answer, "Accept-Ranges") == 0);
  CHECK(answer.size() < page.size() / 3);
  CHECK(inflated(content(answer), gzip) == page);
  const std::string other = ask("GET /style.css", "Accept-Encoding: deflate\r\n");
  CHECK(count(other, "Content-Encoding: deflate\r\n") == 1);
  CHECK(count(other, "ETag: W/\"c1-deflate\"\r\n") == 1);
  CHECK(inflated(content(other), zlib_format) == page);
}

TEST_CASE("and not otherwise, but caches are told that it depends, RFC 9110 section 12.5.5") {
  const std::string plain = ask("GET /");
  CHECK(count(plain, "Content-Encoding") == 0);
  CHECK(count(plain, "Vary: Accept-Encoding\r\n") == 1);
  CHECK(count(plain, "ETag: \"i1\"\r\n") == 1);
  CHECK(plain.ends_with(page));
  // Compressed already, too small, no chunks, no transformation.
  const std::string picture = ask("GET /picture.png", "Accept-Encoding: gzip\r\n");
  CHECK(count(picture, "Content-Encoding") == 0);
  CHECK(count(picture, "Vary") == 0);
  const std::string small = ask("GET /short.txt", "Accept-Encoding: gzip\r\n");
  CHECK(count(small, "Content-Encoding") == 0);
  CHECK(count(small, "Vary: Accept-Encoding\r\n") == 1);
  CHECK(small.ends_with("short"));
  CHECK(count(ask("GET /", "Accept-Encoding: gzip\r\n", "HTTP/1.0"), "Content-Encoding") == 0);
}

TEST_CASE("ranges are of the content without coding, RFC 9110 section 14") {
  const std::string part = ask("GET /", "Accept-Encoding: gzip\r\nRange: bytes=0-8\r\n");
  CHECK(part.starts_with("HTTP/1.1 206 "));
  CHECK(count(part, "Content-Encoding") == 0);
  CHECK(count(part, "ETag: \"i1\"\r\n") == 1);
  CHECK(part.ends_with("\r\n\r\n<p>line 0"));
  // A part of the coded answer cannot be asked for: its tag does not match (section 13.1.5), the whole comes.
  const std::string whole = ask("GET /", "Accept-Encoding: gzip\r\nRange: bytes=5-\r\nIf-Range: W/\"i1-gzip\"\r\n");
  CHECK(whole.starts_with("HTTP/1.1 200 "));
  CHECK(inflated(content(whole), gzip) == page);
}

TEST_CASE("conditions name the representation that would be sent, RFC 9110 section 13.1") {
  const std::string same = ask("GET /", "Accept-Encoding: gzip\r\nIf-None-Match: \"x\", W/\"i1-gzip\"\r\n");
  CHECK(same.starts_with("HTTP/1.1 304 "));
  CHECK(count(same, "ETag: W/\"i1-gzip\"\r\n") == 1);
  CHECK(count(same, "Vary: Accept-Encoding\r\n") == 1);
  CHECK(same.ends_with("\r\n\r\n"));
  // The other representation's tag is not that of what would be sent now.
  CHECK(ask("GET /", "If-None-Match: W/\"i1-gzip\"\r\n").starts_with("HTTP/1.1 200 "));
  CHECK(ask("GET /", "Accept-Encoding: deflate\r\nIf-None-Match: W/\"i1-gzip\"\r\n").starts_with("HTTP/1.1 200 "));
  const std::string identity = ask("GET /", "Accept-Encoding: gzip\r\nIf-None-Match: \"i1\"\r\n");
  CHECK(identity.starts_with("HTTP/1.1 304 "));
  CHECK(count(identity, "ETag: \"i1\"\r\n") == 1);
  // A weak tag never matches strongly (section 8.8.3.2).
  CHECK(ask("GET /", "Accept-Encoding: gzip\r\nIf-Match: W/\"i1-gzip\"\r\n").starts_with("HTTP/1.1 412 "));
}

TEST_CASE("HEAD says what GET would, without a length") {
  const std::string head = ask("HEAD /", "Accept-Encoding: gzip\r\n");
  CHECK(head.starts_with("HTTP/1.1 200 "));
  CHECK(count(head, "Content-Encoding: gzip\r\n") == 1);
  CHECK(count(head, "Content-Length") == 0);
  CHECK(head.ends_with("\r\n\r\n"));
  CHECK(count(ask("HEAD /short.txt", "Accept-Encoding: gzip\r\n"), "Content-Length: 5\r\n") == 1);
}

TEST_CASE("who takes no answer without coding gets a coded one or 406, RFC 9110 sections 12.5.3 and 15.5.7") {
  const std::string small = ask("GET /short.txt", "Accept-Encoding: gzip, identity;q=0\r\n");
  CHECK(inflated(content(small), gzip) == "short");
  CHECK(inflated(content(ask("GET /picture.png", "Accept-Encoding: *;q=0, deflate\r\n")), zlib_format) == page);
  const std::string none = ask("GET /", "Accept-Encoding: br, identity;q=0\r\n");
  CHECK(none.starts_with("HTTP/1.1 406 "));
  CHECK(count(none, "Vary: Accept-Encoding\r\n") == 1);
}

TEST_CASE("beyond the bound of streams answers are sent as they are, and counted") {
  Compressing site;
  site.options.maximum_streams = 0;
  const std::string answer = ask(site, "GET /", "Accept-Encoding: gzip\r\n");
  CHECK(count(answer, "Content-Encoding") == 0);
  CHECK(count(answer, "ETag: \"i1\"\r\n") == 1);
  CHECK(answer.ends_with(page));
  CHECK(site.outer->counters().busy == 1);
  // A stream that has ended makes room for the next one.
  Compressing one;
  one.options.maximum_streams = 1;
  const std::string twice =
      ask(one, "GET / HTTP/1.1\r\nHost: a\r\nAccept-Encoding: gzip\r\n\r\nGET /style.css", "Accept-Encoding: gzip\r\n");
  CHECK(count(twice, "Content-Encoding: gzip\r\n") == 2);
}

namespace {

/// Pieces that come a second apart; notes when each was asked for.
struct Slowly final : BodySource {
  Slowly(Shard& s, std::vector<std::string> p, std::vector<std::string>& sent, Script& scr)
      : shard_(s), pieces(std::move(p)), written(sent), script(scr) {}
  Shard& shard() { return shard_; }
  Task<Result<SliceList, BodyError>> next() noexcept override {
    written.push_back(script.output);
    if (at == pieces.size()) co_return SliceList{};
    co_await sleep(1s);
    co_return SliceList{Slice::from_static(std::string_view{pieces[at++]})};
  }
  const HeaderBlock* trailers() noexcept override {
    (void)fields.add("Digest", "d");
    return &fields;
  }
  Shard& shard_;
  std::vector<std::string> pieces;
  std::vector<std::string>& written;
  Script& script;
  HeaderBlock fields;
  std::size_t at = 0;
};
struct Streaming {
  explicit Streaming(Script& s) : script(s) {}
  void attach(Shard& s) {
    shard_ = &s;
    outer.emplace(s, inner);
    inner.owner = this;
  }
  Response operator()(const Request& request, Body& body) { return (*outer)(request, body); }
  struct Inner {
    Response operator()(const Request&, Body&) const {
      Response response;
      (void)response.headers.add("Content-Type", "text/event-stream");
      (void)response.headers.add("ETag", "no tag at all");
      (void)response.headers.add("Vary", "Cookie");
      response.source = std::make_unique<Slowly>(*owner->shard_, owner->pieces, owner->written, owner->script);
      return response;
    }
    Streaming* owner = nullptr;
  };
  Script& script;
  Shard* shard_ = nullptr;
  Inner inner;
  std::optional<Compressed<Inner>> outer;
  std::vector<std::string> pieces;
  std::vector<std::string> written;  // what had gone out when each piece was asked for
};

}  // namespace

TEST_CASE("what a stream yields is not held back, and the next piece is asked for when the last one is gone") {
  Script script;
  script.input.emplace_back("GET / HTTP/1.1\r\nHost: a\r\nTE: trailers\r\nAccept-Encoding: gzip\r\n\r\n");
  Streaming streaming{script};
  streaming.pieces = {"first", "second", std::string(100'000, 'x'), "last"};
  const std::string answer = converse(streaming, script);
  CHECK(count(answer, "Vary: Cookie\r\n") == 1);
  CHECK(count(answer, "Vary: Accept-Encoding\r\n") == 1);
  CHECK(count(answer, "ETag") == 0);
  CHECK(inflated(content(answer), gzip) == "firstsecond" + std::string(100'000, 'x') + "last");
  CHECK(answer.ends_with("\r\n0\r\nDigest: d\r\n\r\n"));
  REQUIRE(streaming.written.size() == 5);
  CHECK(inflated(content(streaming.written[1]), gzip) == "NOT WHOLE: first");
  CHECK(inflated(content(streaming.written[2]), gzip) == "NOT WHOLE: firstsecond");
  CHECK(streaming.outer->counters().bytes_in == 100'015);
  CHECK(streaming.outer->counters().bytes_out == content(answer).size());
}

TEST_CASE("noise that does not get smaller comes through, whatever the block's boundaries") {
  std::string noise;
  std::uint32_t state = 1;
  for (int i = 0; i < 50'000; ++i) noise += static_cast<char>((state = state * 1664525 + 1013904223) >> 24);
  for (const std::size_t piece : {1997UL, 2016UL, 4001UL}) {
    Script script;
    script.input.emplace_back("GET / HTTP/1.1\r\nHost: a\r\nAccept-Encoding: deflate\r\n\r\n");
    Streaming streaming{script};
    for (std::size_t at = 0; at < noise.size(); at += piece) streaming.pieces.push_back(noise.substr(at, piece));
    CHECK(inflated(content(converse(streaming, script)), zlib_format) == noise);
  }
}

TEST_CASE("a response that may not be changed is left alone, RFC 9110 section 7.7") {
  struct Fixed {
    Response operator()(const Request&, Body&) const {
      Response response = Response::text(status, page);
      (void)response.headers.add(name, value);
      return response;
    }
    std::uint16_t status;
    std::string_view name, value;
  };
  struct Outer {
    void attach(Shard& s) { outer.emplace(s, fixed); }
    Response operator()(const Request& request, Body& body) { return (*outer)(request, body); }
    Fixed fixed;
    std::optional<Compressed<Fixed>> outer;
  };
  const auto coded = [](std::uint16_t status, std::string_view name, std::string_view value) {
    Outer outer{{status, name, value}, {}};
    Script script;
    script.input.emplace_back("GET / HTTP/1.1\r\nHost: a\r\nAccept-Encoding: gzip\r\n\r\n");
    return count(converse(outer, script), "Content-Encoding: gzip\r\n") == 1;
  };
  CHECK(coded(200, "X", "y"));
  CHECK(coded(404, "X", "y"));
  CHECK_FALSE(coded(200, "Cache-Control", "public, no-transform"));
  CHECK_FALSE(coded(200, "Content-Encoding", "br"));
  CHECK_FALSE(coded(206, "Content-Range", "bytes 0-9/10"));
  CHECK_FALSE(coded(204, "X", "y"));
  // No room in place for the fields that are added.
  CHECK(coded(200, "X-Large", std::string(440, 'l')));
}

TEST_CASE("no memory for the stream or its blocks ends the answer, with the pools intact") {
  for (std::size_t blocks = 1; blocks < 12; ++blocks) {
    TestEnvironment environment;
    Shard shard{environment, {.buffer_bytes = blocks * 2048, .frame_bytes = 1 << 20}};
    Compressing site;
    site.attach(shard);
    Script script;
    script.input.emplace_back("GET / HTTP/1.1\r\nHost: a\r\nAccept-Encoding: gzip\r\n\r\n");
    ServerCounters counters;
    DateCache date;
    const ServerOptions options;
    auto body = [](Shard& s, Script& sc, Compressing& h, const ServerOptions& o, ServerCounters& c,
                   DateCache& d) -> Task<int> {
      Connection<ScriptedFlow, Compressing> connection{ScriptedFlow{s, sc}, h, o, c, d};
      (void)co_await connection.run();
      co_return 0;
    };
    CHECK(run(shard, body(shard, script, site, options, counters, date)) == 0);
    CHECK(shard.buffers().statistics().bytes_in_use == 0);
  }
}
