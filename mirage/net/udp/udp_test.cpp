// SPDX-License-Identifier: ISC
// The port table by itself; UDP as an application sees it.
#include <map>
#include <random>

#include <doctest/doctest.h>

#include <mirage/async/scope.hpp>
#include <mirage/async/sleep.hpp>
#include <mirage/module/udp_socket.hpp>
#include <mirage/net/testbed_test.hpp>

using namespace mirage;
using namespace mirage::net;
using namespace mirage::net::test;

namespace {

Datagram datagram(Testbed& bed, Ipv4Address to, std::size_t size, Port port = 9) {
  Datagram out;
  out.local.port = 5000;
  out.remote = {to, port};
  for (std::size_t left = size; left > 0;) {
    const std::size_t part = std::min<std::size_t>(left, 4096);
    (void)out.payload.push_back(bed.shard.buffers().copy(Packet(part)));
    left -= part;
  }
  return out;
}

}  // namespace

TEST_CASE("the port table equals a map, whatever the order of changes") {
  std::mt19937 random{5};
  for (int round = 0; round < 20; ++round) {
    udp::PortTable table;
    std::map<Port, DatagramHandler*> model;
    std::vector<Collector> handlers(8);
    for (int step = 0; step < 3000; ++step) {
      // Few different ports: clusters and collisions are what matters.
      const auto port = static_cast<Port>(1 + random() % 220 * (round % 2 == 0 ? 1 : 256));
      if (random() % 2 == 0) {
        if (!table.full() && !model.contains(port)) {
          DatagramHandler& handler = handlers[random() % handlers.size()];
          table.insert(port, handler);
          model[port] = &handler;
        }
      } else {
        table.erase(port);
        model.erase(port);
      }
      const auto probe = static_cast<Port>(1 + random() % 220 * (round % 2 == 0 ? 1 : 256));
      REQUIRE(table.find(probe) == (model.contains(probe) ? model[probe] : nullptr));
    }
    for (const auto& [port, handler] : model) CHECK(table.find(port) == handler);
  }
}

TEST_CASE("ports: bound once, ephemeral ones random, all refused at the bound") {
  Testbed bed;
  bed.start();
  Collector collector;
  auto& udp = bed.stack.udp();
  CHECK(udp.bind(53, collector) == Port{53});
  CHECK(udp.bind(53, collector).error() == UdpError::port_in_use);
  std::size_t bound = 1;
  Port least = 65535;
  while (true) {
    const auto port = udp.bind(0, collector);
    if (!port) {
      CHECK(port.error() == UdpError::no_memory);
      break;
    }
    ++bound;
    least = std::min(least, *port);
    CHECK(*port >= udp::Udp::first_ephemeral);
  }
  CHECK(bound == udp::PortTable::maximum);
  CHECK(least < udp::Udp::first_ephemeral + 4000);  // spread over the whole range
  udp.unbind(53);
  CHECK(udp.bind(53, collector));
}

TEST_CASE("what cannot be sent says why, and the caller keeps it") {
  Testbed bed;
  bed.start();
  auto& udp = bed.stack.udp();
  Datagram far = datagram(bed, Ipv4Address::of(192, 0, 2, 1), 10);
  CHECK(udp.send({&far, 1}) == 0);
  CHECK(udp.last_error() == UdpError::no_route);
  CHECK(far.payload.byte_count() == 10);
  Datagram large = datagram(bed, Ipv4Address::of(10, 0, 0, 1), 65508);
  CHECK(udp.send({&large, 1}) == 0);
  CHECK(udp.last_error() == UdpError::too_long);
  std::array<Datagram, 3> some{datagram(bed, Ipv4Address::of(10, 0, 0, 1), 1), std::move(far),
                               datagram(bed, Ipv4Address::of(10, 0, 0, 1), 1)};
  CHECK(udp.send(some) == 1);
  CHECK(udp.counters().refused == 3);
}

