// SPDX-License-Identifier: ISC
#include <memory>

#include <doctest/doctest.h>

#include <mirage/async/scope.hpp>
#include <mirage/device/loopback/loopback.hpp>
#include <mirage/device/offload/offload.hpp>
#include <mirage/module/check/net.hpp>
#include <mirage/module/check/stack.hpp>
#include <mirage/module/check/virtual_environment.hpp>
#include <mirage/net/stack.hpp>

using namespace mirage;

namespace {

std::string broken_rule(std::optional<std::string_view> outcome) { return std::string{outcome.value_or("no memory")}; }

struct Wire {
  explicit Wire(const device::LoopbackOptions& options = {}) : loopback(shard, options) {
    shard.log().set_default(LogLevel::error);
  }
  check::VirtualEnvironment environment;
  Shard shard{environment};
  device::Loopback loopback;
};

}  // namespace

TEST_CASE("loopback: both ends conform") {
  for (const bool offload : {false, true}) {
    for (const int mtu : {576, 1500, 9000}) {
      CAPTURE(mtu);
      const auto wire =
          std::make_unique<Wire>(device::LoopbackOptions{.mtu = static_cast<std::uint16_t>(mtu), .offload = offload});
      CHECK(broken_rule(
                run(wire->shard, check::check_net(wire->shard, wire->loopback.left(), wire->loopback.right()))) == "");
      CHECK(wire->shard.buffers().statistics().bytes_in_use == 0);
    }
  }
}

TEST_CASE("loopback: a full wire leaves frames with the sender") {
  const auto wire = std::make_unique<Wire>();
  std::size_t sent = 0;
  for (int i = 0; i < 200; ++i) {
    TransmitFrame frame = check::detail::make_frame(wire->shard, 1, 60, 14);
    sent += wire->loopback.left().send({&frame, 1});
  }
  CHECK(sent == 128);
  std::array<ReceivedFrame, 64> frames;
  CHECK(wire->loopback.right().poll(frames) == 64);
  TransmitFrame frame = check::detail::make_frame(wire->shard, 1, 60, 14);
  CHECK(wire->loopback.left().send({&frame, 1}) == 1);
}

TEST_CASE("loopback: offloads are refused when it has none, and a frame may have many pieces") {
  const auto wire = std::make_unique<Wire>();
  TransmitFrame frame = check::detail::make_frame(wire->shard, 1, 60, 14);
  frame.offload.needs_checksum = true;
  CHECK(wire->loopback.left().send({&frame, 1}) == 1);
  CHECK(wire->loopback.left().counters().drop_unsupported == 1);
  TransmitFrame many = check::detail::make_frame(wire->shard, 0, 14, 14);
  for (std::size_t i = 0; i < SliceList::capacity; ++i) {
    const std::byte byte{static_cast<unsigned char>(14 + i)};
    REQUIRE(many.payload.push_back(wire->shard.buffers().copy({&byte, 1})));
  }
  CHECK(wire->loopback.left().send({&many, 1}) == 1);
  std::array<ReceivedFrame, 2> received;
  REQUIRE(wire->loopback.right().poll(received) == 1);
  CHECK(check::detail::is_frame(received[0], 0, 14 + SliceList::capacity));
}

TEST_CASE("loopback: two of our own stacks conform") {
  // The stack emits partial checksums and large segments: this wire carries them.
  const auto wire = std::make_unique<Wire>(device::LoopbackOptions{.offload = true});
  Shard& shard = wire->shard;
  const auto left = std::make_unique<net::Stack>(shard, wire->loopback.left(),
                                                 net::StackOptions{{.ipv4 = {Ipv4Address::of(10, 0, 0, 1), 24}}});
  const auto right = std::make_unique<net::Stack>(shard, wire->loopback.right(),
                                                  net::StackOptions{{.ipv4 = {Ipv4Address::of(10, 0, 0, 2), 24}}});
  REQUIRE(run(shard, left->start()).value());
  REQUIRE(run(shard, right->start()).value());
  CHECK(broken_rule(run(shard, check::check_stack(shard, *left, *right, 7))) == "");
}

TEST_CASE("loopback: what stands between a device and a stack conforms as well") {
  const auto wire = std::make_unique<Wire>();
  Shard& shard = wire->shard;
  NetPort left{wire->loopback.left()};
  NetPort right{wire->loopback.right()};
  CHECK(broken_rule(run(shard, check::check_net(shard, left, right))) == "");
  const auto near = std::make_unique<device::Offload>(shard, left);
  const auto far = std::make_unique<device::Offload>(shard, right);
  REQUIRE(run(shard, near->start()).value());
  REQUIRE(run(shard, far->start()).value());
  CHECK(broken_rule(run(shard, check::check_net(shard, *near, *far))) == "");

  const auto server =
      std::make_unique<net::Stack>(shard, *near, net::StackOptions{{.ipv4 = {Ipv4Address::of(10, 0, 0, 1), 24}}});
  const auto client =
      std::make_unique<net::Stack>(shard, *far, net::StackOptions{{.ipv4 = {Ipv4Address::of(10, 0, 0, 2), 24}}});
  REQUIRE(run(shard, server->start()).value());
  REQUIRE(run(shard, client->start()).value());
  CHECK(broken_rule(run(shard, check::check_stack(shard, *server, *client, 80))) == "");
}
