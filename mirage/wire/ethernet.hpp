// SPDX-License-Identifier: ISC
// Ethernet II header (IEEE 802.3 clause 3, RFC 894). No 802.1Q tags, no LLC.
#pragma once

#include <cstdint>
#include <optional>

#include <mirage/base/address.hpp>
#include <mirage/base/bytes.hpp>

namespace mirage::wire {

namespace ether_type {
inline constexpr std::uint16_t ipv4 = 0x0800;
inline constexpr std::uint16_t arp = 0x0806;
inline constexpr std::uint16_t ipv6 = 0x86dd;
}  // namespace ether_type

/// Precondition: six bytes at `at`.
[[nodiscard]] constexpr MacAddress load_mac(Bytes bytes, std::size_t at) noexcept {
  MacAddress mac;
  for (std::size_t i = 0; i < 6; ++i) mac.octets[i] = std::to_integer<std::uint8_t>(bytes[at + i]);
  return mac;
}
constexpr void store_mac(MutableBytes bytes, std::size_t at, const MacAddress& mac) noexcept {
  for (std::size_t i = 0; i < 6; ++i) bytes[at + i] = std::byte{mac.octets[i]};
}

struct EthernetHeader {
  static constexpr std::size_t destination_at = 0;
  static constexpr std::size_t source_at = 6;
  static constexpr std::size_t type_at = 12;
  static constexpr std::size_t size = 14;

  MacAddress destination{};
  MacAddress source{};
  std::uint16_t type = 0;
  constexpr bool operator==(const EthernetHeader&) const = default;

  /// Nothing for frames shorter than the header.
  [[nodiscard]] static constexpr std::optional<EthernetHeader> parse(Bytes frame) noexcept {
    if (frame.size() < size) return std::nullopt;
    return EthernetHeader{load_mac(frame, destination_at), load_mac(frame, source_at),
                          load_big<std::uint16_t>(frame, type_at)};
  }
  /// Precondition: out.size() >= size.
  constexpr void emit(MutableBytes out) const noexcept {
    store_mac(out, destination_at, destination);
    store_mac(out, source_at, source);
    store_big(out, type_at, type);
  }
};

}  // namespace mirage::wire