TEST_CASE("the largest datagram goes out in fragments, to be joined by anybody") {
  Testbed bed;
  bed.start();
  const Peer peer;
  bed.meet(peer);
  Datagram large = datagram(bed, peer.ip, 65507);
  CHECK(bed.stack.udp().send({&large, 1}) == 1);
  bed.turns(1);
  CHECK(bed.net.sent.size() == 45);
  std::size_t total = 0;
  for (const Sent& sent : bed.net.sent) total += parse(sent).payload.size();
  CHECK(total == 65515);
  CHECK(bed.shard.buffers().statistics().bytes_in_use == 0);
}

TEST_CASE("a handler may unbind itself, and one that is gone hears nothing") {
  struct Once final : DatagramHandler {
    void on_burst(std::span<Datagram> datagrams) noexcept override {
      count += datagrams.size();
      udp->unbind(7);
    }
    udp::Udp* udp = nullptr;
    std::size_t count = 0;
  };
  Testbed bed;
  bed.start();
  const Peer peer;
  Once once;
  once.udp = &bed.stack.udp();
  REQUIRE(bed.stack.udp().bind(7, once));
  for (int i = 0; i < 40; ++i) bed.net.arrive(peer.ipv4(17, peer.udp(5000, 7, bytes_of("x"))));
  bed.turns(1);
  CHECK(once.count == 32);  // one burst; the rest came to a closed port
  CHECK(bed.stack.udp().counters().drop_no_port == 8);
}

TEST_CASE("without a checksum (RFC 768) and with lengths that lie") {
  Testbed bed;
  bed.start();
  const Peer peer;
  Collector collector;
  REQUIRE(bed.stack.udp().bind(7, collector));
  Packet message = peer.udp(5000, 7, bytes_of("hello"));
  store_big(MutableBytes(message), 6, std::uint16_t{0});
  bed.arrive(peer.ipv4(17, message));
  CHECK(collector.received.size() == 1);
  for (const std::uint16_t length : {std::uint16_t{0}, std::uint16_t{7}, std::uint16_t{14}, std::uint16_t{65535}}) {
    store_big(MutableBytes(message), 4, length);
    bed.arrive(peer.ipv4(17, message));
  }
  CHECK(bed.stack.udp().counters().drop_truncated == 4);
  bed.arrive(peer.ipv4(17, Packet(7)));
  bed.arrive(peer.ipv4(17, {}));
  CHECK(bed.stack.udp().counters().drop_truncated == 6);
  store_big(MutableBytes(message), 4, std::uint16_t{10});  // shorter than the packet: the rest is padding
  bed.arrive(peer.ipv4(17, message));
  CHECK(collector.received.back() == bytes_of("he"));
}

