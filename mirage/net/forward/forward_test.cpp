// SPDX-License-Identifier: ISC
// The forwarding plane, packet by packet: what goes in on one side and what comes out on the other.
#include <vector>

#include <doctest/doctest.h>

#include <mirage/module/ip.hpp>
#include <mirage/net/forward/forwarder.hpp>
#include <mirage/wire/icmpv4.hpp>
#include <mirage/wire/tcp.hpp>
#include <mirage/wire/udp.hpp>

using namespace mirage;
using namespace mirage::net::forward;
using wire::TcpFlags;

namespace {

using Packet = std::vector<std::byte>;

constexpr Ipv4Address router_inside = Ipv4Address::of(10, 1, 0, 1);
constexpr Ipv4Address external = Ipv4Address::of(198, 51, 100, 7);
constexpr Ipv4Address host = Ipv4Address::of(10, 1, 0, 2);
constexpr Ipv4Address other_host = Ipv4Address::of(10, 1, 0, 3);
constexpr Ipv4Address server = Ipv4Address::of(203, 0, 113, 9);
constexpr Ipv4Address stranger = Ipv4Address::of(203, 0, 113, 66);

std::uint16_t transport_sum(const Packet& packet) {
  const Bytes bytes{packet};
  const auto view = wire::Ipv4View::parse(bytes, bytes.size());
  REQUIRE(view.has_value());
  const Bytes transport = bytes.subspan(view->header_size());
  std::uint32_t initial = 0;
  if (view->protocol() != ip_protocol::icmp) {
    initial = wire::pseudo_header_complete(wire::pseudo_header_sum(view->source(), view->destination()),
                                           view->protocol(), static_cast<std::uint32_t>(transport.size()));
  }
  return wire::fold(wire::sum_of(transport, initial));
}

/// A packet with all checksums right.
struct Build {
  Tuple tuple;
  std::uint8_t time_to_live = 64;
  bool dont_fragment = true;
  std::size_t payload = 5;
  std::uint8_t flags = TcpFlags::ack;

  [[nodiscard]] std::size_t transport_size() const {
    return tuple.protocol == ip_protocol::tcp ? wire::tcp_header_size : std::size_t{8};
  }
  void transport(MutableBytes out) const {
    std::size_t checksum_at = 2;
    if (tuple.protocol == ip_protocol::tcp) {
      checksum_at = wire::tcp_offset::checksum;
      wire::TcpHeader{.source_port = tuple.source_port,
                      .destination_port = tuple.destination_port,
                      .sequence = 1000,
                      .flags = flags}
          .emit(out, 0);
    } else if (tuple.protocol == ip_protocol::udp) {
      checksum_at = wire::UdpHeader::checksum_at;
      wire::UdpHeader{tuple.source_port, tuple.destination_port, static_cast<std::uint16_t>(out.size()), 0}.emit(out);
    } else {
      wire::Icmpv4Header{.type = flags, .code = 0, .checksum = 0, .rest = std::uint32_t{tuple.source_port} << 16 | 1}
          .emit(out);
    }
    std::uint32_t initial = 0;
    if (tuple.protocol != ip_protocol::icmp) {
      initial = wire::pseudo_header_complete(wire::pseudo_header_sum(tuple.source, tuple.destination), tuple.protocol,
                                             static_cast<std::uint32_t>(out.size()));
    }
    store_big(out, checksum_at, wire::checksum_of(out, initial));
  }
  [[nodiscard]] Packet bytes() const {
    Packet packet(20 + transport_size() + payload, std::byte{0x5a});
    const MutableBytes out{packet};
    wire::Ipv4Header{.total_length = static_cast<std::uint16_t>(packet.size()),
                     .dont_fragment = dont_fragment,
                     .time_to_live = time_to_live,
                     .protocol = tuple.protocol,
                     .source = tuple.source,
                     .destination = tuple.destination}
        .emit(out);
    transport(out.subspan(20));
    return packet;
  }
};

Tuple tcp(Ipv4Address from, Port port, Ipv4Address to, Port to_port) {
  return {from, to, port, to_port, ip_protocol::tcp};
}
Tuple udp(Ipv4Address from, Port port, Ipv4Address to, Port to_port) {
  return {from, to, port, to_port, ip_protocol::udp};
}
Tuple echo(Ipv4Address from, Ipv4Address to, std::uint16_t id) { return {from, to, id, id, ip_protocol::icmp}; }

/// An ICMP error about `quoted` (whole), from `from`.
Packet error_about(const Packet& quoted, Ipv4Address from, std::uint8_t type, std::uint8_t code) {
  const auto view = wire::Ipv4View::parse(Bytes(quoted), quoted.size());
  Packet packet(28 + quoted.size());
  const MutableBytes out{packet};
  wire::Ipv4Header{.total_length = static_cast<std::uint16_t>(packet.size()),
                   .protocol = ip_protocol::icmp,
                   .source = from,
                   .destination = view->source()}
      .emit(out);
  wire::Icmpv4Header{.type = type, .code = code, .checksum = 0, .rest = 0}.emit(out.subspan(20));
  std::ranges::copy(quoted, out.begin() + 28);
  store_big(out, 22, wire::checksum_of(out.subspan(20)));
  return packet;
}

struct Outcome {
  Decision decision;
  Packet bytes;
  [[nodiscard]] bool forwarded() const { return decision.kind == Decision::Kind::forward; }
  [[nodiscard]] bool dropped() const { return decision.kind == Decision::Kind::drop; }
  [[nodiscard]] bool local() const { return decision.kind == Decision::Kind::local; }
  [[nodiscard]] Tuple tuple() const {
    const auto inspected = inspect(Bytes(bytes), bytes.size());
    REQUIRE(inspected.has_value());
    return inspected->tuple;
  }
};

struct Router {
  BufferPool pool{std::size_t{1} << 20};
  Forwarder forwarder;
  Time now{Duration{1h}};

