// SPDX-License-Identifier: ISC
// The switch over cables: what comes in on one and goes out on others; two stacks and its own through it.
#include <algorithm>

#include <doctest/doctest.h>

#include <mirage/device/bridge/bridge.hpp>
#include <mirage/device/vnet/vnet.hpp>
#include <mirage/module/check/stack.hpp>
#include <mirage/module/check/virtual_environment.hpp>
#include <mirage/net/stack.hpp>
#include <mirage/wire/ethernet.hpp>

using namespace mirage;
using device::Bridge;
using device::StationTable;

namespace {

constexpr MacAddress station(unsigned last) { return {{2, 0, 0, 0, 1, static_cast<std::uint8_t>(last)}}; }

/// A cable's end with an address of its own: all cables give the same two.
struct Card {
  Card(device::Vnet::End& far_end, const MacAddress& mac) : end(far_end), own(far_end.capabilities()) { own.mac = mac; }
  const NetCapabilities& capabilities() const noexcept { return own; }
  Card& queue(std::size_t) noexcept { return *this; }
  std::size_t poll(std::span<ReceivedFrame> frames) noexcept { return end.poll(frames); }
  std::size_t send(std::span<TransmitFrame> frames) noexcept { return end.send(frames); }
  device::Vnet::End& end;
  NetCapabilities own;
};

struct Bed {
  Bed() { REQUIRE(run(shard, start(shard, bridge)).value_or(false)); }
  static Task<bool> start(Shard&, Bridge& bridge) { co_return (co_await bridge.start()).has_value(); }
  /// A station on cable `from` sends; the bridge is polled once. Frames for its own stack.
  std::size_t send(std::size_t from, const MacAddress& to, const MacAddress& source, std::size_t payload = 46) {
    TransmitFrame frame;
    frame.header = shard.buffers().allocate(wire::EthernetHeader::size + payload);
    wire::EthernetHeader{to, source, 0x88b5}.emit(frame.header.grow_back(wire::EthernetHeader::size));
    std::ranges::fill(frame.header.grow_back(static_cast<std::uint32_t>(payload)), std::byte{0x5a});
    REQUIRE(far(from).send({&frame, 1}) == 1);
    std::array<ReceivedFrame, 4> local;
    return bridge.poll(local);
  }
  device::Vnet::End& far(std::size_t cable) { return wires[cable].right(); }
  /// Frames that arrived at the far end.
  std::size_t arrived(std::size_t cable) {
    std::array<ReceivedFrame, 8> frames;
    const std::size_t count = far(cable).poll(frames);
    for (std::size_t i = 0; i < count; ++i) CHECK(frames[i].data.byte_count() >= 60);
    return count;
  }
  check::VirtualEnvironment environment;
  Shard shard{environment};
  std::array<device::Vnet, 3> wires{device::Vnet{shard, {.queue = 4}}, device::Vnet{shard, {.queue = 4}},
                                    device::Vnet{shard, {.queue = 4}}};
  Bridge bridge{shard, wires[0].left(), wires[1].left(), wires[2].left()};
};

}  // namespace

TEST_CASE("802.1D 7.7-7.8: unknown stations are flooded to, known ones are found, the same segment is left alone") {
  Bed bed;
  CHECK(bed.send(0, station(2), station(1)) == 0);
  CHECK(bed.arrived(0) == 0);
  CHECK(bed.arrived(1) == 1);
  CHECK(bed.arrived(2) == 1);
  CHECK(bed.send(1, station(1), station(2)) == 0);
  CHECK(bed.arrived(0) == 1);
  CHECK(bed.arrived(2) == 0);
  CHECK(bed.send(1, station(2), station(3)) == 0);
  CHECK(bed.bridge.counters().drop_same_port == 1);
  CHECK(bed.bridge.counters().flooded == 1);
  CHECK(bed.bridge.counters().forwarded == 3);
  CHECK(bed.shard.buffers().statistics().bytes_in_use == 0);
}

TEST_CASE("broadcasts reach every port and the stack; its own address only the stack") {
  Bed bed;
  CHECK(bed.send(0, MacAddress::broadcast(), station(1)) == 1);
  CHECK(bed.arrived(1) + bed.arrived(2) == 2);
  CHECK(bed.send(2, bed.bridge.capabilities().mac, station(3)) == 1);
  CHECK(bed.arrived(0) + bed.arrived(1) == 0);
  CHECK(bed.bridge.counters().local == 2);
}

TEST_CASE("802.1D 7.12.6 and bad sources: not forwarded, not learnt, counted") {
  Bed bed;
  CHECK(bed.send(0, {{0x01, 0x80, 0xc2, 0, 0, 0}}, station(1)) == 0);
  CHECK(bed.send(0, station(2), MacAddress::broadcast()) == 0);
  CHECK(bed.send(0, station(2), bed.bridge.capabilities().mac) == 0);
  CHECK(bed.arrived(1) + bed.arrived(2) == 0);
  CHECK(bed.bridge.counters().drop_reserved == 1);
  CHECK(bed.bridge.counters().drop_bad_source == 2);
}

