// SPDX-License-Identifier: ISC
// ARP for IPv4 over Ethernet (RFC 826); probes and announcements as in RFC 5227.
#pragma once

#include <cstdint>
#include <optional>

#include <mirage/wire/ethernet.hpp>

namespace mirage::wire {

struct ArpPacket {
  static constexpr std::size_t hardware_type_at = 0;
  static constexpr std::size_t protocol_type_at = 2;
  static constexpr std::size_t hardware_length_at = 4;
  static constexpr std::size_t protocol_length_at = 5;
  static constexpr std::size_t operation_at = 6;
  static constexpr std::size_t sender_mac_at = 8;
  static constexpr std::size_t sender_ip_at = 14;
  static constexpr std::size_t target_mac_at = 18;
  static constexpr std::size_t target_ip_at = 24;
  static constexpr std::size_t size = 28;

  static constexpr std::uint16_t ethernet = 1;
  static constexpr std::uint16_t request = 1;
  static constexpr std::uint16_t reply = 2;

  std::uint16_t operation = request;
  MacAddress sender_mac{};
  Ipv4Address sender_ip{};
  MacAddress target_mac{};
  Ipv4Address target_ip{};
  constexpr bool operator==(const ArpPacket&) const = default;

  /// RFC 5227 1.1: asks whether somebody has the address, without claiming it.
  [[nodiscard]] constexpr bool is_probe() const noexcept { return operation == request && sender_ip.value == 0; }

  /// Nothing for short packets, other media or protocols, unknown operations, and senders that are no station.
  [[nodiscard]] static constexpr std::optional<ArpPacket> parse(Bytes bytes) noexcept {
    if (bytes.size() < size) return std::nullopt;
    if (load_big<std::uint16_t>(bytes, hardware_type_at) != ethernet ||
        load_big<std::uint16_t>(bytes, protocol_type_at) != ether_type::ipv4 ||
        load_big<std::uint8_t>(bytes, hardware_length_at) != 6 ||
        load_big<std::uint8_t>(bytes, protocol_length_at) != 4) {
      return std::nullopt;
    }
    const ArpPacket packet{load_big<std::uint16_t>(bytes, operation_at), load_mac(bytes, sender_mac_at),
                           Ipv4Address{load_big<std::uint32_t>(bytes, sender_ip_at)}, load_mac(bytes, target_mac_at),
                           Ipv4Address{load_big<std::uint32_t>(bytes, target_ip_at)}};
    if (packet.operation != request && packet.operation != reply) return std::nullopt;
    if (packet.sender_mac.is_multicast()) return std::nullopt;
    return packet;
  }
  /// Precondition: out.size() >= size.
  constexpr void emit(MutableBytes out) const noexcept {
    store_big(out, hardware_type_at, ethernet);
    store_big(out, protocol_type_at, ether_type::ipv4);
    store_big(out, hardware_length_at, std::uint8_t{6});
    store_big(out, protocol_length_at, std::uint8_t{4});
    store_big(out, operation_at, operation);
    store_mac(out, sender_mac_at, sender_mac);
    store_big(out, sender_ip_at, sender_ip.value);
    store_mac(out, target_mac_at, target_mac);
    store_big(out, target_ip_at, target_ip.value);
  }
};

}  // namespace mirage::wire