  explicit Router(const ForwarderOptions& options = {}) : forwarder(pool, options) {
    REQUIRE(forwarder.start({1, 2}, 3));
    forwarder.attach(Side::inside, {{router_inside, 24}, 1500});
    forwarder.attach(Side::outside, {{external, 24}, 1500});
  }
  static ForwarderOptions with(std::string_view rules) {
    const auto list = RuleList::parse(rules);
    REQUIRE(list.has_value());
    ForwarderOptions options;
    options.rules = *list;
    return options;
  }
  Outcome input(const Packet& packet, Side from, Offload offload = {}) {
    LinkPacket data;
    REQUIRE(data.data.push_back(pool.copy(packet)));
    data.offload = offload;
    Outcome outcome{forwarder.input(data, from, now), {}};
    if (outcome.decision.kind != Decision::Kind::forward) return outcome;
    const Bytes header = outcome.decision.frame.header.bytes();
    outcome.bytes.assign(header.begin(), header.end());
    for (const Slice& slice : outcome.decision.frame.payload) {
      outcome.bytes.insert(outcome.bytes.end(), slice.bytes().begin(), slice.bytes().end());
    }
    if (!offload.needs_checksum) CHECK(transport_sum(outcome.bytes) == 0xffff);
    return outcome;
  }
  Outcome out(const Build& packet) { return input(packet.bytes(), Side::inside); }
  Outcome in(const Build& packet) { return input(packet.bytes(), Side::outside); }
  [[nodiscard]] std::uint64_t dropped(ForwardDrop reason) const { return forwarder.counters().dropped(reason); }
  /// Opens a UDP flow and returns the external port.
  Port open_udp(Ipv4Address from, Port port, Ipv4Address to = server, Port to_port = 53) {
    const Outcome outcome = out({.tuple = udp(from, port, to, to_port)});
    REQUIRE(outcome.forwarded());
    return outcome.tuple().source_port;
  }
  /// A TCP connection of an inside host to the server. Its port is free.
  void establish(Ipv4Address from, Port port) {
    const Tuple tuple = tcp(from, port, server, 80);
    CHECK(out({.tuple = tuple, .flags = TcpFlags::syn}).forwarded());
    CHECK(in({.tuple = tcp(server, 80, external, port), .flags = TcpFlags::syn | TcpFlags::ack}).forwarded());
    CHECK(out({.tuple = tuple}).forwarded());
  }
};

}  // namespace

TEST_CASE("RFC 3022 4.1: a datagram leaves with the external address, its answer comes back to the host") {
  Router router;
  const Outcome outbound = router.out({.tuple = udp(host, 5000, server, 53)});
  REQUIRE(outbound.forwarded());
  CHECK(outbound.decision.egress == Side::outside);
  CHECK(outbound.decision.destination == server);
  CHECK(outbound.tuple() == udp(external, 5000, server, 53));
  CHECK(std::to_integer<int>(outbound.bytes[8]) == 63);
  const Outcome inbound = router.in({.tuple = udp(server, 53, external, 5000)});
  REQUIRE(inbound.forwarded());
  CHECK(inbound.decision.egress == Side::inside);
  CHECK(inbound.tuple() == udp(server, 53, host, 5000));
  CHECK(router.forwarder.flow_count() == 1);
}

