// SPDX-License-Identifier: ISC
// The DHCP client against a scripted server: RFC 2131 figure 5, each arrow.
#include <doctest/doctest.h>

#include <mirage/net/testbed_test.hpp>

using namespace mirage;
using namespace mirage::net;
using namespace mirage::net::test;
using dhcp::State;
using wire::ArpPacket;
using wire::DhcpMessage;
using wire::DhcpType;

namespace {

constexpr Ipv4Address server_ip = Ipv4Address::of(10, 0, 0, 1);
constexpr Ipv4Address leased = Ipv4Address::of(10, 0, 0, 50);

struct Bed : Testbed {
  Bed() : Testbed(options()) {}
  static StackOptions options() {
    StackOptions options;
    options.dhcp = true;
    options.hostname = "hello";
    return options;
  }
  /// The next DHCP message that was sent; what else was sent before it is dropped.
  std::optional<DhcpMessage> next() {
    while (!net.sent.empty()) {
      last = parse(take());
      if (last.ip.protocol != 17) continue;
      last_payload.assign(last.payload.begin() + 8, last.payload.end());
      return DhcpMessage::parse(last_payload);
    }
    return std::nullopt;
  }
  DhcpMessage reply_to(const DhcpMessage& asked, DhcpType type) const {
    DhcpMessage reply;
    reply.type = type;
    reply.is_reply = true;
    reply.transaction = asked.transaction;
    reply.client_mac = own_mac;
    reply.your_address = leased;
    reply.server = server_ip;
    reply.lease_time = 1000;
    reply.subnet_mask = 0xffffff00;
    reply.routers = {{server_ip}, 1};
    reply.name_servers = {{Ipv4Address::of(10, 0, 0, 3)}, 1};
    return reply;
  }
  /// With further options, each a code and its octets.
  void answer(const DhcpMessage& message, const std::vector<std::vector<unsigned>>& options = {}) {
    Packet bytes(wire::dhcp_maximum_size);
    bytes.resize(message.emit(bytes));
    while (bytes.back() == std::byte{0}) bytes.pop_back();
    bytes.pop_back();
    for (const auto& option : options) {
      bytes.push_back(static_cast<std::byte>(option[0]));
      bytes.push_back(static_cast<std::byte>(option.size() - 1));
      for (std::size_t i = 1; i < option.size(); ++i) bytes.push_back(static_cast<std::byte>(option[i]));
    }
    bytes.push_back(std::byte{255});
    const auto unicast = stack.address().is_unspecified() ? Ipv4Address{0xffffffff} : leased;
    arrive(server.ipv4(17, server.udp(67, 68, bytes, unicast),
                       [=](wire::Ipv4Header& header) { header.destination = unicast; }));
  }
  /// Until there is a lease.
  void bind(const std::vector<std::vector<unsigned>>& options = {}) {
    start(true);
    auto discover = next();
    REQUIRE(discover);
    answer(reply_to(*discover, DhcpType::offer));
    auto request = next();
    REQUIRE(request);
    answer(reply_to(*request, DhcpType::ack), options);
    turns(3);
    REQUIRE(started);
  }
  Peer server;
  Parsed last;
  Packet last_payload;
};

}  // namespace

TEST_CASE("discover, offer, request, ack: and start() is done") {
  Bed bed;
  bed.start(true);
  CHECK_FALSE(bed.started);
  const auto discover = bed.next();
  REQUIRE(discover);
  CHECK(discover->type == DhcpType::discover);
  CHECK(discover->broadcast);
  CHECK(discover->client_mac == own_mac);
  CHECK(bed.last.ip.source == Ipv4Address{});
  CHECK(bed.last.ip.destination.is_broadcast());
  CHECK(bed.last.ethernet.destination.is_broadcast());
  bed.answer(bed.reply_to(*discover, DhcpType::offer));
  const auto request = bed.next();
  REQUIRE(request);
  CHECK(request->type == DhcpType::request);
  CHECK(request->requested_address == leased);
  CHECK(request->server == server_ip);
  CHECK(request->client_address == Ipv4Address{});
  CHECK(bed.stack.address().is_unspecified());
  bed.answer(bed.reply_to(*request, DhcpType::ack));
  bed.turns(3);
  CHECK(bed.started);
  CHECK(bed.stack.address() == IpAddress{leased});
  CHECK(bed.stack.ip().prefix().length == 24);
  CHECK(bed.stack.ip().routes().find(Ipv4Address::of(192, 0, 2, 1))->gateway == server_ip);
  REQUIRE(bed.stack.name_service().servers().size() == 1);
  CHECK(bed.stack.name_service().servers()[0] == IpAddress{Ipv4Address::of(10, 0, 0, 3)});
  REQUIRE(bed.net.sent.size() == 2);  // probe and announcement
  CHECK(parse_arp(bed.take()).is_probe());
  CHECK(parse_arp(bed.take()).sender_ip == leased);
}

