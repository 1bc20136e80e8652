// SPDX-License-Identifier: ISC
#include <doctest/doctest.h>

#include <mirage/device/virtio/fake_device_test.hpp>
#include <mirage/device/virtio/queue.hpp>

using namespace mirage;
using namespace mirage::virtio;
using virtio::test::FakeChain;
using virtio::test::FakeDevice;

namespace {

struct Rig {
  FakeDevice device;
  Queue queue;
  std::array<std::byte, 4096> memory{};

  bool start(std::uint64_t features, std::uint16_t size, std::uint16_t indirect = 0) {
    return queue.start(device, 0, {.good = true, .features = features | Feature::version_1}, size, indirect);
  }
  MutableBytes part(std::size_t offset, std::size_t size) { return std::span(memory).subspan(offset, size); }
};

}  // namespace

TEST_CASE("negotiation: the status steps of section 3.1.1") {
  FakeDevice device;
  device.offered = Feature::version_1 | Feature::indirect | Feature::event_index | 1;
  const Negotiated negotiated = negotiate(device, Feature::indirect | 2);
  CHECK(negotiated.good);
  CHECK(negotiated.features == (Feature::version_1 | Feature::indirect));
  CHECK(device.accepted == negotiated.features);
  CHECK(device.state == (Status::acknowledge | Status::driver | Status::features_ok));
  finish_start(device);
  CHECK((device.state & Status::driver_ok) != 0);
  CHECK((device.state & Status::features_ok) != 0);

  device.refuse_features = true;
  CHECK_FALSE(negotiate(device, 0).good);
  CHECK((device.state & Status::failed) != 0);

  FakeDevice without_version;
  without_version.offered = Feature::indirect;
  CHECK_FALSE(negotiate(without_version, Feature::indirect).good);

  FakeDevice legacy;
  legacy.is_modern = false;
  legacy.offered = Feature::any_layout;
  CHECK(negotiate(legacy, Feature::any_layout).has(Feature::any_layout));
}

TEST_CASE("queue: a request goes out and comes back") {
  Rig rig;
  REQUIRE(rig.start(0, 8));
  rig.memory[0] = std::byte{42};
  const std::array segments{readable(rig.part(0, 16)), writable(rig.part(100, 50))};
  REQUIRE(rig.queue.add(segments, 7));
  CHECK(rig.queue.free_descriptors() == 6);
  FakeChain chain;
  CHECK_FALSE(rig.device.pop(0, chain));
  rig.queue.publish();
  CHECK(rig.device.rings[0].notifications == 1);
  REQUIRE(rig.device.pop(0, chain));
  REQUIRE(chain.readable.size() == 1);
  REQUIRE(chain.writable.size() == 1);
  CHECK(chain.readable[0][0] == std::byte{42});
  CHECK_FALSE(rig.queue.take());
  rig.device.push(0, chain.head, 20);
  const auto completion = rig.queue.take();
  REQUIRE(completion);
  CHECK(completion->token == 7);
  CHECK(completion->written == 20);
  CHECK(rig.queue.free_descriptors() == 8);
  CHECK(rig.queue.in_flight() == 0);
}

TEST_CASE("queue: full, then free again, many times round") {
  Rig rig;
  REQUIRE(rig.start(0, 4));
  std::uint16_t token = 0;
  for (unsigned round = 0; round < 70'000; ++round) {
    const std::array one{readable(rig.part(0, 1))};
    while (rig.queue.add(one, token)) ++token;
    CHECK(rig.queue.in_flight() == 4);
    rig.queue.publish();
    FakeChain chain;
    std::vector<std::uint16_t> heads;
    while (rig.device.pop(0, chain)) heads.push_back(chain.head);
    REQUIRE(heads.size() == 4);
    // Out of order.
    for (auto head = heads.rbegin(); head != heads.rend(); ++head) rig.device.push(0, *head, 0);
    unsigned taken = 0;
    while (rig.queue.take()) ++taken;
    REQUIRE(taken == 4);
  }
}

