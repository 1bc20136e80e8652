// SPDX-License-Identifier: ISC
// Routes, rate limit and reassembly by themselves; fragments as the wire sees them.
#include <random>

#include <doctest/doctest.h>

#include <mirage/net/testbed_test.hpp>

using namespace mirage;
using namespace mirage::net;
using namespace mirage::net::test;
using namespace mirage::net::ip;

namespace {

constexpr Ipv4Address a(unsigned d) { return Ipv4Address::of(10, 0, 0, d); }

constexpr bool longest_prefix_wins() {
  RouteTable routes;
  if (!routes.add({.gateway = a(1)})) return false;
  if (!routes.add({.prefix = Ipv4Prefix{a(0), 24}})) return false;
  if (!routes.add({.prefix = Ipv4Prefix{a(9), 32}, .gateway = a(5), .metric = 2})) return false;
  if (!routes.add({.prefix = Ipv4Prefix{a(9), 32}, .gateway = a(4), .metric = 1})) return false;
  if (!routes.add({.prefix = Ipv4Prefix{a(0), 24}, .gateway = a(7)})) return false;             // replaces
  if (!routes.add({.prefix = {IpAddress{}, 0}, .gateway = IpAddress::of(1, 1)})) return false;  // ::/0 is no IPv4 route
  return routes.size() == 5 && routes.find(a(9))->gateway == a(4) && routes.find(a(8))->gateway == a(7) &&
         routes.find(Ipv4Address::of(192, 0, 2, 1))->gateway == a(1);
}
static_assert(longest_prefix_wins());

constexpr bool table_is_bounded() {
  RouteTable routes;
  for (unsigned i = 0; i < RouteTable::capacity; ++i) {
    if (!routes.add({.prefix = Ipv4Prefix{a(i), 32}})) return false;
  }
  return !routes.add({.prefix = Ipv4Prefix{a(99), 32}}) && routes.find(a(99)) == nullptr;
}
static_assert(table_is_bounded());

constexpr bool bucket_limits() {
  RateLimit limit{10ms, 3};
  const Time start{Duration{1h}};
  int allowed = 0;
  for (int i = 0; i < 10; ++i) allowed += limit.allow(start, 1);
  if (allowed != 3 || limit.allow(start + 9ms, 1) || !limit.allow(start + 10ms, 1)) return false;
  for (int i = 0; i < 10; ++i) allowed += limit.allow(start + 1h, 1);
  if (allowed != 6) return false;
  for (int i = 0; i < 10; ++i) allowed += limit.allow(start + 2h, 2);
  return allowed == 8;
}
static_assert(bucket_limits());

struct Pieces {
  BufferPool pool{std::size_t{4} << 20};
  Reassembly reassembly{pool, {}};
  Reassembled out;
  ReassemblyOutcome add(std::uint16_t offset, std::size_t size, bool more, std::uint16_t id = 1, Time now = {}) {
    Packet bytes(size);
    for (std::size_t i = 0; i < size; ++i) bytes[i] = static_cast<std::byte>((offset + i) * 31 >> 3);
    Fragment fragment{.key = {.source = a(1), .destination = a(2), .identification = id, .protocol = 17},
                      .offset = offset,
                      .more = more,
                      .payload = SliceList{pool.copy(bytes)},
                      .original = {}};
    if (offset == 0) fragment.original = pool.copy(bytes_of("header"));
    return reassembly.add(std::move(fragment), now, out);
  }
  bool joined_is_right(std::size_t size) {
    std::size_t at = 0;
    for (const Slice& slice : out.payload) {
      for (const std::byte byte : slice.bytes()) {
        if (byte != static_cast<std::byte>(at++ * 31 >> 3)) return false;
      }
    }
    return at == size;
  }
};

}  // namespace

TEST_CASE("reassembly: every order of pieces, repeated ones too") {
  std::mt19937 random{3};
  for (int round = 0; round < 200; ++round) {
    Pieces pieces;
    const std::size_t count = 3 + random() % 40;
    std::vector<std::pair<std::uint16_t, std::size_t>> plan;
    std::uint16_t at = 0;
    for (std::size_t i = 0; i < count; ++i) {
      const std::size_t size = 8 * (1 + random() % 150);
      plan.emplace_back(at, size);
      at = static_cast<std::uint16_t>(at + size);
    }
    auto order = plan;
    std::ranges::shuffle(order, random);
    order.insert(order.begin(), order[1]);  // one comes twice
    ReassemblyOutcome outcome{};
    for (const auto& [offset, size] : order) {
      outcome = pieces.add(offset, size, offset + size != at);
    }
    CHECK(outcome == ReassemblyOutcome::complete);
    CHECK(pieces.joined_is_right(at));
    CHECK((pieces.out.payload.size() == 1 || pieces.out.payload[0].size() >= 60));
    CHECK(pieces.reassembly.pinned() == 0);
  }
}

