// SPDX-License-Identifier: ISC
// What routers told about the MTU of paths (RFC 1191, RFC 8201): a small cache by destination and interface. An entry
// is believed for ten minutes and then tried again (RFC 8201 5.3); of the interface that has most entries, the one that
// was learnt first makes room.
#pragma once

#include <algorithm>
#include <array>
#include <cstdint>

#include <mirage/base/address.hpp>
#include <mirage/base/time.hpp>
#include <mirage/net/ip/fair_place.hpp>

namespace mirage::net::ip {

class PathMtuCache {
 public:
  static constexpr std::size_t capacity = 32;
  static constexpr Duration lifetime = 10min;

  /// Only ever lowers what is known: a larger value waits for the entry to age.
  constexpr bool note(const IpAddress& destination, std::uint16_t interface, std::uint16_t mtu, Time now) noexcept {
    Entry* entry = nullptr;
    for (Entry& other : entries_) {
      if (other.expires <= now || other.destination != destination || other.interface != interface) continue;
      if (other.mtu <= mtu) return false;
      entry = &other;
    }
    if (entry == nullptr) entry = &fair_place(entries_, interface, now);
    *entry = {{interface, now + lifetime}, destination, mtu};
    last_expires_ = entry->expires;
    return true;
  }
  /// The path's MTU when it is known to be less than `limit`, else `limit`.
  [[nodiscard]] constexpr std::uint16_t limit(const IpAddress& destination, std::uint16_t interface,
                                              std::uint16_t limit, Time now) const noexcept {
    if (last_expires_ <= now) return limit;  // nothing in it: the common case
    for (const Entry& entry : entries_) {
      if (entry.expires > now && entry.destination == destination && entry.interface == interface)
        return std::min(entry.mtu, limit);
    }
    return limit;
  }

 private:
  struct Entry : Claim {
    IpAddress destination;
    std::uint16_t mtu = 0;
  };
  std::array<Entry, capacity> entries_{};
  Time last_expires_{};
};

}  // namespace mirage::net::ip
