// SPDX-License-Identifier: ISC
// In the place of the DHCPv6 client where none is linked: it never asks, says so once when routers refer to DHCPv6, and
// has no lease.
#pragma once

#include <cstdint>
#include <string_view>

#include <mirage/async/shard.hpp>
#include <mirage/module/udp_port.hpp>
#include <mirage/net/dhcp6/machine.hpp>

namespace mirage::net::dhcp6 {

class Absent {
 public:
  /// Why start() fails.
  static constexpr std::string_view unavailable = "routers offer more by DHCPv6: configure --dhcp-clients=both";

  template <Udp U>
  Absent(Shard& /*shard*/, U& /*udp*/) noexcept {}

  [[nodiscard]] Result<void, UdpError> start(Machine::Mode /*mode*/, const Identity& /*identity*/,
                                             const IpAddress& /*own*/, std::uint16_t /*zone*/) noexcept {
    started_ = true;
    return Failure{UdpError::no_route};
  }
  [[nodiscard]] static Actions::Change take_change() noexcept { return Actions::Change::none; }
  static void conflict() noexcept {}
  [[nodiscard]] static bool has(const IpAddress& /*address*/) noexcept { return false; }
  [[nodiscard]] bool started(Machine::Mode /*mode*/) const noexcept { return started_; }
  [[nodiscard]] static const Lease& lease() noexcept {
    static constexpr Lease none{};
    return none;
  }
  [[nodiscard]] static State state() noexcept { return State::stopped; }
  [[nodiscard]] static const Counters& counters() noexcept {
    static constexpr Counters none{};
    return none;
  }

 private:
  bool started_ = false;
};

}  // namespace mirage::net::dhcp6