TEST_CASE("RFC 4787 REQ-1: one mapping for all destinations; REQ-8: only who was asked may answer") {
  Router router;
  CHECK(router.open_udp(host, 40000) == router.open_udp(host, 40000, stranger, 99));
  CHECK(router.forwarder.flow_count() == 2);
  const Port port = router.open_udp(host, 40000);
  CHECK(router.in({.tuple = udp(stranger, 99, external, port)}).forwarded());
  CHECK(router.in({.tuple = udp(stranger, 98, external, port)}).dropped());
  CHECK(router.dropped(ForwardDrop::no_flow) == 1);
}

TEST_CASE("RFC 4787 REQ-3, REQ-4: ports are kept where they are free, else their parity is") {
  Router router;
  CHECK(router.open_udp(host, 5000) == 5000);
  const Port second = router.open_udp(other_host, 5000);
  CHECK(second != 5000);
  CHECK(second % 2 == 0);
  const Port above = router.open_udp(host, 50001);  // the stack's own ports lie there
  CHECK((above >= PortMap::first_port && above <= PortMap::last_port && above % 2 == 1));
}

TEST_CASE("RFC 4787 REQ-5: a flow without traffic ends, its mapping with it; traffic prolongs it") {
  Router router;
  router.open_udp(host, 5000);
  router.now += 29s;
  router.forwarder.expire(router.now);
  REQUIRE(router.in({.tuple = udp(server, 53, external, 5000)}).forwarded());  // answered: 5 minutes from here
  router.now += 299s;
  router.forwarder.expire(router.now);
  CHECK(router.forwarder.flow_count() == 1);
  CHECK(router.forwarder.next_deadline() == router.now + 1s);
  router.now += 1s;
  router.forwarder.expire(router.now);
  CHECK(router.forwarder.flow_count() == 0);
  CHECK(router.forwarder.next_deadline() == never);
  CHECK(router.in({.tuple = udp(server, 53, external, 5000)}).local());  // nobody's port any more: the stack rejects it
}

TEST_CASE("RFC 5382: only a SYN opens; established for two hours, gone four minutes after both FINs or a RST") {
  Router router;
  const Tuple tuple = tcp(host, 4000, server, 80);
  CHECK(router.out({.tuple = tuple, .flags = TcpFlags::ack}).dropped());
  CHECK(router.out({.tuple = tuple, .flags = TcpFlags::syn}).forwarded());
  const Tuple back = tcp(server, 80, external, 4000);
  const auto deadline_in = [&] { return router.forwarder.next_deadline() - router.now; };
  CHECK(deadline_in() == 240s);
  CHECK(router.in({.tuple = back, .flags = TcpFlags::syn | TcpFlags::ack}).forwarded());
  CHECK(deadline_in() == 240s);
  CHECK(router.out({.tuple = tuple}).forwarded());
  CHECK(deadline_in() == 7440s);
  SUBCASE("two FINs") {
    CHECK(router.out({.tuple = tuple, .flags = TcpFlags::fin | TcpFlags::ack}).forwarded());
    CHECK(deadline_in() == 7440s);
    CHECK(router.in({.tuple = back, .flags = TcpFlags::fin | TcpFlags::ack}).forwarded());
    CHECK(deadline_in() == 240s);
    CHECK(router.out({.tuple = tuple}).forwarded());  // the last acknowledgement
    CHECK(deadline_in() == 240s);
  }
  SUBCASE("a reset; RFC 7857 2.3: who goes on talking was not reset") {
    CHECK(router.in({.tuple = back, .flags = TcpFlags::rst}).forwarded());
    CHECK(deadline_in() == 240s);
    CHECK(router.out({.tuple = tuple}).forwarded());
    CHECK(deadline_in() == 7440s);
  }
}

TEST_CASE("RFC 5508 3.1: echo requests have their identifier translated") {
  Router router;
  const Build request{.tuple = echo(host, server, 77), .flags = wire::icmpv4_type::echo_request};
  const Outcome outbound = router.out(request);
  REQUIRE(outbound.forwarded());
  const Port id = outbound.tuple().source_port;
  CHECK(outbound.tuple() == echo(external, server, id));
  const Outcome inbound = router.in({.tuple = echo(server, external, id), .flags = wire::icmpv4_type::echo_reply});
  REQUIRE(inbound.forwarded());
  CHECK(inbound.tuple() == echo(server, host, 77));
  // Who pings the router itself gets an answer from it, even with an identifier that is in use.
  CHECK(router.in({.tuple = echo(stranger, external, id), .flags = wire::icmpv4_type::echo_request}).local());
}

