// SPDX-License-Identifier: ISC
// Source filters as the wire sees them: what is said to routers (RFC 3376 5, RFC 3810 6), and what is heard.
#include <doctest/doctest.h>

#include <mirage/net/ip/source_filter.hpp>
#include <mirage/net/testbed_v6_test.hpp>
#include <mirage/wire/membership.hpp>

using namespace mirage;
using namespace mirage::net;
using namespace mirage::net::test;
using ip::FilterMode;
using ip::SourceFilters;

namespace {

constexpr Ipv4Address group = Ipv4Address::of(232, 1, 2, 3);
constexpr Ipv4Address one = Ipv4Address::of(10, 0, 0, 5);
constexpr Ipv4Address two = Ipv4Address::of(10, 0, 0, 6);
constexpr Ipv4Address three = Ipv4Address::of(192, 0, 2, 7);

/// One record: its type and sources.
struct Record {
  unsigned type = 0;
  std::vector<Ipv4Address> sources;
  bool operator==(const Record&) const = default;
};

std::vector<Record> records_of(const Sent& sent) {
  const Bytes message = Bytes(sent.bytes).subspan(14 + 24);
  CHECK(load_big<std::uint8_t>(message, 0) == 0x22);
  CHECK(wire::checksum_is_valid(message));
  std::vector<Record> records;
  std::size_t at = 8;
  for (unsigned i = 0; i < load_big<std::uint16_t>(message, 6); ++i) {
    Record record{load_big<std::uint8_t>(message, at), {}};
    CHECK(Ipv4Address{load_big<std::uint32_t>(message, at + 4)} == group);
    const unsigned count = load_big<std::uint16_t>(message, at + 2);
    at += 8;
    for (unsigned j = 0; j < count; ++j, at += 4) record.sources.push_back({load_big<std::uint32_t>(message, at)});
    records.push_back(record);
  }
  CHECK(at == message.size());
  return records;
}

struct Bed : Testbed {
  Bed() {
    start();
    REQUIRE(stack.udp().bind(5353, got));
  }
  /// What is said about a change: twice the same (RFC 3376 8.1).
  std::vector<Record> listen(FilterMode mode, std::vector<IpAddress> sources) {
    net.sent.clear();
    REQUIRE(filters.listen(group, 0, mode, sources));
    run(3s);
    REQUIRE(net.sent.size() == 2);
    CHECK(records_of(net.sent[0]) == records_of(net.sent[1]));
    return records_of(net.sent[0]);
  }
  /// Whether a datagram from there is heard.
  bool hears(Ipv4Address source, Ipv4Address to = group) {
    const std::size_t before = got.received.size();
    Peer peer;
    peer.ip = source;
    arrive(peer.ipv4(
        17, peer.udp(5353, 5353, bytes_of("?"), to), [=](auto& header) { header.destination = to; },
        MacAddress{{1, 0, 0x5e, 1, 2, 3}}));
    return got.received.size() > before;
  }
  void query(Packet message) {
    store_big(MutableBytes(message), 2, wire::checksum_of(message));
    net.sent.clear();
    arrive(Peer{}.ipv4(2, message, [](auto& header) {
      header.destination = Ipv4Address::of(224, 0, 0, 1);
      header.time_to_live = 1;
    }));
    run(3s);
  }
  Collector got;
  SourceFilters filters{stack.ip()};
};

Packet query_of(std::size_t size) {
  Packet message(size);
  message[0] = std::byte{0x11};
  message[1] = std::byte{20};
  return message;
}

}  // namespace

TEST_CASE("INCLUDE: its sources are heard, no others; lists change by ALLOW and BLOCK (RFC 3376 5.1)") {
  Bed bed;
  CHECK(bed.listen(FilterMode::include, {one, two}) == std::vector{Record{5, {one, two}}});
  CHECK(bed.hears(one));
  CHECK(bed.hears(two));
  CHECK_FALSE(bed.hears(three));
  CHECK(bed.listen(FilterMode::include, {two, three, three}) == std::vector{Record{5, {three}}, Record{6, {one}}});
  CHECK_FALSE(bed.hears(one));
  CHECK(bed.hears(three));
  bed.query(query_of(12));
  REQUIRE(bed.net.sent.size() == 1);
  CHECK(records_of(bed.net.sent[0]) == std::vector{Record{1, {two, three}}});
  CHECK(bed.listen(FilterMode::include, {}) == std::vector{Record{6, {two, three}}});
  CHECK_FALSE(bed.hears(two));
  bed.query(query_of(12));
  CHECK(bed.net.sent.empty());
  CHECK(bed.shard.timers().armed() == 0);
  CHECK(bed.shard.buffers().statistics().bytes_in_use == 0);
}

TEST_CASE("EXCLUDE: all but its sources are heard; the change of the mode says all (RFC 3376 5.1)") {
  Bed bed;
  CHECK(bed.listen(FilterMode::exclude, {one}) == std::vector{Record{4, {one}}});
  CHECK_FALSE(bed.hears(one));
  CHECK(bed.hears(two));
  CHECK(bed.listen(FilterMode::exclude, {two}) == std::vector{Record{5, {one}}, Record{6, {two}}});
  CHECK(bed.hears(one));
  CHECK_FALSE(bed.hears(two));
  bed.query(query_of(12));
  REQUIRE(bed.net.sent.size() == 1);
  CHECK(records_of(bed.net.sent[0]) == std::vector{Record{2, {two}}});
  CHECK(bed.listen(FilterMode::include, {three}) == std::vector{Record{3, {three}}});
  CHECK(bed.listen(FilterMode::exclude, {}) == std::vector{Record{4, {}}});
  CHECK(bed.hears(two));
  CHECK(bed.listen(FilterMode::include, {}) == std::vector{Record{3, {}}});
  CHECK_FALSE(bed.hears(one));
}

