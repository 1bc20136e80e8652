// SPDX-License-Identifier: ISC
// A router with its two stacks, as the stations on both networks see it.
#include <map>

#include <doctest/doctest.h>

#include <mirage/net/router.hpp>
#include <mirage/net/testbed_test.hpp>
#include <mirage/wire/tcp.hpp>

using namespace mirage;
using namespace mirage::net;
using namespace mirage::net::test;
using wire::ArpPacket;

namespace {

constexpr Ipv4Address inside_ip = Ipv4Address::of(10, 1, 0, 1);
constexpr Ipv4Address server = Ipv4Address::of(203, 0, 113, 9);

StackOptions inside_options() {
  StackOptions options;
  options.ipv4 = {inside_ip, 24};
  return options;
}

Port source_port(const Parsed& packet) { return load_big<Port>(Bytes(packet.payload), 0); }

/// The outside side is the Testbed's own stack (10.0.0.2/24 with gateway 10.0.0.1); inside is a second one.
struct RouterBed : Testbed {
  explicit RouterBed(const RouterOptions& options = {})
      : Testbed(outside_options()), router(shard, inside, stack, options) {
    start();
    (void)scope.spawn([](net::Stack& s) -> Task<void> { (void)co_await s.start(); }(inside));
    turns(4);
    REQUIRE(router.start());
    inside_net.sent.clear();
    meet(gateway);
    inside_net.arrive(host.arp(ArpPacket::request, inside_ip));
    turns(2);
    inside_net.sent.clear();
    net.sent.clear();
  }
  static StackOptions outside_options() {
    StackOptions options;
    options.gateway = Ipv4Address::of(10, 0, 0, 1);
    return options;
  }
  void from_inside(const Packet& frame, const Offload& offload = {}) {
    inside_net.arrive(frame, offload);
    turns(2);
  }
  Sent take_inside() {
    if (inside_net.sent.empty()) return {};
    Sent first = std::move(inside_net.sent.front());
    inside_net.sent.pop_front();
    return first;
  }
  /// A datagram of the inside host to the server.
  Packet outbound(const Packet& data, const std::function<void(wire::Ipv4Header&)>& change = {}) {
    return host.ipv4(17, host.udp(5000, 53, data, server), [&](wire::Ipv4Header& header) {
      header.destination = server;
      if (change) change(header);
    });
  }
  Packet inbound(const Packet& data) {
    Peer remote = gateway;
    remote.ip = server;
    return gateway.ipv4(17, remote.udp(53, 5000, data), [](wire::Ipv4Header& header) { header.source = server; });
  }
  /// A datagram's bytes [from, to) as the inside host, or somebody who claims to be it, sends them.
  Packet piece(const Packet& datagram, std::size_t from, std::size_t to, Ipv4Address source) {
    return host.ipv4(17, Packet(datagram.begin() + static_cast<long>(from), datagram.begin() + static_cast<long>(to)),
                     [&](wire::Ipv4Header& header) {
                       header.source = source;
                       header.destination = server;
                       header.identification = 99;
                       header.fragment_offset = static_cast<std::uint16_t>(from);
                       header.more_fragments = to < datagram.size();
                     });
  }
  Peer gateway;
  Peer host{{{2, 0, 0, 0, 1, 2}}, Ipv4Address::of(10, 1, 0, 2)};
  TestNet inside_net{shard.buffers()};
  net::Stack inside{shard, inside_net, inside_options()};
  Router router;
};

}  // namespace

TEST_CASE("a datagram goes out by the gateway with the router's address, its answer in to the host") {
  RouterBed bed;
  bed.from_inside(bed.outbound(bytes_of("question")));
  REQUIRE(bed.net.sent.size() == 1);
  const Parsed out = parse(bed.take());
  CHECK(out.ethernet.destination == bed.gateway.mac);
  CHECK(out.ip.source == own_ip);
  CHECK(out.ip.destination == server);
  CHECK(out.ip.time_to_live == 63);
  bed.arrive(bed.inbound(bytes_of("answer")));
  REQUIRE(bed.inside_net.sent.size() == 1);
  const Parsed in = parse(bed.take_inside());
  CHECK(in.ethernet.destination == bed.host.mac);
  CHECK(in.ip.destination == bed.host.ip);
  CHECK(in.ip.source == server);
}

