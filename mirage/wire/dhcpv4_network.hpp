// SPDX-License-Identifier: ISC
// What a DHCP server tells about the network beyond the address: routes (RFC 3442) and domains to search (RFC 3397).
#pragma once

#include <array>
#include <cstdint>
#include <optional>
#include <string_view>

#include <mirage/base/address.hpp>
#include <mirage/wire/dns_name.hpp>

namespace mirage::wire {

/// Routes of RFC 3442, the first eight.
struct DhcpRoutes {
  static constexpr std::size_t capacity = 8;
  struct Route {
    Ipv4Prefix prefix;
    Ipv4Address gateway;  ///< unspecified: on the link
    constexpr bool operator==(const Route&) const = default;
  };
  std::array<Route, capacity> items{};
  std::uint8_t count = 0;
  bool present = false;
  constexpr bool operator==(const DhcpRoutes&) const = default;

  /// As many as are well formed: a width and as many octets of the network as it has, then the router.
  [[nodiscard]] static constexpr DhcpRoutes parse(Bytes value) noexcept {
    DhcpRoutes routes;
    routes.present = !value.empty();
    for (std::size_t at = 0; at < value.size() && routes.count < capacity;) {
      const auto width = load_big<std::uint8_t>(value, at++);
      const std::size_t octets = (width + 7U) / 8;
      if (width > 32 || value.size() - at < octets + 4) break;
      std::uint32_t network = 0;
      for (std::size_t i = 0; i < 4; ++i) {
        network = network << 8 | (i < octets ? load_big<std::uint8_t>(value, at + i) : 0U);
      }
      const Ipv4Prefix prefix{Ipv4Address{network}, width};
      routes.items[routes.count++] = {{prefix.network(), width}, {load_big<std::uint32_t>(value, at + octets)}};
      at += octets + 4;
    }
    return routes;
  }
};

/// Domains to search, as text with commas between them: option 119 (RFC 3397), else option 15.
struct DhcpSearch {
  static constexpr std::size_t capacity = 255;
  std::array<char, capacity> text{};
  std::uint8_t size = 0;
  constexpr bool operator==(const DhcpSearch&) const = default;
  [[nodiscard]] constexpr std::string_view view() const noexcept { return {text.data(), size}; }

  constexpr void add(const DnsName& domain) noexcept {
    std::array<char, DnsName::maximum_text> name{};
    if (domain.is_root() || !domain.is_text()) return;
    const std::size_t length = domain.to_text(name);
    if (length + 1 > capacity - size) return;
    if (size > 0) text[size++] = ',';
    for (std::size_t i = 0; i < length; ++i) text[size++] = name[i];
  }
  /// Names whose pointers count from the start of the joined option.
  constexpr void add_list(Bytes list) noexcept {
    for (std::size_t at = 0; at < list.size();) {
      const auto domain = DnsName::read(list, at);
      if (!domain) return;
      add(*domain);
    }
  }
  /// `list` is option 119, joined; `name` option 15.
  [[nodiscard]] static constexpr DhcpSearch parse(Bytes list, std::optional<Bytes> name) noexcept {
    DhcpSearch search;
    search.add_list(list);
    if (search.size > 0) return search;
    std::array<char, DnsName::maximum_text> text{};
    if (!name || name->size() > text.size()) return search;
    std::size_t length = 0;
    for (const std::byte octet : *name) text[length++] = static_cast<char>(octet);
    while (length > 0 && text[length - 1] == 0) --length;  // RFC 2132 2: trailing NULs are not part of it
    if (const auto domain = DnsName::from_text({text.data(), length})) search.add(*domain);
    return search;
  }
};

}  // namespace mirage::wire
