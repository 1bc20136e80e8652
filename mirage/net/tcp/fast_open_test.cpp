// SPDX-License-Identifier: ISC
// TCP Fast Open, both sides: RFC 7413.
#include <string>

#include <doctest/doctest.h>

#include <mirage/net/tcp/flow_test.hpp>

namespace mirage::net::tcp {

namespace {

using test::Bench;
using test::Given;
using test::read;
using test::take;

constexpr std::uint8_t S = Flags::syn, A = Flags::ack, F = Flags::fin, R = Flags::rst;

std::vector<std::byte> option(const FastOpenCookie& cookie) {
  const FastOpenOption fast_open{.cookie = cookie, .present = true};
  std::vector<std::byte> bytes(fast_open_size(fast_open));
  write_fast_open(fast_open, bytes);
  return bytes;
}

Bytes bytes_of(std::string_view text) { return std::as_bytes(std::span(text)); }

std::string text_of(const test::SentSegment& segment) {
  std::string out;
  for (const std::byte byte : segment.payload) out += static_cast<char>(byte);
  return out;
}

/// Nobody is there to be accepted.
bool nobody(Listener& listener) { return !listener.accept().await_ready(); }

TcpOptions fast() {
  TcpOptions options;
  options.fast_open = true;
  return options;
}

/// A server, and the cookie that it has given us. BenchIp sees no option but those of TcpOptionSet: the cookie is taken
/// from the TCB.
struct Server {
  Bench bench;
  Listener listener;
  FastOpenCookie cookie;
  explicit Server(const TcpOptions& options = fast()) : bench(options), listener(*bench.tcp.listen(7)) {
    cookie = ask(3999);
  }
  FastOpenCookie ask(Port from) {
    const auto asks = option({});
    bench.arrive({.flags = S, .sequence = 100, .options = asks, .from = from});
    FastOpenCookie found;
    bench.tcp.each_tcb([&](const Tcb& tcb) {
      if (tcb.remote.port == from && tcb.fast_open.use == FastOpen::Use::option) found = tcb.fast_open.cookie;
    });
    bench.step();
    bench.arrive({.flags = R, .sequence = 101, .from = from});
    bench.ip.sent.clear();
    return found;
  }
  /// SYN with `text`, from port 4000.
  void open(std::string_view text, const FastOpenCookie& with) {
    const auto carried = option(with);
    bench.arrive({.flags = S, .sequence = 1000, .payload = bytes_of(text), .options = carried});
  }
};

}  // namespace

TEST_CASE("the option: read and written; odd, short and long cookies are none (RFC 7413 section 4.1.1)") {
  FastOpenCookie cookie;
  cookie.size = 8;
  for (std::uint8_t i = 0; i < 8; ++i) cookie.bytes[i] = i;
  const auto written = option(cookie);
  CHECK(written.size() == 12);
  const FastOpenOption back = read_fast_open(written);
  CHECK(back.present);
  CHECK(back.cookie == cookie);
  for (std::uint8_t size = FastOpenCookie::smallest; size <= 16; size += 2) {
    FastOpenCookie other;
    other.size = size;
    for (std::uint8_t i = 0; i < size; ++i) other.bytes[i] = static_cast<std::uint8_t>(200 + i);
    CHECK(option(other).size() % 4 == 0);
    CHECK(option(other).size() <= 20);  // beside MSS, window scale, SACK and timestamps
    CHECK(read_fast_open(option(other)).cookie == other);
  }
  CHECK(read_fast_open(option({})).present);
  CHECK(read_fast_open(option({})).cookie.size == 0);
  for (const std::size_t size : {1U, 2U, 3U, 5U, 7U, 15U, 17U, 18U}) {
    std::vector<std::byte> list(size + 2, std::byte{34});
    list[1] = static_cast<std::byte>(list.size());
    CHECK_FALSE(read_fast_open(list).present);
  }
  CHECK_FALSE(read_fast_open(bytes_of("\x22\x20")).present);  // beyond the header
  CHECK_FALSE(read_fast_open(bytes_of("\x22")).present);
}

TEST_CASE("a cookie is the address's, for two to four hours (RFC 7413 section 4.1.2)") {
  const SipKey key{1, 2};
  const IpAddress local = Ipv4Address::of(10, 0, 0, 2);
  const IpAddress remote = Ipv4Address::of(10, 0, 0, 1);
  const Time now{Duration{10h}};
  const FastOpenCookie cookie = make_fast_open_cookie(key, local, remote, now);
  CHECK(is_fast_open_cookie(cookie, key, local, remote, now));
  CHECK(is_fast_open_cookie(cookie, key, local, remote, now + fast_open_lifetime));
  CHECK_FALSE(is_fast_open_cookie(cookie, key, local, remote, now + 2 * fast_open_lifetime));
  CHECK_FALSE(is_fast_open_cookie(cookie, key, local, Ipv4Address::of(10, 0, 0, 3), now));
  CHECK_FALSE(is_fast_open_cookie({}, key, local, remote, now));
}

TEST_CASE(
    "server: text of a SYN with a good cookie is read and answered before the handshake is over (section 4.2.2)") {
  Server server;
  REQUIRE(server.cookie.size == 8);
  server.open("hello", server.cookie);
  Flow flow = take(server.listener);
  CHECK(read(flow) == "hello");
  auto write = flow.write(bytes_of("answer"));
  CHECK(write.await_ready());
  server.bench.step();
  auto& sent = server.bench.ip.sent;
  REQUIRE(sent.size() == 2);
  CHECK(sent[0].header.flags == (S | A));
  CHECK(sent[0].header.acknowledgement == 1006);
  CHECK(text_of(sent[1]) == "answer");
  const std::uint32_t ours = sent[0].header.sequence;
  CHECK(sent[1].header.sequence == ours + 1);
  SUBCASE("the acknowledgement of both ends the handshake") {
    server.bench.arrive({.sequence = 1006, .acknowledgement = ours + 7});
    server.bench.step();
    CHECK(server.bench.tcp.counters().fast_opens == 1);
    sent.clear();
    CHECK(flow.write(bytes_of("more")).await_ready());
    server.bench.step();
    REQUIRE(sent.size() == 1);
    CHECK(text_of(sent[0]) == "more");
    CHECK(sent[0].header.sequence == ours + 7);
  }
  SUBCASE("what was lost goes again, the SYN,ACK first") {
    sent.clear();
    server.bench.advance(1100ms);
    REQUIRE(sent.size() == 2);
    CHECK(sent[0].header.flags == (S | A));
    CHECK(sent[0].header.acknowledgement == 1006);
    CHECK(text_of(sent[1]) == "answer");
  }
  SUBCASE("the acknowledgement of the SYN,ACK alone: the text is still watched over") {
    server.bench.arrive({.sequence = 1006, .acknowledgement = ours + 1});
    server.bench.step();
    sent.clear();
    for (int i = 0; i < 4 && sent.empty(); ++i) server.bench.advance(1s);
    REQUIRE_FALSE(sent.empty());
    CHECK(text_of(sent[0]) == "answer");
  }
  SUBCASE("closed before the handshake is over: the FIN follows the text, and its acknowledgement counts") {
    flow.shutdown();
    server.bench.step();
    CHECK((sent.back().header.flags & F) != 0);
    server.bench.arrive({.sequence = 1006, .acknowledgement = ours + 8});
    server.bench.arrive({.flags = F | A, .sequence = 1006, .acknowledgement = ours + 8});
    server.bench.step();
    server.bench.tcp.each_tcb([](const Tcb& tcb) { CHECK(tcb.state == State::time_wait); });
  }
  SUBCASE("reset before it is over: the application hears of it") {
    server.bench.arrive({.flags = R, .sequence = 1006});
    server.bench.step();
    CHECK(server.bench.tcp.connections() == 0);
  }
}

TEST_CASE("server: a cookie that is wrong, or of another address, is as none: another one comes (section 4.2.2)") {
  Server server;
  FastOpenCookie wrong = server.cookie;
  wrong.bytes[0] ^= 1;
  server.open("hello", wrong);
  server.bench.step();
  CHECK(nobody(server.listener));
  REQUIRE(server.bench.ip.sent.size() == 1);
  CHECK(server.bench.ip.sent[0].header.acknowledgement == 1001);
  bool given = false;
  server.bench.tcp.each_tcb([&](const Tcb& tcb) {
    given = tcb.fast_open.use == FastOpen::Use::option && tcb.fast_open.cookie == server.cookie;
  });
  CHECK(given);
}

TEST_CASE("server: shards of one interface take each other's cookies, strangers do not (section 4.1.2)") {
  constexpr std::string_view secret = "0123456789abcdef";
  const auto takes = [secret](std::string_view other) {
    Server first;
    Server second;
    first.bench.tcp.start({}, secret);
    second.bench.tcp.start({}, other);
    second.open("hello", first.ask(3998));
    second.bench.step();
    REQUIRE(second.bench.ip.sent.size() == 1);
    return second.bench.ip.sent[0].header.acknowledgement == 1006;
  };
  CHECK(takes(secret));
  CHECK_FALSE(takes("0123456789abcdeF"));
  CHECK_FALSE(takes({}));
}

TEST_CASE("server: not asked to, it knows no such option") {
  Server server{TcpOptions{}};
  CHECK(server.cookie.size == 0);
  server.open("hello", {});
  server.bench.step();
  CHECK(nobody(server.listener));
  CHECK(server.bench.ip.sent.at(0).header.acknowledgement == 1001);
}

TEST_CASE("server: so many are taken before their handshake is over; beyond, they are as any SYN (section 5.1)") {
  TcpOptions options = fast();
  options.pending_fast_opens = 2;
  Server server{options};
  const auto carried = option(server.cookie);
  for (Port from = 5000; from < 5005; ++from) {
    server.bench.arrive({.flags = S, .sequence = 1000, .payload = bytes_of("x"), .options = carried, .from = from});
  }
  CHECK(server.bench.tcp.counters().fast_opens == 2);
  CHECK(server.bench.tcp.counters().fast_opens_refused == 3);
  server.bench.step();
  std::uint32_t ours = 0;
  for (const auto& segment : server.bench.ip.sent) {
    if (segment.to.port == 5000) ours = segment.header.sequence;
  }
  server.bench.arrive({.sequence = 1002, .acknowledgement = ours + 1, .from = 5000});
  server.bench.arrive({.flags = S, .sequence = 1000, .payload = bytes_of("x"), .options = carried, .from = 5005});
  CHECK(server.bench.tcp.counters().fast_opens == 3);
}

TEST_CASE("client: asks first, then sends text with the SYN; what was not taken goes again (section 4.2.1)") {
  Bench bench{fast()};
  const Endpoint remote{.address = Ipv4Address::of(10, 0, 0, 1), .port = 80};
  auto& sent = bench.ip.sent;
  FastOpenCookie cookie;
  cookie.size = 8;
  cookie.bytes = {1, 2, 3, 4, 5, 6, 7, 8};
  const auto answer = [&](std::uint32_t acknowledged, const std::vector<std::byte>& options) {
    bench.arrive({.flags = S | A,
                  .sequence = 5000,
                  .acknowledgement = sent.back().header.sequence + acknowledged,
                  .options = options,
                  .from = 80,
                  .to = sent.back().header.source_port});
    bench.step();
  };
  {
    auto first = bench.tcp.connect(remote, bytes_of("one"));
    bench.step();
    REQUIRE(sent.size() == 1);
    CHECK(sent[0].payload.empty());  // no cookie yet
    answer(1, option(cookie));
    CHECK(text_of(sent.back()) == "one");
    CHECK(first.await_resume().has_value());
  }
  bench.advance(1s);
  sent.clear();
  auto second = bench.tcp.connect(remote, bytes_of("two"));
  bench.step();
  REQUIRE(sent.size() == 1);
  CHECK(sent[0].header.flags == S);
  CHECK(text_of(sent[0]) == "two");
  const std::uint32_t begin = sent[0].header.sequence;
  SUBCASE("taken: nothing goes again") {
    answer(4, {});
    CHECK(text_of(sent.back()).empty());
    auto flow = second.await_resume();
    REQUIRE(flow.has_value());
    sent.clear();
    CHECK(flow->write(bytes_of("more")).await_ready());
    bench.step();
    REQUIRE(sent.size() == 1);
    CHECK(sent[0].header.sequence == begin + 4);
    CHECK(text_of(sent[0]) == "more");
  }
  SUBCASE("not taken: it goes as it would have gone") {
    answer(1, {});
    CHECK(text_of(sent.back()) == "two");
    CHECK(sent.back().header.sequence == begin + 1);
    CHECK(second.await_resume().has_value());
  }
  SUBCASE("taken in part") {
    answer(3, {});
    CHECK(text_of(sent.back()) == "o");
    CHECK(sent.back().header.sequence == begin + 3);
    CHECK(second.await_resume().has_value());
  }
  SUBCASE("no answer: a plain SYN, and for an hour no option to this server (section 4.1.3.1)") {
    sent.clear();
    bench.advance(1100ms);
    std::erase_if(sent,
                  [](const test::SentSegment& segment) { return segment.header.flags != S; });  // the first flow's
    REQUIRE(sent.size() == 1);
    CHECK(sent[0].payload.empty());
    CHECK(sent[0].header.sequence == begin);
    CHECK(bench.tcp.counters().fast_open_pauses == 1);
    answer(1, {});
    CHECK(text_of(sent.back()) == "two");
    CHECK(second.await_resume().has_value());
    sent.clear();
    auto third = bench.tcp.connect(remote, bytes_of("three"));
    bench.step();
    CHECK(sent.back().header.flags == S);
    CHECK(sent.back().payload.empty());
    bench.advance(FastOpenCache::pause + 1s);
    sent.clear();
    auto fourth = bench.tcp.connect(remote, bytes_of("four"));
    bench.step();
    CHECK(text_of(sent.back()) == "four");
  }
}

TEST_CASE("client: a cookie of sixteen bytes goes back beside all other options of a SYN (section 4.1.1)") {
  Bench bench{fast()};
  const Endpoint remote{.address = Ipv4Address::of(10, 0, 0, 1), .port = 80};
  auto& sent = bench.ip.sent;
  FastOpenCookie cookie;
  cookie.size = 16;
  for (std::uint8_t i = 0; i < 16; ++i) cookie.bytes[i] = static_cast<std::uint8_t>(i * 7 + 1);
  {
    auto first = bench.tcp.connect(remote, bytes_of("one"));
    bench.step();
    REQUIRE(sent.size() == 1);
    const auto carried = option(cookie);
    bench.arrive({.flags = S | A,
                  .sequence = 5000,
                  .acknowledgement = sent[0].header.sequence + 1,
                  .options = carried,
                  .from = 80,
                  .to = sent[0].header.source_port});
    bench.step();
    CHECK(first.await_resume().has_value());
  }
  bench.advance(1s);
  sent.clear();
  auto second = bench.tcp.connect(remote, bytes_of("two"));
  bench.step();
  REQUIRE(sent.size() == 1);
  CHECK(text_of(sent[0]) == "two");
  CHECK(sent[0].options.has_timestamps);
  CHECK(sent[0].options.sack_permitted);
  CHECK(sent[0].options.has_window_scale);
  CHECK(sent[0].options.maximum_segment_size != 0);
  std::size_t with_cookie = 0;
  bench.tcp.each_tcb([&](const Tcb& tcb) { with_cookie += tcb.fast_open.cookie == cookie ? 1U : 0U; });
  CHECK(with_cookie == 1);
}

TEST_CASE("client: servers that are remembered are few; the one not used for longest is forgotten") {
  FastOpenCache cache;
  const auto address = [](std::size_t i) { return IpAddress{Ipv4Address::of(10, 1, 0, static_cast<std::uint8_t>(i))}; };
  Time now{Duration{1s}};
  for (std::size_t i = 0; i <= FastOpenCache::capacity; ++i, now += 1s) (void)cache.of(address(i), now);
  CHECK(cache.find(address(0)) == nullptr);
  CHECK(cache.find(address(1)) != nullptr);
  CHECK(cache.find(address(FastOpenCache::capacity)) != nullptr);
}

}  // namespace mirage::net::tcp