TEST_CASE("the router itself still answers on both sides, and rejects what is for nobody behind it") {
  RouterBed bed;
  const Packet ping = Peer::icmp(wire::icmpv4_type::echo_request, 0, 1, bytes_of("ping"));
  bed.arrive(bed.gateway.ipv4(1, ping));
  CHECK(parse(bed.take()).ip.destination == bed.gateway.ip);
  bed.from_inside(bed.host.ipv4(1, ping, [](wire::Ipv4Header& header) { header.destination = inside_ip; }));
  CHECK(parse(bed.take_inside()).ip.destination == bed.host.ip);
  bed.arrive(bed.gateway.ipv4(17, bed.gateway.udp(53, 9999, bytes_of("?"))));
  const Parsed error = parse(bed.take());
  CHECK(error.ip.protocol == 1);
  CHECK(std::to_integer<int>(error.payload.at(1)) == wire::icmpv4_unreachable::port);
}

TEST_CASE("no host gets the port of a service of the router's own, nor what comes for it (CVE-2021-3773)") {
  RouterBed bed;
  Collector service;
  REQUIRE(bed.stack.udp().bind(5000, service));
  auto listener = bed.stack.tcp().listen(8080);
  REQUIRE(listener);
  bed.from_inside(bed.outbound(bytes_of("mine")));
  CHECK(source_port(parse(bed.take())) != 5000);
  Packet syn(wire::tcp_header_size);
  wire::TcpHeader{.source_port = 8080, .destination_port = 80, .flags = wire::TcpFlags::syn}.emit(syn, 0);
  bed.from_inside(bed.host.ipv4(6, syn, [](wire::Ipv4Header& header) { header.destination = server; }));
  CHECK(source_port(parse(bed.take())) != 8080);
  bed.arrive(bed.inbound(bytes_of("for the service")));
  CHECK(service.received.size() == 1);
  CHECK(bed.inside_net.sent.empty());
}

TEST_CASE("a service that comes later than a host's use of its port gets all but that host's answers") {
  RouterBed bed;
  bed.from_inside(bed.outbound(bytes_of("question")));
  CHECK(source_port(parse(bed.take())) == 5000);
  bed.arrive(bed.gateway.ipv4(17, bed.gateway.udp(53, 5000, bytes_of("unsolicited"))));
  CHECK(bed.net.sent.empty());  // RFC 5382 REQ-4, in its spirit: no word about a port that is in use
  Collector service;
  REQUIRE(bed.stack.udp().bind(5000, service));
  bed.arrive(bed.gateway.ipv4(17, bed.gateway.udp(53, 5000, bytes_of("for the service"))));
  CHECK(service.received.size() == 1);
  bed.arrive(bed.inbound(bytes_of("answer")));
  CHECK(service.received.size() == 1);
  CHECK(bed.inside_net.sent.size() == 1);
}

TEST_CASE("RFC 1812 5.2.7.3: a packet whose hops are over is reported by the address of its side") {
  RouterBed bed;
  bed.from_inside(bed.outbound(bytes_of("trace"), [](wire::Ipv4Header& header) { header.time_to_live = 1; }));
  CHECK(bed.net.sent.empty());
  const Parsed error = parse(bed.take_inside());
  CHECK(error.ip.source == inside_ip);
  CHECK(error.ip.destination == bed.host.ip);
  CHECK(std::to_integer<int>(error.payload.at(0)) == wire::icmpv4_type::time_exceeded);
}

TEST_CASE("RFC 4787 REQ-14: fragments are joined, translated, and cut again where the way needs it") {
  RouterBed bed;
  const Packet data(3000, std::byte{0x42});
  const Packet datagram = bed.host.udp(5000, 53, data, server);
  const auto piece = [&](std::size_t from, std::size_t to) {
    return bed.host.ipv4(17,
                         Packet(datagram.begin() + static_cast<long>(from), datagram.begin() + static_cast<long>(to)),
                         [&](wire::Ipv4Header& header) {
                           header.destination = server;
                           header.identification = 99;
                           header.fragment_offset = static_cast<std::uint16_t>(from);
                           header.more_fragments = to < datagram.size();
                         });
  };
  bed.from_inside(piece(1480, 2960));  // out of order
  bed.from_inside(piece(0, 1480));
  CHECK(bed.net.sent.empty());
  bed.from_inside(piece(2960, datagram.size()));
  REQUIRE(bed.net.sent.size() == 3);
  Packet joined;
  for (int i = 0; i < 3; ++i) {
    const Parsed part = parse(bed.take());
    CHECK(part.ip.source == own_ip);
    CHECK(part.ip.fragment_offset == joined.size());
    CHECK(part.ip.more_fragments == (i < 2));
    joined.insert(joined.end(), part.payload.begin(), part.payload.end());
  }
  REQUIRE(joined.size() == datagram.size());
  const auto pseudo = wire::pseudo_header_complete(wire::pseudo_header_sum(own_ip, server), 17,
                                                   static_cast<std::uint32_t>(joined.size()));
  CHECK(wire::checksum_is_valid(joined, pseudo));
}

