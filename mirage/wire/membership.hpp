// SPDX-License-Identifier: ISC
// Reports of group membership: MLDv2 (RFC 3810 section 5.2) and IGMPv3 (RFC 3376 section 4.2), which differ in the size
// of an address only; and what a listener needs of a query. Sources are not filtered: every record is EXCLUDE of none.
#pragma once

#include <cstdint>
#include <optional>

#include <mirage/wire/ipv6.hpp>

namespace mirage::wire {

/// RFC 3810 5.2.12, RFC 3376 4.2.12.
enum class GroupRecord : std::uint8_t { is_exclude = 2, change_to_include = 3, change_to_exclude = 4 };

inline constexpr std::uint8_t igmp_query = 0x11;
inline constexpr std::uint8_t igmp_report = 0x22;
inline constexpr std::size_t group_report_size = 8;  ///< without records

[[nodiscard]] constexpr std::size_t group_record_size(bool v4) noexcept { return v4 ? 8 : 20; }

/// Everything but the checksum. Precondition: eight bytes.
constexpr void emit_group_report(MutableBytes out, std::uint8_t type, std::uint16_t records) noexcept {
  store_big(out, 0, std::uint32_t{type} << 24);
  store_big(out, 4, std::uint32_t{records});
}

/// Precondition: group_record_size() bytes.
constexpr void emit_group_record(MutableBytes out, GroupRecord type, const IpAddress& group) noexcept {
  store_big(out, 0, std::uint32_t{static_cast<std::uint8_t>(type)} << 24);
  if (group.is_v4()) {
    store_big(out, 4, group.v4().value);
  } else {
    store_ip(out, 4, group);
  }
}

/// The time within which a query wants its answer, in milliseconds; nothing when the message is too short. Queries of
/// the older versions read the same.
[[nodiscard]] constexpr std::optional<std::uint32_t> parse_listener_query(Bytes message) noexcept {
  if (message.size() < 24) return std::nullopt;
  const std::uint32_t code = load_big<std::uint16_t>(message, 4);
  if (code < 0x8000) return code;
  return (0x1000 | (code & 0xfff)) << ((code >> 12 & 7) + 3);  // RFC 3810 5.1.3
}
[[nodiscard]] constexpr std::optional<std::uint32_t> parse_igmp_query(Bytes message) noexcept {
  if (message.size() < 8 || load_big<std::uint8_t>(message, 0) != igmp_query) return std::nullopt;
  const std::uint32_t code = load_big<std::uint8_t>(message, 1);
  if (code == 0) return 10000;  // IGMPv1
  if (code < 0x80) return code * 100;
  return ((0x10 | (code & 0xf)) << ((code >> 4 & 7) + 3)) * 100;  // RFC 3376 4.1.1
}

}  // namespace mirage::wire
