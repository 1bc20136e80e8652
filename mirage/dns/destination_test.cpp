// SPDX-License-Identifier: ISC
// RFC 6724 section 6: the examples of 10.2 and 10.3, most of them in the compiler.
#include <string_view>

#include <doctest/doctest.h>

#include <mirage/dns/connect.hpp>

using namespace mirage;
using namespace mirage::dns;

namespace {

constexpr IpAddress address(std::string_view text) { return IpAddress::parse(text).value(); }

/// To `text` from `source`: an address with its network's length, or none.
constexpr Destination to(std::string_view text, std::string_view source = "", bool deprecated = false) {
  if (source.empty()) return {address(text), {}};
  return {address(text), SourceAddress{IpPrefix::parse(source).value(), deprecated}};
}

/// Both ways: whatever the name server's order, `a` is first.
constexpr bool first(const Destination& a, const Destination& b) { return goes_before(a, b) && !goes_before(b, a); }
constexpr bool same(const Destination& a, const Destination& b) { return !goes_before(a, b) && !goes_before(b, a); }

// Rule 1: avoid unusable destinations.
static_assert(first(to("192.0.2.1", "192.0.2.9/24"), to("2001:db8:1::1")));
// Rule 2: prefer matching scope.
static_assert(first(to("2001:db8:1::1", "2001:db8:1::2/64"), to("198.51.100.121", "169.254.13.78/16")));
static_assert(first(to("198.51.100.121", "198.51.100.117/24"), to("2001:db8:1::1", "fe80::1/64")));
// Rule 3: avoid deprecated addresses.
static_assert(first(to("2001:db8:1::1", "2001:db8:1::2/64"), to("fe80::1", "fe80::2/64", true)));
// Rule 5: prefer matching label.
static_assert(first(to("2002:c633:6401::1", "2002:c633:6401::2/64"), to("2001:db8:1::1", "2002:c633:6401::2/64")));
// Rule 6: prefer higher precedence.
static_assert(first(to("2001:db8:1::1", "2001:db8:1::2/64"), to("10.1.2.3", "10.1.2.4/24")));
static_assert(first(to("2001:db8:1::1", "2001:db8:1::2/64"), to("2002:c633:6401::1", "2002:c633:6401::2/64")));
static_assert(first(to("192.0.2.1", "192.0.2.9/24"), to("fd00::1", "fd00::2/64")));
// Rule 8: prefer smaller scope.
static_assert(first(to("fe80::1", "fe80::2/64"), to("2001:db8:1::1", "2001:db8:1::2/64")));
// Rule 9: use longest matching prefix, no longer than the source's network (section 2.2).
static_assert(first(to("2001:db8:1::1", "2001:db8:1::2/64"), to("2001:db8:3ffe::1", "2001:db8:3f44::2/64")));
static_assert(same(to("2001:db8:1::1", "2001:db8:1::2/48"), to("2001:db8:1:ffff::1", "2001:db8:1::2/48")));
// Of IPv4 addresses only a neighbour is nearer.
static_assert(first(to("10.1.2.3", "10.1.2.4/24"), to("192.0.2.1", "10.1.2.4/24")));
static_assert(same(to("10.9.0.1", "10.1.2.4/24"), to("192.0.2.1", "10.1.2.4/24")));
// Of a stack that does not tell its sources: the rules that do without.
static_assert(first(to("2001:db8:1::1"), to("10.1.2.3")) && first(to("10.1.2.3"), to("fd00::1")));
static_assert(same(to("2001:db8:1::1"), to("2001:db8:2::1")));

}  // namespace

TEST_CASE("the best address first, then families take turns; equal ones as the name server has them (RFC 8305 4)") {
  Candidates candidates;
  candidates.add(to("192.0.2.1", "192.0.2.9/24"));
  candidates.add(to("2001:db8:ffff::1"));  // no way there
  candidates.add(to("198.51.100.2", "192.0.2.9/24"));
  candidates.add(to("198.51.100.1", "192.0.2.9/24"));
  candidates.add(to("192.0.2.2", "192.0.2.9/24"));
  for (const std::string_view expected :
       {"192.0.2.1", "2001:db8:ffff::1", "192.0.2.2", "198.51.100.2", "198.51.100.1"}) {
    REQUIRE_FALSE(candidates.empty());
    CHECK(candidates.take() == address(expected));
  }
  CHECK(candidates.empty());
}

TEST_CASE("addresses that come late find their place among those that are left") {
  Candidates candidates;
  candidates.add(to("198.51.100.1", "192.0.2.9/24"));
  candidates.add(to("198.51.100.2", "192.0.2.9/24"));
  CHECK(candidates.take() == address("198.51.100.1"));
  candidates.add(to("192.0.2.1", "192.0.2.9/24"));
  candidates.add(to("2001:db8::1", "2001:db8::2/64"));
  CHECK(candidates.take() == address("2001:db8::1"));
  CHECK(candidates.take() == address("192.0.2.1"));
  CHECK(candidates.take() == address("198.51.100.2"));
}

TEST_CASE("of more addresses than are tried the best are kept") {
  Candidates candidates;
  for (unsigned i = 1; i <= 20; ++i)
    candidates.add({Ipv4Address::of(198, 51, 100, i), to("::1", "192.0.2.9/24").source});
  candidates.add(to("192.0.2.1", "192.0.2.9/24"));
  CHECK(candidates.take() == address("192.0.2.1"));
  for (unsigned i = 1; i < Candidates::maximum; ++i) {
    REQUIRE_FALSE(candidates.empty());
    CHECK(candidates.take() == IpAddress{Ipv4Address::of(198, 51, 100, i)});
  }
  CHECK(candidates.empty());
}