TEST_CASE("RFC 6864 5.3: hosts that choose the same identification do not share one outside") {
  RouterOptions options;
  SUBCASE("translated") {}
  SUBCASE("routed as they are: theirs is kept") { options.forwarder.translate = false; }
  RouterBed bed{options};
  const Peer other{{{2, 0, 0, 0, 1, 3}}, Ipv4Address::of(10, 1, 0, 3)};
  bed.inside_net.arrive(other.arp(ArpPacket::request, inside_ip));
  bed.turns(2);
  std::vector<std::uint16_t> seen;
  for (const Peer* host : std::initializer_list<const Peer*>{&bed.host, &other}) {
    const Packet datagram = host->udp(5000, 53, bytes_of("question"), server);
    bed.from_inside(host->ipv4(17, datagram, [](wire::Ipv4Header& header) {
      header.destination = server;
      header.identification = 99;
    }));
    const Sent sent = bed.take();
    REQUIRE_FALSE(sent.bytes.empty());
    CHECK(wire::checksum_is_valid(Bytes(sent.bytes).subspan(14, 20)));
    seen.push_back(parse(sent).ip.identification);
  }
  if (options.forwarder.translate) {
    CHECK(seen[0] != seen[1]);
  } else {
    CHECK(seen == std::vector<std::uint16_t>{99, 99});
  }
}

TEST_CASE("fragments from outside neither join nor displace what inside hosts send") {
  RouterBed bed{{.reassembly = {.datagrams = 4}}};
  const Packet datagram = bed.host.udp(5000, 53, Packet(2000, std::byte{0x42}), server);
  bed.from_inside(bed.piece(datagram, 0, 1480, bed.host.ip));
  SUBCASE("RFC 2827: with the address of an inside host they do not get as far") {
    bed.arrive(bed.piece(datagram, 1472, datagram.size(), bed.host.ip));  // overlaps: would end it
    CHECK(bed.router.forwarder().counters().dropped(forward::ForwardDrop::bad_address) == 1);
    CHECK(bed.router.counters().drop_reassembly == 0);
  }
  SUBCASE("RFC 4787 REQ-14 (a): whoever sends many takes room from his own side") {
    for (std::uint32_t i = 0; i < 20; ++i) {
      bed.arrive(bed.piece(datagram, 0, 1480, Ipv4Address{Ipv4Address::of(192, 0, 2, 1).value + i}));
    }
    CHECK(bed.router.counters().reassembly_displaced == 20 - 3);
  }
  CHECK(bed.net.sent.empty());
  bed.from_inside(bed.piece(datagram, 1480, datagram.size(), bed.host.ip));
  CHECK(bed.net.sent.size() == 2);
}

TEST_CASE("RFC 1191: the MTU is the lease's where that is smaller than the device's") {
  RouterBed bed;
  bed.stack.ip().configure({own_ip, 24}, bed.gateway.ip, 1400);
  bed.from_inside(bed.outbound(Packet(1450), [](wire::Ipv4Header& header) { header.dont_fragment = true; }));
  CHECK(bed.net.sent.empty());
  CHECK(bed.router.counters().drop_egress == 0);
  REQUIRE(bed.inside_net.sent.size() == 1);
  const Parsed error = parse(bed.take_inside());
  CHECK(error.ip.destination == bed.host.ip);
  CHECK(std::to_integer<int>(error.payload.at(0)) == wire::icmpv4_type::destination_unreachable);
  CHECK(std::to_integer<int>(error.payload.at(1)) == wire::icmpv4_unreachable::fragmentation_needed);
  CHECK(load_big<std::uint16_t>(Bytes(error.payload), 6) == 1400);
}

