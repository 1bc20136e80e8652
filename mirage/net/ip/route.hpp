// SPDX-License-Identifier: ISC
// Routes: longest prefix first, then the lowest metric (RFC 1122 3.3.1, RFC 1812 5.2.4.3).
#pragma once

#include <array>
#include <cstdint>

#include <mirage/base/address.hpp>

namespace mirage::net::ip {

struct Route {
  Ipv4Prefix prefix{};
  Ipv4Address gateway{};  ///< unspecified: the destination is on the link
  std::uint16_t interface = 0;
  std::uint16_t metric = 0;
  constexpr bool operator==(const Route&) const = default;
};

class RouteTable {
 public:
  static constexpr std::size_t capacity = 16;

  /// False when the table is full. Replaces a route to the same prefix with the same metric.
  [[nodiscard]] constexpr bool add(const Route& route) noexcept {
    std::size_t place = 0;
    while (place < count_ && before(routes_[place], route)) ++place;
    if (place < count_ && !before(route, routes_[place])) {
      routes_[place] = route;
      return true;
    }
    if (count_ == capacity) return false;
    for (std::size_t i = count_; i > place; --i) routes_[i] = routes_[i - 1];
    routes_[place] = route;
    ++count_;
    return true;
  }
  constexpr void clear() noexcept { count_ = 0; }
  [[nodiscard]] constexpr std::size_t size() const noexcept { return count_; }
  /// Null when there is none. The pointer is valid until the table changes.
  [[nodiscard]] constexpr const Route* find(Ipv4Address destination) const noexcept {
    for (std::size_t i = 0; i < count_; ++i) {
      if (routes_[i].prefix.contains(destination)) return &routes_[i];
    }
    return nullptr;
  }

 private:
  /// The table's order: long prefixes, then low metrics; by network only to find a route again.
  [[nodiscard]] static constexpr bool before(const Route& a, const Route& b) noexcept {
    if (a.prefix.length != b.prefix.length) return a.prefix.length > b.prefix.length;
    if (a.metric != b.metric) return a.metric < b.metric;
    return a.prefix.network() < b.prefix.network();
  }
  std::array<Route, capacity> routes_{};
  std::size_t count_ = 0;
};

}  // namespace mirage::net::ip
