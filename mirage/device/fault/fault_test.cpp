// SPDX-License-Identifier: ISC
#include <memory>
#include <string>
#include <vector>

#include <doctest/doctest.h>

#include <mirage/async/scope.hpp>
#include <mirage/device/fault/fault.hpp>
#include <mirage/device/loopback/loopback.hpp>
#include <mirage/device/offload/offload.hpp>
#include <mirage/module/check/net.hpp>
#include <mirage/module/check/stack.hpp>
#include <mirage/module/check/virtual_environment.hpp>
#include <mirage/net/stack.hpp>

using namespace mirage;

namespace {

std::string broken_rule(std::optional<std::string_view> outcome) { return std::string{outcome.value_or("no memory")}; }

constexpr std::uint32_t percent = 10'000;

struct Fixture {
  check::VirtualEnvironment environment;
  Shard shard{environment};
  std::unique_ptr<device::Loopback> wire =
      std::make_unique<device::Loopback>(shard, device::LoopbackOptions{.offload = true});
};

/// Sends `count` frames one after the other, a millisecond apart, and writes down what arrives when.
std::vector<std::string> trace(const device::FaultOptions& options, int count, device::Fault::Counters& counters) {
  Fixture fixture;
  const auto fault = std::make_unique<device::Fault>(fixture.shard, fixture.wire->right(), options);
  std::vector<std::string> lines;
  for (int i = 0; i < count + 100; ++i) {
    if (i < count) {
      TransmitFrame frame = check::detail::make_frame(fixture.shard, static_cast<std::uint8_t>(i), 60, 14);
      frame.header.bytes()[12] = std::byte{8};
      frame.header.bytes()[13] = std::byte{0};
      REQUIRE(fixture.wire->left().send({&frame, 1}) == 1);
    }
    fixture.environment.now += 1ms;
    (void)fixture.shard.turn();
    std::array<ReceivedFrame, 8> frames;
    const std::size_t arrived = fault->poll(frames);
    for (std::size_t k = 0; k < arrived; ++k) {
      std::string bytes;
      for (const Slice& slice : frames[k].data) bytes += slice.text();
      lines.push_back(std::to_string(i) + ":" + bytes);
    }
  }
  counters = fault->counters();
  return lines;
}

/// Two connections, used and closed. (A reset is not tried: it may be lost, and nobody would tell.)
Task<std::string_view> use_connections(Shard& shard, net::Stack& server, net::Stack& client) {
  auto listener = server.tcp().listen(80, ListenOptions{});
  if (!listener) co_return "cannot listen";
  const Endpoint at{server.address(), 80, 0};
  for (int round = 0; round < 2; ++round) {
    std::optional<net::Stack::Tcp::Flow> left;
    std::optional<net::Stack::Tcp::Flow> right;
    if (!co_await check::detail::open(shard, server, client, *listener, at, left, right)) co_return "no connection";
    std::string_view broken;
    if (round == 0) broken = co_await check::check_flow(shard, *left, *right);
    if (round == 1) broken = co_await check::check_close(shard, *left, *right);
    if (!broken.empty()) co_return broken;
  }
  co_return "";
}

}  // namespace

TEST_CASE_FIXTURE(Fixture, "fault: without faults a device like the one it wraps") {
  const auto right = std::make_unique<device::Fault>(shard, wire->right(), device::FaultOptions{});
  CHECK(broken_rule(run(shard, check::check_net(shard, wire->left(), *right))) == "");
  right->set_options({.delay = 3ms});
  CHECK(broken_rule(run(shard, check::check_net(shard, wire->left(), *right))) == "");
}

TEST_CASE("fault: the same seed gives the same trace, another seed another") {
  const device::FaultOptions options{.seed = 42,
                                     .loss = 10 * percent,
                                     .duplicate = 10 * percent,
                                     .reorder = 10 * percent,
                                     .corrupt = 10 * percent,
                                     .delay = 1ms,
                                     .jitter = 3ms};
  device::Fault::Counters first;
  device::Fault::Counters second;
  const auto once = trace(options, 400, first);
  CHECK(once == trace(options, 400, second));
  device::FaultOptions other = options;
  other.seed = 43;
  CHECK(once != trace(other, 400, second));
}

