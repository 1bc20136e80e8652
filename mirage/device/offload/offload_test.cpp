// SPDX-License-Identifier: ISC
#include <doctest/doctest.h>

#include <mirage/device/offload/offload.hpp>
#include <mirage/net/testbed_v6_test.hpp>
#include <mirage/wire/tcp.hpp>

using namespace mirage;
using namespace mirage::net::test;

namespace {

constexpr Ipv4Address source = Ipv4Address::of(10, 0, 0, 2);
constexpr Ipv4Address destination = Ipv4Address::of(10, 0, 0, 1);

struct Bed {
  explicit Bed(bool gather, bool checksum) {
    net.capabilities_.gather = gather;
    net.capabilities_.transmit_checksum = checksum;
    net.capabilities_.receive_checksum = true;
    shim.adopt_capabilities();
  }
  Packet payload(std::size_t size) {
    Packet bytes(size);
    for (std::size_t i = 0; i < size; ++i) bytes[i] = static_cast<std::byte>(i * 7 + i / 251);
    return bytes;
  }
  /// A TCP segment of `data` with a partial checksum; `behind` bytes stand behind the header, the rest in slices.
  TransmitFrame frame(const Packet& data, std::uint16_t segment_size, std::size_t behind, std::size_t slice = 5000) {
    TransmitFrame out;
    out.header = shard.buffers().allocate(54 + behind);
    const MutableBytes header = out.header.grow_back(54);
    wire::EthernetHeader{{{2, 0, 0, 0, 0, 1}}, own_mac, wire::ether_type::ipv4}.emit(header);
    wire::Ipv4Header{.total_length = static_cast<std::uint16_t>(40 + data.size()),
                     .identification = 100,
                     .dont_fragment = true,
                     .protocol = 6,
                     .source = source,
                     .destination = destination}
        .emit(header.subspan(14));
    wire::TcpHeader tcp{.source_port = 80, .destination_port = 5000, .sequence = 0xfffffff0U, .acknowledgement = 9};
    tcp.flags = wire::TcpFlags::ack | wire::TcpFlags::psh | wire::TcpFlags::fin | wire::TcpFlags::cwr;
    tcp.checksum = wire::pseudo_header_complete(wire::pseudo_header_sum(source, destination), 6,
                                                static_cast<std::uint32_t>(20 + data.size()));
    tcp.emit(header.subspan(34), 0);
    std::ranges::copy(Bytes(data).first(behind), out.header.grow_back(static_cast<std::uint32_t>(behind)).begin());
    for (std::size_t at = behind; at < data.size(); at += slice) {
      const std::size_t part = std::min(slice, data.size() - at);
      REQUIRE(out.payload.push_back(shard.buffers().copy(Bytes(data).subspan(at, part))));
    }
    out.offload = {.needs_checksum = true, .checksum_start = 34, .checksum_offset = 16};
    if (segment_size > 0 && data.size() > segment_size) {
      out.offload.segmentation = Offload::Segmentation::tcp4;
      out.offload.segment_size = segment_size;
      out.offload.header_length = 54;
    }
    return out;
  }
  std::size_t send(TransmitFrame& out) { return shim.send({&out, 1}); }
  TestEnvironment environment;
  Shard shard{environment};
  TestNet net{shard.buffers()};
  device::Offload shim{shard, net};
};

/// What the receiver would make of the frame: its headers must be right in every respect.
Packet received(const Sent& sent, std::uint32_t sequence, bool first, bool last, bool device_fills) {
  const Parsed packet = parse(sent);
  REQUIRE(packet.ip.protocol == 6);
  const auto pseudo = wire::pseudo_header_complete(wire::pseudo_header_sum(source, destination), 6,
                                                   static_cast<std::uint32_t>(packet.payload.size()));
  if (device_fills) {
    CHECK(sent.offload.needs_checksum);
    CHECK(load_big<std::uint16_t>(packet.payload, 16) == pseudo);
  } else {
    CHECK_FALSE(sent.offload.needs_checksum);
    CHECK(wire::checksum_is_valid(packet.payload, pseudo));
  }
  const auto flags = load_big<std::uint8_t>(packet.payload, 13);
  CHECK(load_big<std::uint32_t>(packet.payload, 4) == sequence);
  CHECK(((flags & wire::TcpFlags::fin) != 0) == last);
  CHECK(((flags & wire::TcpFlags::cwr) != 0) == first);
  return {packet.payload.begin() + 20, packet.payload.end()};
}

void check_segments(Bed& bed, const Packet& data, std::size_t segment, bool device_fills) {
  Packet joined;
  std::uint16_t identification = 100;
  const std::size_t count = bed.net.sent.size();
  REQUIRE(count == (data.size() + segment - 1) / segment);
  for (std::size_t i = 0; i < count; ++i) {
    const Sent& sent = bed.net.sent[i];
    CHECK(parse(sent).ip.identification == identification++);
    const Packet part =
        received(sent, 0xfffffff0U + static_cast<std::uint32_t>(joined.size()), i == 0, i + 1 == count, device_fills);
    joined.insert(joined.end(), part.begin(), part.end());
  }
  CHECK(joined == data);
}

}  // namespace