TEST_CASE("RFC 5508 4.2: errors about translated packets reach who sent them, with what he sent quoted") {
  Router router;
  for (const std::uint8_t protocol : {ip_protocol::udp, ip_protocol::tcp, ip_protocol::icmp}) {
    CAPTURE(protocol);
    Build build{.tuple = udp(host, 5000, server, 53), .flags = TcpFlags::syn};
    build.tuple.protocol = protocol;
    if (protocol == ip_protocol::icmp)
      build = {.tuple = echo(host, server, 7), .flags = wire::icmpv4_type::echo_request};
    const Outcome outbound = router.out(build);
    REQUIRE(outbound.forwarded());
    const Outcome error = router.input(error_about(outbound.bytes, stranger, 11, 0), Side::outside);
    REQUIRE(error.forwarded());
    CHECK(error.decision.destination == host);
    const auto outer = wire::Ipv4View::parse(Bytes(error.bytes), error.bytes.size());
    REQUIRE(outer.has_value());
    CHECK(outer->source() == stranger);  // the router on the way that reports it
    CHECK(outer->destination() == host);
    CHECK(error.tuple() == build.tuple);
    // The quoted packet is the sent one but for the hop: its checksums are right again.
    Packet quoted(error.bytes.begin() + 28, error.bytes.end());
    REQUIRE(wire::Ipv4View::parse(Bytes(quoted), quoted.size()).has_value());
    if (protocol != ip_protocol::tcp) CHECK(transport_sum(quoted) == 0xffff);
  }
}

TEST_CASE("an error from the inside host about what it received goes out with external addresses") {
  Router router;
  router.open_udp(host, 5000);
  const Outcome answer = router.in({.tuple = udp(server, 53, external, 5000)});
  const Outcome error = router.input(error_about(answer.bytes, host, 3, 3), Side::inside);
  REQUIRE(error.forwarded());
  CHECK(error.decision.destination == server);
  CHECK(wire::Ipv4View::parse(Bytes(error.bytes), error.bytes.size())->source() == external);
  CHECK(error.tuple() == udp(server, 53, external, 5000));
}

TEST_CASE("RFC 5508 REQ-3: an error about a flow that does not exist is dropped") {
  Router router;
  const Packet quoted = Build{.tuple = udp(external, 5000, server, 53)}.bytes();
  CHECK(router.input(error_about(quoted, stranger, 3, 1), Side::outside).local());  // ours, perhaps: the stack looks
  const Packet foreign = Build{.tuple = udp(host, 5000, server, 53)}.bytes();
  CHECK(router.input(error_about(foreign, stranger, 3, 1), Side::outside).dropped());
}

TEST_CASE("a port forward lets strangers in, and the host's answers out again") {
  Router router;
  const auto forward = PortForward::parse("tcp:8080=10.1.0.2:80");
  REQUIRE(forward.has_value());
  REQUIRE(router.forwarder.add(*forward));
  CHECK_FALSE(router.forwarder.add(*forward));
  const Outcome opened = router.in({.tuple = tcp(stranger, 999, external, 8080), .flags = TcpFlags::syn});
  REQUIRE(opened.forwarded());
  CHECK(opened.decision.destination == host);
  CHECK(opened.tuple() == tcp(stranger, 999, host, 80));
  const Outcome answer = router.out({.tuple = tcp(host, 80, stranger, 999), .flags = TcpFlags::syn | TcpFlags::ack});
  REQUIRE(answer.forwarded());
  CHECK(answer.tuple() == tcp(external, 8080, stranger, 999));
  CHECK(router.in({.tuple = tcp(stranger, 999, external, 8081), .flags = TcpFlags::syn}).local());
}

TEST_CASE("RFC 4787 REQ-9: hairpinning through a port forward, the answer comes back the same way") {
  Router router;
  REQUIRE(router.forwarder.add({ip_protocol::udp, 8080, other_host, 80}));
  const Outcome there = router.out({.tuple = udp(host, 5000, external, 8080)});
  REQUIRE(there.forwarded());
  CHECK(there.decision.egress == Side::inside);
  CHECK(there.tuple() == udp(external, 5000, other_host, 80));
  const Outcome back = router.out({.tuple = udp(other_host, 80, external, 5000)});
  REQUIRE(back.forwarded());
  CHECK(back.tuple() == udp(external, 8080, host, 5000));
  CHECK(router.forwarder.flow_count() == 1);
}

TEST_CASE("filter rules: the first match decides; rejected openings are reported") {
  Router router{Router::with("reject outbound tcp port 25; drop from 10.1.0.3; accept")};
  const Outcome mail = router.out({.tuple = tcp(host, 4000, server, 25), .flags = TcpFlags::syn});
  CHECK(mail.decision.kind == Decision::Kind::error);
  CHECK(mail.decision.icmp_type == 3);
  CHECK(mail.decision.icmp_code == 13);
  CHECK(router.out({.tuple = tcp(other_host, 4000, server, 80), .flags = TcpFlags::syn}).dropped());
  CHECK(router.dropped(ForwardDrop::filtered) == 1);
  CHECK(router.out({.tuple = tcp(host, 4000, server, 80), .flags = TcpFlags::syn}).forwarded());
}

