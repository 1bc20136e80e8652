// SPDX-License-Identifier: ISC
// UDP header (RFC 768).
#pragma once

#include <cstdint>
#include <optional>

#include <mirage/base/bytes.hpp>

namespace mirage::wire {

struct UdpHeader {
  static constexpr std::size_t source_port_at = 0;
  static constexpr std::size_t destination_port_at = 2;
  static constexpr std::size_t length_at = 4;
  static constexpr std::size_t checksum_at = 6;
  static constexpr std::size_t size = 8;

  std::uint16_t source_port = 0;
  std::uint16_t destination_port = 0;
  std::uint16_t length = 0;    ///< header included
  std::uint16_t checksum = 0;  ///< 0: the sender computed none (RFC 768, IPv4 only)
  constexpr bool operator==(const UdpHeader&) const = default;

  /// `available`: bytes of the IP packet's payload; nothing when the length field does not fit into them.
  [[nodiscard]] static constexpr std::optional<UdpHeader> parse(Bytes first, std::size_t available) noexcept {
    if (first.size() < size) return std::nullopt;
    const UdpHeader header{load_big<std::uint16_t>(first, source_port_at),
                           load_big<std::uint16_t>(first, destination_port_at),
                           load_big<std::uint16_t>(first, length_at), load_big<std::uint16_t>(first, checksum_at)};
    if (header.length < size || header.length > available) return std::nullopt;
    return header;
  }
  /// Precondition: out.size() >= size.
  constexpr void emit(MutableBytes out) const noexcept {
    store_big(out, source_port_at, source_port);
    store_big(out, destination_port_at, destination_port);
    store_big(out, length_at, length);
    store_big(out, checksum_at, checksum);
  }
};

/// RFC 768: a computed checksum of zero is sent as all ones, because zero means none.
[[nodiscard]] constexpr std::uint16_t udp_checksum(std::uint16_t computed) noexcept {
  return computed == 0 ? 0xffff : computed;
}

}  // namespace mirage::wire
