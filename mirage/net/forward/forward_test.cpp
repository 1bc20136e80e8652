// SPDX-License-Identifier: ISC
// The forwarding plane, packet by packet: what goes in on one side and what comes out on the other.
#include <mirage/net/forward/testbed_test.hpp>

using namespace mirage;
using namespace mirage::net::forward;
using namespace mirage::net::forward::test;

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

TEST_CASE("a reset whose number cannot be right takes no connection's mapping away") {
  Router router;
  const Tuple tuple = tcp(host, 4000, server, 80);
  const Tuple back = tcp(server, 80, external, 4000);
  const auto deadline_in = [&] { return router.forwarder.next_deadline() - router.now; };
  CHECK(router.out({.tuple = tuple, .flags = TcpFlags::syn}).forwarded());
  CHECK(router.in({.tuple = back, .flags = TcpFlags::syn | TcpFlags::ack, .sequence = 0xffff'fff0}).forwarded());
  CHECK(router.out({.tuple = tuple, .acknowledgement = 0xffff'fff1}).forwarded());
  // It goes on to the host, who knows better than we do (RFC 5961 3.2).
  for (const std::uint32_t guess : {0xffff'fff0U, 0x7fff'ffffU, 0x00ff'ffffU}) {
    CHECK(router.in({.tuple = back, .flags = TcpFlags::rst, .sequence = guess}).forwarded());
    CHECK(deadline_in() == 7440s);
  }
  SUBCASE("the peer's own") {
    CHECK(router.in({.tuple = back, .flags = TcpFlags::rst, .sequence = 20'000}).forwarded());
    CHECK(deadline_in() == 240s);
  }
  SUBCASE("the host's, whatever its number") {
    CHECK(router.out({.tuple = tuple, .flags = TcpFlags::rst, .sequence = 77}).forwarded());
    CHECK(deadline_in() == 240s);
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

TEST_CASE(
    "an error about what the router itself sent is its own, whatever port it went to (RFC 1191, RFC 5508 REQ-3)") {
  Router router;
  REQUIRE(router.forwarder.add(*PortForward::parse("tcp:80=10.1.0.2:8080")));
  const auto about = [&](Port from, Port to) {
    const Packet quoted = Build{.tuple = tcp(external, from, server, to)}.bytes();
    return router.input(error_about(quoted, stranger, 3, 4), Side::outside);
  };
  CHECK(about(40000, 443).local());
  CHECK(about(40000, 80).local());    // of the same number as a port forward
  CHECK(about(80, 40000).dropped());  // of what stands for an inside endpoint
  CHECK(router.dropped(ForwardDrop::no_flow) == 1);
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
