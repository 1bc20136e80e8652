// SPDX-License-Identifier: ISC
// A network device with several queue pairs: a flow keeps to one of them, none waits for another, memory stays what one
// pair has; and whatever a device does instead of agreeing to them, it is used with one.
#include <numeric>

#include <doctest/doctest.h>

#include <mirage/device/virtio/flow_hash.hpp>
#include <mirage/device/virtio/net_rig_test.hpp>

using namespace mirage;
using namespace mirage::virtio;
using namespace mirage::virtio::test;

namespace {

constexpr std::uint64_t control_queue = bit(17);
constexpr std::uint64_t pairs_feature = bit(22);
constexpr std::uint64_t both = control_queue | pairs_feature;

/// How the device takes the request for several pairs.
struct Answer {
  std::byte acknowledgement{0};
  std::uint32_t id_offset = 0;
  bool silent = false;
  bool needs_reset = false;
};

struct PairRig : Rig {
  explicit PairRig(std::uint16_t offered, std::uint64_t features = both | merge | offloads | Feature::indirect,
                   std::size_t pool_bytes = 2 << 20)
      : Rig(features, pool_bytes), control(static_cast<std::uint16_t>(2 * offered)) {
    store_little<std::uint16_t>(device.configuration, 8, offered);
    device.on_notify = [this](std::uint16_t queue) {
      if (queue == control && control > 1) take_request();
    };
  }

  void take_request() {
    FakeChain chain;
    if (!device.pop(control, chain)) return;
    ++requests;
    request = chain.read_all();
    pieces = chain.readable.size();
    if (answer.needs_reset) device.state |= Status::needs_reset;
    if (answer.silent || answer.needs_reset) return;
    CHECK(chain.write_all(Bytes{&answer.acknowledgement, 1}) == 1);
    device.push(control, chain.head + answer.id_offset, 1);
  }