TEST_CASE("a change that is made while an earlier one is still being said (RFC 3376 5.1)") {
  Bed bed;
  REQUIRE(bed.filters.join(group, {one}));
  bed.turns(2);
  REQUIRE(bed.filters.join(group, {two}));
  bed.turns(2);
  REQUIRE(bed.net.sent.size() == 2);
  CHECK(records_of(bed.net.sent[1]) == std::vector{Record{5, {two}}, Record{6, {one}}});
  REQUIRE(bed.filters.listen(group, 0, FilterMode::exclude, {}));
  bed.turns(2);
  CHECK(records_of(bed.net.sent.at(2)) == std::vector{Record{4, {}}});
  bed.run(5s);
  CHECK(bed.net.sent.size() == 4);  // the change of the mode once more, and nothing of what it replaces
  CHECK(records_of(bed.net.sent.at(3)) == std::vector{Record{4, {}}});
}

TEST_CASE("an older querier hears of the group alone; what is heard is filtered all the same (RFC 3376 7.2)") {
  Bed bed;
  (void)bed.listen(FilterMode::include, {one});
  bed.query(query_of(8));
  REQUIRE(bed.net.sent.size() == 1);
  CHECK(load_big<std::uint8_t>(Bytes(bed.net.sent[0].bytes), 14 + 24) == 0x16);
  CHECK(bed.hears(one));
  CHECK_FALSE(bed.hears(two));
  bed.net.sent.clear();
  bed.filters.leave(group);
  bed.run(3s);
  REQUIRE(bed.net.sent.size() == 2);
  CHECK(load_big<std::uint8_t>(Bytes(bed.net.sent[0].bytes), 14 + 24) == 0x17);
}

TEST_CASE("bounds, and what does not fit together, are refused") {
  Bed bed;
  SourceFilters& filters = bed.filters;
  const IpAddress v6 = *IpAddress::parse("2001:db8::5");
  CHECK_FALSE(filters.join(one, {two}));
  CHECK_FALSE(filters.join(group, {v6}));
  CHECK_FALSE(filters.join(group, {group}));
  CHECK_FALSE(filters.join(group, {one}, 1));
  std::vector<IpAddress> many;
  for (std::uint32_t i = 0; i <= SourceFilters::maximum_sources; ++i) many.push_back(Ipv4Address{three.value + i});
  CHECK_FALSE(filters.listen(group, 0, FilterMode::include, many));
  many.pop_back();
  CHECK(filters.listen(group, 0, FilterMode::include, many));
  CHECK_FALSE(bed.stack.udp().join(group).has_value());  // a group is listened to in one way
  for (std::uint32_t i = 1; i < SourceFilters::maximum_groups; ++i) {
    CHECK(filters.join(Ipv4Address{group.value + i}, {one}));
  }
  CHECK_FALSE(filters.join(Ipv4Address::of(232, 9, 9, 9), {one}));
  CHECK(bed.stack.udp().join(Ipv4Address::of(239, 0, 0, 1)).has_value());
  CHECK_FALSE(filters.join(Ipv4Address::of(239, 0, 0, 1), {one}));
  bed.run(5s);
  filters.leave(group);
  bed.run(5s);
  CHECK(bed.stack.udp().join(group).has_value());
  CHECK(bed.hears(one));
}

TEST_CASE("MLDv2: sources of sixteen bytes (RFC 3810 5.2)") {
  Bed6 bed;
  const Peer6 peer;
  SourceFilters filters{bed.stack.ip()};
  Collector got;
  REQUIRE(bed.stack.udp().bind(5353, got));
  const IpAddress all = *IpAddress::parse("ff3e::8000:1");
  REQUIRE(filters.join(all, {peer.ip, *IpAddress::parse("2001:db8::9")}));
  bed.run(3s);
  REQUIRE(bed.net.sent.size() == 2);
  const Parsed6 report = bed.take6();
  CHECK(report.ip.destination == wire::ipv6_group::all_mld2_routers);
  REQUIRE(report.payload.size() == 8 + 8 + 20 + 2 * 16);
  CHECK(load_big<std::uint8_t>(report.payload, 8) == 143);
  CHECK(load_big<std::uint8_t>(report.payload, 16) == 5);
  CHECK(load_big<std::uint16_t>(report.payload, 18) == 2);
  CHECK(wire::load_ip(report.payload, 20) == all);
  CHECK(wire::load_ip(report.payload, 36) == peer.ip);
  const auto send = [&](const IpAddress& from) {
    Packet message = peer.datagram(5353, 5353, bytes_of("?"));
    Peer6::seal(message, 6, 17, from, all);
    bed.arrive(peer.ipv6(17, message, [&](auto& header) {
      header.source = from;
      header.destination = all;
    }));
  };
  send(peer.ip);
  CHECK(got.received.size() == 1);
  send(*IpAddress::parse("2001:db8::66"));
  CHECK(got.received.size() == 1);
}
