// SPDX-License-Identifier: ISC
// IPv6 header (RFC 8200 section 3). What may stand between it and the transport header is in ipv6_extension.hpp.
#pragma once

#include <cstdint>

#include <mirage/base/result.hpp>
#include <mirage/wire/checksum.hpp>

namespace mirage::wire {

enum class Ipv6ParseError : std::uint8_t { truncated, version, length };

/// Offsets of the header's fields, in octets.
namespace ipv6_at {
inline constexpr std::size_t version_class_flow = 0;
inline constexpr std::size_t payload_length = 4;
inline constexpr std::size_t next_header = 6;
inline constexpr std::size_t hop_limit = 7;
inline constexpr std::size_t source = 8;
inline constexpr std::size_t destination = 24;
}  // namespace ipv6_at

inline constexpr std::size_t ipv6_header_size = 40;
/// RFC 8200 5: every link carries packets of this size.
inline constexpr std::uint16_t ipv6_minimum_mtu = 1280;

/// Precondition of both: sixteen bytes at `at`.
[[nodiscard]] constexpr IpAddress load_ip(Bytes bytes, std::size_t at) noexcept {
  return IpAddress::of(load_big<std::uint64_t>(bytes, at), load_big<std::uint64_t>(bytes, at + 8));
}
constexpr void store_ip(MutableBytes bytes, std::size_t at, const IpAddress& address) noexcept {
  store_big(bytes, at, address.high());
  store_big(bytes, at + 8, address.low());
}

struct Ipv6Header {
  std::uint8_t traffic_class = 0;
  std::uint32_t flow_label = 0;  ///< 20 bits (RFC 6437)
  std::uint16_t payload_length = 0;
  std::uint8_t next_header = 0;
  std::uint8_t hop_limit = 64;
  IpAddress source{};
  IpAddress destination{};
  constexpr bool operator==(const Ipv6Header&) const = default;

  /// `first`: the contiguous start of the packet; `available`: bytes of the whole packet (link padding included).
  /// Jumbograms (RFC 2675) are refused by their length of zero, which leaves nothing to look at.
  [[nodiscard]] static constexpr Result<Ipv6Header, Ipv6ParseError> parse(Bytes first, std::size_t available) noexcept {
    const auto header = parse_quoted(first);
    if (header && header->payload_length > available - ipv6_header_size) return Failure{Ipv6ParseError::length};
    return header;
  }
  /// For the header that an ICMP error quotes: its packet is cut off.
  [[nodiscard]] static constexpr Result<Ipv6Header, Ipv6ParseError> parse_quoted(Bytes first) noexcept {
    if (first.size() < ipv6_header_size) return Failure{Ipv6ParseError::truncated};
    const auto word = load_big<std::uint32_t>(first, ipv6_at::version_class_flow);
    if (word >> 28 != 6) return Failure{Ipv6ParseError::version};
    return Ipv6Header{.traffic_class = static_cast<std::uint8_t>(word >> 20),
                      .flow_label = word & 0xfffff,
                      .payload_length = load_big<std::uint16_t>(first, ipv6_at::payload_length),
                      .next_header = load_big<std::uint8_t>(first, ipv6_at::next_header),
                      .hop_limit = load_big<std::uint8_t>(first, ipv6_at::hop_limit),
                      .source = load_ip(first, ipv6_at::source),
                      .destination = load_ip(first, ipv6_at::destination)};
  }
  /// Precondition: out.size() >= ipv6_header_size.
  constexpr void emit(MutableBytes out) const noexcept {
    store_big(out, ipv6_at::version_class_flow,
              std::uint32_t{6} << 28 | std::uint32_t{traffic_class} << 20 | (flow_label & 0xfffff));
    store_big(out, ipv6_at::payload_length, payload_length);
    store_big(out, ipv6_at::next_header, next_header);
    store_big(out, ipv6_at::hop_limit, hop_limit);
    store_ip(out, ipv6_at::source, source);
    store_ip(out, ipv6_at::destination, destination);
  }
};

/// Groups that this stack speaks to (RFC 4291 2.7.1, RFC 3810 section 10).
namespace ipv6_group {
inline constexpr IpAddress all_nodes = IpAddress::of(0xff02'0000'0000'0000, 1);
inline constexpr IpAddress all_routers = IpAddress::of(0xff02'0000'0000'0000, 2);
inline constexpr IpAddress all_mld2_routers = IpAddress::of(0xff02'0000'0000'0000, 0x16);
/// RFC 4291 2.7.1: where whoever has `address` listens for neighbour solicitations.
[[nodiscard]] constexpr IpAddress solicited_node(const IpAddress& address) noexcept {
  return IpAddress::of(0xff02'0000'0000'0000, 0x1'ff00'0000 | (address.low() & 0xffffff));
}
}  // namespace ipv6_group

}  // namespace mirage::wire