TEST_CASE("classless routes replace the router, and may come in parts (RFC 3442, RFC 3396)") {
  Bed bed;
  // 192.0.2.0/24 via 10.0.0.7; 10.9.128.0/17 on the link; the default via 10.0.0.9.
  bed.bind({{121, 24, 192, 0, 2, 10, 0}, {121, 0, 7, 17, 10, 9, 128, 0, 0, 0, 0, 0, 10, 0, 0, 9}});
  const auto gateway = [&](unsigned a, unsigned b, unsigned c, unsigned d) {
    const auto* route = bed.stack.ip().routes().find(Ipv4Address::of(a, b, c, d));
    return route == nullptr ? Ipv4Address{1} : route->gateway;
  };
  CHECK(gateway(192, 0, 2, 200) == Ipv4Address::of(10, 0, 0, 7));
  CHECK(gateway(10, 9, 200, 1) == Ipv4Address{});
  CHECK(gateway(10, 9, 100, 1) == Ipv4Address::of(10, 0, 0, 9));
  CHECK(gateway(10, 0, 0, 77) == Ipv4Address{});
}

TEST_CASE("classless routes without a default: no default route, whatever the routers are (RFC 3442)") {
  Bed bed;
  bed.bind({{121, 32, 192, 0, 2, 1, 10, 0, 0, 7, 33, 1, 1, 1, 1, 1, 1, 1, 1}});  // the second is malformed
  CHECK(bed.stack.ip().routes().find(Ipv4Address::of(192, 0, 2, 1))->gateway == Ipv4Address::of(10, 0, 0, 7));
  CHECK(bed.stack.ip().routes().find(Ipv4Address::of(192, 0, 2, 2)) == nullptr);
}

TEST_CASE("search domains: the list (RFC 3397), else the domain name (RFC 2132 3.17)") {
  Bed one;
  one.bind({{15, 'l', 'a', 'n', '.', 'x', 0}});
  CHECK(one.stack.name_service().search() == "lan.x");
  Bed list;
  // "a.b" and, in the second part, "c" with a pointer to b.
  list.bind({{15, 'x'}, {119, 1, 'a', 1, 'b', 0, 1}, {119, 'c', 0xc0, 2}});
  CHECK(list.stack.name_service().search() == "a.b,c.b");
  Bed bad;
  bad.bind({{15, 'a', ' ', 'b'}, {119, 0xc0, 0}});
  CHECK(bad.stack.name_service().search() == "");
}

TEST_CASE("a silent network: discover is repeated, ever more slowly") {
  Bed bed;
  bed.start(true);
  bed.run(60s);
  int count = 0;
  while (bed.next()) ++count;
  CHECK(count >= 6);
  CHECK(count <= 9);
  bed.run(1h);
  while (bed.next()) ++count;
  CHECK(count < 70);
}

TEST_CASE("renew by unicast at half of the lease, rebind by broadcast at 7/8, then the address goes") {
  Bed bed;
  bed.bind();
  bed.net.sent.clear();
  bed.run(499s);
  CHECK_FALSE(bed.next());
  bed.run(2s);
  // The renewal wants the server's link address first.
  bed.arrive(bed.server.arp(ArpPacket::reply, leased, own_mac));
  auto renew = bed.next();
  REQUIRE(renew);
  CHECK(bed.last.ip.destination == server_ip);
  CHECK(bed.last.ip.source == leased);
  CHECK(renew->client_address == leased);
  CHECK_FALSE(renew->server);
  CHECK_FALSE(renew->requested_address);
  bed.answer(bed.reply_to(*renew, DhcpType::ack));
  CHECK(bed.stack.dhcp().state() == State::bound);
  CHECK(bed.stack.dhcp().counters().leases == 2);
  bed.net.sent.clear();
  // This time nobody answers. Renewed at 501 s: T2 at about 1376 s, the end at 1501 s.
  bed.run(870s);
  CHECK(bed.stack.dhcp().state() == State::renewing);
  bed.net.sent.clear();
  bed.run(10s);
  CHECK(bed.stack.dhcp().state() == State::rebinding);
  REQUIRE(bed.next());
  CHECK(bed.last.ip.destination.is_broadcast());
  CHECK_FALSE(bed.stack.address().is_unspecified());
  bed.run(200s);
  CHECK(bed.stack.address().is_unspecified());
  CHECK(bed.stack.dhcp().state() == State::selecting);
  CHECK(bed.stack.dhcp().counters().expired == 1);
}

