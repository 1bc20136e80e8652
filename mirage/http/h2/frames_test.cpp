// SPDX-License-Identifier: ISC
// What RFC 9113 has a server answer to frames that no client should send, section by section: rows of bytes and of what
// they come to. Frames are nghttp2's affair; that it is asked to be strict, and stays so, is ours.
#include <array>
#include <string>

#include <doctest/doctest.h>

#include <mirage/http/h2/h2_bed_test.hpp>

using namespace mirage;
using namespace mirage::http;
using namespace mirage::http::test;

namespace {

enum Flag : unsigned { end_stream = 1, ack = 1, end_headers = 4, padded = 8, with_priority = 0x20 };

/// RFC 7541 section 6.2.2: a field as it stands.
std::string field(std::string_view name, std::string_view value) {
  return std::string(1, '\0') + static_cast<char>(name.size()) + std::string{name} + static_cast<char>(value.size()) +
         std::string{value};
}
std::string head(std::string_view method = "GET", std::string_view path = "/a", const std::string& more = "") {
  return field(":method", method) + field(":scheme", "http") + field(":path", path) + field(":authority", "a") + more;
}
std::string get(const std::string& more = "") {
  return frame(NGHTTP2_HEADERS, end_headers | end_stream, 1, head("GET", "/a", more));
}
std::string post(const std::string& more = "") {
  return frame(NGHTTP2_HEADERS, end_headers, 1, head("POST", "/mirror", more));
}
std::string bytes(std::initializer_list<unsigned> list) {
  std::string text;
  for (const unsigned one : list) text += static_cast<char>(one);
  return text;
}
std::string number(std::size_t value) { return bytes({0, 0, 0, static_cast<unsigned>(value)}); }

/// What a server says to frames behind the preface: "goaway CODE" if anything ends the connection, else what becomes of
/// stream 1: "reset CODE", "answer" or "".
std::string outcome(const std::string& text) {
  std::string said;
  World world;
  with(world, [&](World& w, Peer&) -> Task<int> {
    auto flow = co_await w.tcp.connect(Endpoint{{}, 1});
    const std::string all = "PRI * HTTP/2.0\r\n\r\nSM\r\n\r\n" + frame(NGHTTP2_SETTINGS, 0, 0, "") + text;
    for (std::size_t at = 0; at < all.size(); at += 1500) {
      const std::string piece = all.substr(at, 1500);
      if (!co_await flow->write(SliceList{w.shard.buffers().copy(as_bytes(std::string_view{piece}))})) break;
    }
    while (true) {
      const auto got = co_await within(1s, flow->read());
      if (!got || !*got || (*got)->empty()) break;
      for (const Slice& slice : **got) said += slice.text();
    }
    co_return 0;
  });
  std::string of_stream;
  for (std::size_t at = 0; said.size() - at >= 9;) {
    const auto octet = [&](std::size_t i) { return static_cast<unsigned char>(said[at + i]); };
    const std::size_t size = octet(0) * 65536U + octet(1) * 256U + octet(2);
    if (said.size() - at < 9 + size) break;
    if (octet(3) == NGHTTP2_GOAWAY) return "goaway " + std::to_string(octet(9 + 7));
    if (octet(3) == NGHTTP2_RST_STREAM && octet(8) == 1) of_stream = "reset " + std::to_string(octet(9 + 3));
    if (octet(3) == NGHTTP2_HEADERS && octet(8) == 1 && of_stream.empty()) of_stream = "answer";
    at += 9 + size;
  }
  return of_stream;
}

struct Row {
  std::string_view section;
  std::string frames;
  std::string_view expected;
};

}  // namespace