TEST_CASE("reassembly: an overlap ends the datagram") {
  Pieces pieces;
  CHECK(pieces.add(0, 800, true) == ReassemblyOutcome::waiting);
  CHECK(pieces.add(792, 800, false) == ReassemblyOutcome::overlap);
  CHECK(pieces.reassembly.pinned() == 0);
  CHECK(pieces.add(800, 800, false, 2) == ReassemblyOutcome::waiting);
  CHECK(pieces.add(0, 808, true, 2) == ReassemblyOutcome::overlap);
  CHECK(pieces.add(800, 80, false, 3) == ReassemblyOutcome::waiting);
  CHECK(pieces.add(800, 88, false, 3) == ReassemblyOutcome::inconsistent);  // two ends
  CHECK(pieces.add(800, 80, false, 4) == ReassemblyOutcome::waiting);
  CHECK(pieces.add(880, 80, true, 4) == ReassemblyOutcome::inconsistent);  // beyond the end
  CHECK(pieces.add(800, 80, true, 5) == ReassemblyOutcome::waiting);
  CHECK(pieces.add(0, 80, false, 5) == ReassemblyOutcome::inconsistent);  // the end lies before a piece
}

TEST_CASE("reassembly: bounded in datagrams, pieces and bytes") {
  Pieces pieces;
  for (std::uint16_t id = 0; id < 100; ++id) {
    CHECK(pieces.add(0, 1400, true, id, Time{Duration{id}}) == ReassemblyOutcome::waiting);
  }
  CHECK(pieces.reassembly.displaced() == 84);
  CHECK(pieces.reassembly.pinned() <= 16 * 2 * 2048);  // and what an error would quote
  ReassemblyOutcome outcome{};
  for (std::uint16_t i = 0; i <= 64; ++i) outcome = pieces.add(static_cast<std::uint16_t>(i * 16), 8, true, 200);
  CHECK(outcome == ReassemblyOutcome::too_many);
  for (std::uint16_t id = 0; id < 8; ++id) {
    for (std::uint16_t i = 0; i < 40; ++i) (void)pieces.add(static_cast<std::uint16_t>(i * 1600), 1400, true, id);
    CHECK(pieces.reassembly.pinned() <= 256 * 1024);
  }
}

TEST_CASE("reassembly: what is kept for an error about a small piece is counted, with the buffer that it lies in") {
  Pieces pieces;
  const Slice large = pieces.pool.copy(Packet(60000));
  for (std::uint16_t id = 0; id < 16; ++id) {
    CHECK(pieces.reassembly.add({.key = {.source = a(1), .destination = a(2), .identification = id, .protocol = 17},
                                 .more = true,
                                 .payload = SliceList{large.sub(20, 8)},
                                 .original = large.sub(0, 28)},
                                Time{Duration{id}}, pieces.out) == ReassemblyOutcome::waiting);
  }
  CHECK(pieces.reassembly.pinned() >= 3 * large.pinned());
  CHECK(pieces.reassembly.pinned() <= 256 * 1024);
  CHECK(pieces.reassembly.displaced() >= 12);
  Slice original;
  while (pieces.reassembly.expire(never, original)) original = {};
  CHECK(pieces.reassembly.pinned() == 0);
}

TEST_CASE("reassembly: time runs out") {
  Pieces pieces;
  CHECK(pieces.add(0, 800, true, 1, Time{1s}) == ReassemblyOutcome::waiting);
  CHECK(pieces.add(800, 800, false, 2, Time{2s}) == ReassemblyOutcome::waiting);
  CHECK(pieces.reassembly.next_deadline() == Time{31s});
  Slice original;
  CHECK_FALSE(pieces.reassembly.expire(Time{30s}, original));
  CHECK(pieces.reassembly.expire(Time{31s}, original));
  CHECK(original.text() == "header");
  CHECK(pieces.reassembly.expire(Time{32s}, original));
  CHECK(original.empty());  // its first fragment never came
  CHECK(pieces.reassembly.next_deadline() == never);
}

