// SPDX-License-Identifier: ISC
#include <doctest/doctest.h>

#include <mirage/device/virtio/net_rig_test.hpp>

using namespace mirage;
using namespace mirage::virtio;
using namespace mirage::virtio::test;

TEST_CASE("net: capabilities follow the features") {
  SUBCASE("none") {
    Rig rig(0);
    REQUIRE(rig.net.start(rig.device) == NetDevice::Error::none);
    const NetCapabilities& data = rig.net.capabilities();
    CHECK(data.mtu == 1500);
    CHECK(data.maximum_frame == 1514);
    CHECK_FALSE(data.transmit_checksum);
    CHECK_FALSE(data.coalesce);
    CHECK(data.gather);
  }
  SUBCASE("all") {
    Rig rig(mac_feature | merge | offloads | bit(3));
    store_little<std::uint16_t>(rig.device.configuration, 10, 9000);
    REQUIRE(rig.net.start(rig.device) == NetDevice::Error::none);
    const NetCapabilities& data = rig.net.capabilities();
    CHECK(data.mac == MacAddress{{2, 3, 4, 5, 6, 7}});
    CHECK(data.mtu == 9000);
    CHECK(data.maximum_frame == 65549);
    CHECK((data.transmit_checksum && data.receive_checksum && data.segment_tcp4 && data.segment_tcp6 && data.coalesce));
  }
  SUBCASE("large frames are not wanted in one buffer") {
    Rig rig(offloads);
    REQUIRE(rig.net.start(rig.device) == NetDevice::Error::none);
    CHECK((rig.device.accepted & (bit(7) | bit(8))) == 0);
    CHECK_FALSE(rig.net.capabilities().coalesce);
  }
  SUBCASE("UDP segmentation") {
    Rig rig(merge | offloads | host_uso);
    REQUIRE(rig.net.start(rig.device) == NetDevice::Error::none);
    CHECK(rig.net.capabilities().segment_udp);
  }
  SUBCASE("no segmentation without the checksum") {
    Rig rig(merge | host_uso | bit(11) | bit(12));
    REQUIRE(rig.net.start(rig.device) == NetDevice::Error::none);
    CHECK((rig.device.accepted & (host_uso | bit(11) | bit(12))) == 0);
    CHECK(rig.net.capabilities().maximum_frame == 1514);
  }
  SUBCASE("neither coalesced UDP nor the control queue of a device with one pair is asked for") {
    constexpr std::uint64_t unwanted = bit(54) | bit(55) | bit(17) | bit(22);
    Rig rig(merge | offloads | unwanted);
    REQUIRE(rig.net.start(rig.device) == NetDevice::Error::none);
    CHECK((rig.device.accepted & unwanted) == 0);
    CHECK(rig.net.capabilities().ports.shards == 1);
  }
  SUBCASE("a nonsensical MTU") {
    Rig rig(merge | bit(3));
    REQUIRE(rig.net.start(rig.device) == NetDevice::Error::none);
    CHECK(rig.net.capabilities().mtu == 1500);
  }
}

TEST_CASE("net: receives frames of one and of several buffers") {
  Rig rig(merge | offloads);
  REQUIRE(rig.net.start(rig.device) == NetDevice::Error::none);
  CHECK(rig.net.poll(rig.received) == 0);
  rig.deliver(60);
  rig.deliver(5000, 3);
  REQUIRE(rig.net.poll(rig.received) == 2);
  CHECK(rig.received[0].data.byte_count() == 60);
  CHECK(rig.received[0].data.size() == 1);
  CHECK(rig.received[1].data.byte_count() == 5000);
  CHECK(rig.received[1].data.size() == 3);
  for (const Slice& slice : rig.received[1].data) {
    for (const std::byte b : slice.bytes()) REQUIRE(b == std::byte{0x5a});
  }
  CHECK(rig.net.statistics().received == 2);
}

TEST_CASE("net: a frame of 64 KiB needs more buffers than a list has places") {
  Rig rig(merge | offloads);
  REQUIRE(rig.net.start(rig.device) == NetDevice::Error::none);
  constexpr std::size_t size = 65549;
  constexpr std::size_t buffers = (size + 12 + frame_capacity - 1) / frame_capacity;
  rig.deliver(size, buffers, 1, 1, 34, 16, 1448);
  REQUIRE(rig.net.poll(rig.received) == 1);
  CHECK(rig.received[0].data.byte_count() == size);
  CHECK(rig.received[0].data.size() == SliceList::capacity);
  CHECK(rig.received[0].offload.segmentation == Offload::Segmentation::tcp4);
  CHECK(rig.received[0].offload.segment_size == 1448);
  CHECK(rig.received[0].offload.needs_checksum);
}

