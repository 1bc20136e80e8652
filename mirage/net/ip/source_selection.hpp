// SPDX-License-Identifier: ISC
// Which of our addresses a new flow starts from: the rules of RFC 6724 section 5; tables and scopes are in
// base/address_policy.hpp. Deliberately without rules 4 and 7: there are neither home nor temporary addresses.
#pragma once

#include <cstdint>

#include <mirage/base/address_policy.hpp>
#include <mirage/net/ip/address_table.hpp>

namespace mirage::net::ip {

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