TEST_CASE("a NAK starts over and takes the address away") {
  Bed bed;
  bed.bind();
  bed.run(501s);
  bed.arrive(bed.server.arp(ArpPacket::reply, leased, own_mac));
  std::optional<DhcpMessage> renew;
  while (auto message = bed.next()) renew = message;
  REQUIRE(renew);
  bed.answer(bed.reply_to(*renew, DhcpType::nak));
  CHECK(bed.stack.address().is_unspecified());
  CHECK(bed.stack.name_service() == NameService{});
  bed.run(1100ms);
  const auto discover = bed.next();
  REQUIRE(discover);
  CHECK(discover->type == DhcpType::discover);
  CHECK(discover->transaction != renew->transaction);
  CHECK(bed.last.ip.source == Ipv4Address{});  // RFC 2131 4.1: not the address that is gone
}

TEST_CASE("who has lost its lease asks from no address (RFC 2131 4.1), and a server that refuses all is not hurried") {
  Bed bed;
  bed.bind();
  bed.run(1000s);
  bed.net.sent.clear();
  bed.run(2s);
  REQUIRE(bed.next());
  CHECK(bed.last.ip.source == Ipv4Address{});
  CHECK(bed.stack.dhcp().counters().expired == 1);
  bed.run(10s);
  std::optional<DhcpMessage> discover;
  while (auto message = bed.next()) discover = message;
  REQUIRE(discover);
  int refused = 0;
  const auto seconds = [&](int count) {
    for (int tenth = 0; tenth < 10 * count; ++tenth) {
      for (auto message = discover ? discover : bed.next(); message && refused < 100; message = bed.next()) {
        const bool asks = message->type == DhcpType::request;
        refused += asks;
        bed.answer(bed.reply_to(*message, asks ? DhcpType::nak : DhcpType::offer));
        discover.reset();
      }
      bed.run(100ms);
    }
  };
  seconds(10);
  CHECK(refused >= 5);
  CHECK(refused <= 11);
}

TEST_CASE("a conflict right after binding: decline, wait ten seconds, start over") {
  Bed bed;
  bed.bind();
  Peer thief;
  thief.mac.octets[5] = 0x66;
  thief.ip = leased;
  bed.net.sent.clear();
  bed.arrive(thief.arp(ArpPacket::reply, leased, own_mac));  // answers the probe
  std::optional<DhcpMessage> decline = bed.next();
  REQUIRE(decline);
  CHECK(decline->type == DhcpType::decline);
  CHECK(decline->requested_address == leased);
  CHECK(decline->server == server_ip);
  CHECK(bed.last.ip.source == Ipv4Address{});
  CHECK(bed.stack.address().is_unspecified());
  bed.run(9s);
  CHECK_FALSE(bed.next());
  bed.run(2s);
  CHECK(bed.next()->type == DhcpType::discover);
}

TEST_CASE("messages that are not for us, not asked for, or useless") {
  Bed bed;
  bed.start(true);
  const auto discover = *bed.next();
  auto offer = bed.reply_to(discover, DhcpType::offer);
  offer.transaction ^= 1;
  bed.answer(offer);
  offer = bed.reply_to(discover, DhcpType::offer);
  offer.client_mac.octets[5] ^= 1;
  bed.answer(offer);
  bed.answer(bed.reply_to(discover, DhcpType::ack));
  offer = bed.reply_to(discover, DhcpType::offer);
  offer.is_reply = false;
  bed.answer(offer);
  CHECK(bed.stack.dhcp().counters().drop_foreign == 4);
  offer = bed.reply_to(discover, DhcpType::offer);
  offer.server.reset();
  bed.answer(offer);
  offer = bed.reply_to(discover, DhcpType::offer);
  offer.your_address = Ipv4Address::of(224, 0, 0, 1);
  bed.answer(offer);
  CHECK(bed.stack.dhcp().counters().drop_unusable == 2);
  bed.arrive(bed.server.ipv4(17, bed.server.udp(67, 68, Packet(240), {0xffffffff}),
                             [](wire::Ipv4Header& header) { header.destination = {0xffffffff}; }));
  CHECK(bed.stack.dhcp().counters().drop_malformed == 1);
  CHECK(bed.stack.dhcp().state() == State::selecting);
}