TEST_CASE("a large segment is cut into right ones, whatever the device can do") {
  for (const bool gather : {false, true}) {
    for (const bool checksum : {false, true}) {
      for (const std::size_t size : {1449U, 2896U, 30000U, 65000U}) {
        for (const std::size_t behind : {0U, 200U}) {
          Bed bed{gather, checksum};
          const Packet data = bed.payload(size);
          TransmitFrame frame = bed.frame(data, 1448, behind);
          REQUIRE(bed.send(frame) == 1);
          check_segments(bed, data, 1448, checksum);
          CHECK(bed.shard.buffers().statistics().bytes_in_use == 0);
        }
      }
    }
  }
}

TEST_CASE("a device that is full in the middle of a large segment is offered the rest later") {
  Bed bed{false, false};
  const Packet data = bed.payload(40000);
  TransmitFrame frame = bed.frame(data, 1448, 0);
  bed.net.room = 0;
  CHECK(bed.send(frame) == 0);
  int offers = 1;
  do {
    bed.net.room = 5;
    ++offers;
  } while (bed.send(frame) == 0);
  CHECK(offers == 7);
  check_segments(bed, data, 1448, false);
}

TEST_CASE("small frames: checksum and gathering, in order with large ones") {
  Bed bed{false, false};
  const Packet small = bed.payload(700);
  const Packet large = bed.payload(3000);
  std::array<TransmitFrame, 3> frames{bed.frame(small, 0, 0), bed.frame(large, 1448, 0), bed.frame(small, 0, 300, 100)};
  CHECK(bed.shim.send(frames) == 3);
  REQUIRE(bed.net.sent.size() == 5);
  CHECK(received(bed.net.sent[0], 0xfffffff0U, true, true, false) == small);
  CHECK(received(bed.net.sent[4], 0xfffffff0U, true, true, false) == small);
  CHECK(bed.shim.counters().linearised == 2);
}

TEST_CASE("a capable device gets frames as they are") {
  Bed bed{true, true};
  bed.net.capabilities_.segment_tcp4 = bed.net.capabilities_.segment_tcp6 = true;
  bed.shim.adopt_capabilities();
  TransmitFrame frame = bed.frame(bed.payload(30000), 1448, 0);
  CHECK(bed.send(frame) == 1);
  REQUIRE(bed.net.sent.size() == 1);
  CHECK(bed.net.sent[0].offload.segment_size == 1448);
}

TEST_CASE("metadata that does not fit the frame: dropped and counted, never followed") {
  Bed bed{false, false};
  const Packet data = bed.payload(3000);
  for (int kind = 0; kind < 5; ++kind) {
    TransmitFrame frame = bed.frame(data, 1448, 0);
    if (kind == 0) frame.offload.header_length = 2000;
    if (kind == 1) frame.offload.checksum_start = 40;
    if (kind == 2) frame.offload.segment_size = 0;
    if (kind == 3) frame.offload.checksum_start = 10;
    if (kind == 4) frame.offload = {.needs_checksum = true, .checksum_start = 60000, .checksum_offset = 16};
    CHECK(bed.send(frame) == 1);
  }
  CHECK(bed.net.sent.empty());
  CHECK(bed.shim.counters().drop_malformed == 5);
}