TEST_CASE("queue: what cannot be a request is refused") {
  Rig rig;
  REQUIRE(rig.start(0, 8));
  CHECK_FALSE(rig.queue.add({}, 0));
  std::array<Segment, 9> nine{};
  nine.fill(readable(rig.part(0, 1)));
  CHECK_FALSE(rig.queue.add(nine, 0));
  CHECK(rig.queue.free_descriptors() == 8);
  std::array<Segment, Queue::maximum_segments + 1> many{};
  many.fill(readable(rig.part(0, 1)));
  CHECK_FALSE(rig.queue.add(many, 0));
}

TEST_CASE("queue: indirect descriptors take one descriptor each") {
  Rig rig;
  REQUIRE(rig.start(Feature::indirect, 8, 2));
  std::array<Segment, 5> five{};
  for (std::size_t i = 0; i < five.size(); ++i) five[i] = readable(rig.part(10 * i, 10));
  REQUIRE(rig.queue.add(five, 1));
  REQUIRE(rig.queue.add(five, 2));
  CHECK(rig.queue.free_descriptors() == 6);
  REQUIRE(rig.queue.add(five, 3));  // no table left: a chain
  CHECK(rig.queue.free_descriptors() == 1);
  rig.queue.publish();
  FakeChain chain;
  for (std::uint16_t token = 1; token <= 3; ++token) {
    REQUIRE(rig.device.pop(0, chain));
    REQUIRE(chain.readable.size() == 5);
    CHECK(chain.readable[4].data() == rig.memory.data() + 40);
    rig.device.push(0, chain.head, 0);
    CHECK(rig.queue.take()->token == token);
  }
  CHECK(rig.queue.free_descriptors() == 8);
  REQUIRE(rig.queue.add(five, 4));
  CHECK(rig.queue.free_descriptors() == 7);
}

TEST_CASE("queue: notifications, with flags and with the event index") {
  SUBCASE("flags") {
    Rig rig;
    REQUIRE(rig.start(0, 8));
    rig.device.set_no_notify(0, true);
    const std::array one{readable(rig.part(0, 1))};
    REQUIRE(rig.queue.add(one, 0));
    rig.queue.publish();
    CHECK(rig.device.rings[0].notifications == 0);
    rig.device.set_no_notify(0, false);
    REQUIRE(rig.queue.add(one, 1));
    rig.queue.publish();
    rig.queue.publish();
    CHECK(rig.device.rings[0].notifications == 1);
    CHECK(rig.device.available_flags(0) == 1);  // no interrupts by default
    CHECK_FALSE(rig.queue.enable_interrupts());
    CHECK(rig.device.available_flags(0) == 0);
    rig.queue.disable_interrupts();
    CHECK(rig.device.available_flags(0) == 1);
  }
  SUBCASE("event index") {
    Rig rig;
    REQUIRE(rig.start(Feature::event_index, 8));
    const std::array one{readable(rig.part(0, 1))};
    rig.device.set_available_event(0, 2);  // tell me about the third
    for (std::uint16_t i = 0; i < 4; ++i) {
      REQUIRE(rig.queue.add(one, i));
      rig.queue.publish();
      CHECK(rig.device.rings[0].notifications == (i < 2 ? 0 : 1));
    }
    CHECK_FALSE(rig.queue.enable_interrupts());
    CHECK(rig.device.used_event(0) == 0);
    FakeChain chain;
    REQUIRE(rig.device.pop(0, chain));
    rig.device.push(0, chain.head, 0);
    CHECK(rig.queue.enable_interrupts());
    CHECK(rig.queue.take());
    CHECK_FALSE(rig.queue.enable_interrupts());
    CHECK(rig.device.used_event(0) == 1);
  }
}