TEST_CASE("rules that are not understood name the word") {
  CHECK(RuleList::parse("")->rules().empty());
  CHECK(RuleList::parse("allow tcp").error().word == "allow");
  CHECK(RuleList::parse("drop tcp port 80-20").error().word == "80-20");
  CHECK(RuleList::parse("drop from 10.0.0.0/33").error().word == "10.0.0.0/33");
  CHECK(RuleList::parse("accept; drop port").error().word.empty());
  const auto list = RuleList::parse("drop inbound udp from 192.0.2.0/24 to 10.1.0.2 port 1000-2000 ; accept;");
  REQUIRE(list.has_value());
  REQUIRE(list->rules().size() == 2);
  CHECK(list->rules()[0] == Rule{.action = Rule::Action::drop,
                                 .protocol = 17,
                                 .opener = Side::outside,
                                 .from = {Ipv4Address::of(192, 0, 2, 0), 24},
                                 .to = {host, 32},
                                 .first_port = 1000,
                                 .last_port = 2000});
  std::string many;
  for (std::size_t i = 0; i <= RuleList::capacity; ++i) many += "accept;";
  CHECK(RuleList::parse(many).error().too_many);
  for (const char* bad :
       {"tcp:80", "icmp:1=10.0.0.1:1", "tcp:0=10.0.0.1:1", "tcp:80=10.0.0.1:99999", "tcp:8x=1.2.3.4:1"}) {
    CAPTURE(bad);
    CHECK_FALSE(PortForward::parse(bad).has_value());
  }
}

TEST_CASE("RFC 1812: hops are counted, what does not fit is reported, addresses must make sense") {
  Router router;
  const Outcome expired = router.out({.tuple = udp(host, 1, server, 2), .time_to_live = 1});
  CHECK(expired.decision.kind == Decision::Kind::error);
  CHECK(expired.decision.icmp_type == 11);
  CHECK(router.forwarder.flow_count() == 0);
  router.forwarder.attach(Side::outside, {{external, 24}, 1400});
  const Outcome big = router.out({.tuple = udp(host, 5000, server, 53), .payload = 1400});
  CHECK(big.decision.kind == Decision::Kind::error);
  CHECK(big.decision.icmp_code == 4);
  CHECK(big.decision.next_hop_mtu == 1400);
  // RFC 2827: an outside source inside, an inside source outside; RFC 1812 5.3.7: martians.
  CHECK(router.out({.tuple = udp(stranger, 1, server, 2)}).dropped());
  CHECK(router.in({.tuple = udp(host, 1, external, 5000)}).dropped());
  CHECK(router.out({.tuple = udp(host, 1, Ipv4Address::of(127, 0, 0, 1), 2)}).dropped());
  CHECK(router.out({.tuple = udp(host, 1, Ipv4Address::of(169, 254, 0, 1), 2)}).dropped());
  CHECK(router.dropped(ForwardDrop::bad_address) == 4);
  CHECK(router.out({.tuple = udp(host, 1, router_inside, 2)}).local());
  CHECK(router.out({.tuple = udp(host, 1, Ipv4Address::of(10, 1, 0, 255), 2)}).local());
}

TEST_CASE("checksums that are not there or not yet complete are kept that way") {
  Router router;
  Packet none = Build{.tuple = udp(host, 5000, server, 53)}.bytes();
  store_big(MutableBytes(none), 26, std::uint16_t{0});
  LinkPacket data;
  REQUIRE(data.data.push_back(router.pool.copy(none)));
  const Decision decision = router.forwarder.input(data, Side::inside, router.now);
  REQUIRE(decision.kind == Decision::Kind::forward);
  CHECK(load_big<std::uint16_t>(decision.frame.header.bytes(), 26) == 0);

  // A frame from a peer on the same host: the field holds the pseudo-header's sum; the device completes it.
  Packet partial = Build{.tuple = tcp(host, 4000, server, 80), .flags = TcpFlags::syn}.bytes();
  const auto pseudo = [&](Ipv4Address source, Ipv4Address destination) {
    return wire::pseudo_header_complete(wire::pseudo_header_sum(source, destination), 6,
                                        static_cast<std::uint32_t>(partial.size() - 20));
  };
  store_big(MutableBytes(partial), 36, pseudo(host, server));
  const Outcome outbound =
      router.input(partial, Side::inside, {.needs_checksum = true, .checksum_start = 20, .checksum_offset = 16});
  REQUIRE(outbound.forwarded());
  CHECK(outbound.decision.frame.offload.needs_checksum);
  CHECK(load_big<std::uint16_t>(Bytes(outbound.bytes), 36) == pseudo(external, server));
}

