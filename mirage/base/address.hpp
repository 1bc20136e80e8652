// SPDX-License-Identifier: ISC
// Link and network addresses. An IpAddress is always 16 bytes; IPv4 is stored IPv4-mapped (RFC 4291 section 2.5.5.2).
#pragma once

#include <array>
#include <compare>
#include <cstdint>
#include <optional>
#include <string_view>

#include <mirage/base/bytes.hpp>

namespace mirage {

/// IEEE 802 48-bit address.
struct MacAddress {
  std::array<std::uint8_t, 6> octets{};
  constexpr auto operator<=>(const MacAddress&) const = default;
  [[nodiscard]] constexpr bool is_multicast() const noexcept { return (octets[0] & 1) != 0; }
  [[nodiscard]] constexpr bool is_broadcast() const noexcept { return *this == broadcast(); }
  [[nodiscard]] static constexpr MacAddress broadcast() noexcept { return {{0xff, 0xff, 0xff, 0xff, 0xff, 0xff}}; }
  [[nodiscard]] static constexpr std::optional<MacAddress> parse(std::string_view text) noexcept;
};

/// IPv4 address in host order.
struct Ipv4Address {
  std::uint32_t value = 0;
  constexpr auto operator<=>(const Ipv4Address&) const = default;
  [[nodiscard]] static constexpr Ipv4Address of(unsigned a, unsigned b, unsigned c, unsigned d) noexcept {
    return {static_cast<std::uint32_t>(a << 24 | b << 16 | c << 8 | d)};
  }
  [[nodiscard]] constexpr bool is_unspecified() const noexcept { return value == 0; }
  [[nodiscard]] constexpr bool is_loopback() const noexcept { return value >> 24 == 127; }
  [[nodiscard]] constexpr bool is_multicast() const noexcept { return value >> 28 == 0xe; }
  [[nodiscard]] constexpr bool is_broadcast() const noexcept { return value == 0xffffffff; }
  /// RFC 1122 3.2.1.3: neither a host's source address nor a unicast destination.
  [[nodiscard]] constexpr bool is_unicast() const noexcept {
    return value != 0 && !is_multicast() && value >> 28 != 0xf;
  }
  /// Dotted decimal, four parts, no leading zeros beyond "0".
  [[nodiscard]] static constexpr std::optional<Ipv4Address> parse(std::string_view text) noexcept;
};

/// IPv4 or IPv6 address, 16 bytes, network order.
struct IpAddress {
  std::array<std::uint8_t, 16> octets{};
  constexpr auto operator<=>(const IpAddress&) const = default;
  constexpr IpAddress() noexcept = default;
  constexpr IpAddress(Ipv4Address v4) noexcept {  // NOLINT: widening is implicit on purpose
    octets[10] = octets[11] = 0xff;
    for (unsigned i = 0; i < 4; ++i) octets[12 + i] = static_cast<std::uint8_t>(v4.value >> (24 - 8 * i));
  }
  [[nodiscard]] constexpr bool is_v4() const noexcept {
    for (unsigned i = 0; i < 10; ++i) {
      if (octets[i] != 0) return false;
    }
    return octets[10] == 0xff && octets[11] == 0xff;
  }
  /// Precondition: is_v4().
  [[nodiscard]] constexpr Ipv4Address v4() const noexcept {
    return Ipv4Address::of(octets[12], octets[13], octets[14], octets[15]);
  }
  [[nodiscard]] constexpr bool is_unspecified() const noexcept {
    return *this == IpAddress{} || (is_v4() && v4().is_unspecified());
  }
};

/// IPv4 prefix, e.g. 10.0.0.2/24: an address with its network's length.
struct Ipv4Prefix {
  Ipv4Address address;
  std::uint8_t length = 0;
  constexpr auto operator<=>(const Ipv4Prefix&) const = default;
  [[nodiscard]] constexpr std::uint32_t mask() const noexcept {
    return length == 0 ? 0 : ~std::uint32_t{0} << (32 - length);
  }
  [[nodiscard]] constexpr Ipv4Address network() const noexcept { return {address.value & mask()}; }
  [[nodiscard]] constexpr bool contains(Ipv4Address other) const noexcept {
    return (other.value & mask()) == (address.value & mask());
  }
  /// The directed broadcast address; none for /31 and /32 (RFC 3021).
  [[nodiscard]] constexpr std::optional<Ipv4Address> broadcast() const noexcept {
    if (length >= 31) return std::nullopt;
    return Ipv4Address{address.value | ~mask()};
  }
  [[nodiscard]] static constexpr std::optional<Ipv4Prefix> parse(std::string_view text) noexcept;
};

using Port = std::uint16_t;

/// Address and port; `zone` is the interface index of link-local addresses (RFC 4007), else 0.
struct Endpoint {
  IpAddress address;
  Port port = 0;
  std::uint16_t zone = 0;
  constexpr auto operator<=>(const Endpoint&) const = default;
};

namespace detail {
/// Reads a decimal number of at most `digits` digits and `limit`; advances `text`.
constexpr std::optional<std::uint32_t> take_decimal(std::string_view& text, unsigned digits,
                                                    std::uint32_t limit) noexcept {
  std::uint32_t value = 0;
  unsigned count = 0;
  while (count < digits && !text.empty() && text.front() >= '0' && text.front() <= '9') {
    value = value * 10 + static_cast<std::uint32_t>(text.front() - '0');
    text.remove_prefix(1);
    ++count;
    if (count > 1 && value < 10) return std::nullopt;  // a leading zero
  }
  if (count == 0 || value > limit) return std::nullopt;
  return value;
}
constexpr int hex_digit(char c) noexcept {
  if (c >= '0' && c <= '9') return c - '0';
  if (c >= 'a' && c <= 'f') return c - 'a' + 10;
  if (c >= 'A' && c <= 'F') return c - 'A' + 10;
  return -1;
}
}  // namespace detail

constexpr std::optional<MacAddress> MacAddress::parse(std::string_view text) noexcept {
  if (text.size() != 17) return std::nullopt;
  MacAddress mac;
  for (unsigned i = 0; i < 6; ++i) {
    const int high = detail::hex_digit(text[3 * i]);
    const int low = detail::hex_digit(text[3 * i + 1]);
    if (high < 0 || low < 0 || (i < 5 && text[3 * i + 2] != ':')) return std::nullopt;
    mac.octets[i] = static_cast<std::uint8_t>(high * 16 + low);
  }
  return mac;
}

constexpr std::optional<Ipv4Address> Ipv4Address::parse(std::string_view text) noexcept {
  std::uint32_t value = 0;
  for (int part = 0; part < 4; ++part) {
    if (part > 0) {
      if (text.empty() || text.front() != '.') return std::nullopt;
      text.remove_prefix(1);
    }
    const auto octet = detail::take_decimal(text, 3, 255);
    if (!octet) return std::nullopt;
    value = value << 8 | *octet;
  }
  if (!text.empty()) return std::nullopt;
  return Ipv4Address{value};
}

constexpr std::optional<Ipv4Prefix> Ipv4Prefix::parse(std::string_view text) noexcept {
  const auto slash = text.find('/');
  if (slash == std::string_view::npos) return std::nullopt;
  const auto address = Ipv4Address::parse(text.substr(0, slash));
  text.remove_prefix(slash + 1);
  const auto length = detail::take_decimal(text, 2, 32);
  if (!address || !length || !text.empty()) return std::nullopt;
  return Ipv4Prefix{*address, static_cast<std::uint8_t>(*length)};
}

}  // namespace mirage