TEST_CASE("a checksum that is to be completed elsewhere than in the transport header does not reach what cuts") {
  RouterBed bed;
  bed.stack.ip().configure({own_ip, 24}, bed.gateway.ip, 1400);
  bed.inside_net.capabilities_.receive_checksum = true;
  for (const std::uint16_t start : {std::uint16_t{234}, std::uint16_t{14}}) {
    bed.from_inside(bed.outbound(Packet(1450)),
                    {.needs_checksum = true, .checksum_start = start, .checksum_offset = 6});
  }
  CHECK(bed.net.sent.empty());
  CHECK(bed.router.forwarder().counters().dropped(forward::ForwardDrop::bad_offload) == 2);
}

TEST_CASE("coalesced datagrams go only to a device that takes them apart") {
  RouterBed bed;
  bed.inside_net.capabilities_.receive_checksum = bed.inside_net.capabilities_.coalesce = true;
  const Offload offload{.needs_checksum = true,
                        .segmentation = Offload::Segmentation::udp,
                        .checksum_start = 34,
                        .checksum_offset = 6,
                        .segment_size = 100,
                        .header_length = 42};
  bed.from_inside(bed.outbound(Packet(300)), offload);
  CHECK(bed.net.sent.empty());
  CHECK(bed.router.counters().drop_egress == 1);
  bed.net.capabilities_.segment_udp = true;
  bed.from_inside(bed.outbound(Packet(300)), offload);
  CHECK(bed.net.sent.size() == 1);
}

TEST_CASE("a fragment without the others is given up, flows end with time: nothing is left") {
  RouterBed bed;
  bed.from_inside(bed.outbound(bytes_of("question")));
  bed.from_inside(bed.outbound(bytes_of("12345678"), [](wire::Ipv4Header& header) { header.more_fragments = true; }));
  bed.net.sent.clear();
  CHECK(bed.router.forwarder().flow_count() == 1);
  bed.run(31s);
  CHECK(bed.router.forwarder().flow_count() == 0);
  CHECK(bed.router.counters().drop_reassembly == 1);
}

TEST_CASE("RFC 1812 4.3.3.1: who sends to a host that does not answer for its address is told") {
  RouterBed bed;
  const Packet stray =
      bed.outbound(bytes_of("x"), [](auto& header) { header.destination = Ipv4Address::of(10, 0, 0, 99); });
  bed.from_inside(stray);
  CHECK(bed.inside_net.sent.empty());
  bed.run(5s);  // questions for the address
  bed.from_inside(stray);
  REQUIRE(bed.inside_net.sent.size() == 1);
  const Parsed error = parse(bed.take_inside());
  CHECK(error.ip.source == inside_ip);
  CHECK(error.ip.destination == bed.host.ip);
  CHECK(wire::Icmpv4Header::parse(error.payload)->type == wire::icmpv4_type::destination_unreachable);
  CHECK(wire::Icmpv4Header::parse(error.payload)->code == wire::icmpv4_unreachable::host);
  CHECK(bed.router.counters().drop_egress == 1);
}

TEST_CASE("a next hop that does not answer is counted, not waited for") {
  RouterBed bed;
  const Packet stray = bed.outbound(bytes_of("x"));
  bed.net.room = 0;  // the device outside is stuck
  for (int i = 0; i < 600; ++i) bed.from_inside(stray);
  CHECK(bed.router.counters().drop_egress > 0);
  bed.net.room = SIZE_MAX;
  bed.run(1s);
}

TEST_CASE("what the router counts is exported: fragments that make room for others, drops by their reason, flows") {
  struct Seen final : CounterVisitor {
    void counters(std::string_view part, const CounterSet& set) noexcept override {
      for (std::size_t i = 0; i < set.names.size(); ++i) {
        values[std::string(part) + "_" + std::string(set.names[i])] = set.value(i);
      }
    }
    void gauge(std::string_view part, std::string_view name, std::uint64_t value) noexcept override {
      values[std::string(part) + "_" + std::string(name)] = value;
    }
    std::map<std::string, std::uint64_t> values;
  } seen;
  RouterBed bed{{.forwarder = {.flows = {.flows = 1}}, .reassembly = {.datagrams = 4}}};
  bed.from_inside(bed.outbound(bytes_of("question")));
  bed.from_inside(bed.outbound(bytes_of("another one"), [](wire::Ipv4Header& header) {
    header.destination = Ipv4Address::of(203, 0, 113, 10);  // its flow makes the first one's go
  }));
  for (std::uint16_t i = 0; i < 10; ++i) {
    bed.from_inside(bed.outbound(bytes_of("12345678"), [&](wire::Ipv4Header& header) {
      header.more_fragments = true;
      header.identification = i;
    }));
  }
  bed.from_inside(bed.outbound(bytes_of("forged"), [](wire::Ipv4Header& header) {
    header.source = Ipv4Address::of(10, 2, 0, 9);  // of no inside host
  }));
  bed.router.visit_counters(seen);
  CHECK(seen.values["router_reassembly_displaced"] == 10 - 4);
  CHECK(seen.values["router_drop_reassembly"] == 0);
  CHECK(seen.values["forward_drop_bad_address"] == 1);
  CHECK(seen.values["forward_flows"] == 1);
  CHECK(seen.values["forward_forwarded"] == 2);
  CHECK(seen.values["forward_flows_opened"] == 2);
  CHECK(seen.values["forward_flows_evicted"] == 1);
}

