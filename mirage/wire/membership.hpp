// SPDX-License-Identifier: ISC
// Reports of group membership: MLDv2 (RFC 3810 section 5.2) and IGMPv3 (RFC 3376 section 4.2), which differ in the size
// of an address only; the reports of their older versions; and what a listener needs of a query.
#pragma once

#include <cstdint>
#include <optional>

#include <mirage/base/buffer.hpp>
#include <mirage/wire/ipv6.hpp>

namespace mirage::wire {

/// RFC 3810 5.2.12, RFC 3376 4.2.12.
enum class GroupRecord : std::uint8_t {
  is_include = 1,
  is_exclude = 2,
  change_to_include = 3,
  change_to_exclude = 4,
  allow = 5,  ///< new sources
  block = 6   ///< old ones
};

inline constexpr std::uint8_t igmp_query = 0x11;
inline constexpr std::uint8_t igmp_report = 0x22;
inline constexpr std::size_t group_report_size = 8;  ///< without records

[[nodiscard]] constexpr std::size_t group_record_size(bool v4) noexcept { return v4 ? 8 : 20; }

/// Everything but the checksum. Precondition: eight bytes.
constexpr void emit_group_report(MutableBytes out, std::uint8_t type, std::uint16_t records) noexcept {
  store_big(out, 0, std::uint32_t{type} << 24);
  store_big(out, 4, std::uint32_t{records});
}

/// What stands before `sources` addresses. Precondition: group_record_size() bytes.
constexpr void emit_group_record(MutableBytes out, GroupRecord type, const IpAddress& group,
                                 std::uint16_t sources = 0) noexcept {
  store_big(out, 0, std::uint32_t{static_cast<std::uint8_t>(type)} << 24 | sources);
  if (group.is_v4()) {
    store_big(out, 4, group.v4().value);
  } else {
    store_ip(out, 4, group);
  }
}

/// What a listener needs of a query.
struct GroupQuery {
  std::uint32_t within = 0;  ///< the time for the answer, in milliseconds
  std::uint8_t version = 0;  ///< 0: none; of IGMP 1 to 3, of MLD 1 or 2
};

/// By their size (RFC 3810 8.1, RFC 3376 7.1); a message that is no query has version 0.
[[nodiscard]] constexpr GroupQuery parse_listener_query(Bytes message) noexcept {
  if (message.size() != 24 && message.size() < 28) return {};
  const std::uint32_t code = load_big<std::uint16_t>(message, 4);
  if (message.size() == 24) return {code, 1};
  if (code < 0x8000) return {code, 2};
  return {(0x1000 | (code & 0xfff)) << ((code >> 12 & 7) + 3), 2};  // RFC 3810 5.1.3
}
[[nodiscard]] constexpr GroupQuery parse_igmp_query(Bytes message) noexcept {
  const bool size = message.size() == 8 || message.size() >= 12;
  if (!size || load_big<std::uint8_t>(message, 0) != igmp_query) return {};
  const std::uint32_t code = load_big<std::uint8_t>(message, 1);
  if (message.size() == 8) return code == 0 ? GroupQuery{10'000, 1} : GroupQuery{code * 100, 2};
  if (code < 0x80) return {code * 100, 3};
  return {((0x10 | (code & 0xf)) << ((code >> 4 & 7) + 3)) * 100, 3};  // RFC 3376 4.1.1
}

/// Reports as queriers of older versions read them, of one group each: IGMPv1 and IGMPv2 (RFC 2236), MLDv1 (RFC 2710).
inline constexpr std::uint32_t longest_old_report = 24;
inline constexpr std::uint8_t igmp1_report = 0x12;
/// That a group was joined and left, of MLDv1 and IGMPv2.
inline constexpr std::uint8_t old_report_types[2][2]{{131, 132}, {0x16, 0x17}};  // NOLINT

/// Everything but the checksum: as a record of the newer versions, of MLD behind four bytes more.
/// Precondition: room for longest_old_report bytes.
inline void emit_old_report(MutableSlice& out, std::uint8_t type, const IpAddress& group) noexcept {
  const bool v4 = group.is_v4();
  if (!v4) store_big(out.grow_back(4), 0, std::uint32_t{type} << 24);
  const MutableBytes record = out.grow_back(static_cast<std::uint32_t>(group_record_size(v4)));
  emit_group_record(record, static_cast<GroupRecord>(v4 ? type : 0), group);
}

}  // namespace mirage::wire
