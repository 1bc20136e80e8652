// SPDX-License-Identifier: ISC
// The conformance checks of Net and Stack over the cable: as it is, without offload, and with the offload shim.
#include <doctest/doctest.h>

#include <mirage/device/offload/offload.hpp>
#include <mirage/device/vnet/vnet.hpp>
#include <mirage/module/check/net.hpp>
#include <mirage/module/check/stack.hpp>
#include <mirage/module/check/virtual_environment.hpp>
#include <mirage/net/stack.hpp>

using namespace mirage;

namespace {

net::StackOptions options(unsigned host) {
  net::StackOptions out;
  out.ipv4 = {Ipv4Address::of(10, 0, 0, host), 24};
  return out;
}

struct Bed {
  explicit Bed(bool offload, std::uint16_t mtu = 1500) : wire(shard, {.mtu = mtu, .offload = offload}) {}
  check::VirtualEnvironment environment;
  Shard shard{environment};
  device::Vnet wire;
};

template <class Left, class Right>
Task<std::string_view> start_and_check(Shard& shard, Left& left, Right& right) {
  if (!co_await left.start()) co_return "the left stack did not start";
  if (!co_await right.start()) co_return "the right stack did not start";
  co_return co_await check::check_stack(shard, left, right, 80);
}

void check_stacks(Bed& bed, NetPort left, NetPort right) {
  net::Stack server{bed.shard, left, options(1)};
  net::Stack client{bed.shard, right, options(2)};
  const std::string broken{run(bed.shard, start_and_check(bed.shard, server, client)).value_or("no memory")};
  CHECK(broken == "");
}

}  // namespace

TEST_CASE("the cable conforms to Net") {
  for (const bool offload : {false, true}) {
    Bed bed{offload};
    CHECK(run(bed.shard, check::check_net(bed.shard, bed.wire.left(), bed.wire.right())) == std::string_view{});
    CHECK(bed.shard.buffers().statistics().bytes_in_use == 0);
  }
}

TEST_CASE("the offload shim over it conforms to Net") {
  Bed bed{false};
  device::Offload left{bed.shard, bed.wire.left()};
  device::Offload right{bed.shard, bed.wire.right()};
  left.adopt_capabilities();
  right.adopt_capabilities();
  CHECK(run(bed.shard, check::check_net(bed.shard, left, right)) == std::string_view{});
  CHECK(bed.shard.buffers().statistics().bytes_in_use == 0);
}

TEST_CASE("two stacks conform to Stack") {
  for (const bool offload : {false, true}) {
    for (const std::uint16_t mtu : {std::uint16_t{1500}, std::uint16_t{576}, std::uint16_t{9000}}) {
      Bed bed{offload, mtu};
      check_stacks(bed, NetPort{bed.wire.left()}, NetPort{bed.wire.right()});
    }
  }
}

TEST_CASE("two stacks on the offload shim conform to Stack") {
  Bed bed{false};
  device::Offload left{bed.shard, bed.wire.left()};
  device::Offload right{bed.shard, bed.wire.right()};
  left.adopt_capabilities();
  right.adopt_capabilities();
  check_stacks(bed, NetPort{left}, NetPort{right});
  CHECK(left.counters().split + right.counters().split > 0);
}