TEST_CASE("fault: each fault happens about as often as asked for, and to nothing else") {
  device::Fault::Counters counters;
  CHECK(trace({.loss = 100 * percent}, 50, counters).empty());
  CHECK(counters.lost == 50);
  CHECK(trace({.duplicate = 100 * percent}, 50, counters).size() == 100);
  const auto plain = trace({}, 1000, counters);
  CHECK(plain.size() == 1000);
  const auto half = trace({.loss = 50 * percent}, 1000, counters);
  CHECK(half.size() > 400);
  CHECK(half.size() < 600);
  CHECK(half.size() + counters.lost == 1000);
  const auto corrupted = trace({.corrupt = 100 * percent}, 1000, counters);
  REQUIRE(corrupted.size() == 1000);
  for (std::size_t i = 0; i < corrupted.size(); ++i) {
    int bits = 0;
    REQUIRE(corrupted[i].size() == plain[i].size());
    for (std::size_t k = 0; k < plain[i].size(); ++k) {
      bits += __builtin_popcount(static_cast<unsigned>(corrupted[i][k] ^ plain[i][k]) & 0xff);
    }
    CHECK(bits == 1);
  }
  const auto reordered = trace({.reorder = 20 * percent}, 100, counters);
  CHECK(reordered.size() == 100);
  CHECK(counters.reordered > 5);
  CHECK(reordered != std::vector(plain.begin(), plain.begin() + 100));
}

TEST_CASE_FIXTURE(Fixture, "fault: a cut wire") {
  const auto right = std::make_unique<device::Fault>(shard, wire->right(), device::FaultOptions{});
  right->set_cut(true);
  TransmitFrame frame = check::detail::make_frame(shard, 1, 60, 14);
  REQUIRE(wire->left().send({&frame, 1}) == 1);
  std::array<ReceivedFrame, 4> frames;
  CHECK(right->poll(frames) == 0);
  CHECK(right->counters().lost == 1);
}

TEST_CASE("fault: our stacks deliver everything over a bad wire") {
  for (std::uint64_t seed = 1; seed <= 5; ++seed) {
    CAPTURE(seed);
    check::VirtualEnvironment environment{seed};
    Shard shard{environment};
    shard.log().set_default(LogLevel::error);
    const auto wire = std::make_unique<device::Loopback>(shard);
    const device::FaultOptions options{.seed = seed,
                                       .loss = 3 * percent,
                                       .duplicate = 1 * percent,
                                       .reorder = 3 * percent,
                                       .corrupt = 1 * percent,
                                       .delay = 1ms,
                                       .jitter = 1ms};
    const auto left_wire = std::make_unique<device::Fault>(shard, wire->left(), options);
    const auto right_wire = std::make_unique<device::Fault>(shard, wire->right(), options);
    const auto left_device = std::make_unique<device::Offload>(shard, *left_wire);
    const auto right_device = std::make_unique<device::Offload>(shard, *right_wire);
    REQUIRE(run(shard, left_device->start()).value());
    REQUIRE(run(shard, right_device->start()).value());
    const auto left = std::make_unique<net::Stack>(shard, *left_device,
                                                   net::StackOptions{{.ipv4 = {Ipv4Address::of(10, 0, 0, 1), 24}}});
    const auto right = std::make_unique<net::Stack>(shard, *right_device,
                                                    net::StackOptions{{.ipv4 = {Ipv4Address::of(10, 0, 0, 2), 24}}});
    REQUIRE(run(shard, left->start()).value());
    REQUIRE(run(shard, right->start()).value());
    CHECK(broken_rule(run(shard, use_connections(shard, *left, *right))) == "");
  }
}
