// SPDX-License-Identifier: ISC
// Routes of both IP versions in one table: longest prefix first, then the lowest metric (RFC 1122 3.3.1, RFC 1812
// 5.2.4.3, RFC 4861 5.2), to which that of its interface is added; then the interface that was named first. A route may
// have an end, as those that routers announce do.
#pragma once

#include <array>
#include <cstdint>
#include <utility>

#include <mirage/base/address.hpp>
#include <mirage/base/time.hpp>

namespace mirage::net::ip {

inline constexpr std::uint16_t maximum_interfaces = 4;

struct Route {
  /// Who made it; configuration of one kind replaces only its own.
  enum class Origin : std::uint8_t { manual, interface, leased, advertised, redirected };
  IpPrefix prefix{Ipv4Prefix{}};
  IpAddress gateway{};  ///< unspecified: the destination is on the link
  std::uint16_t interface = 0;
  std::uint16_t metric = 0;
  Origin origin = Origin::manual;
  Time expires = never;
  constexpr bool operator==(const Route&) const = default;
  [[nodiscard]] constexpr bool is_default() const noexcept {
    return prefix.length == (prefix.address.is_v4() ? 96 : 0);
  }
  /// A network said so, by DHCP or as a router; else whoever configured us.
  [[nodiscard]] constexpr bool is_learnt() const noexcept { return origin >= Origin::leased; }
  /// Another network must not draw away what was given to this interface by hand: a route that it names with a gateway
  /// (RFC 3442 7, RFC 4191 6) yields to any such route, its own network to one that is on the link. Precondition: both
  /// contain the destination.
  [[nodiscard]] constexpr bool is_spared_from(const Route& other) const noexcept {
    return other.is_learnt() && !is_learnt() && !is_default() && interface != other.interface &&
           (gateway.is_unspecified() || !other.gateway.is_unspecified());
  }
};

class RouteTable {
 public:
  static constexpr std::size_t capacity = 64;

  /// Added to the metric of every route through the interface. To be set before there are any.
  constexpr void set_metric(std::uint16_t interface, std::uint16_t metric) noexcept { metrics_[interface] = metric; }
  /// False when the table is full. Replaces a route to the same prefix on the same interface with the same metric; of
  /// default routes several may differ by their gateway.
  [[nodiscard]] constexpr bool add(const Route& route) noexcept {
    std::size_t place = 0;
    for (; place < count_ && !before(route, routes_[place]); ++place) {
      if (!same(route, routes_[place])) continue;
      routes_[place] = route;
      return true;
    }
    if (count_ == capacity) return false;
    for (std::size_t i = count_; i > place; --i) routes_[i] = routes_[i - 1];
    routes_[place] = route;
    ++count_;
    return true;
  }
  /// Removes every route for which `condition(route)` holds; returns how many.
  template <class F>
  constexpr std::size_t remove_if(F&& condition) noexcept {
    std::size_t kept = 0;
    for (std::size_t i = 0; i < count_; ++i) {
      if (condition(std::as_const(routes_[i]))) continue;
      if (kept != i) routes_[kept] = routes_[i];
      ++kept;
    }
    return std::exchange(count_, kept) - kept;
  }
  constexpr std::size_t expire(Time now) noexcept {
    return remove_if([now](const Route& route) { return route.expires <= now; });
  }
  [[nodiscard]] constexpr Time next_deadline() const noexcept {
    Time next = never;
    for (std::size_t i = 0; i < count_; ++i) next = routes_[i].expires < next ? routes_[i].expires : next;
    return next;
  }
  constexpr void clear() noexcept { count_ = 0; }
  [[nodiscard]] constexpr std::size_t size() const noexcept { return count_; }
  [[nodiscard]] constexpr const Route* begin() const noexcept { return routes_.data(); }
  [[nodiscard]] constexpr const Route* end() const noexcept { return routes_.data() + count_; }
  /// The best route for which `condition(route)` holds; null when there is none. The pointer is valid until the table
  /// changes.
  template <class F>
  [[nodiscard]] constexpr const Route* find_if(const IpAddress& destination, F&& condition) const noexcept {
    for (const Route& route : *this) {
      if (route.prefix.contains(destination) && condition(route)) return &route;
    }
    return nullptr;
  }
  [[nodiscard]] constexpr const Route* find(const IpAddress& destination) const noexcept {
    return find_if(destination, [](const Route&) { return true; });
  }

 private:
  /// The table's order: long prefixes, then low metrics, then the first interface.
  [[nodiscard]] constexpr bool before(const Route& a, const Route& b) const noexcept {
    if (a.prefix.length != b.prefix.length) return a.prefix.length > b.prefix.length;
    const auto order = [this](const Route& route) {
      return (std::uint32_t{route.metric} + metrics_[route.interface]) << 8 | route.interface;
    };
    return order(a) < order(b);
  }
  [[nodiscard]] static constexpr bool same(const Route& a, const Route& b) noexcept {
    return a.prefix.length == b.prefix.length && a.metric == b.metric && a.interface == b.interface &&
           a.prefix.contains(b.prefix.address) && (!a.is_default() || a.gateway == b.gateway);
  }
  std::array<Route, capacity> routes_{};
  std::size_t count_ = 0;
  std::array<std::uint16_t, maximum_interfaces> metrics_{};
};

}  // namespace mirage::net::ip
