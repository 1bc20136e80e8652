// SPDX-License-Identifier: ISC
#include <doctest/doctest.h>

#include <tender/usernet/guard.hpp>
#include <tender/usernet/guest_test.hpp>

using namespace mirage;
using namespace mirage::usernet;
using namespace mirage::usernet::test;

namespace {

Options standard(bool host_loopback = false) {
  Options options;
  options.host = Ipv4Address::of(10, 0, 2, 2);
  options.host_loopback = host_loopback;
  return options;
}

std::span<const std::byte> bytes(const Frame& frame) { return std::as_bytes(std::span{frame}); }

constexpr std::uint32_t outside = 0xc0000201;  // 192.0.2.1

}  // namespace

TEST_CASE("usernet guard: ordinary traffic passes") {
  const Guard guard{standard()};
  CHECK(guard.permits(bytes(arp_request(guest_ip, gateway_ip))));
  CHECK(guard.permits(bytes(tcp({.destination = outside, .flags = syn}))));
  CHECK(guard.permits(bytes(udp(guest_ip, 1, outside, 2, "x"))));
  CHECK(guard.permits(bytes(udp(0, 68, 0xffffffff, 67, "x"))));
  CHECK(guard.permits(bytes(ipv4(1, guest_ip, gateway_ip, Frame(8)))));
}

TEST_CASE("usernet guard: fragments, options, foreign sources and protocols do not") {
  const Guard guard{standard()};
  for (const int fragment : {0x2000, 0x0001, 0x3fff}) {
    Frame frame = udp(guest_ip, 1, outside, 2, "x");
    put16(frame, ip_at + 6, static_cast<std::uint16_t>(fragment));
    CHECK_FALSE(guard.permits(bytes(frame)));
  }
  Frame unfragmented = udp(guest_ip, 1, outside, 2, "x");
  put16(unfragmented, ip_at + 6, 0x4000);
  CHECK(guard.permits(bytes(unfragmented)));
  Frame options = udp(guest_ip, 1, outside, 2, "x");
  options[ip_at] = 0x46;
  CHECK_FALSE(guard.permits(bytes(options)));
  Frame long_one = udp(guest_ip, 1, outside, 2, "x");
  put16(long_one, ip_at + 2, 30);
  CHECK_FALSE(guard.permits(bytes(long_one)));
  CHECK_FALSE(guard.permits(bytes(udp(0x0a000301, 1, outside, 2, "x"))));
  CHECK_FALSE(guard.permits(bytes(udp(0, 1, outside, 2, "x"))));
  CHECK_FALSE(guard.permits(bytes(ipv4(2, guest_ip, outside, Frame(8)))));
}

TEST_CASE("usernet guard: this machine's loopback") {
  const Guard closed{standard()};
  const Guard open{standard(true)};
  for (const std::uint32_t destination :
       {0x7f000001u, 0x7f123456u, 0u, 0x00000001u, gateway_ip, 0xffffffffu, 0x0a0002ffu}) {
    CAPTURE(destination);
    CHECK_FALSE(closed.permits(bytes(tcp({.destination = destination, .flags = syn}))));
    CHECK_FALSE(closed.permits(bytes(udp(guest_ip, 1, destination, 2, "x"))));
  }
  CHECK_FALSE(closed.permits(bytes(udp(guest_ip, 1, 0xe0000001, 2, "x"))));
  CHECK(closed.permits(bytes(tcp({.flags = syn | ack}))));
  CHECK(open.permits(bytes(tcp({.flags = syn}))));
  CHECK(open.permits(bytes(udp(guest_ip, 1, gateway_ip, 2, "x"))));
}

TEST_CASE("usernet guard: who sent a datagram may be answered") {
  Guard guard{standard()};
  const Frame answer = udp(guest_ip, 53, gateway_ip, 4567, "answer");
  CHECK_FALSE(guard.permits(bytes(answer)));
  guard.note_sent(bytes(udp(gateway_ip, 4567, guest_ip, 53, "question")));
  CHECK(guard.permits(bytes(answer)));
  CHECK_FALSE(guard.permits(bytes(udp(guest_ip, 53, gateway_ip, 4568, "answer"))));
}