TEST_CASE("offload metadata of a foreign frame goes out only where it fits the transport header") {
  Router router;
  const Packet udp_packet = Build{.tuple = udp(host, 5000, server, 53), .payload = 400}.bytes();
  const Packet tcp_packet = Build{.tuple = tcp(host, 4000, server, 80), .flags = TcpFlags::syn}.bytes();
  const Packet ping = Build{.tuple = echo(host, server, 7), .flags = wire::icmpv4_type::echo_request}.bytes();
  const auto dropped = [&](const Packet& packet, const Offload& offload) {
    return router.input(packet, Side::inside, offload).dropped();
  };
  // Checksums elsewhere: within the payload (which is shared and not copied), in front of the packet, in another field.
  CHECK(dropped(udp_packet, {.needs_checksum = true, .checksum_start = 220, .checksum_offset = 6}));
  CHECK(dropped(udp_packet, {.needs_checksum = true, .checksum_start = 0, .checksum_offset = 6}));
  CHECK(dropped(udp_packet, {.needs_checksum = true, .checksum_start = 20, .checksum_offset = 16}));
  CHECK(dropped(tcp_packet, {.needs_checksum = true, .checksum_start = 20, .checksum_offset = 6}));
  CHECK(dropped(ping, {.needs_checksum = true, .checksum_start = 20, .checksum_offset = 2}));
  Offload segments{.needs_checksum = true,
                   .segmentation = Offload::Segmentation::tcp4,
                   .checksum_start = 20,
                   .checksum_offset = 16,
                   .segment_size = 3,
                   .header_length = 0};
  for (const auto& spoil : {+[](Offload& offload) { offload.needs_checksum = false; },
                            +[](Offload& offload) { offload.segmentation = Offload::Segmentation::tcp6; },
                            +[](Offload& offload) { offload.segmentation = Offload::Segmentation::udp; },
                            +[](Offload& offload) { offload.segment_size = 0; }}) {
    Offload offload = segments;
    spoil(offload);
    CHECK(dropped(tcp_packet, offload));
  }
  CHECK(router.dropped(ForwardDrop::bad_offload) == 9);
  CHECK(router.forwarder.flow_count() == 0);
  // How long the headers are is seen, not believed.
  const Outcome good = router.input(tcp_packet, Side::inside, segments);
  REQUIRE(good.forwarded());
  CHECK(good.decision.frame.offload.header_length == 40);
}

TEST_CASE("RFC 1191: of a coalesced packet the segments must fit the next network") {
  Router router;
  router.forwarder.attach(Side::outside, {{external, 24}, 1400});
  Build build{.tuple = tcp(host, 4000, server, 80), .payload = 2920, .flags = TcpFlags::syn};
  Offload offload{.needs_checksum = true,
                  .segmentation = Offload::Segmentation::tcp4,
                  .checksum_start = 20,
                  .checksum_offset = 16,
                  .segment_size = 1460,
                  .header_length = 40};
  const Outcome big = router.input(build.bytes(), Side::inside, offload);
  CHECK(big.decision.kind == Decision::Kind::error);
  CHECK(big.decision.icmp_code == 4);
  CHECK(big.decision.next_hop_mtu == 1400);
  offload.segment_size = 1360;
  CHECK(router.input(build.bytes(), Side::inside, offload).forwarded());
  offload.segment_size = 1460;
  build.dont_fragment = false;  // then it is cut finer instead
  const Outcome cut = router.input(build.bytes(), Side::inside, offload);
  REQUIRE(cut.forwarded());
  CHECK(cut.decision.frame.offload.segment_size == 1360);
  build = {.tuple = udp(host, 5000, server, 53), .dont_fragment = false, .payload = 2920};  // these have borders
  offload.segmentation = Offload::Segmentation::udp;
  offload.checksum_offset = 6;
  CHECK(router.input(build.bytes(), Side::inside, offload).decision.kind == Decision::Kind::error);
  offload.segment_size = 1372;
  CHECK(router.input(build.bytes(), Side::inside, offload).forwarded());
}

TEST_CASE("RFC 2827: also a packet of a flow must come from its side") {
  Router router;
  const Tuple tuple = tcp(host, 4000, server, 80);
  const Tuple back = tcp(server, 80, external, 4000);
  CHECK(router.out({.tuple = tuple, .flags = TcpFlags::syn}).forwarded());
  CHECK(router.in({.tuple = back, .flags = TcpFlags::syn | TcpFlags::ack}).forwarded());
  CHECK(router.out({.tuple = tuple}).forwarded());
  CHECK(router.in({.tuple = tuple, .flags = TcpFlags::rst}).dropped());
  CHECK(router.out({.tuple = back, .flags = TcpFlags::rst}).dropped());
  const Packet quoted = Build{.tuple = tcp(external, 4000, server, 80)}.bytes();
  CHECK(router.input(error_about(quoted, other_host, 3, 4), Side::outside).dropped());
  CHECK(router.dropped(ForwardDrop::bad_address) == 3);
  CHECK(router.forwarder.next_deadline() - router.now == 7440s);
  CHECK(router.input(error_about(quoted, stranger, 3, 4), Side::outside).forwarded());
}

