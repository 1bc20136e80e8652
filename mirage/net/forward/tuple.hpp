// SPDX-License-Identifier: ISC
// What identifies a packet's flow: protocol, addresses, ports. ICMP queries have their identifier as both ports
// (RFC 5508 3.1).
#pragma once

#include <array>
#include <cstdint>

#include <mirage/base/address.hpp>
#include <mirage/base/random.hpp>

namespace mirage::net::forward {

struct Tuple {
  Ipv4Address source{};
  Ipv4Address destination{};
  Port source_port = 0;
  Port destination_port = 0;
  std::uint8_t protocol = 0;
  constexpr bool operator==(const Tuple&) const = default;

  /// That of the answer.
  [[nodiscard]] constexpr Tuple reversed() const noexcept {
    return {destination, source, destination_port, source_port, protocol};
  }
};

/// A keyed hash: whoever sends packets cannot aim at one bucket.
[[nodiscard]] inline std::uint64_t hash_of(const SipKey& key, const Tuple& tuple) noexcept {
  std::array<std::byte, 13> message;  // NOLINT: every byte is stored below
  const MutableBytes out{message};
  store_big(out, 0, tuple.source.value);
  store_big(out, 4, tuple.destination.value);
  store_big(out, 8, tuple.source_port);
  store_big(out, 10, tuple.destination_port);
  store_big(out, 12, tuple.protocol);
  return siphash(key, message);
}

}  // namespace mirage::net::forward
