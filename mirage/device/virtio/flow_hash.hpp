// SPDX-License-Identifier: ISC
// Which of a device's transmit queues a frame takes. All frames of a flow have the same hash, so that their order
// holds, and the device sends what belongs to the flow back on the receive queue of that pair (VIRTIO 1.2 section
// 5.1.6.5.5, automatic receive steering). TCP: addresses and ports. Everything else of IP: addresses only, for
// datagrams may have been cut, and only the first fragment has ports. No IP: always the same.
//
// Deliberately not keyed: who makes all flows meet in one queue gets what a device with one queue has.
#pragma once

#include <cstddef>
#include <cstdint>

#include <mirage/base/bytes.hpp>
#include <mirage/wire/ethernet.hpp>

namespace mirage::virtio {

/// As many bytes of a frame as flow_hash() looks at: a VLAN tag, the longest IPv4 header, ports.
inline constexpr std::size_t flow_hash_bytes = wire::EthernetHeader::size + 4 + 60 + 4;

namespace detail {

constexpr std::uint32_t add_to_hash(std::uint32_t hash, Bytes words) noexcept {
  for (std::size_t at = 0; at + 4 <= words.size(); at += 4) {
    hash = (hash ^ load_big<std::uint32_t>(words, at)) * 0x9e37'79b1U;  // 2^32 by the golden ratio
    hash ^= hash >> 15;
  }
  return hash;
}

constexpr std::uint32_t hash_addresses(Bytes packet, std::size_t at, std::size_t size, std::size_t ports_at,
                                       bool has_ports) noexcept {
  const std::uint32_t hash = add_to_hash(0, packet.subspan(at, size));
  return has_ports && packet.size() >= ports_at + 4 ? add_to_hash(hash, packet.subspan(ports_at, 4)) : hash;
}

}  // namespace detail

/// `frame`: the first bytes of one, at most flow_hash_bytes are looked at.
[[nodiscard]] constexpr std::uint32_t flow_hash(Bytes frame) noexcept {
  constexpr std::uint16_t vlan_tag = 0x8100;  // IEEE 802.1Q 9.3.2
  constexpr std::size_t tag_size = 4;
  constexpr std::size_t ipv4_header = 20;
  constexpr std::size_t ipv6_header = 40;
  constexpr std::byte tcp{6};
  std::size_t type_at = wire::EthernetHeader::type_at;
  if (frame.size() < type_at + 2 + ipv4_header) return 0;
  if (load_big<std::uint16_t>(frame, type_at) == vlan_tag) type_at += tag_size;
  const std::uint16_t type = load_big<std::uint16_t>(frame, type_at);
  const Bytes packet = frame.subspan(type_at + 2);
  if (type == wire::ether_type::ipv4 && packet.size() >= ipv4_header) {
    const std::size_t ports_at = 4 * (std::to_integer<std::size_t>(packet[0]) & 15);
    const bool whole = (load_big<std::uint16_t>(packet, 6) & 0x3fff) == 0;  // RFC 791 3.1: MF, fragment offset
    return detail::hash_addresses(packet, 12, 8, ports_at, whole && packet[9] == tcp);
  }
  if (type == wire::ether_type::ipv6 && packet.size() >= ipv6_header) {
    return detail::hash_addresses(packet, 8, 32, ipv6_header, packet[6] == tcp);
  }
  return 0;
}

/// A hash's share of `count` places.
[[nodiscard]] constexpr std::uint16_t place_of(std::uint32_t hash, std::uint16_t count) noexcept {
  return static_cast<std::uint16_t>(std::uint64_t{hash} * count >> 32);
}

}  // namespace mirage::virtio
