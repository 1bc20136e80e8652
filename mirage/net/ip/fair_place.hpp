// SPDX-License-Identifier: ISC
// Small tables that all interfaces share: who makes room for a new entry. One network does not displace what another
// one said.
#pragma once

#include <array>
#include <concepts>
#include <cstddef>
#include <cstdint>
#include <span>

#include <mirage/base/time.hpp>
#include <mirage/net/ip/route.hpp>

namespace mirage::net::ip {

/// What such an entry begins with.
struct Claim {
  std::uint16_t interface = 0;
  Time expires{};
};

/// The index of the one that makes room: one that is past its time; else, of the interface that has most (in doubt of
/// `interface` itself), the one whose time ends first. Precondition: there is one.
[[nodiscard, gnu::noinline]] constexpr std::size_t fair_place(std::span<const Claim* const> claims,
                                                              std::uint16_t interface, Time now) noexcept {
  std::array<std::size_t, maximum_interfaces> counts{};
  for (std::size_t i = 0; i < claims.size(); ++i) {
    if (claims[i]->expires <= now) return i;
    ++counts[claims[i]->interface];
  }
  std::uint16_t most = interface;
  for (std::uint16_t i = 0; i < maximum_interfaces; ++i) most = counts[i] > counts[most] ? i : most;
  std::size_t found = claims.size();
  for (std::size_t i = 0; i < claims.size(); ++i) {
    if (claims[i]->interface != most) continue;
    if (found == claims.size() || claims[i]->expires < claims[found]->expires) found = i;
  }
  return found;
}

template <std::derived_from<Claim> Entry, std::size_t size>
[[nodiscard]] constexpr Entry& fair_place(std::array<Entry, size>& entries, std::uint16_t interface,
                                          Time now) noexcept {
  std::array<const Claim*, size> claims{};
  for (std::size_t i = 0; i < size; ++i) claims[i] = &entries[i];
  return entries[fair_place(std::span<const Claim* const>{claims}, interface, now)];
}

}  // namespace mirage::net::ip
