// SPDX-License-Identifier: ISC
// In the place of the DHCPv6 client where none is linked: it never asks, whatever routers advertise, and has no lease.
#pragma once

#include <cstdint>

#include <mirage/async/shard.hpp>
#include <mirage/module/udp_port.hpp>
#include <mirage/net/dhcp6/machine.hpp>

namespace mirage::net::dhcp6 {

class Absent {
 public:
  template <Udp U>
  Absent(Shard& /*shard*/, U& /*udp*/) noexcept {}

  [[nodiscard]] static Result<void, UdpError> start(Machine::Mode /*mode*/, const MacAddress& /*mac*/,
                                                    const IpAddress& /*own*/, std::uint16_t /*zone*/) noexcept {
    return {};
  }
  [[nodiscard]] static Actions::Change take_change() noexcept { return Actions::Change::none; }
  static void conflict() noexcept {}
  [[nodiscard]] static bool has(const IpAddress& /*address*/) noexcept { return false; }
  /// Nothing more is to be started.
  [[nodiscard]] static bool started() noexcept { return true; }
  [[nodiscard]] static const Lease& lease() noexcept {
    static constexpr Lease none{};
    return none;
  }
  [[nodiscard]] static State state() noexcept { return State::stopped; }
  [[nodiscard]] static const Counters& counters() noexcept {
    static constexpr Counters none{};
    return none;
  }
};

}  // namespace mirage::net::dhcp6