TEST_CASE("a port that takes nothing holds a bounded queue; the others go on") {
  Bed bed;
  for (std::size_t i = 0; i < 100; ++i) {
    CHECK(bed.send(0, MacAddress::broadcast(), station(1)) == 1);
    CHECK(bed.arrived(1) == 1);  // port 2 is never read: four frames on the cable, 64 in the queue
  }
  CHECK(bed.bridge.counters().drop_queue_full == 100 - 4 - Bridge::queue_length);
  CHECK(bed.arrived(2) == 4);
}

TEST_CASE("a port that floods the switch's own stack does not keep the others from it") {
  Bed bed;
  std::array<ReceivedFrame, 4> local;
  std::size_t heard = 0;
  REQUIRE(bed.send(2, station(1), station(3)) == 0);  // where station 3 is
  (void)bed.arrived(0), (void)bed.arrived(1);
  const auto offer = [&](std::size_t from, const MacAddress& source) {
    TransmitFrame frame;
    frame.header = bed.shard.buffers().allocate(60);
    wire::EthernetHeader{bed.bridge.capabilities().mac, source, 0x88b5}.emit(
        frame.header.grow_back(wire::EthernetHeader::size));
    std::ranges::fill(frame.header.grow_back(46), std::byte{0x5a});
    (void)bed.far(from).send({&frame, 1});
  };
  offer(2, station(3));
  for (int turn = 0; turn < 100; ++turn) {
    for (int i = 0; i < 4; ++i) offer(0, station(1));
    const std::size_t count = bed.bridge.poll(local);
    for (std::size_t i = 0; i < count; ++i) {
      heard += wire::load_mac(local[i].data[0].bytes(), wire::EthernetHeader::source_at) == station(3) ? 1 : 0;
      local[i] = {};
    }
  }
  CHECK(heard == 1);
}

TEST_CASE("stations move, are forgotten after five minutes, and a flood of sources displaces only the oldest") {
  StationTable table;
  const Time start{Duration{1h}};
  table.learn(station(1), 0, start);
  table.learn(station(1), 2, start + 1s);
  CHECK(table.find(station(1), start + 300s) == 2);
  CHECK(table.find(station(1), start + 301s) == StationTable::unknown);
  for (unsigned i = 0; i < 100'000; ++i) {
    table.learn({{2, 9, 9, static_cast<std::uint8_t>(i >> 16), static_cast<std::uint8_t>(i >> 8),
                  static_cast<std::uint8_t>(i)}},
                1, start);
  }
  CHECK(table.find(station(1), start + 2s) == 2);
}

TEST_CASE("a frame whose payload has as many pieces as there may be is flooded whole") {
  Bed bed;
  TransmitFrame frame;
  frame.header = bed.shard.buffers().allocate(wire::EthernetHeader::size);
  wire::EthernetHeader{station(9), bed.bridge.capabilities().mac, 0x88b5}.emit(
      frame.header.grow_back(wire::EthernetHeader::size));
  while (!frame.payload.full()) REQUIRE(frame.payload.push_back(Slice::from_static("0123456789")));
  REQUIRE(bed.bridge.send({&frame, 1}) == 1);
  for (std::size_t cable = 0; cable < 3; ++cable) {
    ReceivedFrame received;
    REQUIRE(bed.far(cable).poll({&received, 1}) == 1);
    CHECK(received.data.byte_count() == wire::EthernetHeader::size + 10 * SliceList::capacity);
  }
}

TEST_CASE("stacks on two cables talk through the switch, and with the stack on the switch itself") {
  check::VirtualEnvironment environment;
  Shard shard{environment};
  device::Vnet first{shard, {}};
  device::Vnet second{shard, {}};
  Bridge bridge{shard, first.left(), second.left()};
  const auto options = [](unsigned host) {
    net::StackOptions out;
    out.ipv4 = {Ipv4Address::of(10, 0, 0, host), 24};
    return out;
  };
  REQUIRE(run(shard, Bed::start(shard, bridge)).value_or(false));
  net::Stack on_switch{shard, bridge, options(1)};
  Card left_card{first.right(), station(2)};
  Card right_card{second.right(), station(3)};
  net::Stack left{shard, left_card, options(2)};
  net::Stack right{shard, right_card, options(3)};
  const auto check_all = [](Shard& s, net::Stack& a, net::Stack& b, net::Stack& c) -> Task<std::string_view> {
    if (!co_await a.start() || !co_await b.start() || !co_await c.start()) co_return "a stack did not start";
    const std::string_view through = co_await check::check_stack(s, b, c, 80);
    if (!through.empty()) co_return through;
    co_return co_await check::check_stack(s, a, c, 81);
  };
  const std::string broken{run(shard, check_all(shard, on_switch, left, right)).value_or("no memory")};
  CHECK(broken == "");
}