  /// A TCP frame of IPv4; `host` stands in the address that it goes to.
  TransmitFrame segment(std::uint8_t host, std::uint16_t port) {
    TransmitFrame result = frame(54);
    const MutableBytes bytes = result.header.bytes();
    std::ranges::fill(bytes, std::byte{0});
    store_big<std::uint16_t>(bytes, 12, 0x0800);
    bytes[14] = std::byte{0x45};
    bytes[23] = std::byte{6};
    store_big<std::uint32_t>(bytes, 26, 0x0a00'0002);
    store_big<std::uint32_t>(bytes, 30, 0x0a00'0100U | host);
    store_big<std::uint16_t>(bytes, 34, 80);
    store_big<std::uint16_t>(bytes, 36, port);
    return result;
  }
  /// Sends it; the transmit queue that it went to.
  std::uint16_t queue_of(TransmitFrame sent) {
    std::array one{std::move(sent)};
    REQUIRE(net.send(one) == 1);
    FakeChain chain;
    for (std::uint16_t queue = 1; queue < FakeDevice::queues; queue += 2) {
      if (device.rings[queue].size == 0 || !device.pop(queue, chain)) continue;
      device.push(queue, chain.head, 0);
      return queue;
    }
    FAIL("sent nowhere");
    return 0;
  }
  /// Receive buffers that the device has, in all queues.
  unsigned buffers() {
    unsigned count = 0;
    FakeChain chain;
    for (std::uint16_t queue = 0; queue < 8; queue += 2) {
      while (device.rings[queue].size != 0 && device.pop(queue, chain)) ++count;
    }
    return count;
  }

  std::uint16_t control;
  Answer answer;
  unsigned requests = 0;
  std::vector<std::byte> request;
  std::size_t pieces = 0;
};

/// What is left after a device has not agreed to several pairs: one, all the memory, and no trace of the others.
void check_single(PairRig& rig) {
  REQUIRE(rig.net.start(rig.device) == NetDevice::Error::none);
  CHECK(rig.net.pair_count() == 1);
  CHECK(rig.device.state == (Status::acknowledge | Status::driver | Status::driver_ok |
                             (rig.device.is_modern ? Status::features_ok : std::uint8_t{0})));
  CHECK(rig.device.rings[0].size == 256);
  for (std::size_t queue = 2; queue < FakeDevice::queues; ++queue) CHECK(rig.device.rings[queue].size == 0);
  rig.deliver(60);
  CHECK(rig.net.poll(rig.received) == 1);
  CHECK(rig.queue_of(rig.segment(1, 1)) == 1);
  CHECK(rig.queue_of(rig.segment(2, 9)) == 1);
}

}  // namespace

TEST_CASE("net: pairs are asked for, behind all that the device has stands the control queue") {
  for (const auto [offered, used] : {std::pair<std::uint16_t, std::uint16_t>{2, 2}, {3, 3}, {4, 4}, {7, 4}}) {
    CAPTURE(offered);
    PairRig rig(offered);
    REQUIRE(rig.net.start(rig.device) == NetDevice::Error::none);
    CHECK(rig.net.pair_count() == used);
    CHECK(rig.requests == 1);
    CHECK(rig.request == std::vector{std::byte{4}, std::byte{0}, static_cast<std::byte>(used), std::byte{0}});
    CHECK(rig.pieces == 2);
    CHECK((rig.device.accepted & both) == both);
    for (std::uint16_t queue = 0; queue < 2 * used; ++queue) CHECK(rig.device.rings[queue].size >= 64);
    for (std::uint16_t queue = 2 * used; queue < rig.control; ++queue) CHECK(rig.device.rings[queue].size == 0);
  }
}

TEST_CASE("net: a device that offers no pairs is asked for none") {
  for (const std::uint64_t features : {std::uint64_t{0}, pairs_feature, control_queue}) {
    PairRig rig(4, features);
    check_single(rig);
    CHECK(rig.requests == 0);
    CHECK((rig.device.accepted & both) == 0);
  }
}

TEST_CASE("net: one pair, none, or more than there are numbers for") {
  for (const std::uint16_t offered : std::to_array<std::uint16_t>({0, 1, 0x8000, 0xffff})) {
    CAPTURE(offered);
    PairRig rig(offered);
    check_single(rig);
    CHECK(rig.requests == 0);
    CHECK((rig.device.accepted & both) == 0);
  }
}

TEST_CASE("net: a device that does not agree to its pairs is used with one, from the reset on") {
  PairRig rig(2);
  SUBCASE("refuses") { rig.answer.acknowledgement = std::byte{1}; }
  SUBCASE("writes nonsense") { rig.answer.acknowledgement = std::byte{0x5a}; }
  SUBCASE("acknowledges and writes nothing") { rig.answer.acknowledgement = std::byte{0xff}; }
  SUBCASE("finishes a request that nobody made") { rig.answer.id_offset = 1; }
  SUBCASE("never answers") { rig.answer.silent = true; }
  SUBCASE("wants to be reset") { rig.answer.needs_reset = true; }
  SUBCASE("has no control queue") { rig.device.rings[4].limit = 0; }
  SUBCASE("has a control queue without room") { rig.device.rings[4].limit = 2; }
  SUBCASE("has no second receive queue") { rig.device.rings[2].limit = 0; }
  SUBCASE("has no second transmit queue") { rig.device.rings[3].limit = 0; }
  check_single(rig);
  CHECK(rig.device.resets == 3);  // one before each attempt, one between them
  CHECK((rig.device.accepted & both) == 0);
  CHECK(rig.buffers() == 256);
}

TEST_CASE("net: a control queue that is not there, far behind the pairs") {
  PairRig rig(1000);
  check_single(rig);
}

TEST_CASE("net: a device that takes its time is waited for") {
  PairRig rig(2);
  rig.device.on_notify = nullptr;
  unsigned looks = 0;
  rig.device.on_status = [&] {
    if (rig.device.rings[4].size != 0 && ++looks == 1000) rig.take_request();
  };
  REQUIRE(rig.net.start(rig.device) == NetDevice::Error::none);
  CHECK(rig.net.pair_count() == 2);
}

TEST_CASE("net: the pairs share the memory of one, and none gets too little for a frame of 64 KiB") {
  const auto start = [](PairRig& rig) {
    REQUIRE(rig.net.start(rig.device) == NetDevice::Error::none);
    return rig.pool.statistics().bytes_in_use;
  };
  for (const std::size_t bytes : {4UL << 20, 2UL << 20, 1UL << 20, 512UL << 10, 200UL << 10}) {
    CAPTURE(bytes);
    PairRig one(1, both, bytes);
    PairRig four(4, both, bytes);
    CHECK(start(four) <= start(one));
    CHECK(four.net.pair_count() == std::clamp<std::size_t>(bytes >> 19, 1, 4));
    if (four.net.pair_count() > 1) CHECK(four.buffers() == 64 * four.net.pair_count());
  }
}

TEST_CASE("net: frames come from all pairs, each call begins with another one") {
  PairRig rig(3);
  REQUIRE(rig.net.start(rig.device) == NetDevice::Error::none);
  // The first never runs dry; what is in the others comes all the same.
  for (unsigned i = 0; i < 24; ++i) rig.deliver_to(0, 100);
  rig.deliver_to(1, 201);
  rig.deliver_to(2, 302);
  rig.deliver_to(2, 302);
  std::array<unsigned, 4> of_size{};
  const auto poll = [&] {
    const std::size_t count = rig.net.poll(rig.received);
    for (std::size_t i = 0; i < count; ++i) ++of_size.at(rig.received.at(i).data.byte_count() / 100);
    return count;
  };
  CHECK(poll() == 8);
  CHECK(of_size == std::array<unsigned, 4>{0, 8, 0, 0});
  CHECK(poll() == 8);
  CHECK(of_size == std::array<unsigned, 4>{0, 13, 1, 2});
  while (poll() != 0) {
  }
  CHECK(of_size == std::array<unsigned, 4>{0, 24, 1, 2});
  CHECK(rig.net.statistics().received == 27);
  CHECK(rig.net.pair_statistics(0).received == 24);
  CHECK(rig.net.pair_statistics(2).received == 2);
}

TEST_CASE("net: frames of several buffers grow in two pairs at once") {
  PairRig rig(2);
  REQUIRE(rig.net.start(rig.device) == NetDevice::Error::none);
  const auto give = [&](std::uint16_t queue, std::size_t size, std::uint16_t buffers) {
    std::vector<std::byte> bytes(size, static_cast<std::byte>(queue + 1));
    if (buffers != 0) {
      std::fill_n(bytes.begin(), 12, std::byte{0});
      store_little<std::uint16_t>(bytes, 10, buffers);
    }
    FakeChain chain;
    REQUIRE(rig.device.pop(queue, chain));
    rig.device.push(queue, chain.head, chain.write_all(bytes));
  };
  give(0, 1000, 3);
  give(2, 500, 2);
  CHECK(rig.net.poll(rig.received) == 0);
  give(0, 1000, 0);
  CHECK(rig.net.poll(rig.received) == 0);
  give(2, 500, 0);
  give(0, 1000, 0);
  REQUIRE(rig.net.poll(rig.received) == 2);
  for (const std::size_t size : {std::size_t{2988}, std::size_t{988}}) {
    const auto& data = rig.received.at(rig.received[0].data.byte_count() == size ? 0 : 1).data;
    CHECK(data.byte_count() == size);
    for (const Slice& slice : data) {
      for (const std::byte each : slice.bytes())
        REQUIRE(each == std::byte{size == 988 ? std::uint8_t{3} : std::uint8_t{1}});
    }
  }
}

TEST_CASE("net: a flow keeps to one pair, flows spread over all") {
  PairRig rig(4);
  REQUIRE(rig.net.start(rig.device) == NetDevice::Error::none);
  std::array<unsigned, 8> flows{};
  for (std::uint16_t flow = 0; flow < 400; ++flow) {
    const auto host = static_cast<std::uint8_t>(flow % 5);
    const auto port = static_cast<std::uint16_t>(40000 + flow);
    const std::uint16_t queue = rig.queue_of(rig.segment(host, port));
    CHECK(rig.queue_of(rig.segment(host, port)) == queue);
    ++flows.at(queue);
  }
  for (const std::size_t queue : {1U, 3U, 5U, 7U}) CHECK(flows.at(queue) > 60);
  CHECK(rig.net.statistics().sent == 800);
  CHECK(rig.net.pair_statistics(0).sent == 2 * flows[1]);
}

TEST_CASE("net: where the headers end in a frame does not matter to its pair") {
  PairRig rig(4);
  REQUIRE(rig.net.start(rig.device) == NetDevice::Error::none);
  for (std::uint16_t port = 1; port < 30; ++port) {
    const std::uint16_t queue = rig.queue_of(rig.segment(1, port));
    const TransmitFrame whole = rig.segment(1, port);
    for (const std::size_t cut : {0U, 14U, 30U, 35U}) {
      TransmitFrame parts;
      const Bytes bytes = std::as_const(whole.header).bytes();
      if (cut > 0) {
        parts.header = rig.pool.allocate(cut, header_headroom);
        std::ranges::copy(bytes.first(cut), parts.header.grow_back(static_cast<std::uint32_t>(cut)).begin());
      }
      REQUIRE(parts.payload.push_back(rig.pool.copy(bytes.subspan(cut))));
      CHECK(rig.queue_of(std::move(parts)) == queue);
    }
  }
}

TEST_CASE("net: a pair that is full holds the rest back; room in any of them wakes") {
  PairRig rig(2);
  REQUIRE(rig.net.start(rig.device) == NetDevice::Error::none);
  unsigned sent = 0;
  for (;; ++sent) {
    std::array one{rig.segment(1, 1)};
    if (rig.net.send(one) == 0) break;
  }
  CHECK(sent == 64);
  CHECK_FALSE(rig.net.arm());
  FakeChain chain;
  const std::uint16_t queue = rig.device.pop(1, chain) ? 1 : 3;
  if (queue == 3) REQUIRE(rig.device.pop(3, chain));
  rig.device.push(queue, chain.head, 0);
  CHECK(rig.net.arm());
  rig.net.disarm();
  std::array again{rig.segment(1, 1)};
  CHECK(rig.net.send(again) == 1);
}

TEST_CASE("net: any pair's frames end the sleep") {
  for (std::uint16_t pair = 0; pair < 4; ++pair) {
    PairRig rig(4, both | Feature::event_index);
    REQUIRE(rig.net.start(rig.device) == NetDevice::Error::none);
    CHECK_FALSE(rig.net.arm());
    for (std::uint16_t queue = 0; queue < 8; queue += 2) {
      CHECK(rig.device.used_event(queue) == rig.device.rings[queue].used);
    }
    rig.deliver_to(pair, 60);
    CHECK(rig.net.arm());
    rig.net.disarm();
    CHECK(rig.net.poll(rig.received) == 1);
  }
}

TEST_CASE("net: one pair's broken ring does not stop the others") {
  PairRig rig(2);
  REQUIRE(rig.net.start(rig.device) == NetDevice::Error::none);
  rig.device.set_used_index(2, 20'000);
  rig.device.push(0, 4711, 1);
  rig.deliver_to(0, 60);
  CHECK(rig.net.poll(rig.received) == 1);
  CHECK(rig.net.receive_ring(0).bad_completions == 1);
  CHECK(rig.net.receive_ring(1).bad_completions == 0);
  rig.deliver_to(0, 60);
  CHECK(rig.net.poll(rig.received) == 1);
}

TEST_CASE("net: pairs of a legacy device") {
  PairRig rig(2, both);
  rig.device.is_modern = false;
  rig.device.fixed_size = true;
  rig.device.offered &= ~Feature::version_1;
  REQUIRE(rig.net.start(rig.device) == NetDevice::Error::none);
  CHECK(rig.net.pair_count() == 2);
  CHECK(rig.device.rings[2].size == 256);
  CHECK(rig.buffers() == 2 * 128);
}

TEST_CASE("net: the counters of each pair, when there are several") {
  struct Names final : CounterVisitor {
    void counters(std::string_view part, const CounterSet&) noexcept override { parts.emplace_back(part); }
    void gauge(std::string_view, std::string_view, std::uint64_t) noexcept override {}
    std::vector<std::string> parts;
  };
  const auto parts_of = [](std::uint16_t offered) {
    PairRig rig(offered);
    REQUIRE(rig.net.start(rig.device) == NetDevice::Error::none);
    Names names;
    rig.net.visit_counters(names);
    return names.parts;
  };
  const std::vector<std::string> one{"virtio_net", "virtio_receive_ring", "virtio_transmit_ring"};
  CHECK(parts_of(1) == one);
  CHECK(std::ranges::count(parts_of(3), "virtio_pair") == 3);
}

TEST_CASE("net: a device that was not started takes and gives nothing") {
  PairRig rig(2);
  rig.device.rings[0].limit = 0;
  CHECK(rig.net.start(rig.device) == NetDevice::Error::no_queue);
  PairRig other(2);
  for (NetDevice* net : {&rig.net, &other.net}) {
    std::array one{rig.segment(1, 1)};
    CHECK(net->poll(rig.received) == 0);
    CHECK(net->send(one) == 0);
    CHECK_FALSE(net->arm());
    net->disarm();
  }
}

TEST_CASE("net: all pairs' buffers go back when the device goes") {
  BufferPool pool(2 << 20);
  {
    PairRig rig(4);
    NetDevice net(pool, rig.environment);
    REQUIRE(net.start(rig.device) == NetDevice::Error::none);
    CHECK(net.pair_count() == 4);
    CHECK(pool.statistics().bytes_in_use > 0);
  }
  CHECK(pool.statistics().bytes_in_use == 0);
}

namespace {

/// A frame's first bytes for the compiler: type, then `size` bytes of a packet, each with its place as value.
template <std::size_t size>
consteval std::array<std::byte, 14 + size> frame_of(std::uint16_t type, std::uint8_t first) {
  std::array<std::byte, 14 + size> frame{};
  store_big<std::uint16_t>(frame, 12, type);
  for (std::size_t i = 0; i < size; ++i) frame[14 + i] = static_cast<std::byte>(i);
  frame[14] = std::byte{first};
  return frame;
}

consteval std::uint32_t hash_with(auto frame, std::size_t at, std::uint8_t value) {
  frame[at] = std::byte{value};
  return flow_hash(frame);
}

constexpr std::size_t v4_fragment = 14 + 6;
constexpr std::size_t v4_protocol = 14 + 9;
consteval auto tcp4() {
  auto frame = frame_of<40>(0x0800, 0x45);
  frame[v4_fragment] = frame[v4_fragment + 1] = std::byte{0};
  frame[v4_protocol] = std::byte{6};
  return frame;
}
constexpr std::uint32_t tcp4_hash = flow_hash(tcp4());
// Addresses and ports count, nothing else does: not length, identification, sequence number.
static_assert(hash_with(tcp4(), 14 + 19, 77) != tcp4_hash && hash_with(tcp4(), 14 + 12, 77) != tcp4_hash);
static_assert(hash_with(tcp4(), 14 + 20, 77) != tcp4_hash && hash_with(tcp4(), 14 + 23, 77) != tcp4_hash);
static_assert(hash_with(tcp4(), 14 + 3, 77) == tcp4_hash && hash_with(tcp4(), 14 + 5, 77) == tcp4_hash);
static_assert(hash_with(tcp4(), 14 + 24, 77) == tcp4_hash && hash_with(tcp4(), v4_fragment, 0x40) == tcp4_hash);
// Fragments, UDP and what else there is: addresses only, whatever stands where ports would.
constexpr std::uint32_t addresses4_hash = hash_with(tcp4(), v4_protocol, 17);
static_assert(hash_with(tcp4(), v4_fragment, 0x20) == addresses4_hash && addresses4_hash != tcp4_hash);
static_assert(hash_with(tcp4(), v4_fragment + 1, 1) == addresses4_hash);
static_assert(hash_with(tcp4(), v4_protocol, 1) == addresses4_hash);
// A header that claims more than there is has no ports.
static_assert(hash_with(tcp4(), 14, 0x4f) == addresses4_hash);

consteval auto tcp6() {
  auto frame = frame_of<60>(0x86dd, 0x60);
  frame[14 + 6] = std::byte{6};
  return frame;
}
constexpr std::uint32_t tcp6_hash = flow_hash(tcp6());
static_assert(hash_with(tcp6(), 14 + 8, 77) != tcp6_hash && hash_with(tcp6(), 14 + 39, 77) != tcp6_hash);
static_assert(hash_with(tcp6(), 14 + 43, 77) != tcp6_hash && hash_with(tcp6(), 14 + 44, 77) == tcp6_hash);
static_assert(hash_with(tcp6(), 14 + 6, 44) == hash_with(tcp6(), 14 + 6, 17));

consteval auto tagged(auto frame) {
  std::array<std::byte, frame.size() + 4> out{};
  std::ranges::copy(Bytes(frame).first(12), out.begin());
  store_big<std::uint16_t>(out, 12, 0x8100);
  std::ranges::copy(Bytes(frame).subspan(12), out.begin() + 16);
  return out;
}
static_assert(flow_hash(tagged(tcp4())) == tcp4_hash && flow_hash(tagged(tcp6())) == tcp6_hash);

consteval bool short_frames_are_fine() {
  const auto frame = tagged(tcp6());
  std::uint32_t sum = 0;
  for (std::size_t size = 0; size < frame.size(); ++size) sum ^= flow_hash(Bytes(frame).first(size));
  return sum != 1;
}
static_assert(short_frames_are_fine());
static_assert(flow_hash(frame_of<40>(0x0806, 0x45)) == 0);
static_assert(place_of(0, 3) == 0 && place_of(UINT32_MAX, 3) == 2 && place_of(UINT32_MAX / 2, 2) == 0);

}  // namespace