TEST_CASE("queue: a hostile used ring") {
  Rig rig;
  REQUIRE(rig.start(0, 8));
  const std::array request{writable(rig.part(0, 10))};
  REQUIRE(rig.queue.add(request, 5));
  REQUIRE(rig.queue.add(request, 6));
  rig.queue.publish();
  FakeChain chain;
  REQUIRE(rig.device.pop(0, chain));
  SUBCASE("an id out of range") {
    rig.device.push(0, 8, 0);
    CHECK_FALSE(rig.queue.take());
    rig.device.push(0, 0xffff'ffff, 0);
    CHECK_FALSE(rig.queue.take());
    CHECK(rig.queue.statistics().bad_completions == 2);
    CHECK(rig.queue.in_flight() == 2);
  }
  SUBCASE("an id that is not in flight, then the right one") {
    rig.device.push(0, 7, 0);
    rig.device.push(0, chain.head, 10);
    const auto completion = rig.queue.take();
    REQUIRE(completion);
    CHECK(completion->token == 5);
    CHECK(rig.queue.statistics().bad_completions == 1);
  }
  SUBCASE("the same one twice") {
    rig.device.push(0, chain.head, 10);
    rig.device.push(0, chain.head, 10);
    CHECK(rig.queue.take());
    CHECK_FALSE(rig.queue.take());
    CHECK(rig.queue.statistics().bad_completions == 1);
  }
  SUBCASE("more bytes than there is room") {
    rig.device.push(0, chain.head, 4'000'000'000);
    CHECK(rig.queue.take()->written == 10);
    CHECK(rig.queue.statistics().bad_lengths == 1);
  }
  SUBCASE("an index that runs ahead stops the queue") {
    rig.device.set_used_index(0, 3);
    CHECK_FALSE(rig.queue.take());
    CHECK(rig.queue.broken());
    CHECK_FALSE(rig.queue.add(request, 7));
    CHECK_FALSE(rig.queue.enable_interrupts());
  }
  SUBCASE("an index that runs backwards stops the queue") {
    rig.device.set_used_index(0, 0xffff);
    CHECK_FALSE(rig.queue.take());
    CHECK(rig.queue.broken());
  }
}

TEST_CASE("queue: sizes that the device offers") {
  FakeDevice device;
  const Negotiated modern{.good = true, .features = Feature::version_1};
  for (const std::uint16_t limit : std::initializer_list<std::uint16_t>{0, 1, 3, 100, 256, 1024, 0x8000}) {
    device.rings[0].limit = limit;
    Queue queue;
    CHECK(queue.start(device, 0, modern, 64) == (limit != 0));
    if (limit >= 64) CHECK(queue.size() == 64);
    if (limit == 3) CHECK(queue.size() == 2);
  }
  device.fixed_size = true;
  for (const std::uint16_t limit : std::initializer_list<std::uint16_t>{3, 0x8000, 2048}) {
    device.rings[0].limit = limit;
    Queue queue;
    CHECK_FALSE(queue.start(device, 0, modern, 64));
  }
  device.rings[0].limit = 256;
  Queue queue;
  CHECK(queue.start(device, 0, modern, 64));
  CHECK(queue.size() == 256);
}

TEST_CASE("queue: in memory of the caller's") {
  alignas(4096) static std::array<std::byte, Queue::memory_size(8)> memory;
  FakeDevice device;
  const Negotiated modern{.good = true, .features = Feature::version_1};
  {
    Queue queue;
    REQUIRE(queue.start(device, 0, modern, 8, 0, memory));
    CHECK(device.rings[0].at.descriptors == reinterpret_cast<std::uintptr_t>(memory.data()));
  }
  Queue small;
  CHECK_FALSE(small.start(device, 0, modern, 8, 0, std::span(memory).first(4096)));
  Queue crooked;
  CHECK_FALSE(crooked.start(device, 0, modern, 4, 0, std::span(memory).subspan(1)));
}
