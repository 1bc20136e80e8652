// SPDX-License-Identifier: ISC
// Which of our addresses a new flow starts from: RFC 6724 sections 2.1 (policy table), 3.1 (scopes) and 5 (rules).
// Deliberately without rules 4 and 7: there are neither home nor temporary addresses.
#pragma once

#include <array>
#include <bit>
#include <cstdint>

#include <mirage/net/ip/address_table.hpp>

namespace mirage::net::ip {

struct Policy {
  IpPrefix prefix;
  std::uint8_t precedence;
  std::uint8_t label;
};

/// RFC 6724 2.1, longest prefix first.
inline constexpr std::array<Policy, 9> policy_table{{
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

[[nodiscard]] constexpr const Policy& policy_of(const IpAddress& address) noexcept {
  for (const Policy& policy : policy_table) {
    if (policy.prefix.contains(address)) return policy;
  }
  return policy_table.back();
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

/// True when `a` is the better source for `destination`, by the rules of section 5. `router`: the next hop if it is
/// one.
[[nodiscard]] constexpr bool is_better_source(const Address& a, const Address& b, const IpAddress& destination,
                                              Time now, const IpAddress& router = {}) noexcept {
  if (a.address() == destination || b.address() == destination) return a.address() == destination;  // rule 1
  const unsigned scope_a = scope_of(a.address());
  const unsigned scope_b = scope_of(b.address());
  if (scope_a != scope_b) {  // rule 2
    const unsigned wanted = scope_of(destination);
    return scope_a < scope_b ? scope_a >= wanted : scope_b < wanted;
  }
  if (a.is_deprecated(now) != b.is_deprecated(now)) return b.is_deprecated(now);  // rule 3
  // RFC 4429 3.1: an optimistic address counts as deprecated.
  const bool sure = a.phase == Address::Phase::confirmed;
  if (sure != (b.phase == Address::Phase::confirmed)) return sure;
  // Rule 5.5, for IPv4 too: a router passes on what comes from its own network; what does not, it may take for forged.
  const bool near_a = a.prefix.contains(router);
  if (near_a != b.prefix.contains(router)) return near_a;
  const auto label = policy_of(destination).label;  // rule 6
  const bool label_a = policy_of(a.address()).label == label;
  if (label_a != (policy_of(b.address()).label == label)) return label_a;
  return common_prefix(a.prefix, destination) > common_prefix(b.prefix, destination);  // rule 8
}

/// Null when no address on the interface will do (rule 5: the strong host model leaves no others).
[[nodiscard]] constexpr const Address* select_source(const AddressTable& table, const IpAddress& destination,
                                                     std::uint16_t interface, Time now,
                                                     const IpAddress& router = {}) noexcept {
  const Address* best = nullptr;
  for (const Address& own : table) {
    if (own.interface != interface || own.address().is_v4() != destination.is_v4()) continue;
    if (best == nullptr || is_better_source(own, *best, destination, now, router)) best = &own;
  }
  return best;
}

}  // namespace mirage::net::ip
