// SPDX-License-Identifier: ISC
// The name servers to ask, in which order.
#pragma once

#include <array>
#include <cstdint>
#include <optional>
#include <string_view>

#include <mirage/base/time.hpp>
#include <mirage/module/name_service.hpp>

namespace mirage::dns {

struct ServerList {
  std::array<Endpoint, NameService::maximum_servers> items{};
  std::uint8_t count = 0;
  constexpr bool operator==(const ServerList&) const = default;

  /// "10.0.0.1", "10.0.0.1:5353", "2001:db8::1" or "[2001:db8::1]:5353", several separated by commas; "" is none.
  /// Nothing for anything else.
  [[nodiscard]] static std::optional<ServerList> parse(std::string_view text) noexcept;
  [[nodiscard]] static ServerList of(const NameService& network) noexcept;
};

/// Servers that did not answer are asked last for a while: they are probably still down.
class ServerOrder {
 public:
  static constexpr Duration avoidance = 30s;
  using Order = std::array<std::uint8_t, NameService::maximum_servers>;
  /// The first `count` indices, those to avoid behind the others.
  [[nodiscard]] Order order(std::uint8_t count, Time now) const noexcept;
  void failed(std::uint8_t server, Time now) noexcept { avoid_until_[server] = after(now, avoidance); }
  void answered(std::uint8_t server) noexcept { avoid_until_[server] = {}; }
  void reset() noexcept { avoid_until_ = {}; }

 private:
  std::array<Time, NameService::maximum_servers> avoid_until_{};
};

}  // namespace mirage::dns
