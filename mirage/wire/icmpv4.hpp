// SPDX-License-Identifier: ISC
// ICMP for IPv4 (RFC 792, RFC 1122 3.2.2, RFC 1191 for the next-hop MTU). The message's rest is its 32-bit second word
// (identifier and sequence number, next-hop MTU, pointer) and data, which for errors quotes the offending packet.
#pragma once

#include <cstdint>
#include <optional>

#include <mirage/base/bytes.hpp>

namespace mirage::wire {

namespace icmpv4_type {
inline constexpr std::uint8_t echo_reply = 0;
inline constexpr std::uint8_t destination_unreachable = 3;
inline constexpr std::uint8_t source_quench = 4;
inline constexpr std::uint8_t redirect = 5;
inline constexpr std::uint8_t echo_request = 8;
inline constexpr std::uint8_t time_exceeded = 11;
inline constexpr std::uint8_t parameter_problem = 12;
}  // namespace icmpv4_type

/// Codes of destination_unreachable.
namespace icmpv4_unreachable {
inline constexpr std::uint8_t network = 0;
inline constexpr std::uint8_t host = 1;
inline constexpr std::uint8_t protocol = 2;
inline constexpr std::uint8_t port = 3;
inline constexpr std::uint8_t fragmentation_needed = 4;
inline constexpr std::uint8_t network_prohibited = 9;
inline constexpr std::uint8_t host_prohibited = 10;
inline constexpr std::uint8_t communication_prohibited = 13;
}  // namespace icmpv4_unreachable

namespace icmpv4_time_exceeded {
inline constexpr std::uint8_t in_transit = 0;
inline constexpr std::uint8_t reassembly = 1;
}  // namespace icmpv4_time_exceeded

/// The first eight bytes. The checksum covers header and data and is the caller's to verify or fill in, because the
/// data may lie in several slices.
struct Icmpv4Header {
  static constexpr std::size_t type_at = 0;
  static constexpr std::size_t code_at = 1;
  static constexpr std::size_t checksum_at = 2;
  static constexpr std::size_t rest_at = 4;
  static constexpr std::size_t size = 8;

  std::uint8_t type = 0;
  std::uint8_t code = 0;
  std::uint16_t checksum = 0;
  std::uint32_t rest = 0;
  constexpr bool operator==(const Icmpv4Header&) const = default;

  /// RFC 1122 3.2.2: errors are never answered with errors.
  [[nodiscard]] constexpr bool is_error() const noexcept {
    return type == icmpv4_type::destination_unreachable || type == icmpv4_type::source_quench ||
           type == icmpv4_type::redirect || type == icmpv4_type::time_exceeded ||
           type == icmpv4_type::parameter_problem;
  }
  /// RFC 1191 4: of fragmentation_needed; 0 from routers that do not tell.
  [[nodiscard]] constexpr std::uint16_t next_hop_mtu() const noexcept { return static_cast<std::uint16_t>(rest); }

  [[nodiscard]] static constexpr std::optional<Icmpv4Header> parse(Bytes message) noexcept {
    if (message.size() < size) return std::nullopt;
    return Icmpv4Header{load_big<std::uint8_t>(message, type_at), load_big<std::uint8_t>(message, code_at),
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
