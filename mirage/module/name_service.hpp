// SPDX-License-Identifier: ISC
// What the network tells a host about name resolution: by DHCP (RFC 2132 3.8 and 3.17, RFC 3397) or router
// advertisements (RFC 8106). A stack that learns it says so; a resolver on that stack asks before each question.
#pragma once

#include <array>
#include <concepts>
#include <cstdint>
#include <span>
#include <string_view>

#include <mirage/base/address.hpp>

namespace mirage {

struct NameService {
  static constexpr std::size_t maximum_servers = 4;
  static constexpr std::size_t maximum_search = 255;
  std::array<IpAddress, maximum_servers> server{};
  std::array<char, maximum_search> search_text{};
  std::uint8_t server_count = 0;
  std::uint8_t search_size = 0;
  constexpr bool operator==(const NameService&) const = default;

  [[nodiscard]] constexpr std::span<const IpAddress> servers() const noexcept { return {server.data(), server_count}; }
  /// Domains to look for short names in, separated by commas.
  [[nodiscard]] constexpr std::string_view search() const noexcept { return {search_text.data(), search_size}; }
  /// One that does not fit, or is there already, is left out.
  constexpr void add_server(const IpAddress& address) noexcept {
    for (const IpAddress& known : servers()) {
      if (known == address) return;
    }
    if (server_count < maximum_servers) server[server_count++] = address;
  }
  constexpr void add_search(std::string_view domain) noexcept {
    const std::size_t comma = search_size > 0 ? 1 : 0;
    if (domain.empty() || domain.size() + comma > maximum_search - search_size) return;
    if (comma != 0) search_text[search_size++] = ',';
    for (const char c : domain) search_text[search_size++] = c;
  }
};

/// A stack that learns name servers from the network.
template <class S>
concept LearnsNameService = requires(const S& stack) {
  { stack.name_service() } noexcept -> std::same_as<const NameService&>;
};

}  // namespace mirage
