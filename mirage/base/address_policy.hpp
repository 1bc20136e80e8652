// SPDX-License-Identifier: ISC
// What the choice of addresses goes by, a flow's source as well as its destination: RFC 6724 sections 2.1 (policy
// table), 2.2 (common prefix) and 3 (scopes).
#pragma once

#include <array>
#include <bit>
#include <cstdint>

#include <mirage/base/address.hpp>

namespace mirage {

struct AddressPolicy {
  IpPrefix prefix;
  std::uint8_t precedence;
  std::uint8_t label;
};

/// RFC 6724 2.1, longest prefix first.
inline constexpr std::array<AddressPolicy, 9> address_policy_table{{
    {{IpAddress::of(0, 1), 128}, 50, 0},
    {Ipv4Prefix{}, 35, 4},
    {{IpAddress::of(0, 0), 96}, 1, 3},
    {{IpAddress::of(0x2001'0000'0000'0000, 0), 32}, 5, 5},
    {{IpAddress::of(0x2002'0000'0000'0000, 0), 16}, 30, 2},
    {{IpAddress::of(0x3ffe'0000'0000'0000, 0), 16}, 1, 12},
    {{IpAddress::of(0xfec0'0000'0000'0000, 0), 10}, 1, 11},
    {{IpAddress::of(0xfc00'0000'0000'0000, 0), 7}, 3, 13},
    {{IpAddress::of(0, 0), 0}, 40, 1},
}};

[[nodiscard]] constexpr const AddressPolicy& policy_of(const IpAddress& address) noexcept {
  for (const AddressPolicy& policy : address_policy_table) {
    if (policy.prefix.contains(address)) return policy;
  }
  return address_policy_table.back();
}

/// RFC 6724 3.1, 3.2: multicast scope numbers, for unicast addresses too.
[[nodiscard]] constexpr unsigned scope_of(const IpAddress& address) noexcept {
  constexpr unsigned link_local = 2;
  constexpr unsigned site_local = 5;
  constexpr unsigned global = 14;
  if (!address.is_v4() && address.is_multicast()) return address.octets[1] & 0x0fU;
  if (address.is_link_local() || address.is_loopback()) return link_local;
  return !address.is_v4() && address.high() >> 54 == 0x3fb ? site_local : global;
}

/// Leading bits that two addresses share, at most the length of `a`'s prefix (RFC 6724 2.2).
[[nodiscard]] constexpr unsigned common_prefix(const IpPrefix& a, const IpAddress& b) noexcept {
  const std::uint64_t high = a.address.high() ^ b.high();
  const auto bits =
      static_cast<unsigned>(high != 0 ? std::countl_zero(high) : 64 + std::countl_zero(a.address.low() ^ b.low()));
  return bits < a.length ? bits : a.length;
}

}  // namespace mirage
