// SPDX-License-Identifier: ISC
// ICMP for IPv6 (RFC 4443): the first eight bytes. The checksum covers a pseudo-header too (RFC 4443 2.3) and is the
// caller's to verify or fill in, because the data may lie in several slices.
#pragma once

#include <cstdint>
#include <optional>

#include <mirage/base/bytes.hpp>

namespace mirage::wire {

namespace icmpv6_type {
inline constexpr std::uint8_t destination_unreachable = 1;
inline constexpr std::uint8_t packet_too_big = 2;
inline constexpr std::uint8_t time_exceeded = 3;
inline constexpr std::uint8_t parameter_problem = 4;
inline constexpr std::uint8_t echo_request = 128;
inline constexpr std::uint8_t echo_reply = 129;
inline constexpr std::uint8_t listener_query = 130;
inline constexpr std::uint8_t router_solicitation = 133;
inline constexpr std::uint8_t router_advertisement = 134;
inline constexpr std::uint8_t neighbour_solicitation = 135;
inline constexpr std::uint8_t neighbour_advertisement = 136;
inline constexpr std::uint8_t redirect = 137;
inline constexpr std::uint8_t listener_report = 143;  ///< MLDv2
}  // namespace icmpv6_type

namespace icmpv6_unreachable {
inline constexpr std::uint8_t no_route = 0;
inline constexpr std::uint8_t prohibited = 1;
inline constexpr std::uint8_t address = 3;
inline constexpr std::uint8_t port = 4;
inline constexpr std::uint8_t source_policy = 5;
inline constexpr std::uint8_t reject_route = 6;
}  // namespace icmpv6_unreachable

namespace icmpv6_parameter_problem {
inline constexpr std::uint8_t header_field = 0;
inline constexpr std::uint8_t next_header = 1;
inline constexpr std::uint8_t option = 2;
inline constexpr std::uint8_t incomplete_chain = 3;  ///< RFC 7112
}  // namespace icmpv6_parameter_problem

namespace icmpv6_time_exceeded {
inline constexpr std::uint8_t in_transit = 0;
inline constexpr std::uint8_t reassembly = 1;
}  // namespace icmpv6_time_exceeded

struct Icmpv6Header {
  static constexpr std::size_t type_at = 0;
  static constexpr std::size_t code_at = 1;
  static constexpr std::size_t checksum_at = 2;
  static constexpr std::size_t rest_at = 4;
  static constexpr std::size_t size = 8;

  std::uint8_t type = 0;
  std::uint8_t code = 0;
  std::uint16_t checksum = 0;
  std::uint32_t rest = 0;  ///< identifier and sequence number, MTU, or pointer
  constexpr bool operator==(const Icmpv6Header&) const = default;

  /// RFC 4443 2.1: errors have the high bit clear; they are never answered with errors.
  [[nodiscard]] constexpr bool is_error() const noexcept { return type < 128; }

  [[nodiscard]] static constexpr std::optional<Icmpv6Header> parse(Bytes message) noexcept {
    if (message.size() < size) return std::nullopt;
    return Icmpv6Header{load_big<std::uint8_t>(message, type_at), load_big<std::uint8_t>(message, code_at),
                        load_big<std::uint16_t>(message, checksum_at), load_big<std::uint32_t>(message, rest_at)};
  }
  /// Precondition: out.size() >= size.
  constexpr void emit(MutableBytes out) const noexcept {
    store_big(out, type_at, type);
    store_big(out, code_at, code);
    store_big(out, checksum_at, checksum);
    store_big(out, rest_at, rest);
  }
};

}  // namespace mirage::wire