TEST_CASE(
    "frames out of order, of the wrong size or for the wrong stream end the connection, RFC 9113 sections 4 to 6") {
  const std::string large(16385, 'x');
  const std::array rows{
      Row{"3.4", get(), "answer"},
      Row{"4.1: unknown types are skipped", frame(0x77, 0xff, 7, "xyz") + get(), "answer"},
      Row{"4.2", frame(NGHTTP2_PING, 0, 0, large), "goaway 6"},
      Row{"4.2", frame(NGHTTP2_HEADERS, end_headers, 1, large), "goaway 6"},
      Row{"4.3", frame(NGHTTP2_HEADERS, end_headers | end_stream, 1, bytes({0x80})), "goaway 9"},
      Row{"4.3", frame(NGHTTP2_HEADERS, end_headers | end_stream, 1, head() + bytes({0, 5, 'a'})), "goaway 9"},
      Row{"4.3", frame(NGHTTP2_HEADERS, end_stream, 1, head()) + frame(NGHTTP2_PING, 0, 0, "12345678"), "goaway 1"},
      Row{"5.1", frame(NGHTTP2_DATA, end_stream, 1, "x"), "goaway 1"},
      Row{"5.1", frame(NGHTTP2_RST_STREAM, 0, 1, number(0)), "goaway 1"},
      Row{"5.1", frame(NGHTTP2_WINDOW_UPDATE, 0, 1, number(1)), "goaway 1"},
      Row{"5.1", get() + frame(NGHTTP2_DATA, end_stream, 1, "x"), "goaway 5"},
      Row{"5.1", get() + get(), "goaway 5"},
      Row{"5.1.1", frame(NGHTTP2_HEADERS, end_headers | end_stream, 2, head()), "goaway 1"},
      Row{"6.1", frame(NGHTTP2_DATA, 0, 0, "x"), "goaway 1"},
      Row{"6.1", post() + frame(NGHTTP2_DATA, padded, 1, bytes({255, 'a', 'b'})), "goaway 1"},
      Row{"6.2", frame(NGHTTP2_HEADERS, end_headers | end_stream, 0, head()), "goaway 1"},
      Row{"6.2", frame(NGHTTP2_HEADERS, end_headers | end_stream | padded, 1, bytes({255}) + head()), "goaway 1"},
      Row{"6.2", frame(NGHTTP2_HEADERS, end_headers | end_stream | padded, 1, bytes({2}) + head() + bytes({0, 0})),
          "answer"},
      Row{"6.4", frame(NGHTTP2_RST_STREAM, 0, 0, number(0)), "goaway 1"},
      Row{"6.4", post() + frame(NGHTTP2_RST_STREAM, 0, 1, "123"), "goaway 6"},
      Row{"6.5", frame(NGHTTP2_SETTINGS, 0, 0, "12345"), "goaway 6"},
      Row{"6.5", frame(NGHTTP2_SETTINGS, ack, 0, "123456"), "goaway 6"},
      Row{"6.5", frame(NGHTTP2_SETTINGS, 0, 1, ""), "goaway 1"},
      Row{"6.5.2", frame(NGHTTP2_SETTINGS, 0, 0, bytes({0, 2, 0, 0, 0, 2})), "goaway 1"},
      Row{"6.5.2", frame(NGHTTP2_SETTINGS, 0, 0, bytes({0, 4, 128, 0, 0, 0})), "goaway 3"},
      Row{"6.5.2", frame(NGHTTP2_SETTINGS, 0, 0, bytes({0, 5, 0, 0, 63, 255})), "goaway 1"},
      Row{"6.5.2: unknown ones are skipped", frame(NGHTTP2_SETTINGS, 0, 0, bytes({0, 99, 0, 0, 0, 1})) + get(),
          "answer"},
      Row{"6.6", get() + frame(NGHTTP2_PUSH_PROMISE, end_headers, 1, number(2) + head()), "goaway 1"},
      Row{"6.7", frame(NGHTTP2_PING, 0, 0, "1234567"), "goaway 6"},
      Row{"6.7", frame(NGHTTP2_PING, 0, 1, "12345678"), "goaway 1"},
      Row{"6.8", frame(NGHTTP2_GOAWAY, 0, 1, number(0) + number(0)), "goaway 1"},
      Row{"6.9", frame(NGHTTP2_WINDOW_UPDATE, 0, 0, number(0)), "goaway 1"},
      Row{"6.9", frame(NGHTTP2_WINDOW_UPDATE, 0, 0, "123"), "goaway 6"},
      Row{"6.9.1", frame(NGHTTP2_WINDOW_UPDATE, 0, 0, bytes({127, 255, 255, 255})), "goaway 3"},
      Row{"6.9.1", post() + frame(NGHTTP2_WINDOW_UPDATE, 0, 1, bytes({127, 255, 255, 255})), "reset 3"},
      Row{"6.10", frame(NGHTTP2_CONTINUATION, end_headers, 1, head()), "goaway 1"},
      Row{"6.10", frame(NGHTTP2_HEADERS, end_stream, 1, head()) + frame(NGHTTP2_CONTINUATION, end_headers, 3, ""),
          "goaway 1"},
      Row{"6.10",
          frame(NGHTTP2_HEADERS, end_stream, 1, head().substr(0, 9)) +
              frame(NGHTTP2_CONTINUATION, end_headers, 1, head().substr(9)),
          "answer"},
  };
  for (const Row& row : rows) {
    CAPTURE(row.section);
    CHECK(outcome(row.frames) == row.expected);
  }
}