TEST_CASE("fragments in: a datagram larger than the MTU; out: the echo in fragments") {
  Testbed bed;
  bed.start();
  const Peer peer;
  bed.meet(peer);
  Collector echo;
  echo.echo = &bed.stack.udp();
  REQUIRE(bed.stack.udp().bind(7, echo));
  Packet data(4000);
  for (std::size_t i = 0; i < data.size(); ++i) data[i] = static_cast<std::byte>(i / 3);
  const Packet datagram = peer.udp(5000, 7, data);
  for (std::size_t at : {2960U, 0U, 1480U}) {  // out of order
    const std::size_t size = std::min<std::size_t>(1480, datagram.size() - at);
    const auto first = datagram.begin() + static_cast<std::ptrdiff_t>(at);
    bed.arrive(peer.ipv4(17, {first, first + static_cast<std::ptrdiff_t>(size)}, [&](wire::Ipv4Header& header) {
      header.fragment_offset = static_cast<std::uint16_t>(at);
      header.more_fragments = at + size < datagram.size();
    }));
  }
  REQUIRE(echo.received.size() == 1);
  CHECK(echo.received[0] == data);
  REQUIRE(bed.net.sent.size() == 3);
  Packet joined;
  const auto identification = parse(bed.net.sent[0]).ip.identification;
  for (int i = 0; i < 3; ++i) {
    const Parsed fragment = parse(bed.take());
    CHECK(fragment.ip.identification == identification);
    CHECK(fragment.ip.fragment_offset == joined.size());
    CHECK(fragment.ip.more_fragments == (i < 2));
    CHECK(fragment.ip.total_length <= 1500);
    joined.insert(joined.end(), fragment.payload.begin(), fragment.payload.end());
  }
  CHECK(joined.size() == 4008);
  CHECK(Bytes(joined).subspan(8).size() == data.size());
  CHECK(std::ranges::equal(Bytes(joined).subspan(8), data));
  const auto pseudo = wire::pseudo_header_complete(wire::pseudo_header_sum(own_ip, peer.ip), 17, 4008);
  CHECK(wire::checksum_is_valid(joined, pseudo));
  CHECK(bed.shard.buffers().statistics().bytes_in_use == 0);
}

TEST_CASE(
    "a siege of fragments: each overlap and each that made room is counted, an honest datagram passes each time") {
  Testbed bed;
  bed.start();
  const Peer peer;
  bed.meet(peer);
  Collector echo;
  echo.echo = &bed.stack.udp();
  REQUIRE(bed.stack.udp().bind(7, echo));
  const auto fragment = [&](unsigned id, std::uint16_t offset, bool more, const Packet& bytes) {
    bed.arrive(peer.ipv4(17, bytes, [&](wire::Ipv4Header& header) {
      header.identification = static_cast<std::uint16_t>(id);
      header.fragment_offset = offset;
      header.more_fragments = more;
    }));
  };
  const Packet whole = peer.udp(5000, 7, Packet(600));
  constexpr unsigned rounds = 1000;
  for (unsigned i = 0; i < rounds; ++i) {
    bed.net.sent.clear();
    fragment(4 * i, 0, true, Packet(64));  // overlapped
    fragment(4 * i, 32, false, Packet(64));
    fragment(4 * i + 1, 0, true, Packet(1400));  // alone
    fragment(4 * i + 2, 0, true, {whole.begin(), whole.begin() + 320});
    fragment(4 * i + 2, 320, false, {whole.begin() + 320, whole.end()});
    CHECK(bed.net.sent.size() == 1);
  }
  CHECK(echo.received.size() == rounds);
  const ip::Counters& c = bed.stack.ip().counters();
  CHECK(c.fragments_received == 5 * rounds);
  CHECK(c.drop_overlap == rounds);
  CHECK(c.reassembled == rounds);
  CHECK(c.reassembly_displaced == rounds - 15);  // of 16 places one is free for what is complete at once
  CHECK(bed.shard.buffers().statistics().peak_in_use <= std::size_t{256} * 1024);
  bed.run(31s);
  CHECK(c.reassembly_timeouts == 15);
  CHECK(bed.shard.buffers().statistics().bytes_in_use == 0);
}

TEST_CASE("a lost fragment: time exceeded is sent and nothing stays") {
  Testbed bed;
  bed.start();
  const Peer peer;
  bed.meet(peer);
  bed.arrive(peer.ipv4(17, Packet(1480), [](wire::Ipv4Header& header) { header.more_fragments = true; }));
  CHECK(bed.shard.buffers().statistics().bytes_in_use > 0);
  bed.run(31s);
  REQUIRE(bed.net.sent.size() == 1);
  const Parsed error = parse(bed.take());
  CHECK(wire::Icmpv4Header::parse(error.payload)->type == 11);
  CHECK(wire::Icmpv4Header::parse(error.payload)->code == 1);
  CHECK(error.ip.total_length <= 576);
  CHECK(bed.stack.ip().counters().reassembly_timeouts == 1);
  CHECK(bed.shard.buffers().statistics().bytes_in_use == 0);
}