TEST_CASE("receive: ranges are checked") {
  Bed bed{true, true};
  bed.net.capabilities_.coalesce = true;
  bed.shim.adopt_capabilities();
  const Packet bytes(100);
  bed.net.arrive(bytes);
  bed.net.arrive(bytes, {.needs_checksum = true, .checksum_start = 34, .checksum_offset = 16});
  bed.net.arrive(bytes, {.needs_checksum = true, .checksum_start = 90, .checksum_offset = 16});
  bed.net.arrive(bytes, {.needs_checksum = true, .checksum_start = 3, .checksum_offset = 6});
  bed.net.arrive(bytes, {.segmentation = Offload::Segmentation::tcp4, .segment_size = 0, .header_length = 54});
  bed.net.arrive(bytes, {.segmentation = Offload::Segmentation::tcp4, .segment_size = 10, .header_length = 154});
  bed.net.arrive(bytes, {.segmentation = Offload::Segmentation::tcp4, .segment_size = 10, .header_length = 54});
  std::array<ReceivedFrame, 8> frames;
  CHECK(bed.shim.poll(frames) == 3);
  CHECK(bed.shim.counters().drop_bad_receive == 4);
  CHECK(frames[1].offload.needs_checksum);
  CHECK(frames[2].offload.segment_size == 10);
}

TEST_CASE("a large segment over IPv6 is cut into right ones; metadata of the other version is refused") {
  const Peer6 station;
  const auto large = [&](Bed& bed, const Packet& data) {
    TransmitFrame out;
    out.header = bed.shard.buffers().allocate(74);
    const MutableBytes header = out.header.grow_back(74);
    wire::EthernetHeader{station.mac, own_mac, wire::ether_type::ipv6}.emit(header);
    wire::Ipv6Header{.payload_length = static_cast<std::uint16_t>(20 + data.size()),
                     .next_header = 6,
                     .source = own_v6,
                     .destination = station.ip}
        .emit(header.subspan(14));
    wire::TcpHeader tcp{.source_port = 80, .destination_port = 5000, .sequence = 1000, .acknowledgement = 9};
    tcp.flags = wire::TcpFlags::ack;
    tcp.checksum = wire::pseudo_header_complete(wire::pseudo_header_sum(own_v6, station.ip), 6,
                                                static_cast<std::uint32_t>(20 + data.size()));
    tcp.emit(header.subspan(54), 0);
    (void)out.payload.push_back(bed.shard.buffers().copy(data));
    out.offload = {.needs_checksum = true,
                   .segmentation = Offload::Segmentation::tcp6,
                   .checksum_start = 54,
                   .checksum_offset = 16,
                   .segment_size = 1428,
                   .header_length = 74};
    return out;
  };
  for (const bool capable : {false, true}) {
    Bed bed{capable, capable};
    const Packet data = bed.payload(9000);
    TransmitFrame frame = large(bed, data);
    REQUIRE(bed.send(frame) == 1);
    REQUIRE(bed.net.sent.size() == 7);
    Packet joined;
    for (const Sent& sent : bed.net.sent) {
      const Parsed6 packet = parse6(sent);
      CHECK(packet.ip.payload_length + 40 <= 1500);
      CHECK(load_big<std::uint32_t>(packet.payload, 4) == 1000 + joined.size());
      CHECK((capable || packet.checksum_is_right()));
      joined.insert(joined.end(), packet.payload.begin() + 20, packet.payload.end());
    }
    CHECK(joined == data);
  }
  Bed bed{false, false};
  TransmitFrame frame = large(bed, bed.payload(9000));
  frame.offload.segmentation = Offload::Segmentation::tcp4;
  CHECK(bed.send(frame) == 1);
  CHECK(bed.net.sent.empty());
  CHECK(bed.shim.counters().drop_malformed == 1);
}
