// SPDX-License-Identifier: ISC
#include <functional>
#include <string_view>

#include <mirage/device/virtio/block_rig_test.hpp>

using namespace mirage;
using namespace mirage::virtio;
using virtio::test::FakeChain;
using virtio::test::FakeDevice;
using namespace virtio::test::block;

namespace {

/// Time passes by looking at it; what the device does then.
class TickingEnvironment final : public Environment {
 public:
  Time monotonic() noexcept override {
    now += 1ms;
    if (on_tick) on_tick(now);
    return now;
  }
  WallTime wall() noexcept override { return WallTime{}; }
  bool entropy(MutableBytes) noexcept override { return false; }
  void wait(Time) noexcept override {}
  void write_console(std::string_view) noexcept override {}
  Time now{};
  std::function<void(Time)> on_tick;
};

void answer_identifier(FakeDevice& device, const FakeChain& request, std::string_view name, std::uint8_t status) {
  REQUIRE(request.writable.size() == 2);
  REQUIRE(request.writable[0].size() == 20);
  std::ranges::copy(as_bytes(name), request.writable[0].begin());
  request.writable[1][0] = std::byte{status};
  device.push(0, request.head, 21);
}

/// More at once than the device has slots.
void check_that_it_works(Rig& rig) {
  std::array<std::byte, 512> bytes{};
  std::vector<Outcome> outcomes(100);
  for (Outcome& outcome : outcomes) REQUIRE(rig.scope.spawn(transfer(rig, rig.shard, false, 1, bytes, outcome)));
  for (unsigned i = 0; i < 3; ++i) {
    rig.turns();
    rig.serve();
  }
  rig.turns();
  for (const Outcome& outcome : outcomes) CHECK((outcome && outcome->has_value()));
}

}  // namespace

TEST_CASE("block: an identifier is waited for as long as patience lasts") {
  using Answer = BlockDevice::Answer;
  BlockDevice::Identifier identifier{};
  Rig rig;
  TickingEnvironment environment;
  REQUIRE(rig.start() == BlockDevice::Error::none);
  for (const std::uint8_t status : {std::uint8_t{0}, std::uint8_t{1}, std::uint8_t{2}}) {
    environment.on_tick = [&, asked = environment.now](Time now) {
      FakeChain request;
      if (now - asked < 4s || !rig.device.pop(0, request)) return;
      answer_identifier(rig.device, request, "data", status);
    };
    CHECK(rig.block.read_identifier(environment, identifier) == (status == 0 ? Answer::given : Answer::none));
    CHECK(std::string_view{identifier.data()} == (status == 0 ? "data" : ""));
  }
  check_that_it_works(rig);
}

TEST_CASE("block: a device that does not say what it is called is stopped, and writes nowhere afterwards") {
  using Answer = BlockDevice::Answer;
  BlockDevice::Identifier identifier{};
  Rig rig;
  TickingEnvironment environment;
  REQUIRE(rig.start() == BlockDevice::Error::none);
  const unsigned resets = rig.device.resets;
  SUBCASE("silent") {
    const Time asked = environment.now;
    CHECK(rig.block.read_identifier(environment, identifier) == Answer::silent);
    CHECK(environment.now - asked >= BlockDevice::patience);
    CHECK(environment.now - asked < 2 * BlockDevice::patience);
  }
  SUBCASE("it takes no notice of the reset") {
    FakeChain late;
    environment.on_tick = [&](Time) { (void)rig.device.pop(0, late); };
    CHECK(rig.block.read_identifier(environment, identifier) == Answer::silent);
    REQUIRE(late.writable.size() == 2);
    std::ranges::copy(as_bytes("late"), late.writable[0].begin());
    late.writable[1][0] = std::byte{0};
  }
  SUBCASE("nonsense") {
    rig.device.on_notify = [&](std::uint16_t queue) { rig.device.set_used_index(queue, 77); };
    CHECK(rig.block.read_identifier(environment, identifier) == Answer::silent);
    CHECK(environment.now < Time{} + 1s);
    rig.device.on_notify = nullptr;
  }
  CHECK(rig.device.resets == resets + 1);
  CHECK(identifier == BlockDevice::Identifier{});
  std::array<std::byte, 512> bytes{};
  Outcome outcome;
  REQUIRE(rig.scope.spawn(transfer(rig, rig.shard, false, 1, bytes, outcome)));
  rig.turns();
  REQUIRE(outcome);
  CHECK_FALSE(*outcome);
  REQUIRE(rig.start() == BlockDevice::Error::none);
  check_that_it_works(rig);
}
