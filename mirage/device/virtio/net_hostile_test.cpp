// SPDX-License-Identifier: ISC
// A network device that breaks the rules: what it sends is dropped and counted, and the driver goes on.
#include <doctest/doctest.h>

#include <mirage/device/virtio/net_rig_test.hpp>

using namespace mirage;
using namespace mirage::virtio;
using namespace mirage::virtio::test;

TEST_CASE("net: hostile headers and lengths are dropped and counted") {
  Rig rig(merge | offloads);
  REQUIRE(rig.net.start(rig.device) == NetDevice::Error::none);
  const auto dropped = [&] { return rig.net.poll(rig.received) == 0; };
  SUBCASE("shorter than a header") {
    FakeChain chain;
    REQUIRE(rig.device.pop(0, chain));
    rig.device.push(0, chain.head, 11);
    CHECK(dropped());
    CHECK(rig.net.statistics().short_frame == 1);
  }
  SUBCASE("shorter than an Ethernet header") {
    rig.deliver(13);
    CHECK(dropped());
    CHECK(rig.net.statistics().short_frame == 1);
  }
  SUBCASE("no buffers") {
    rig.deliver(60, 0);
    CHECK(dropped());
    CHECK(rig.net.statistics().bad_merge == 1);
  }
  SUBCASE("too many buffers: what follows counts as theirs, then it goes on") {
    rig.deliver(60, 100);
    CHECK(dropped());
    CHECK(rig.net.statistics().bad_merge == 1);
    for (unsigned i = 0; i < 99; ++i) rig.deliver(60);
    CHECK(dropped());
    rig.deliver(60);
    CHECK(rig.net.poll(rig.received) == 1);
  }
  SUBCASE("a checksum outside the frame") {
    rig.deliver(60, 1, 1, 0, 34, 25);
    CHECK(dropped());
    rig.deliver(60, 1, 1, 0, 0xffff, 0xffff);
    CHECK(dropped());
    rig.deliver(60, 1, 1, 0, 13, 6);
    CHECK(dropped());
    CHECK(rig.net.statistics().bad_offload == 3);
    rig.deliver(60, 1, 1, 0, 34, 24);
    CHECK(rig.net.poll(rig.received) == 1);
  }
  SUBCASE("segmentation without its size or checksum, or of an unknown kind") {
    rig.deliver(60, 1, 1, 1, 34, 16, 0);
    CHECK(dropped());
    rig.deliver(60, 1, 0, 1, 34, 16, 1000);
    CHECK(dropped());
    rig.deliver(60, 1, 1, 2, 34, 16, 1000);
    CHECK(dropped());
    CHECK(rig.net.statistics().bad_offload == 3);
  }
}

TEST_CASE("net: an offload that was not negotiated is dropped and counted") {
  const auto offered = [](std::uint64_t features, std::uint8_t type) {
    Rig rig(features);
    REQUIRE(rig.net.start(rig.device) == NetDevice::Error::none);
    rig.deliver(200, 1, 1, type, 34, 16, 100);
    const bool taken = rig.net.poll(rig.received) == 1;
    CHECK(rig.net.statistics().not_negotiated == (taken ? 0 : 1));
    rig.deliver(60);
    CHECK(rig.net.poll(rig.received) == 1);
    return taken;
  };
  CHECK(offered(merge | offloads, 1));
  CHECK(offered(merge | offloads, 4));
  CHECK_FALSE(offered(merge | offloads, 5));
  CHECK_FALSE(offered(merge | bit(1) | bit(8), 1));  // only TCP over IPv6
  CHECK_FALSE(offered(merge | bit(1) | bit(7), 4));  // only TCP over IPv4
  CHECK(offered(merge | bit(1), 0));
  CHECK_FALSE(offered(merge, 0));  // a checksum that is not filled in
}

TEST_CASE("net: what the rings refuse of a hostile device is counted") {
  Rig rig(merge | offloads);
  REQUIRE(rig.net.start(rig.device) == NetDevice::Error::none);
  rig.device.push(0, 999, 60);  // no such descriptor
  CHECK(rig.net.poll(rig.received) == 0);
  CHECK(rig.net.receive_ring().bad_completions == 1);
  FakeChain chain;
  REQUIRE(rig.device.pop(0, chain));
  std::array<std::byte, 72> bytes{};
  store_little<std::uint16_t>(bytes, 10, 1);
  (void)chain.write_all(bytes);
  rig.device.push(0, chain.head, UINT32_MAX);  // more than the buffer holds
  REQUIRE(rig.net.poll(rig.received) == 1);
  CHECK(rig.received[0].data.byte_count() == frame_capacity - 12);
  CHECK(rig.net.receive_ring().bad_lengths == 1);
  rig.device.push(1, 0, 0);  // nothing was sent: more completions than requests
  CHECK(rig.net.poll(rig.received) == 0);
  CHECK(rig.net.broken());
}