TEST_CASE("the identification tells nobody how much others are sent (RFC 6864 4, RFC 7739)") {
  Testbed bed;
  bed.start();
  const Peer near;
  const Peer other{{{2, 0, 0, 0, 0, 7}}, Ipv4Address::of(10, 0, 0, 7)};
  bed.meet(near);
  bed.meet(other);
  const auto ping = [&](const Peer& peer) {
    bed.arrive(peer.ipv4(1, Peer::icmp(wire::icmpv4_type::echo_request, 0, 1, bytes_of("?"))));
    return parse(bed.take()).ip.identification;
  };
  const std::uint16_t first = ping(near);
  for (int i = 0; i < 10; ++i) (void)ping(other);
  CHECK(ping(near) == first + 1);
  // What must not be fragmented needs none: what ports are open shows nowhere else (idle scans).
  Collector echo;
  echo.echo = &bed.stack.udp();
  REQUIRE(bed.stack.udp().bind(7, echo));
  bed.arrive(near.ipv4(17, near.udp(5000, 7, bytes_of("x"))));
  const auto answer = parse(bed.take());
  CHECK(answer.ip.dont_fragment);
  CHECK(answer.ip.identification == 0);
}

TEST_CASE("source routes are refused (RFC 7126), other options are not") {
  Testbed bed;
  bed.start();
  const Peer peer;
  bed.meet(peer);
  for (const unsigned option : {131U, 137U, 7U}) {
    const Packet ping = Peer::icmp(8, 0, 1, bytes_of("x"));
    Packet frame = peer.ipv4(1, ping);
    const std::array<std::byte, 8> options{std::byte{1}, static_cast<std::byte>(option), std::byte{7}, std::byte{4}};
    frame.insert(frame.begin() + 34, options.begin(), options.end());
    const MutableBytes header = MutableBytes(frame).subspan(14, 28);
    header[0] = std::byte{0x47};
    store_big(header, 2, static_cast<std::uint16_t>(28 + ping.size()));
    store_big(header, 10, std::uint16_t{0});
    store_big(header, 10, wire::checksum_of(header));
    bed.arrive(frame);
  }
  CHECK(bed.stack.ip().counters().drop_source_route == 2);
  CHECK(bed.net.sent.size() == 1);
}

TEST_CASE("routes: through the gateway, not to nowhere, not from a foreign source") {
  StackOptions options;
  options.gateway = a(1);
  Testbed bed{options};
  bed.start();
  auto& ip = bed.stack.ip();
  const Ipv4Address far = Ipv4Address::of(192, 0, 2, 1);
  const auto path = ip.route({}, far, 0);
  REQUIRE(path);
  CHECK(path->source == IpAddress{own_ip});
  CHECK(path->mtu == 1500);
  CHECK(ip.route(own_ip, far, 0));
  CHECK(ip.route(a(3), far, 0).error() == IpError::no_route);
  CHECK(ip.route({}, own_ip, 0).error() == IpError::no_route);
  CHECK(ip.route({}, Ipv4Address::of(127, 0, 0, 1), 0).error() == IpError::no_route);
  CHECK(ip.route({}, a(255), 0)->is_local_broadcast);
  bed.net.sent.clear();
  TransmitFrame frame;
  frame.header = ip.new_frame(8);
  (void)frame.header.grow_back(8);
  CHECK(ip.send(*path, 17, 0, std::move(frame)));
  bed.turns(1);
  CHECK(parse_arp(bed.take()).target_ip == a(1));  // the gateway is asked for, not the destination
}

TEST_CASE("ICMP errors reach the transport only when they quote a packet of ours") {
  Testbed bed;
  bed.start();
  const Peer peer;
  bed.meet(peer);
  const auto quote = [&](Ipv4Address source, std::size_t bytes) {
    Packet quoted(28);
    wire::Ipv4Header{.total_length = 100, .protocol = 17, .source = source, .destination = peer.ip}.emit(quoted);
    quoted.resize(bytes);
    return Peer::icmp(3, 3, 0, quoted);
  };
  bed.arrive(peer.ipv4(1, quote(own_ip, 28)));
  CHECK(bed.stack.udp().counters().errors == 1);
  bed.arrive(peer.ipv4(1, quote(a(77), 28)));
  CHECK(bed.stack.icmp().counters().drop_foreign_quote == 1);
  bed.arrive(peer.ipv4(1, quote(own_ip, 27)));
  bed.arrive(peer.ipv4(1, quote(own_ip, 3)));
  CHECK(bed.stack.icmp().counters().drop_bad_quote == 2);
  CHECK(bed.stack.udp().counters().errors == 1);
}