TEST_CASE("a device that segments UDP gets a run of datagrams as one frame (VIRTIO 1.2 5.1.6.2, UDP_L4)") {
  Testbed bed;
  bed.net.capabilities_.transmit_checksum = bed.net.capabilities_.segment_udp = true;
  bed.net.capabilities_.maximum_frame = 65549;
  bed.start();
  const Peer peer;
  bed.meet(peer);
  const auto sizes_sent = [&](std::initializer_list<std::size_t> sizes) {
    std::vector<Datagram> datagrams;
    for (const std::size_t size : sizes) datagrams.push_back(datagram(bed, peer.ip, size));
    CHECK(bed.stack.udp().send(datagrams) == sizes.size());
    bed.turns(1);
    std::vector<std::pair<std::size_t, std::size_t>> frames;  // UDP payload, segment size
    for (const Sent& sent : bed.net.sent) {
      const Parsed parsed = parse(sent);
      REQUIRE(parsed.payload.size() >= 8);
      const bool run = sent.offload.segmentation == Offload::Segmentation::udp;
      CHECK(wire::UdpHeader::parse(parsed.payload, parsed.payload.size())->length == parsed.payload.size());
      CHECK(sent.offload.needs_checksum);
      CHECK(sent.offload.checksum_start == 34);
      if (run) CHECK(sent.offload.header_length == 42);
      frames.emplace_back(parsed.payload.size() - 8, run ? sent.offload.segment_size : 0);
    }
    bed.net.sent.clear();
    return frames;
  };
  using Frames = std::vector<std::pair<std::size_t, std::size_t>>;
  CHECK(sizes_sent({64}) == Frames{{64, 0}});
  CHECK(sizes_sent({64, 64, 64}) == Frames{{192, 64}});
  CHECK(sizes_sent({64, 64, 10, 64}) == Frames{{138, 64}, {64, 0}});  // a shorter one ends a run
  CHECK(sizes_sent({64, 65, 65}) == Frames{{64, 0}, {130, 65}});
  CHECK(sizes_sent({64, 0, 64}) == Frames{{64, 0}, {0, 0}, {64, 0}});       // an empty one is no segment
  CHECK(sizes_sent({1472, 1472, 1000}) == Frames{{3944, 1472}});            // not copied
  CHECK(sizes_sent({256, 256, 256, 256, 256, 256, 256, 256}).size() == 2);  // what is copied fits one small buffer
  CHECK(bed.shard.buffers().statistics().bytes_in_use == 0);
  std::array<Datagram, 2> beyond_mtu{datagram(bed, peer.ip, 1473), datagram(bed, peer.ip, 1473)};
  CHECK(bed.stack.udp().send(beyond_mtu) == 2);
  bed.turns(1);
  CHECK(bed.net.sent.size() == 4);  // fragments, as ever
  bed.net.sent.clear();
  std::array<Datagram, 2> two_ports{datagram(bed, peer.ip, 64, 9), datagram(bed, peer.ip, 64, 10)};
  CHECK(bed.stack.udp().send(two_ports) == 2);
  bed.turns(1);
  CHECK(bed.net.sent.size() == 2);
}

TEST_CASE("datagrams that a device has coalesced are told apart") {
  Testbed bed;
  bed.net.capabilities_.receive_checksum = bed.net.capabilities_.coalesce = true;
  bed.start();
  const Peer peer;
  Collector collector;
  REQUIRE(bed.stack.udp().bind(7, collector));
  const Offload offload{.needs_checksum = true,
                        .segmentation = Offload::Segmentation::udp,
                        .checksum_start = 34,
                        .checksum_offset = 6,
                        .segment_size = 5,
                        .header_length = 42};
  bed.net.arrive(peer.ipv4(17, peer.udp(5000, 7, bytes_of("firstotherend"))), offload);
  bed.net.arrive(peer.ipv4(17, peer.udp(5000, 7, bytes_of("whole"))), offload);
  bed.turns(1);
  CHECK(collector.received ==
        std::vector<Packet>{bytes_of("first"), bytes_of("other"), bytes_of("end"), bytes_of("whole")});
  CHECK(bed.stack.udp().counters().received == 4);
  bed.net.arrive(peer.ipv4(17, peer.udp(5000, 7, Packet(500, std::byte{1}))), offload);  // more than a burst
  bed.turns(1);
  CHECK(collector.received.size() == 104);
}

namespace {

using Heard = std::vector<std::string>;

/// Receives until the socket closes; what it got as text, errors in brackets.
Task<> hear(Shard&, UdpSocket& socket, Heard& heard) {
  while (true) {
    const auto got = co_await socket.receive();
    if (got) {
      std::string text;
      for (const Slice& slice : got->payload) text += slice.text();
      heard.push_back(text);
    } else {
      heard.push_back("[" + std::string(to_string(got.error())) + "]");
      if (got.error() == UdpError::closed) co_return;
    }
  }
}

/// What ICMP quotes of a datagram that we sent from `port` to `peer`'s port 7.
Packet unreachable(const Peer& peer, std::uint8_t code, Port port) {
  Packet quoted(28);
  wire::Ipv4Header{.total_length = 28, .protocol = 17, .source = own_ip, .destination = peer.ip}.emit(quoted);
  wire::UdpHeader{port, 7, 8, 0}.emit(MutableBytes(quoted).subspan(20));
  return peer.ipv4(1, Peer::icmp(3, code, 0, quoted));
}

}  // namespace

