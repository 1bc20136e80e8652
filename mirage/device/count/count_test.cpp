// SPDX-License-Identifier: ISC
#include <string>
#include <vector>

#include <doctest/doctest.h>

#include <mirage/device/count/count.hpp>
#include <mirage/net/testbed_test.hpp>

using namespace mirage;
using namespace mirage::net::test;
using device::Count;

namespace {

Packet frame_to(const MacAddress& destination, std::size_t size, std::uint16_t type) {
  Packet frame(size);
  wire::EthernetHeader{destination, {{2, 0, 0, 0, 0, 9}}, type}.emit(frame);
  return frame;
}

constexpr MacAddress unicast{{2, 0, 0, 0, 0, 1}};
constexpr MacAddress group{{0x33, 0x33, 0, 0, 0, 1}};

struct Bed {
  TestEnvironment environment;
  Shard shard{environment};
  TestNet net{shard.buffers()};
  Count device{shard, net};

  std::size_t poll() {
    std::array<ReceivedFrame, 16> frames;
    return device.poll(frames);
  }
  /// With `header` bytes of the frame in the header buffer.
  TransmitFrame outgoing(const Packet& whole, std::size_t header = 14) {
    TransmitFrame out;
    out.header = shard.buffers().allocate(static_cast<std::uint32_t>(header), 64);
    std::ranges::copy(Bytes(whole).first(header), out.header.grow_back(static_cast<std::uint32_t>(header)).begin());
    if (whole.size() > header) (void)out.payload.push_back(shard.buffers().copy(Bytes(whole).subspan(header)));
    return out;
  }
};

}  // namespace

TEST_CASE("count: destination and protocol of what arrives") {
  Bed bed;
  bed.net.arrive(frame_to(unicast, 100, 0x0800));
  bed.net.arrive(frame_to(group, 100, 0x86dd));
  bed.net.arrive(frame_to(MacAddress::broadcast(), 60, 0x0806));
  bed.net.arrive(frame_to(unicast, 60, 0x88cc));
  CHECK(bed.poll() == 4);
  const Count::Counters& in = bed.device.received();
  CHECK(in.frames == 4);
  CHECK(in.bytes == 320);
  CHECK(in.unicast == 2);
  CHECK(in.multicast == 1);
  CHECK(in.broadcast == 1);
  CHECK(in.ipv4 == 1);
  CHECK(in.ipv6 == 1);
  CHECK(in.arp == 1);
  CHECK(in.other == 1);
  CHECK(bed.device.sent().frames == 0);
}

TEST_CASE("count: sizes with the frame check sequence, as RFC 2819 has them") {
  Bed bed;
  for (const std::size_t size : {60U, 61U, 123U, 124U, 251U, 252U, 507U, 508U, 1019U, 1020U, 1514U, 1515U, 9000U}) {
    bed.net.arrive(frame_to(unicast, size, 0x0800));
  }
  CHECK(bed.poll() == 13);
  const Count::Counters& in = bed.device.received();
  CHECK(in.size_64 == 1);
  CHECK(in.size_65_to_127 == 2);
  CHECK(in.size_128_to_255 == 2);
  CHECK(in.size_256_to_511 == 2);
  CHECK(in.size_512_to_1023 == 2);
  CHECK(in.size_1024_to_1518 == 2);
  CHECK(in.size_above_1518 == 2);
}

TEST_CASE("count: behind a VLAN tag; frames that are too short for what they say") {
  Bed bed;
  Packet tagged = frame_to(unicast, 64, 0x8100);
  store_big(MutableBytes(tagged), 16, std::uint16_t{0x86dd});
  bed.net.arrive(tagged);
  tagged.resize(16);
  bed.net.arrive(tagged);
  bed.net.arrive(Packet(13));
  CHECK(bed.poll() == 3);
  const Count::Counters& in = bed.device.received();
  CHECK(in.tagged == 2);
  CHECK(in.ipv6 == 1);
  CHECK(in.other == 1);
  CHECK(in.truncated == 1);
  CHECK(in.frames == 3);
  CHECK(in.unicast == 2);
}

TEST_CASE("count: what is sent once the device has accepted it, and once only") {
  Bed bed;
  std::vector<TransmitFrame> frames;
  for (int i = 0; i < 3; ++i) frames.push_back(bed.outgoing(frame_to(unicast, 200, 0x0800)));
  bed.net.room = 2;
  CHECK(bed.device.send(frames) == 2);
  CHECK(bed.device.sent().frames == 2);
  bed.net.room = SIZE_MAX;
  CHECK(bed.device.send(std::span(frames).subspan(2)) == 1);
  CHECK(bed.device.sent().frames == 3);
  CHECK(bed.device.sent().bytes == 600);
  CHECK(bed.device.sent().ipv4 == 3);
  CHECK(bed.device.received().frames == 0);
  REQUIRE(bed.net.sent.size() == 3);
  CHECK(bed.net.sent[2].bytes == frame_to(unicast, 200, 0x0800));
}
