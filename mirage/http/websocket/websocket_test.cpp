// SPDX-License-Identifier: ISC
// WebSocket against scripted peers, case by case (the numbers are those of the list that the Autobahn test suite made
// common; the cases here are written from RFC 6455), and our client against our server.
#include <algorithm>
#include <memory>
#include <string>

#include <doctest/doctest.h>

#include <mirage/http/connection_test.hpp>
#include <mirage/http/pipe_test.hpp>
#include <mirage/http/server.hpp>
#include <mirage/http/websocket/open.hpp>

using namespace mirage;
using namespace mirage::http;
using namespace mirage::http::websocket;
using namespace mirage::http::test;

namespace {

constexpr MaskingKey test_key{std::byte{0x37}, std::byte{0xfa}, std::byte{0x21}, std::byte{0x3d}};

std::string frame(unsigned first_byte, std::string payload, bool masked = true) {
  FrameHeader header{.final = true, .opcode = Opcode::text, .length = payload.size(), .mask = {}};
  if (masked) header.mask = test_key;
  std::string text(header.size(), '\0');
  header.emit(std::as_writable_bytes(std::span{text}));
  text[0] = static_cast<char>(first_byte);
  const auto bytes = std::as_writable_bytes(std::span{payload});
  if (masked) apply_mask(bytes, bytes, test_key, 0);
  return text + payload;
}
constexpr unsigned fin = 0x80, text_op = 1, binary_op = 2, close_op = 8, ping_op = 9, pong_op = 10;
std::string close_frame(unsigned code, std::string_view reason = "", bool masked = true) {
  std::string payload{static_cast<char>(code >> 8), static_cast<char>(code & 0xff)};
  return frame(fin | close_op, payload + std::string{reason}, masked);
}

/// Sends back every message.
struct EchoSession {
  Shard* shard_pointer = nullptr;
  Shard& shard() { return *shard_pointer; }
  bool parts = false;
  Task<Result<void, Error>> operator()(Session& session) {
    bool first = true;
    while (true) {
      if (parts) {
        auto part = co_await session.receive_part();
        if (!part) co_return Failure{part.error()};
        SliceList data{std::move(part->data)};
        (void)co_await session.send_part(part->kind, std::move(data), first, part->final);
        first = part->final;
      } else {
        auto message = co_await session.receive();
        if (!message) co_return Failure{message.error()};
        (void)co_await session.send(message->kind, SliceList{std::move(message->data)});
      }
    }
  }
};

struct EchoApp {
  void attach(Shard& s) { shard_ = &s; }
  Shard& shard() { return *shard_; }
  Response operator()(const Request& request, Body&) {
    return accept(request, std::make_unique<Upgraded<EchoSession>>(EchoSession{shard_, parts}, options), "");
  }
  Shard* shard_ = nullptr;
  bool parts = false;
  Options options;
};

const std::string request =
    "GET /chat HTTP/1.1\r\nHost: server.example.com\r\nUpgrade: websocket\r\nConnection: Upgrade\r\n"
    "Sec-WebSocket-Key: dGhlIHNhbXBsZSBub25jZQ==\r\nOrigin: http://example.com\r\nSec-WebSocket-Version: 13\r\n\r\n";

/// What the server sends behind the handshake, for frames that arrive in pieces of `piece` bytes, `at_once` a read.
std::string talk(const std::string& frames, std::size_t piece = 100'000, bool parts = false, Options options = {},
                 std::size_t at_once = 1) {
  EchoApp app;
  app.parts = parts;
  app.options = options;
  Script script;
  script.at_once = at_once;
  const std::string bytes = request + frames;
  for (std::size_t at = 0; at < bytes.size(); at += piece) script.input.push_back(bytes.substr(at, piece));
  const std::string answer = converse(app, script);
  REQUIRE(answer.starts_with("HTTP/1.1 101 "));
  return answer.substr(answer.find("\r\n\r\n") + 4);
}
std::string plain(unsigned first_byte, std::string payload) { return frame(first_byte, std::move(payload), false); }

}  // namespace