TEST_CASE("net: a frame whose buffers arrive in two turns") {
  Rig rig(merge);
  REQUIRE(rig.net.start(rig.device) == NetDevice::Error::none);
  FakeChain first;
  FakeChain second;
  REQUIRE(rig.device.pop(0, first));
  REQUIRE(rig.device.pop(0, second));
  std::array<std::byte, 112> bytes{};
  store_little<std::uint16_t>(bytes, 10, 2);
  rig.device.push(0, first.head, first.write_all(bytes));
  CHECK(rig.net.poll(rig.received) == 0);
  rig.device.push(0, second.head, second.write_all(std::span(bytes).first(50)));
  REQUIRE(rig.net.poll(rig.received) == 1);
  CHECK(rig.received[0].data.byte_count() == 150);
}

TEST_CASE("net: a pool that runs dry, and recovers") {
  Rig rig(merge, 16 * 2048);
  REQUIRE(rig.net.start(rig.device) == NetDevice::Error::none);
  std::vector<ReceivedFrame> held;
  for (unsigned i = 0; i < 64; ++i) {
    FakeChain chain;
    if (!rig.device.pop(0, chain)) break;
    std::array<std::byte, 72> bytes{};
    store_little<std::uint16_t>(bytes, 10, 1);
    rig.device.push(0, chain.head, chain.write_all(bytes));
    if (rig.net.poll(rig.received) == 1) held.push_back(std::move(rig.received[0]));
  }
  CHECK(held.size() == 16);
  CHECK(rig.net.statistics().no_buffer > 0);
  held.clear();
  CHECK_FALSE(rig.net.arm());  // refills
  rig.deliver(60);
  CHECK(rig.net.poll(rig.received) == 1);
}

TEST_CASE("net: what is being sent holds all memory: its end wakes the receiver") {
  Rig rig(merge | Feature::event_index, 16 * 2048);
  REQUIRE(rig.net.start(rig.device) == NetDevice::Error::none);
  // Eight buffers wait in the ring; frames to send take the others.
  unsigned sent = 0;
  for (; rig.pool.allocate(60, header_headroom); ++sent) {
    std::array one{rig.frame(60)};
    REQUIRE(rig.net.send(one) == 1);
  }
  REQUIRE(sent > 0);
  // The receive buffers fill and stay with the application.
  std::vector<ReceivedFrame> held;
  FakeChain chain;
  while (rig.device.pop(0, chain)) {
    std::array<std::byte, 72> bytes{};
    store_little<std::uint16_t>(bytes, 10, 1);
    rig.device.push(0, chain.head, chain.write_all(bytes));
    if (rig.net.poll(rig.received) == 1) held.push_back(std::move(rig.received[0]));
  }
  CHECK_FALSE(rig.net.arm());
  // An interrupt is wanted for the next completion (section 2.7.7.1), and when it is there already nobody sleeps.
  CHECK(rig.device.used_event(1) == rig.device.rings[1].used);
  REQUIRE(rig.device.pop(1, chain));
  rig.device.push(1, chain.head, 0);
  CHECK(rig.net.arm());
  rig.net.disarm();
  CHECK(rig.net.poll(rig.received) == 0);
  CHECK(rig.device.pop(0, chain));
}

TEST_CASE("net: sends with the header in front, or beside") {
  Rig rig(offloads);
  REQUIRE(rig.net.start(rig.device) == NetDevice::Error::none);
  std::array<TransmitFrame, 2> frames{rig.frame(100), rig.frame(100, 4)};
  const Slice payload = rig.pool.copy(as_bytes("hello"));
  REQUIRE(frames[0].payload.push_back(payload));
  frames[0].offload = {.needs_checksum = true,
                       .segmentation = Offload::Segmentation::tcp4,
                       .checksum_start = 34,
                       .checksum_offset = 16,
                       .segment_size = 1000,
                       .header_length = 54};
  CHECK(rig.net.send(frames) == 2);
  FakeChain chain;
  REQUIRE(rig.device.pop(1, chain));
  CHECK(chain.readable.size() == 2);
  std::vector<std::byte> bytes = chain.read_all();
  REQUIRE(bytes.size() == 12 + 100 + 5);
  CHECK(bytes[0] == std::byte{1});
  CHECK(bytes[1] == std::byte{1});
  CHECK(load_little<std::uint16_t>(bytes, 2) == 54);
  CHECK(load_little<std::uint16_t>(bytes, 4) == 1000);
  CHECK(load_little<std::uint16_t>(bytes, 6) == 34);
  CHECK(load_little<std::uint16_t>(bytes, 8) == 16);
  CHECK(bytes[12] == std::byte{0x77});
  CHECK_FALSE(payload.unique());
  rig.device.push(1, chain.head, 0);
  REQUIRE(rig.device.pop(1, chain));
  CHECK(chain.readable.size() == 2);
  CHECK(chain.read_all().size() == 112);
  CHECK(rig.net.poll(rig.received) == 0);  // reclaims
  CHECK(payload.unique());
}

