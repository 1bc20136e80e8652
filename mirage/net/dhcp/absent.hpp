// SPDX-License-Identifier: ISC
// In the place of the DHCP client where none is linked: it never starts and has no lease.
#pragma once

#include <string_view>

#include <mirage/async/shard.hpp>
#include <mirage/module/udp_port.hpp>
#include <mirage/net/dhcp/machine.hpp>

namespace mirage::net::dhcp {

class Absent {
 public:
  template <Udp U>
  Absent(Shard& /*shard*/, U& /*udp*/, std::string_view /*host_name*/) noexcept {}

  [[nodiscard]] static Result<void, UdpError> start(const MacAddress& /*mac*/) noexcept {
    return Failure{UdpError::no_route};
  }
  [[nodiscard]] static Actions::Change take_change() noexcept { return Actions::Change::none; }
  [[nodiscard]] static bool declines() noexcept { return false; }
  static void conflict() noexcept {}
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

}  // namespace mirage::net::dhcp