TEST_CASE("bounds: of flows, of a host's flows; what nobody answered makes room, established connections stay") {
  ForwarderOptions options;
  options.flows.flows = 4;
  options.flows.flows_per_host = 3;
  Router router{options};
  const Tuple tuple = tcp(host, 4000, server, 80);
  router.establish(host, 4000);
  router.open_udp(host, 1);
  const Port second = router.open_udp(host, 2);
  router.open_udp(host, 3);  // instead of the first
  CHECK(router.forwarder.flow_count() == 3);
  CHECK(router.forwarder.flows_evicted() == 1);
  CHECK(router.in({.tuple = udp(server, 53, external, second)}).forwarded());
  for (Port port = 10; port < 13; ++port) router.open_udp(other_host, port);
  CHECK(router.forwarder.flow_count() == 4);
  CHECK(router.forwarder.flows_evicted() == 3);
  CHECK(router.out({.tuple = tuple}).forwarded());
}

TEST_CASE("a host of many short connections goes on: its closing ones make room, established ones do not") {
  ForwarderOptions options;
  options.flows.flows_per_host = 3;
  Router router{options};
  router.establish(host, 4000);
  for (Port port = 4001; port < 4020; ++port) {
    CAPTURE(port);
    router.establish(host, port);
    CHECK(router.out({.tuple = tcp(host, port, server, 80), .flags = TcpFlags::fin | TcpFlags::ack}).forwarded());
    CHECK(router.in({.tuple = tcp(server, 80, external, port), .flags = TcpFlags::fin | TcpFlags::ack}).forwarded());
  }
  CHECK(router.out({.tuple = tcp(host, 4000, server, 80)}).forwarded());
  router.establish(host, 5001);
  router.establish(host, 5002);
  CHECK(router.out({.tuple = udp(host, 3, server, 53)}).dropped());
  CHECK(router.dropped(ForwardDrop::host_flows_full) == 1);
}

TEST_CASE(
    "a flood of openings to a port forward displaces itself, nothing that the host opened or that is established") {
  ForwarderOptions options;
  options.flows.flows_per_host = 6;
  Router router{options};
  REQUIRE(router.forwarder.add({ip_protocol::tcp, 8080, host, 80}));
  REQUIRE(router.forwarder.add({ip_protocol::udp, 8080, host, 80}));
  const auto flood = [&](bool answers) {
    for (std::uint32_t i = 1; i <= 100; ++i) {
      const Ipv4Address forged{Ipv4Address::of(192, 0, 2, 0).value + i};
      CHECK(router.in({.tuple = tcp(forged, 999, external, 8080), .flags = TcpFlags::syn}).forwarded());
      if (!answers) continue;
      const Build answer{.tuple = tcp(host, 80, forged, 999), .flags = TcpFlags::syn | TcpFlags::ack};
      CHECK(router.out(answer).forwarded());
      CHECK(router.in({.tuple = udp(forged, 999, external, 8080)}).forwarded());
      CHECK(router.out({.tuple = udp(host, 80, forged, 999)}).forwarded());
      CHECK(router.in({.tuple = udp(forged, 999, external, 8080)}).forwarded());
    }
  };
  flood(false);
  // A stranger whose connection comes about
  CHECK(router.in({.tuple = tcp(stranger, 999, external, 8080), .flags = TcpFlags::syn}).forwarded());
  const Build answer{.tuple = tcp(host, 80, stranger, 999), .flags = TcpFlags::syn | TcpFlags::ack};
  CHECK(router.out(answer).forwarded());
  CHECK(router.in({.tuple = tcp(stranger, 999, external, 8080)}).forwarded());
  // and what the host opens: a connection, a question that is open yet, a conversation.
  CHECK(router.out({.tuple = tcp(host, 4000, server, 80), .flags = TcpFlags::syn}).forwarded());
  router.open_udp(host, 5000);
  router.open_udp(host, 5001);
  CHECK(router.in({.tuple = udp(server, 53, external, 5001)}).forwarded());
  flood(false);
  flood(true);
  CHECK(router.forwarder.flow_count() == 6);
  CHECK(router.in({.tuple = tcp(stranger, 999, external, 8080)}).forwarded());
  const Build syn_ack{.tuple = tcp(server, 80, external, 4000), .flags = TcpFlags::syn | TcpFlags::ack};
  CHECK(router.in(syn_ack).forwarded());
  CHECK(router.in({.tuple = udp(server, 53, external, 5000)}).forwarded());
  CHECK(router.in({.tuple = udp(server, 53, external, 5001)}).forwarded());
  // Where only such are left, strangers are the ones who find no room.
  for (Port port = 6000; port < 6002; ++port) router.open_udp(host, port);
  CHECK(router.in({.tuple = udp(stranger, 1, external, 8080)}).dropped());
  CHECK(router.dropped(ForwardDrop::host_flows_full) == 1);
}

