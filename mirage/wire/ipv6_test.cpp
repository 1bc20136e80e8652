// SPDX-License-Identifier: ISC
// IPv6, its extension headers, ICMPv6 and neighbour discovery messages; in the compiler too, where undefined behaviour
// is an error.
#include <algorithm>
#include <random>
#include <vector>

#include <doctest/doctest.h>

#include <mirage/wire/ipv6_extension.hpp>
#include <mirage/wire/ndp.hpp>

using namespace mirage;
using namespace mirage::wire;

namespace {

using Outcome = Ipv6Walk::Outcome;

template <std::size_t N>
consteval std::array<std::byte, N> octets(const unsigned char (&values)[N]) {
  std::array<std::byte, N> out{};
  for (std::size_t i = 0; i < N; ++i) out[i] = std::byte{values[i]};
  return out;
}

constexpr IpAddress host = IpAddress::of(0x2001'0db8'0000'0000, 2);

constexpr bool header_round_trip() {
  const Ipv6Header header{.traffic_class = 0xb9,
                          .flow_label = 0xabcde,
                          .payload_length = 8,
                          .next_header = 17,
                          .hop_limit = 3,
                          .source = host,
                          .destination = ipv6_group::all_nodes};
  std::array<std::byte, 48> bytes{};
  header.emit(bytes);
  if (Ipv6Header::parse(bytes, 48) != header || Ipv6Header::parse(bytes, 60) != header) return false;
  if (Ipv6Header::parse(bytes, 47).error() != Ipv6ParseError::length) return false;
  if (Ipv6Header::parse(Bytes(bytes).first(39), 39).error() != Ipv6ParseError::truncated) return false;
  bytes[0] = std::byte{0x40};
  return Ipv6Header::parse(bytes, 48).error() == Ipv6ParseError::version;
}
static_assert(header_round_trip());

/// RFC 4291 2.7.1: the example of 4037::01:800:200e:8c6c.
static_assert(ipv6_group::solicited_node(*IpAddress::parse("4037::01:800:200e:8c6c")) ==
              IpAddress::parse("ff02::1:ff0e:8c6c"));

/// An IPv4-mapped pseudo-header is the one of IPv4.
static_assert(fold(pseudo_header_sum(IpAddress{Ipv4Address::of(10, 0, 0, 1)},
                                     IpAddress{Ipv4Address::of(10, 0, 0, 2)})) ==
              fold(pseudo_header_sum(Ipv4Address::of(10, 0, 0, 1), Ipv4Address::of(10, 0, 0, 2))));

// --- extension headers ---

constexpr Ipv6Walk walk(std::uint8_t first, Bytes bytes) { return walk_extensions(first, bytes, ipv6_header_size); }

constexpr auto pad = octets({6, 0, 1, 4, 0, 0, 0, 0});
static_assert(walk(6, {}).outcome == Outcome::transport && walk(6, {}).offset == 0);
static_assert(walk(59, {}).outcome == Outcome::nothing);
static_assert(walk(0, pad).outcome == Outcome::transport && walk(0, pad).protocol == 6 && walk(0, pad).offset == 8);
static_assert(walk(60, pad).outcome == Outcome::transport);
static_assert(walk(60, Bytes(pad).first(7)).outcome == Outcome::discard);
static_assert(walk(6, {}).next_header_at == 6 && walk(60, pad).next_header_at == 40);

/// RFC 8200 4.1: hop-by-hop options anywhere else are an unknown next header.
constexpr auto late_hops = octets({0, 0, 1, 4, 0, 0, 0, 0, 6, 0, 1, 4, 0, 0, 0, 0});
static_assert(walk(60, late_hops).outcome == Outcome::problem && walk(60, late_hops).code == 1 &&
              walk(60, late_hops).pointer == 40);

/// RFC 8200 4.2: the two high bits of an option that nobody knows.
constexpr Ipv6Walk with_option(unsigned type) {
  std::array<std::byte, 8> bytes{std::byte{17}, std::byte{0}, static_cast<std::byte>(type), std::byte{4}};
  return walk(60, bytes);
}
static_assert(with_option(0x1e).outcome == Outcome::transport);
static_assert(with_option(0x5e).outcome == Outcome::discard);
static_assert(with_option(0x9e).outcome == Outcome::problem && with_option(0x9e).even_to_group);
static_assert(with_option(0xde).outcome == Outcome::problem && !with_option(0xde).even_to_group);
static_assert(with_option(0xde).code == 2 && with_option(0xde).pointer == 42);
/// An option that runs over its header.
static_assert(walk(60, octets({17, 0, 1, 5, 0, 0, 0, 0})).outcome == Outcome::discard);

/// RFC 5095, RFC 8200 4.4: routing headers with segments left are refused, used up ones skipped.
static_assert(walk(43, octets({6, 0, 0, 1, 0, 0, 0, 0})).pointer == 42);
static_assert(walk(43, octets({6, 0, 0, 1, 0, 0, 0, 0})).outcome == Outcome::problem);
static_assert(walk(43, octets({6, 0, 0, 0, 0, 0, 0, 0})).outcome == Outcome::transport);

/// Fragments; RFC 6946: an atomic one is no fragment; a second fragment header is refused.
constexpr auto fragment = octets({17, 0, 0x05, 0xa9, 0, 0, 0, 7});
static_assert(walk(44, fragment).outcome == Outcome::fragment && walk(44, fragment).fragment.offset == 1448 &&
              walk(44, fragment).fragment.more && walk(44, fragment).fragment.identification == 7);
constexpr auto atomic = octets({17, 0, 0, 0, 0, 0, 0, 7});
static_assert(walk(44, atomic).outcome == Outcome::transport && walk(44, atomic).has_fragment);
static_assert(walk(44, octets({44, 0, 0, 0, 0, 0, 0, 7, 17, 0, 0, 0, 0, 0, 0, 7})).outcome == Outcome::discard);

constexpr bool chains_are_bounded() {
  std::array<std::byte, 8 * 40> chain{};
  for (std::size_t i = 0; i < chain.size(); i += 8) {
    chain[i] = std::byte{60};
    chain[i + 2] = std::byte{1};
    chain[i + 3] = std::byte{4};
  }
  if (walk(60, chain).outcome != Outcome::discard) return false;  // too many
  chain[1] = std::byte{32};                                       // one that is too long
  return walk(60, chain).outcome == Outcome::discard;
}
static_assert(chains_are_bounded());

/// RFC 7112 5: a first fragment holds the chain up to the transport header.
static_assert(!holds_header_chain(60, Bytes(pad).first(4)));
static_assert(!holds_header_chain(60, pad));  // TCP's header is missing
static_assert(holds_header_chain(17, pad));

// --- neighbour discovery ---

constexpr bool neighbour_round_trip() {
  std::array<std::byte, NeighbourMessage::size + 8> bytes{};
  NeighbourMessage{icmpv6_type::neighbour_advertisement, NeighbourMessage::solicited, host, {}}.emit(bytes);
  emit_link_address(MutableBytes(bytes).subspan(24), nd_option::target_link_address, MacAddress{{2, 0, 0, 0, 0, 9}});
  const auto message = NeighbourMessage::parse(bytes);
  if (!message || message->target != host || !message->has(NeighbourMessage::solicited)) return false;
  if (message->options.link_address(nd_option::target_link_address) != MacAddress{{2, 0, 0, 0, 0, 9}}) return false;
  if (message->options.link_address(nd_option::source_link_address)) return false;
  for (std::size_t size = 0; size < bytes.size(); ++size) {
    if (size != NeighbourMessage::size && NeighbourMessage::parse(Bytes(bytes).first(size))) return false;
  }
  bytes[25] = std::byte{0};  // RFC 4861 4.6: an option without length
  return !NeighbourMessage::parse(bytes);
}
static_assert(neighbour_round_trip());

constexpr auto advertisement =
    octets({134, 0, 0, 0, 64, 0xc8, 0x07, 0x08, 0,    0,    0,    0,    0, 0, 0, 0,                             //
            5,   1, 0, 0, 0,  0,    0x05, 0x78,                                                                 //
            25,  3, 0, 0, 0,  0,    0,    60,   0x20, 0x01, 0x0d, 0xb8, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0x53,  //
            31,  2, 0, 0, 0,  0,    0,    60,   3,    'l',  'a',  'n',  0, 0, 0, 0});
constexpr bool advertisement_is_read() {
  const auto router = RouterAdvertisement::parse(advertisement);
  if (!router || router->hop_limit != 64 || !router->managed || !router->other || router->preference != 1) return false;
  if (router->lifetime != 1800 || parse_mtu_option(router->options.find(nd_option::mtu)) != 1400) return false;
  const auto dns = RdnssOption::parse(router->options.find(nd_option::rdnss));
  if (!dns || dns->count() != 1 || dns->address(0) != IpAddress::parse("2001:db8::53") || dns->lifetime != 60) {
    return false;
  }
  const auto search = DnsslOption::parse(router->options.find(nd_option::dnssl));
  return search && search->names.size() == 8;
}
static_assert(advertisement_is_read());

constexpr bool prefix_round_trip() {
  std::array<std::byte, PrefixInformation::size> bytes{};
  PrefixInformation{.prefix = {host, 64}, .autonomous = true, .valid = 7200, .preferred = 3600}.emit(bytes);
  const auto prefix = PrefixInformation::parse(bytes);
  if (!prefix || prefix->prefix != IpPrefix{host, 64} || !prefix->autonomous || prefix->on_link) return false;
  bytes[2] = std::byte{129};
  return !PrefixInformation::parse(bytes) && !PrefixInformation::parse(Bytes(bytes).first(24));
}
static_assert(prefix_round_trip());

}  // namespace

TEST_CASE("a name server's option of half an address is none (RFC 8106 5.1, CVE-2020-16898)") {
  std::array<std::byte, 48> option{std::byte{nd_option::rdnss}};
  for (std::size_t size = 0; size <= option.size(); size += 8) {
    CAPTURE(size);
    const auto servers = RdnssOption::parse(Bytes(option).first(size));
    CHECK(servers.has_value() == (size == 24 || size == 40));
    if (servers) CHECK(servers->count() == (size - 8) / 16);
  }
}

TEST_CASE("walks over random chains stay within their bytes") {
  std::mt19937 random{11};
  std::size_t transports = 0;
  for (int round = 0; round < 20000; ++round) {
    std::vector<std::byte> bytes(random() % 300);
    for (auto& byte : bytes) byte = static_cast<std::byte>(random() % 4 == 0 ? random() % 256 : random() % 3);
    constexpr std::array<std::uint8_t, 4> chained{0, 43, 44, 60};
    for (std::size_t i = 0; i < bytes.size(); i += 8) {
      if (random() % 2 == 0) bytes[i] = static_cast<std::byte>(chained[random() % 4]);
    }
    const auto result = walk_extensions(chained[random() % 4], bytes, random() % 2 == 0 ? 40 : 48);
    CHECK(result.offset <= bytes.size());
    transports += result.outcome == Outcome::transport;
  }
  CHECK(transports > 100);
}