TEST_CASE("the opening handshake, RFC 6455 sections 1.3 and 4.2") {
  const AcceptText text = accept_text("dGhlIHNhbXBsZSBub25jZQ==");
  CHECK(std::string_view{text.data(), text.size()} == "s3pPLMBiTxaQ9kYGzzhZRbK+xOo=");
  const auto answer = [](std::string_view from, std::string_view to) {
    EchoApp app;
    Script script;
    std::string changed = request;
    if (!from.empty()) changed.replace(changed.find(from), from.size(), to);
    script.input.push_back(changed);
    return converse(app, script);
  };
  const std::string good = answer("", "");
  CHECK(count(good, "Sec-WebSocket-Accept: s3pPLMBiTxaQ9kYGzzhZRbK+xOo=\r\n") == 1);
  CHECK(count(good, "Upgrade: websocket\r\n") == 1);
  CHECK(answer("Upgrade: websocket", "Upgrade: websocket\r\nUpgrade: h2c").starts_with("HTTP/1.1 101 "));
  CHECK(answer("GET", "PUT").starts_with("HTTP/1.1 405 "));
  CHECK(answer("Version: 13", "Version: 12").starts_with("HTTP/1.1 426 "));
  CHECK(count(answer("Version: 13", "Version: 12"), "Sec-WebSocket-Version: 13\r\n") == 1);
  CHECK(answer("Connection: Upgrade", "Connection: close").starts_with("HTTP/1.1 426 "));
  for (const std::string& refused :
       {answer("Version: 13", "Version: 12"), answer("Upgrade: websocket", "Upgrade: x")}) {
    CHECK(count(refused, "Upgrade: websocket\r\n") == 1);   // RFC 9110 section 15.5.22
    CHECK(count(refused, "Connection: upgrade\r\n") == 1);  // and 7.8
  }
  CHECK(answer("ZQ==", "ZR==").starts_with("HTTP/1.1 400 "));
  CHECK(answer("dGhl", "dGh").starts_with("HTTP/1.1 400 "));
  CHECK(answer("dGhl", "dG l").starts_with("HTTP/1.1 400 "));
}

TEST_CASE("SHA-1, RFC 3174 section 7.3") {
  const auto hex = [](std::string_view text) {
    std::string out;
    for (const std::byte byte : sha1(as_bytes(text))) {
      Text<4> digits;
      digits.writer().append_unsigned(std::to_integer<unsigned>(byte), 16, 2);
      out += digits.view();
    }
    return out;
  };
  CHECK(hex("abc") == "a9993e364706816aba3e25717850c26c9cd0d89d");
  CHECK(hex("abcdbcdecdefdefgefghfghighijhijkijkljklmklmnlmnomnopnopq") == "84983e441c3bd26ebaae4aa1f95129e5e54670f1");
  CHECK(hex("") == "da39a3ee5e6b4b0d3255bfef95601890afd80709");
}

TEST_CASE("frames of section 5.7") {
  CHECK(plain(0x81, "Hello") == std::string("\x81\x05Hello"));
  CHECK(frame(0x81, "Hello") == std::string("\x81\x85\x37\xfa\x21\x3d\x7f\x9f\x4d\x51\x58"));
  CHECK(plain(0x82, std::string(256, 'x')).substr(0, 4) == std::string("\x82\x7e\x01\x00", 4));
  CHECK(plain(0x82, std::string(65536, 'x')).substr(0, 10) == std::string("\x82\x7f\0\0\0\0\0\1\0\0", 10));
}

TEST_CASE("masks apply at any offset and size") {
  std::string data(100, '\0');
  for (std::size_t i = 0; i < data.size(); ++i) data[i] = static_cast<char>(i * 7);
  for (std::size_t offset = 0; offset < 9; ++offset) {
    for (std::size_t size = 0; size < 40; ++size) {
      std::string out(size, '?');
      apply_mask(std::as_writable_bytes(std::span{out}), as_bytes(data).first(size), test_key, offset);
      for (std::size_t i = 0; i < size; ++i) {
        CHECK(static_cast<std::byte>(out[i]) == (static_cast<std::byte>(data[i]) ^ test_key[(i + offset) % 4]));
      }
    }
  }
}