TEST_CASE("a request that is malformed ends its stream and is seen by no handler, RFC 9113 sections 8.1 to 8.5") {
  const auto only = [](const std::string& fields) {
    return frame(NGHTTP2_HEADERS, end_headers | end_stream, 1, fields);
  };
  const std::string method = field(":method", "GET");
  const std::string scheme = field(":scheme", "http");
  const std::string path = field(":path", "/a");
  const auto trailers = [](const std::string& fields, unsigned flags) {
    return post() + frame(NGHTTP2_HEADERS, end_headers | flags, 1, fields);
  };
  const auto sized = [](std::string_view length, std::string_view data) {
    return post(field("content-length", length)) + frame(NGHTTP2_DATA, end_stream, 1, data);
  };
  const std::array rows{
      Row{"8.1", trailers(field("x", "y"), 0), "reset 1"},
      Row{"8.1", trailers(field(":path", "/"), end_stream), "reset 1"},
      Row{"8.1.1", sized("3", "abc"), "answer"},
      Row{"8.1.1", sized("5", "abc"), "reset 1"},
      Row{"8.1.1", sized("2", "abc"), "reset 1"},
      Row{"8.1.1", only(head("POST", "/mirror", field("content-length", "2"))), "reset 1"},
      Row{"8.2", get(field("X-Upper", "1")), "reset 1"},
      Row{"8.2.1", get(field("", "1")), "reset 1"},
      Row{"8.2.1", get(field("x y", "1")), "reset 1"},
      Row{"8.2.1", get(field("x:y", "1")), "reset 1"},
      Row{"8.2.1", get(field("x", std::string_view{"a\0b", 3})), "reset 1"},
      Row{"8.2.1", get(field("x", "a\r\nb: c")), "reset 1"},
      Row{"8.2.1", get(field("x", " a")), "reset 1"},
      Row{"8.2.2", get(field("connection", "close")), "reset 1"},
      Row{"8.2.2", get(field("keep-alive", "1")), "reset 1"},
      Row{"8.2.2", get(field("proxy-connection", "1")), "reset 1"},
      Row{"8.2.2", get(field("transfer-encoding", "chunked")), "reset 1"},
      Row{"8.2.2", get(field("upgrade", "h2c")), "reset 1"},
      Row{"8.2.2", get(field("te", "gzip")), "reset 1"},
      Row{"8.2.2", get(field("te", "trailers")), "answer"},
      Row{"8.3", get(field("x", "y") + field(":path", "/")), "reset 1"},
      Row{"8.3", only(method + scheme + path + path), "reset 1"},
      Row{"8.3", only(method + scheme + path + field(":other", "1")), "reset 1"},
      Row{"8.3", only(method + scheme + path + field(":status", "200")), "reset 1"},
      Row{"8.3.1", only(scheme + path), "reset 1"},
      Row{"8.3.1", only(method + path), "reset 1"},
      Row{"8.3.1", only(method + scheme), "reset 1"},
      Row{"8.3.1", only(method + scheme + field(":path", "")), "reset 1"},
      Row{"8.3.1", only(method + scheme + field(":path", "a")), "reset 1"},
      Row{"8.3.1", only(method + scheme + field(":path", "*")), "reset 1"},
      Row{"8.3.1", only(head("OPTIONS", "*")), "answer"},
      Row{"8.5", only(head("CONNECT", "/")), "reset 1"},
      Row{"RFC 8441 3: not without our SETTINGS", get(field(":protocol", "websocket")), "reset 1"},
  };
  for (const Row& row : rows) {
    CAPTURE(row.section);
    CAPTURE(row.frames);
    CHECK(outcome(row.frames) == row.expected);
  }
}