TEST_CASE(
    "a flow that ends sooner than all others, and a fragment, are given up in time (RFC 4787 REQ-5, RFC 791 3.2)") {
  RouterBed bed;
  const auto segment = [](Port from, Port to, Ipv4Address source, Ipv4Address destination, std::uint8_t flags) {
    Packet out(wire::tcp_header_size);
    wire::TcpHeader{.source_port = from, .destination_port = to, .sequence = 1, .flags = flags}.emit(out, 0);
    const auto pseudo = wire::pseudo_header_complete(wire::pseudo_header_sum(source, destination), 6,
                                                     static_cast<std::uint32_t>(out.size()));
    store_big(MutableBytes(out), wire::tcp_offset::checksum, wire::checksum_of(out, pseudo));
    return out;
  };
  const auto from_host = [&](std::uint8_t flags) {
    bed.from_inside(bed.host.ipv4(6, segment(5000, 80, bed.host.ip, server, flags),
                                  [](wire::Ipv4Header& header) { header.destination = server; }));
  };
  using wire::TcpFlags;
  from_host(TcpFlags::syn);
  bed.arrive(bed.gateway.ipv4(6, segment(80, 5000, server, own_ip, TcpFlags::syn | TcpFlags::ack),
                              [](wire::Ipv4Header& header) { header.source = server; }));
  from_host(TcpFlags::ack);
  bed.run(300s);  // the timer is set for the end of the connection, two hours from now
  REQUIRE(bed.router.forwarder().flow_count() == 1);
  bed.from_inside(bed.outbound(bytes_of("question")));
  bed.from_inside(bed.outbound(bytes_of("12345678"), [](wire::Ipv4Header& header) { header.more_fragments = true; }));
  REQUIRE(bed.router.forwarder().flow_count() == 2);
  bed.run(31s);
  CHECK(bed.router.forwarder().flow_count() == 1);
  CHECK(bed.router.counters().drop_reassembly == 1);
}

TEST_CASE("RFC 4787 REQ-14: datagrams of any number of fragments get through") {
  for (std::size_t pieces = 16; pieces <= 20; ++pieces) {
    CAPTURE(pieces);
    RouterBed bed;
    const Packet datagram = bed.host.udp(5000, 53, Packet(pieces * 1000 - 8, std::byte{0x42}), server);
    for (std::size_t at = 0; at < datagram.size(); at += 1000) {
      bed.from_inside(bed.piece(datagram, at, std::min(at + 1000, datagram.size()), bed.host.ip));
    }
    CHECK(bed.router.counters().drop_reassembly == 0);
    CHECK(!bed.net.sent.empty());
  }
}

TEST_CASE("RFC 3168 5.3: congestion that one fragment has met is the joined packet's") {
  RouterBed bed;
  const Packet datagram = bed.host.udp(5000, 53, Packet(1992, std::byte{0x42}), server);
  for (const std::size_t at : {std::size_t{0}, std::size_t{1000}}) {
    bed.from_inside(bed.host.ipv4(
        17, Packet(datagram.begin() + static_cast<long>(at), datagram.begin() + static_cast<long>(at + 1000)),
        [&](wire::Ipv4Header& header) {
          header.destination = server;
          header.identification = 99;
          header.fragment_offset = static_cast<std::uint16_t>(at);
          header.more_fragments = at == 0;
          header.traffic_class = at == 0 ? 3 : 2;  // CE, then ECT(0)
        }));
  }
  REQUIRE(bed.net.sent.size() == 2);
  CHECK((parse(bed.take()).ip.traffic_class & 3) == 3);
}