TEST_CASE("the bound of all flows: strangers displace only what strangers opened") {
  ForwarderOptions options;
  options.flows.flows = 2;
  Router router{options};
  REQUIRE(router.forwarder.add({ip_protocol::udp, 8080, host, 80}));
  router.open_udp(other_host, 5000);
  CHECK(router.in({.tuple = udp(stranger, 1, external, 8080)}).forwarded());
  CHECK(router.in({.tuple = udp(stranger, 2, external, 8080)}).forwarded());
  CHECK(router.in({.tuple = udp(server, 53, external, 5000)}).forwarded());
  router.open_udp(other_host, 5002);
  CHECK(router.in({.tuple = udp(stranger, 3, external, 8080)}).dropped());
  CHECK(router.dropped(ForwardDrop::flows_full) == 1);
}

TEST_CASE("RFC 7857 2.2: what a stranger opened lives a minute until he has shown that our answers reach him") {
  Router router;
  REQUIRE(router.forwarder.add({ip_protocol::tcp, 8080, host, 80}));
  REQUIRE(router.forwarder.add({ip_protocol::udp, 8080, host, 80}));
  const auto deadline_in = [&] { return router.forwarder.next_deadline() - router.now; };
  const Tuple tuple = tcp(stranger, 999, external, 8080);
  const Tuple back = tcp(host, 80, stranger, 999);
  SUBCASE("TCP") {
    CHECK(router.in({.tuple = tuple, .flags = TcpFlags::syn}).forwarded());
    CHECK(deadline_in() == 60s);
    CHECK(router.out({.tuple = back, .flags = TcpFlags::syn | TcpFlags::ack}).forwarded());
    CHECK(deadline_in() == 60s);
    CHECK(router.in({.tuple = tuple}).forwarded());
    CHECK(deadline_in() == 7440s);
    CHECK(router.out({.tuple = back, .flags = TcpFlags::rst}).forwarded());
    CHECK(deadline_in() == 240s);
    CHECK(router.in({.tuple = tuple, .flags = TcpFlags::syn}).forwarded());  // from the same port again
    CHECK(deadline_in() == 60s);
  }
  SUBCASE("refused") {
    CHECK(router.in({.tuple = tuple, .flags = TcpFlags::syn}).forwarded());
    CHECK(router.out({.tuple = back, .flags = TcpFlags::rst | TcpFlags::ack}).forwarded());
    CHECK(deadline_in() == 60s);
  }
  SUBCASE("UDP") {
    CHECK(router.in({.tuple = udp(stranger, 999, external, 8080)}).forwarded());
    CHECK(router.in({.tuple = udp(stranger, 999, external, 8080)}).forwarded());
    CHECK(router.out({.tuple = udp(host, 80, stranger, 999)}).forwarded());
    CHECK(deadline_in() == 60s);
    CHECK(router.in({.tuple = udp(stranger, 999, external, 8080)}).forwarded());
    CHECK(deadline_in() == 300s);
  }
}

TEST_CASE("a new external address ends what was mapped to the old one") {
  Router router;
  router.open_udp(host, 5000);
  router.forwarder.attach(Side::outside, {{stranger, 24}, 1500});
  CHECK(router.forwarder.flow_count() == 0);
  CHECK(router.out({.tuple = udp(host, 5000, server, 53)}).tuple() == udp(stranger, 5000, server, 53));
}

TEST_CASE("without translation packets pass as they are; from outside only by rule") {
  ForwarderOptions options = Router::with("accept outbound; accept inbound tcp port 80; drop");
  options.translate = false;
  Router router{options};
  const Outcome outbound = router.out({.tuple = udp(host, 50000, server, 53)});
  REQUIRE(outbound.forwarded());
  CHECK(outbound.tuple() == udp(host, 50000, server, 53));
  CHECK(router.in({.tuple = udp(server, 53, host, 50000)}).forwarded());
  CHECK(router.in({.tuple = udp(server, 54, host, 50000)}).dropped());
  CHECK(router.in({.tuple = tcp(server, 999, host, 80), .flags = TcpFlags::syn}).forwarded());
}
