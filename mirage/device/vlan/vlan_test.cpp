// SPDX-License-Identifier: ISC
#include <doctest/doctest.h>

#include <mirage/device/offload/offload.hpp>
#include <mirage/device/vlan/vlan.hpp>
#include <mirage/net/testbed_test.hpp>
#include <mirage/wire/ipv4.hpp>
#include <mirage/wire/tcp.hpp>

using namespace mirage;
using namespace mirage::net::test;

namespace {

struct Bed {
  explicit Bed(const device::VlanOptions& options = {.id = 42, .priority = 5}) : vlan(shard, net, options) {
    auto body = [](device::Vlan& device, bool& ok) -> Task<void> { ok = (co_await device.start()).has_value(); };
    (void)scope.spawn(body(vlan, started));
    (void)shard.turn();
  }
  TransmitFrame frame(std::size_t size, std::uint32_t headroom = 64) {
    TransmitFrame out;
    out.header = shard.buffers().allocate(54, headroom);
    const MutableBytes header = out.header.grow_back(54);
    for (std::size_t i = 0; i < header.size(); ++i) header[i] = static_cast<std::byte>(i);
    (void)out.payload.push_back(shard.buffers().copy(Packet(size)));
    out.offload = {.needs_checksum = true, .checksum_start = 34, .checksum_offset = 16};
    return out;
  }
  TestEnvironment environment;
  Shard shard{environment};
  TestNet net{shard.buffers()};
  device::Vlan vlan;
  Scope scope{shard};
  bool started = false;
};

Task<bool> start_again(Shard&, device::Vlan& vlan) { co_return (co_await vlan.start()).has_value(); }

}  // namespace

TEST_CASE("VLAN: a tag goes behind the addresses and comes off again; the metadata moves with it") {
  Bed bed;
  REQUIRE(bed.started);
  TransmitFrame frame = bed.frame(100);
  CHECK(bed.vlan.send({&frame, 1}) == 1);
  REQUIRE(bed.net.sent.size() == 1);
  const Sent sent = bed.net.sent[0];
  CHECK(sent.bytes.size() == 158);
  CHECK(load_big<std::uint32_t>(sent.bytes, 12) == (0x81000000 | 5U << 13 | 42U));
  CHECK(load_big<std::uint8_t>(sent.bytes, 11) == 11);
  CHECK(load_big<std::uint8_t>(sent.bytes, 16) == 12);
  CHECK(sent.offload.checksum_start == 38);
  bed.net.arrive(sent.bytes, sent.offload);
  std::array<ReceivedFrame, 4> received;
  REQUIRE(bed.vlan.poll(received) == 1);
  CHECK(received[0].offload.checksum_start == 34);
  CHECK(received[0].data.byte_count() == 154);
  Packet joined;
  for (const Slice& slice : received[0].data) joined.insert(joined.end(), slice.bytes().begin(), slice.bytes().end());
  for (std::size_t i = 0; i < 54; ++i) CHECK(joined[i] == static_cast<std::byte>(i));
}