TEST_CASE("a connected socket: one end's datagrams, its refusals, and an end (RFC 1122 4.1.3.3)") {
  Testbed bed;
  bed.start();
  const Peer peer;
  bed.meet(peer);
  UdpSocket socket{bed.stack.udp()};
  const auto port = socket.connect({peer.ip, 7});
  REQUIRE(port);
  Heard heard;
  Scope scope{bed.shard};
  REQUIRE(scope.spawn(hear(bed.shard, socket, heard)));
  bed.arrive(peer.ipv4(17, peer.udp(7, *port, bytes_of("one"))));
  bed.arrive(peer.ipv4(17, peer.udp(8, *port, bytes_of("another port's"))));
  bed.arrive(unreachable(peer, 3, *port));
  bed.arrive(unreachable(peer, 1, *port));
  bed.arrive(unreachable(peer, 3, static_cast<Port>(*port ^ 1)));  // of nobody here
  bed.arrive(peer.ipv4(17, peer.udp(7, *port, bytes_of("two"))));
  SliceList payload{bed.shard.buffers().copy(bytes_of("question"), header_headroom)};
  CHECK(socket.send(payload));
  bed.turns(2);
  REQUIRE(bed.net.sent.size() == 1);
  const auto sent = parse(bed.net.sent.front()).payload;
  CHECK(load_big<std::uint16_t>(sent, 0) == *port);
  CHECK(load_big<std::uint16_t>(sent, 2) == 7);
  socket.close();
  bed.turns(2);
  CHECK(heard == Heard{"one", "[port unreachable]", "[no route to host]", "two", "[closed]"});
  CHECK(socket.counters().received == 2);
  CHECK(socket.counters().drop_stranger == 1);
  CHECK(socket.counters().errors == 2);
  CHECK_FALSE(socket.send(payload));
  bed.arrive(peer.ipv4(17, peer.udp(7, *port, bytes_of("late"))));
  CHECK(bed.stack.udp().counters().drop_no_port == 1);
}

TEST_CASE("a socket that is not read keeps what its bounds allow and counts the rest") {
  Testbed bed;
  bed.start();
  const Peer peer;
  UdpSocket socket{bed.stack.udp()};
  UdpSocket narrow{bed.stack.udp(), 1000};
  REQUIRE(socket.bind(7));
  REQUIRE(narrow.bind(8));
  for (int i = 0; i < 40; ++i) bed.arrive(peer.ipv4(17, peer.udp(5000, 7, bytes_of(std::to_string(i)))));
  for (int i = 0; i < 4; ++i) bed.arrive(peer.ipv4(17, peer.udp(5000, 8, Packet(400))));
  CHECK(socket.counters().received == UdpSocket::maximum_datagrams);
  CHECK(socket.counters().drop_queue_full == 40 - UdpSocket::maximum_datagrams);
  CHECK(narrow.counters().received == 2);
  CHECK(narrow.counters().drop_queue_full == 2);
  Heard heard;
  Scope scope{bed.shard};
  REQUIRE(scope.spawn(hear(bed.shard, narrow, heard)));
  bed.turns(2);
  bed.arrive(peer.ipv4(17, peer.udp(5000, 8, Packet(1000))));  // what was taken makes room
  CHECK(narrow.counters().received == 3);
  bed.turns(1);
  scope.cancel();  // the socket is open; the task ends
  bed.turns(2);
  REQUIRE(heard.size() == 4);
  CHECK(heard.back() == "[closed]");
}
