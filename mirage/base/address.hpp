// SPDX-License-Identifier: ISC
// Link and network addresses. An IpAddress is always 16 bytes; IPv4 is stored IPv4-mapped (RFC 4291 section 2.5.5.2).
#pragma once

#include <array>
#include <bit>
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
  constexpr bool operator==(const IpAddress& other) const noexcept {
    const Words a = std::bit_cast<Words>(octets), b = std::bit_cast<Words>(other.octets);
    return a[0] == b[0] && a[1] == b[1];
  }
  constexpr IpAddress() noexcept = default;
  constexpr IpAddress(Ipv4Address v4) noexcept  // NOLINT: widening is implicit on purpose
      : octets(std::bit_cast<std::array<std::uint8_t, 16>>(Words{0, swap(0xffff'0000'0000 | v4.value)})) {}
  /// The eight groups of an IPv6 address, each the high half of `high` first.
  [[nodiscard]] static constexpr IpAddress of(std::uint64_t high, std::uint64_t low) noexcept {
    IpAddress address;
    address.octets = std::bit_cast<std::array<std::uint8_t, 16>>(Words{swap(high), swap(low)});
    return address;
  }
  /// The first and the last 64 bits in host order.
  [[nodiscard]] constexpr std::uint64_t high() const noexcept { return swap(std::bit_cast<Words>(octets)[0]); }
  [[nodiscard]] constexpr std::uint64_t low() const noexcept { return swap(std::bit_cast<Words>(octets)[1]); }
  [[nodiscard]] constexpr bool is_v4() const noexcept { return high() == 0 && low() >> 32 == 0xffff; }
  /// Precondition: is_v4().
  [[nodiscard]] constexpr Ipv4Address v4() const noexcept { return {static_cast<std::uint32_t>(low())}; }
  /// No address, of either version.
  [[nodiscard]] constexpr bool is_unspecified() const noexcept {
    return high() == 0 && (low() == 0 || low() == 0xffff'0000'0000);
  }
  /// RFC 4291 2.5.3, RFC 1122 3.2.1.3 (g).
  [[nodiscard]] constexpr bool is_loopback() const noexcept {
    return is_v4() ? v4().is_loopback() : high() == 0 && low() == 1;
  }
  /// RFC 4291 2.7, RFC 1112 4. Not the broadcast addresses of IPv4.
  [[nodiscard]] constexpr bool is_multicast() const noexcept {
    return is_v4() ? v4().is_multicast() : octets[0] == 0xff;
  }
  /// RFC 4291 2.5.6, RFC 3927: meaningful on one link only.
  [[nodiscard]] constexpr bool is_link_local() const noexcept {
    return is_v4() ? v4().value >> 16 == 0xa9fe : high() >> 54 == 0x3fa;
  }
  /// An address that one host may have.
  [[nodiscard]] constexpr bool is_unicast() const noexcept {
    return is_v4() ? v4().is_unicast() : !is_unspecified() && !is_multicast();
  }
  /// Dotted decimal, or the text form of RFC 4291 2.2 (also with an IPv4 address at the end); without a zone.
  [[nodiscard]] static constexpr std::optional<IpAddress> parse(std::string_view text) noexcept;

 private:
  using Words = std::array<std::uint64_t, 2>;
  /// Between network and host order. No loop over octets: where the compiler optimises for size it stays one.
  [[nodiscard]] static constexpr std::uint64_t swap(std::uint64_t value) noexcept {
    return std::endian::native == std::endian::little ? std::byteswap(value) : value;
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

/// Prefix of either version, e.g. 2001:db8::2/64. `length` counts within 128 bits: an IPv4 prefix's own plus 96.
struct IpPrefix {
  IpAddress address;
  std::uint8_t length = 0;
  constexpr auto operator<=>(const IpPrefix&) const = default;
  constexpr IpPrefix() noexcept = default;
  constexpr IpPrefix(const IpAddress& of, std::uint8_t bits) noexcept : address(of), length(bits) {}
  constexpr IpPrefix(const Ipv4Prefix& v4) noexcept  // NOLINT: widening is implicit on purpose
      : address(v4.address), length(static_cast<std::uint8_t>(v4.length + 96)) {}
  [[nodiscard]] constexpr IpAddress network() const noexcept {
    return IpAddress::of(address.high() & mask(length), address.low() & mask(length < 64 ? 0U : length - 64U));
  }
  /// An IPv4 address is in no IPv6 prefix, not even in ::/0.
  [[nodiscard]] constexpr bool contains(const IpAddress& other) const noexcept {
    return address.is_v4() == other.is_v4() && ((address.high() ^ other.high()) & mask(length)) == 0 &&
           ((address.low() ^ other.low()) & mask(length < 64 ? 0U : length - 64U)) == 0;
  }
  /// Either version, with its length.
  [[nodiscard]] static constexpr std::optional<IpPrefix> parse(std::string_view text) noexcept;

 private:
  /// The first `bits` of 64 set; all for more.
  [[nodiscard]] static constexpr std::uint64_t mask(unsigned bits) noexcept {
    return bits == 0 ? 0 : bits >= 64 ? ~std::uint64_t{0} : ~std::uint64_t{0} << (64 - bits);
  }
};

/// An address with its network, and others behind it: texts with commas between them, not read yet.
template <class Prefix>
struct PrefixList {
  Prefix first{};
  std::string_view further{};
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

namespace detail {
/// One group of up to four hexadecimal digits; advances `text`.
constexpr std::optional<std::uint16_t> take_group(std::string_view& text) noexcept {
  std::uint32_t value = 0;
  unsigned count = 0;
  while (count < 4 && !text.empty() && hex_digit(text.front()) >= 0) {
    value = value * 16 + static_cast<std::uint32_t>(hex_digit(text.front()));
    text.remove_prefix(1);
    ++count;
  }
  if (count == 0) return std::nullopt;
  return static_cast<std::uint16_t>(value);
}

/// The groups of one side of "::" (or of the whole), into `out` from its front on; how many octets, or nothing.
constexpr std::optional<std::size_t> take_groups(std::string_view text, bool last, IpAddress& out) noexcept {
  std::size_t at = 0;
  while (!text.empty()) {
    if (last && text.find(':') == std::string_view::npos && text.find('.') != std::string_view::npos) {
      const auto v4 = Ipv4Address::parse(text);  // RFC 4291 2.2 (3)
      if (!v4 || at > 12) return std::nullopt;
      for (unsigned i = 0; i < 4; ++i) out.octets[at + i] = static_cast<std::uint8_t>(v4->value >> (24 - 8 * i));
      return at + 4;
    }
    const auto group = take_group(text);
    if (!group || at > 14) return std::nullopt;
    out.octets[at++] = static_cast<std::uint8_t>(*group >> 8);
    out.octets[at++] = static_cast<std::uint8_t>(*group);
    if (text.empty()) break;
    if (text.front() != ':' || text.size() == 1) return std::nullopt;
    text.remove_prefix(1);
  }
  return at;
}
}  // namespace detail

constexpr std::optional<IpAddress> IpAddress::parse(std::string_view text) noexcept {
  if (text.find(':') == std::string_view::npos) {
    const auto v4 = Ipv4Address::parse(text);
    if (!v4) return std::nullopt;
    return IpAddress{*v4};
  }
  const auto gap = text.find("::");
  IpAddress address;
  const auto front = detail::take_groups(text.substr(0, gap), gap == std::string_view::npos, address);
  if (gap == std::string_view::npos) return front == 16 ? std::optional{address} : std::nullopt;
  IpAddress tail;
  const auto back = detail::take_groups(text.substr(gap + 2), true, tail);
  if (!front || !back || *front + *back > 14) return std::nullopt;  // "::" stands for at least one group
  for (std::size_t i = 0; i < *back; ++i) address.octets[16 - *back + i] = tail.octets[i];
  return address;
}

constexpr std::optional<IpPrefix> IpPrefix::parse(std::string_view text) noexcept {
  const auto slash = text.find('/');
  if (slash == std::string_view::npos) return std::nullopt;
  const auto address = IpAddress::parse(text.substr(0, slash));
  if (!address) return std::nullopt;
  text.remove_prefix(slash + 1);
  const auto length = detail::take_decimal(text, 3, address->is_v4() ? 32 : 128);
  if (!length || !text.empty()) return std::nullopt;
  return IpPrefix{*address, static_cast<std::uint8_t>(*length + (address->is_v4() ? 96 : 0))};
}

}  // namespace mirage
