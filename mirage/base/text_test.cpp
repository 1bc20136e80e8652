// SPDX-License-Identifier: ISC
#include <string>

#include <doctest/doctest.h>

#include <mirage/base/log.hpp>
#include <mirage/base/random.hpp>
#include <mirage/base/text.hpp>

using namespace mirage;

TEST_CASE("placeholders are replaced in order") {
  const Text<64> text{"a={} b={} {}", 1, std::string_view("two"), "literal"};
  CHECK(text.view() == "a=1 b=two literal");
  CHECK(Text<64>{"{}", Hex{0xbeef, 8}}.view() == "0x0000beef");
  CHECK(Text<64>{"{} {}", -5, std::int64_t{INT64_MIN}}.view() == "-5 -9223372036854775808");
  CHECK(Text<4>{"{}", 123456}.view() == "1234");
}

TEST_CASE("addresses are parsed strictly and printed canonically") {
  static_assert(Ipv4Address::parse("10.0.0.2") == Ipv4Address::of(10, 0, 0, 2));
  static_assert(!Ipv4Address::parse("10.0.0.256"));
  static_assert(!Ipv4Address::parse("10.0.0"));
  static_assert(!Ipv4Address::parse("10.0.0.02"));
  static_assert(!Ipv4Address::parse("10.0.0.2 "));
  static_assert(Ipv4Prefix::parse("10.0.0.2/24")->contains(Ipv4Address::of(10, 0, 0, 77)));
  static_assert(!Ipv4Prefix::parse("10.0.0.2/33"));
  static_assert(MacAddress::parse("02:00:00:00:00:01")->octets[5] == 1);
  CHECK(Text<64>{"{}", Ipv4Address::of(192, 168, 1, 10)}.view() == "192.168.1.10");
  IpAddress v6;
  v6.octets[0] = 0x20;
  v6.octets[1] = 0x01;
  v6.octets[2] = 0x0d;
  v6.octets[3] = 0xb8;
  v6.octets[15] = 1;
  CHECK(Text<64>{"{}", Endpoint{v6, 80}}.view() == "[2001:db8::1]:80");
  CHECK(Text<64>{"{}", IpAddress{}}.view() == "::");
  CHECK(Text<64>{"{}", IpPrefix{v6, 64}}.view() == "2001:db8::1/64");
  CHECK(Text<64>{"{}", IpPrefix{Ipv4Prefix{Ipv4Address::of(10, 0, 0, 2), 8}}}.view() == "10.0.0.2/8");
  // RFC 4291 2.2; what is written is read back.
  static_assert(IpAddress::parse("2001:db8::8:800:200c:417a") == IpAddress::of(0x20010db800000000, 0x00080800200c417a));
  static_assert(IpAddress::parse("::ffff:10.0.0.2") == IpAddress{Ipv4Address::of(10, 0, 0, 2)});
  static_assert(IpAddress::parse("10.0.0.2") == IpAddress{Ipv4Address::of(10, 0, 0, 2)});
  static_assert(IpAddress::parse("::") == IpAddress{} && IpAddress::parse("::1")->is_loopback());
  static_assert(IpAddress::parse("1:2:3:4:5:6:7:8") && IpAddress::parse("1:2:3:4:5:6:7::") &&
                IpAddress::parse("::2:3:4:5:6:7:8"));
  for (const char* wrong :
       {"", ":", ":::", "1:2:3:4:5:6:7", "1:2:3:4:5:6:7:8:9", "1::2::3", "1:2:3:4:5:6:7:8::", "12345::", "fe80::1%eth0",
        "1:", ":1", "::g", "1:2:3:4:5:6:7:1.2.3.4", "::1.2.3", "1.2.3.4::"}) {
    CHECK_MESSAGE(!IpAddress::parse(wrong), wrong);
  }
  for (const char* text : {"::", "::1", "fe80::1", "1:0:0:2::", "2001:db8::1:0:0:1", "1:2:3:4:5:6:7:8", "10.0.0.2"}) {
    CHECK(Text<64>{"{}", *IpAddress::parse(text)}.view() == text);
  }
  static_assert(IpPrefix::parse("2001:db8::2/64")->contains(*IpAddress::parse("2001:db8::ffff")));
  static_assert(!IpPrefix::parse("2001:db8::2/64")->contains(*IpAddress::parse("2001:db8:0:1::2")));
  static_assert(IpPrefix::parse("2001:db8::2/127")->network() == IpAddress::parse("2001:db8::2"));
  static_assert(!IpPrefix::parse("::/0")->contains(Ipv4Address::of(10, 0, 0, 1)));
  static_assert(IpPrefix::parse("10.0.0.2/24") == IpPrefix{Ipv4Prefix{Ipv4Address::of(10, 0, 0, 2), 24}});
  static_assert(!IpPrefix::parse("2001:db8::/129") && !IpPrefix::parse("10.0.0.0/33") && !IpPrefix::parse("::1"));
  static_assert(IpAddress::parse("fe80::1")->is_link_local() && !IpAddress::parse("fec0::1")->is_link_local());
  static_assert(IpAddress::parse("ff02::1")->is_multicast() && !IpAddress::parse("ff02::1")->is_unicast());
}

TEST_CASE("log levels are chosen per source") {
  struct Sink final : LogSink {
    void write_line(std::string_view line) noexcept override { last = line; }
    std::string last;
  } sink;
  Log log{sink};
  CHECK(log.configure("warning,tcp:debug"));
  CHECK(log.enabled(LogLevel::debug, "tcp"));
  CHECK_FALSE(log.enabled(LogLevel::info, "http"));
  CHECK_FALSE(log.configure("nonsense"));
  CHECK_FALSE(log.configure("tcp:"));
  Logger{log, "tcp"}.info("port {}", 80);
  CHECK(sink.last == "info [tcp] port 80");
}

TEST_CASE("ChaCha20 block function, RFC 8439 section 2.3.2") {
  std::array<std::uint32_t, 8> key;
  for (std::uint32_t i = 0; i < 8; ++i) key[i] = (4 * i) | (4 * i + 1) << 8 | (4 * i + 2) << 16 | (4 * i + 3) << 24;
  const std::array<std::uint32_t, 3> nonce{0x09000000, 0x4a000000, 0};
  std::array<std::byte, 64> out;
  chacha20_block(key, 1, nonce, out);
  CHECK(load_big<std::uint64_t>(out, 0) == 0x10f1e7e4d13b5915);
  CHECK(load_big<std::uint64_t>(out, 56) == 0xcbd083e8a2503c4e);
}

TEST_CASE("SipHash-2-4 reference vector") {
  std::array<std::byte, 15> message;
  for (std::size_t i = 0; i < message.size(); ++i) message[i] = static_cast<std::byte>(i);
  CHECK(siphash({0x0706050403020100, 0x0f0e0d0c0b0a0908}, message) == 0xa129ca6149be45e5);
}