TEST_CASE("net: a full ring refuses, keeps the frame, and wakes when there is room") {
  Rig rig(Feature::indirect);
  REQUIRE(rig.net.start(rig.device) == NetDevice::Error::none);
  unsigned sent = 0;
  for (;; ++sent) {
    std::array one{rig.frame(60)};
    if (rig.net.send(one) == 1) continue;
    CHECK(one[0].header.size() == 60);
    break;
  }
  CHECK(sent == 64);
  CHECK_FALSE(rig.net.arm());
  FakeChain chain;
  REQUIRE(rig.device.pop(1, chain));
  rig.device.push(1, chain.head, 0);
  CHECK(rig.net.arm());
  rig.net.disarm();
  std::array again{rig.frame(60)};
  CHECK(rig.net.send(again) == 1);
}

TEST_CASE("net: frames that can never be sent are dropped and counted") {
  Rig rig(0);
  REQUIRE(rig.net.start(rig.device) == NetDevice::Error::none);
  std::array<TransmitFrame, 3> frames{rig.frame(1515), rig.frame(13), rig.frame(60)};
  CHECK(rig.net.send(frames) == 3);
  CHECK(rig.net.statistics().bad_frame == 2);
  CHECK(rig.net.statistics().sent == 1);
  FakeChain chain;
  CHECK(rig.device.pop(1, chain));
  CHECK_FALSE(rig.device.pop(1, chain));
}

TEST_CASE("net: legacy devices without ANY_LAYOUT get their header in a descriptor of its own") {
  Rig rig(0);
  rig.device.is_modern = false;
  rig.device.offered = 0;
  REQUIRE(rig.net.start(rig.device) == NetDevice::Error::none);
  FakeChain chain;
  REQUIRE(rig.device.pop(0, chain));
  REQUIRE(chain.writable.size() == 2);
  CHECK(chain.writable[0].size() == 10);
  std::array<std::byte, 70> bytes{};
  rig.device.push(0, chain.head, chain.write_all(bytes));
  REQUIRE(rig.net.poll(rig.received) == 1);
  CHECK(rig.received[0].data.byte_count() == 60);
  std::array one{rig.frame(60)};
  CHECK(rig.net.send(one) == 1);
  REQUIRE(rig.device.pop(1, chain));
  REQUIRE(chain.readable.size() == 2);
  CHECK(chain.readable[0].size() == 10);
}

TEST_CASE("net: a device without an address gets a random one, of one station and local") {
  Rig one(merge);
  Rig other(merge);
  other.environment = check::VirtualEnvironment{2};
  REQUIRE(one.net.start(one.device) == NetDevice::Error::none);
  REQUIRE(other.net.start(other.device) == NetDevice::Error::none);
  const MacAddress& mac = one.net.capabilities().mac;
  CHECK((mac.octets[0] & 3) == 2);
  CHECK(mac != other.net.capabilities().mac);
}

TEST_CASE("net: a device that needs a reset says so once") {
  Rig rig(merge);
  REQUIRE(rig.net.start(rig.device) == NetDevice::Error::none);
  CHECK_FALSE(rig.net.needs_reset());
  rig.device.state |= Status::needs_reset;
  CHECK(rig.net.needs_reset());
  CHECK_FALSE(rig.net.needs_reset());
  CHECK(rig.net.statistics().needs_reset == 1);
}

TEST_CASE("net: everything goes back when the device goes") {
  BufferPool pool(1 << 20);
  {
    FakeDevice device;
    check::VirtualEnvironment environment;
    NetDevice net(pool, environment);
    REQUIRE(net.start(device) == NetDevice::Error::none);
    CHECK(pool.statistics().bytes_in_use > 0);
    device.state = Status::driver_ok;
    static FakeDevice* seen = nullptr;
    seen = &device;
    (void)seen;
  }
  CHECK(pool.statistics().bytes_in_use == 0);
}

TEST_CASE("net: a ring too short for a frame in pieces is refused, not silent for ever") {
  for (const std::uint64_t features : {std::uint64_t{0}, Feature::indirect}) {
    Rig rig(merge | features);
    rig.device.rings[1].limit = 16;
    const auto error = rig.net.start(rig.device);
    CAPTURE(features);
    if (error != NetDevice::Error::none) continue;
    std::array<TransmitFrame, 1> frames{rig.frame(60)};
    CHECK(rig.net.send(frames) == 1);
  }
}