TEST_CASE("VLAN: other VLANs, untagged frames and broken metadata are dropped and counted") {
  Bed bed;
  Packet frame(64);
  store_big(MutableBytes(frame), 12, std::uint32_t{0x8100'0000 | 43});
  bed.net.arrive(frame);
  store_big(MutableBytes(frame), 12, std::uint32_t{0x0800'0000});
  bed.net.arrive(frame);
  bed.net.arrive(Packet(17));
  store_big(MutableBytes(frame), 12, std::uint32_t{0x8100'0000 | 42});
  bed.net.arrive(frame, {.needs_checksum = true, .checksum_start = 16, .checksum_offset = 2});
  bed.net.arrive(frame);
  std::array<ReceivedFrame, 8> received;
  CHECK(bed.vlan.poll(received) == 1);
  CHECK(bed.vlan.counters().drop_other_vlan == 1);
  CHECK(bed.vlan.counters().drop_untagged == 2);
  CHECK(bed.vlan.counters().drop_no_room == 1);
}

TEST_CASE("VLAN: a full device leaves frames with their one tag; one without headroom does not stop the others") {
  Bed bed;
  std::array<TransmitFrame, 3> frames{bed.frame(10), bed.frame(20, 0), bed.frame(30)};
  bed.net.room = 0;
  CHECK(bed.vlan.send(frames) == 0);
  bed.net.room = SIZE_MAX;
  CHECK(bed.vlan.send(frames) == 3);
  REQUIRE(bed.net.sent.size() == 2);
  CHECK(bed.net.sent[0].bytes.size() == 68);
  CHECK(bed.net.sent[1].bytes.size() == 88);
  CHECK(bed.vlan.counters().drop_no_room == 1);
}

TEST_CASE("VLAN: numbers that are none are refused") {
  CHECK_FALSE(Bed{{.id = 0}}.started);
  CHECK_FALSE(Bed{{.id = 4095}}.started);
  CHECK_FALSE(Bed{{.id = 1, .priority = 8}}.started);
}

TEST_CASE("VLAN below offload: segments that a full device leaves are made again, and tagged again") {
  Bed bed;
  device::Offload shim{bed.shard, bed.vlan};
  shim.adopt_capabilities();
  TransmitFrame frame;
  frame.header = bed.shard.buffers().allocate(54);
  const MutableBytes header = frame.header.grow_back(54);
  wire::EthernetHeader{{{2, 0, 0, 0, 0, 1}}, own_mac, wire::ether_type::ipv4}.emit(header);
  wire::Ipv4Header{.total_length = 40 + 10000, .protocol = 6, .source = own_ip, .destination = own_ip}.emit(
      header.subspan(14));
  wire::TcpHeader{.source_port = 80, .destination_port = 5000}.emit(header.subspan(34), 0);
  REQUIRE(frame.payload.push_back(bed.shard.buffers().copy(Packet(10000))));
  frame.offload = {.needs_checksum = true,
                   .segmentation = Offload::Segmentation::tcp4,
                   .checksum_start = 34,
                   .checksum_offset = 16,
                   .segment_size = 1000,
                   .header_length = 54};
  bed.net.room = 4;  // of ten segments
  CHECK(shim.send({&frame, 1}) == 0);
  bed.net.room = SIZE_MAX;
  CHECK(shim.send({&frame, 1}) == 1);
  REQUIRE(bed.net.sent.size() == 10);
  for (const Sent& sent : bed.net.sent) {
    CHECK(load_big<std::uint32_t>(sent.bytes, 12) == (0x81000000 | 5U << 13 | 42U));
  }
}

TEST_CASE("VLAN: what it has tagged may be dropped by whoever offered it") {
  Bed bed;
  std::array<TransmitFrame, 3> frames{bed.frame(10), bed.frame(20), bed.frame(30)};
  bed.net.room = 0;
  CHECK(bed.vlan.send(frames) == 0);
  bed.net.room = SIZE_MAX;
  TransmitFrame other = bed.frame(40);
  CHECK(bed.vlan.send({&other, 1}) == 1);
  REQUIRE(bed.net.sent.size() == 1);
  CHECK(load_big<std::uint32_t>(bed.net.sent[0].bytes, 12) == (0x81000000 | 5U << 13 | 42U));
}

TEST_CASE("VLAN below offload: what arrives with a partial checksum, or coalesced, is as good as without the tag") {
  Bed bed;
  bed.net.capabilities_.receive_checksum = bed.net.capabilities_.coalesce = true;
  REQUIRE(run(bed.shard, start_again(bed.shard, bed.vlan)).value_or(false));
  device::Offload shim{bed.shard, bed.vlan};
  shim.adopt_capabilities();
  Packet frame(200);
  store_big(MutableBytes(frame), 12, std::uint32_t{0x8100'0000 | 42});
  store_big(MutableBytes(frame), 16, std::uint16_t{0x0800});
  bed.net.arrive(frame, {.needs_checksum = true, .checksum_start = 38, .checksum_offset = 16});
  bed.net.arrive(frame, {.needs_checksum = true,
                         .segmentation = Offload::Segmentation::tcp4,
                         .checksum_start = 38,
                         .checksum_offset = 16,
                         .segment_size = 60,
                         .header_length = 58});
  std::array<ReceivedFrame, 4> received;
  CHECK(shim.poll(received) == 2);
  CHECK(shim.counters().drop_bad_receive == 0);
}