TEST_CASE("1: messages of all sizes come back, however their bytes arrive") {
  for (const std::size_t size : {0U, 1U, 125U, 126U, 127U, 128U, 2000U, 2016U, 2017U, 65535U, 65536U}) {
    for (const std::size_t piece : {1U, 7U, 997U, 100'000U}) {
      if (size > 3000 && piece < 100) continue;
      CAPTURE(size);
      CAPTURE(piece);
      const std::string message(size, '*');
      CHECK(talk(frame(fin | text_op, message), piece) == plain(fin | text_op, message));
      CHECK(talk(frame(fin | binary_op, message), piece) == plain(fin | binary_op, message));
    }
  }
}

TEST_CASE("a frame's header and a ping may end in the middle of a read, and the next one be as full as reads get") {
  std::string frames, answers;
  for (int i = 0; i < 400; ++i) {
    const std::string message = std::to_string(i) + std::string(60, 'm');
    frames += frame(fin | text_op, message) + frame(fin | ping_op, message);
    answers += plain(fin | text_op, message) + plain(fin | pong_op, message);
  }
  for (const std::size_t piece : {2U, 3U, 5U, 7U, 31U, 67U}) {
    CAPTURE(piece);
    CHECK((talk(frames, piece, false, {}, SliceList::capacity) == answers));
  }
}

TEST_CASE("2: pings are answered with what they carry, pongs are not") {
  for (const std::size_t piece : {1U, 3U, 1000U}) {
    CHECK(talk(frame(fin | ping_op, ""), piece) == plain(fin | pong_op, ""));
    CHECK(talk(frame(fin | ping_op, "payload"), piece) == plain(fin | pong_op, "payload"));
    CHECK(talk(frame(fin | ping_op, std::string(125, '\xfe')), piece) ==
          plain(fin | pong_op, std::string(125, '\xfe')));
    CHECK(talk(frame(fin | pong_op, "unasked"), piece).empty());
    CHECK(talk(frame(fin | ping_op, std::string(126, 'x')), piece) == close_frame(1002, "", false));
    std::string ten, answers;
    for (int i = 0; i < 10; ++i) {
      ten += frame(fin | ping_op, std::to_string(i));
      answers += plain(fin | pong_op, std::to_string(i));
    }
    CHECK(talk(ten, piece) == answers);
  }
}

TEST_CASE("3, 4: reserved bits and opcodes end the connection with 1002, section 5.2") {
  for (unsigned rsv = 1; rsv < 8; ++rsv)
    CHECK(talk(frame(fin | rsv << 4 | text_op, "x")) == close_frame(1002, "", false));
  for (const unsigned opcode : {3U, 4U, 5U, 6U, 7U, 11U, 12U, 13U, 14U, 15U}) {
    CHECK(talk(frame(fin | text_op, "a") + frame(fin | opcode, "") + frame(fin | ping_op, "")) ==
          plain(fin | text_op, "a") + close_frame(1002, "", false));
  }
  CHECK(talk(plain(fin | text_op, "unmasked")) == close_frame(1002, "", false));  // section 5.1
  CHECK(talk(std::string("\x81\xfe\x00\x05", 4) + "\x37\xfa\x21\x3dHello") == close_frame(1002, "", false));
  CHECK(talk(std::string("\x82\xff\xff\0\0\0\0\0\0\0\0\0\0\0", 14)) == close_frame(1002, "", false));
}

TEST_CASE("5: fragments make one message, with control frames between them, section 5.4") {
  const std::string a = frame(text_op, "frag"), b = frame(0, "men"), c = frame(fin | 0, "t");
  for (const std::size_t piece : {1U, 1000U}) {
    CHECK(talk(a + b + c, piece) == plain(fin | text_op, "fragment"));
    CHECK(talk(a + frame(fin | ping_op, "p") + b + c, piece) ==
          plain(fin | pong_op, "p") + plain(fin | text_op, "fragment"));
    CHECK(talk(frame(text_op, "") + frame(0, "") + frame(fin, ""), piece) == plain(fin | text_op, ""));
    CHECK(talk(frame(text_op, "") + frame(0, "middle") + frame(fin, ""), piece) == plain(fin | text_op, "middle"));
  }
  // Piece by piece, as they come.
  CHECK(talk(a + c, 1000, true) == plain(text_op, "frag") + plain(fin, "t"));
  CHECK(talk(b) == close_frame(1002, "", false));
  CHECK(talk(c) == close_frame(1002, "", false));
  CHECK(talk(a + frame(fin | text_op, "new")) == close_frame(1002, "", false));
  CHECK(talk(frame(ping_op, "fragmented ping")) == close_frame(1002, "", false));
}

TEST_CASE("6: text is UTF-8 or the connection ends with 1007, section 8.1") {
  for (const std::string_view good :
       {"Hello-\xc2\xb5@\xc3\x9f\xc3\xb6\xc3\xa4\xc3\xbc\xc3\xa0\xc3\xa1-UTF-8!!",
        "\xce\xba\xe1\xbd\xb9\xcf\x83\xce\xbc\xce\xb5", "\xc2\x80", "\xe0\xa0\x80", "\xf0\x90\x80\x80", "\x7f",
        "\xdf\xbf", "\xef\xbf\xbf", "\xf4\x8f\xbf\xbf", "\xed\x9f\xbf", "\xee\x80\x80", "\xef\xbf\xbd"}) {
    CHECK(talk(frame(fin | text_op, std::string{good})) == plain(fin | text_op, std::string{good}));
    // Cut within characters, in fragments.
    std::string fragments;
    for (std::size_t i = 0; i < good.size(); ++i) {
      fragments += frame((i + 1 == good.size() ? fin : 0) | (i == 0 ? text_op : 0), std::string{good.substr(i, 1)});
    }
    CHECK(talk(fragments) == plain(fin | text_op, std::string{good}));
  }
  for (const std::string_view bad : {"\xce\xba\xe1\xbd\xb9\xcf\x83\xce\xbc\xce\xb5\xed\xa0\x80\x65",
                                     "\xf8\x88\x80\x80\x80",
                                     "\xfc\x84\x80\x80\x80\x80",
                                     "\x80",
                                     "\xbf",
                                     "\x80\xbf",
                                     "\xc0 ",
                                     "\xe0\x80",
                                     "\xf0\x80\x80\x80",
                                     "\xc0\xaf",
                                     "\xe0\x80\xaf",
                                     "\xed\xa0\x80",
                                     "\xed\xbf\xbf",
                                     "\xf4\x90\x80\x80",
                                     "\xf7\xbf\xbf\xbf",
                                     "\xfe",
                                     "\xff",
                                     "abc\xc3",
                                     "abc\xe2\x82",
                                     "12345678\xff"}) {
    CAPTURE(bad);
    CHECK(talk(frame(fin | text_op, std::string{bad})) == close_frame(1007, "", false));
  }
  // Fail fast: the end is not waited for.
  CHECK(talk(frame(text_op, "abc\xf4\x90")) == close_frame(1007, "", false));
  CHECK(talk(frame(fin | binary_op, "\xff\xfe")) == plain(fin | binary_op, "\xff\xfe"));
}

TEST_CASE("7: the closing handshake, section 7") {
  CHECK(talk(frame(fin | close_op, "")) == plain(fin | close_op, ""));
  CHECK(talk(close_frame(1000, "bye") + frame(fin | ping_op, "late")) == close_frame(1000, "", false));
  CHECK(talk(frame(fin | close_op, "x")) == close_frame(1002, "", false));
  CHECK(talk(close_frame(1000, std::string(123, '*'))) == close_frame(1000, "", false));
  CHECK(talk(close_frame(1000, std::string(124, '*'))) == close_frame(1002, "", false));
  CHECK(talk(close_frame(1000, "\xce\xba\xed\xa0\x80")) == close_frame(1007, "", false));
  for (const unsigned code :
       {1000U, 1001U, 1002U, 1003U, 1007U, 1008U, 1009U, 1010U, 1011U, 3000U, 3999U, 4000U, 4999U}) {
    CHECK(talk(close_frame(code)) == close_frame(code, "", false));
  }
  for (const unsigned code : {0U, 999U, 1004U, 1005U, 1006U, 1015U, 1016U, 1100U, 2000U, 2999U, 5000U, 65535U}) {
    CHECK(talk(close_frame(code)) == close_frame(1002, "", false));
  }
}

TEST_CASE("a message takes memory as it comes, not for what it could become") {
  const auto peak = [](std::size_t size) {
    EchoApp app;
    Script script;
    script.input.push_back(request);
    const std::string message(size, 'x');
    for (std::size_t at = 0; at < size; at += 1000) {
      script.input.push_back(frame(at == 0 ? text_op : 0, message.substr(at, 1000)));
    }
    script.input.push_back(frame(fin, ""));
    CHECK(count(converse(app, script), message) == 1);
    return script.peak_buffers;
  };
  CHECK(peak(1500) <= 10 * 1024);
  CHECK(peak(8000) <= 24 * 1024);
  CHECK(peak(64 * 1024) <= 128 * 1024);
}

TEST_CASE("9, 10: limits of messages and fragments, 1009") {
  CHECK(talk(frame(fin | binary_op, std::string(65537, 'x'))) == close_frame(1009, "", false));
  CHECK(talk(frame(binary_op, std::string(60000, 'x')) + frame(fin, std::string(6000, 'y'))) ==
        close_frame(1009, "", false));
  // The length alone is enough: nobody waits for the bytes.
  CHECK(talk(std::string("\x82\xff\x7f\0\0\0\0\0\0\0\0\0\0\0", 14)) == close_frame(1009, "", false));
  Options many{.maximum_frames = 10};
  std::string fragments = frame(text_op, "");
  for (int i = 0; i < 20; ++i) fragments += frame(0, "");
  CHECK(talk(fragments, 100'000, false, many) == close_frame(1009, "", false));
  // Piece by piece there is no such limit.
  Options large{.maximum_message = 10'000'000};
  const std::string answer = talk(frame(fin | binary_op, std::string(1'000'000, 'x')), 60'000, true, large);
  CHECK(static_cast<std::size_t>(std::ranges::count(answer, 'x')) >= 1'000'000);
}

TEST_CASE("a silent peer is pinged, then given up") {
  EchoApp app;
  Script script;
  script.input = {request};
  script.silent_at_end = true;
  const std::string answer = converse(app, script);
  CHECK(answer.ends_with(plain(fin | ping_op, "")));
  CHECK(script.took >= 50s);
  CHECK(script.took < 55s);
}

namespace {

class SeededEnvironment final : public Environment {
 public:
  Time monotonic() noexcept override { return now; }
  WallTime wall() noexcept override { return WallTime{784111777s}; }
  bool entropy(MutableBytes out) noexcept override {
    for (std::byte& byte : out) byte = std::byte{7};
    return true;
  }
  void wait(Time deadline) noexcept override {
    REQUIRE(deadline != never);
    now = deadline;
  }
  void write_console(std::string_view) noexcept override {}
  Time now{1s};
};

Task<Result<void, Error>> send_times(Session& session, std::string_view text, int rounds) {
  for (int i = 0; i < rounds; ++i) {
    MIRAGE_CO_CHECK(co_await session.send(Kind::text, SliceList{Slice::from_static(text)}));
  }
  co_return Result<void, Error>{};
}

Task<void> converse_as_client(Shard& shard, Names& names) {
  Client client{shard, names};
  auto refused = co_await open(client, "http://h:1/");
  CHECK(refused.error_or(ClientError::busy) == ClientError::bad_url);
  auto response = co_await open(client, "ws://h:1/chat");
  REQUIRE(response);
  Session session{response->tunnel(), Role::client};
  CHECK(co_await send_times(session, "h\xc3\xa9llo", 3));
  for (int i = 0; i < 3; ++i) {
    const auto message = co_await session.receive();
    REQUIRE(message);
    CHECK(message->kind == Kind::text);
    CHECK(message->data.text() == "h\xc3\xa9llo");
  }
  std::string large(200'000, 'l');
  SliceList pieces;
  for (std::size_t at = 0; at < large.size(); at += 20'000) {
    CHECK(pieces.push_back(Slice::from_static(std::string_view{large}.substr(at, 20'000))));
  }
  CHECK(co_await session.send_part(Kind::binary, pieces.take_prefix(30'000), true, false));
  CHECK(co_await session.ping(as_bytes("between")));
  CHECK(co_await session.send_part(Kind::binary, pieces.take_prefix(20'000), false, true));
  const auto message = co_await session.receive();
  REQUIRE(message);
  CHECK(message->data.size() == 50'000);
  CHECK(session.pongs() == 1);
  CHECK(co_await session.close(1001, "going away"));
  const auto end = co_await session.receive();
  CHECK(end.error_or(Error::protocol) == Error::closed);
  CHECK(session.close_code() == 1001);
  const auto late = co_await session.send(Kind::text, {});
  CHECK(late.error_or(Error::protocol) == Error::closed);
}

}  // namespace

TEST_CASE("our client and our server understand each other") {
  SeededEnvironment environment;
  Shard shard{environment};
  REQUIRE(shard.seed_random());
  PipeTcp tcp{shard};
  EchoApp app;
  app.attach(shard);
  Counters counted;
  app.options.counters = &counted;
  Server<PipeTcp, EchoApp> server{shard, tcp, app};
  Names names{tcp};
  auto body = [](Shard& s, Server<PipeTcp, EchoApp>& srv, Names& n) -> Task<int> {
    Scope scope{s};
    auto serve = [](Server<PipeTcp, EchoApp>& to) -> Task<void> { (void)co_await to.serve(1); };
    REQUIRE(scope.spawn(serve(srv)));
    co_await yield();
    co_await yield();
    co_await converse_as_client(s, n);
    scope.cancel();
    co_await scope.join();
    co_return 0;
  };
  CHECK(run(shard, body(shard, server, names)) == 0);
  static_assert(Counted<Counters>);
  CHECK(counted.sessions == 1);
  CHECK(counted.messages == 4);
  CHECK(counted.refused + counted.timeouts == 0);
  CHECK(shard.buffers().statistics().bytes_in_use == 0);
}

namespace {

/// Asks for a WebSocket, sends pings and reads nothing.
Task<void> ping_and_ignore(Shard&, PipeTcp& tcp) {
  auto flow = co_await tcp.connect({.address = {}, .port = 1});
  REQUIRE(flow);
  CHECK(co_await flow->write(SliceList{Slice::from_static(request)}));
  std::string pings;
  for (int i = 0; i < 40; ++i) pings += frame(fin | ping_op, std::string(125, 'p'));
  for (int i = 0; i < 4; ++i) (void)co_await within(5s, flow->write(SliceList{Slice::from_static(pings)}));
  co_await sleep(100s);
  flow->abort();
}

}  // namespace

TEST_CASE(
    "a frame that a time limit has cut off is the last one: the peer would take what follows for the rest of it") {
  struct PipeTunnel final : Tunnel {
    explicit PipeTunnel(PipeFlow f) : flow(std::move(f)) {}
    Shard& shard() noexcept override { return flow.shard(); }
    Task<Result<SliceList, FlowError>> read() noexcept override { return flow.read(); }
    Task<Result<void, FlowError>> write(SliceList slices) noexcept override { return flow.write(std::move(slices)); }
    void shutdown() noexcept override { flow.shutdown(); }
    void abort() noexcept override { flow.abort(); }
    PipeFlow flow;
  };
  TestEnvironment environment;
  Shard shard{environment};
  auto body = [](Shard& s) -> Task<int> {
    auto wire = std::make_shared<Wire>();
    PipeTunnel tunnel{PipeFlow{s, wire, 1}};
    PipeFlow peer{s, wire, 0};
    Session session{tunnel, Role::server};
    static const std::string large(60'000, 'l');
    const auto sent = co_await within(1s, session.send(Kind::binary, SliceList{Slice::from_static(large)}));
    CHECK_FALSE((sent && *sent));
    CHECK((co_await session.send(Kind::text, SliceList{Slice::from_static("next")})).error_or(Error::flow) ==
          Error::closed);
    CHECK((co_await session.receive()).error_or(Error::closed) == Error::flow);
    CHECK((co_await peer.read()).error_or(FlowError::closed) == FlowError::reset);
    co_return 0;
  };
  CHECK(run(shard, body(shard)) == 0);
}

TEST_CASE("a peer that sends pings and takes no pongs is given up") {
  TestEnvironment environment;
  Shard shard{environment};
  PipeTcp tcp{shard};
  EchoApp app;
  app.attach(shard);
  Server<PipeTcp, EchoApp> server{shard, tcp, app};
  auto body = [](Shard& s, PipeTcp& t, Server<PipeTcp, EchoApp>& srv) -> Task<int> {
    Scope scope{s};
    auto serve = [](Server<PipeTcp, EchoApp>& to) -> Task<void> { (void)co_await to.serve(1); };
    REQUIRE(scope.spawn(serve(srv)));
    co_await yield();
    co_await yield();
    REQUIRE(scope.spawn(ping_and_ignore(s, t)));
    co_await sleep(80s);
    CHECK(srv.counters().upgrades == 1);
    CHECK(srv.counters().timeouts == 1);
    CHECK(t.wires[0]->pipes[1].broken);
    scope.cancel();
    co_await scope.join();
    co_return 0;
  };
  CHECK(run(shard, body(shard, tcp, server)) == 0);
}
