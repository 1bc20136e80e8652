// SPDX-License-Identifier: ISC
// IPv6 extension headers (RFC 8200 section 4): one bounded walk to the transport header, which says what to do with the
// packet. Read RFC 8200 4.1-4.6, RFC 5095 (type 0 routing), RFC 6946 (atomic fragments) and RFC 7112 (the whole chain
// in the first fragment) before editing. Deliberately not here: IPsec headers, which are as unknown as any other.
#pragma once

#include <cstdint>

#include <mirage/wire/icmpv6.hpp>
#include <mirage/wire/ipv6.hpp>

namespace mirage::wire {

namespace ipv6_next {
inline constexpr std::uint8_t hop_by_hop = 0;
inline constexpr std::uint8_t routing = 43;
inline constexpr std::uint8_t fragment = 44;
inline constexpr std::uint8_t icmp = 58;
inline constexpr std::uint8_t none = 59;
inline constexpr std::uint8_t destination_options = 60;
}  // namespace ipv6_next

[[nodiscard]] constexpr bool is_extension(std::uint8_t next_header) noexcept {
  return next_header == ipv6_next::hop_by_hop || next_header == ipv6_next::routing ||
         next_header == ipv6_next::fragment || next_header == ipv6_next::destination_options;
}

/// Limits that a host may set (RFC 8504 5.3): longer chains serve nobody but attackers.
inline constexpr std::size_t ipv6_maximum_extensions = 256;  ///< bytes of all extension headers together
inline constexpr unsigned ipv6_maximum_extension_count = 8;

/// Fragment header (RFC 8200 4.5).
struct Ipv6Fragment {
  static constexpr std::size_t next_header_at = 0;
  static constexpr std::size_t offset_at = 2;
  static constexpr std::size_t identification_at = 4;
  static constexpr std::size_t size = 8;

  std::uint8_t next_header = 0;
  std::uint16_t offset = 0;  ///< bytes, a multiple of 8
  bool more = false;
  std::uint32_t identification = 0;
  constexpr bool operator==(const Ipv6Fragment&) const = default;

  /// Precondition of both: `size` bytes.
  [[nodiscard]] static constexpr Ipv6Fragment parse(Bytes bytes) noexcept {
    const auto word = load_big<std::uint16_t>(bytes, offset_at);
    return {load_big<std::uint8_t>(bytes, next_header_at), static_cast<std::uint16_t>(word & ~7U), (word & 1) != 0,
            load_big<std::uint32_t>(bytes, identification_at)};
  }
  constexpr void emit(MutableBytes out) const noexcept {
    store_big(out, next_header_at, next_header);
    store_big(out, 1, std::uint8_t{0});
    store_big(out, offset_at, static_cast<std::uint16_t>(offset | (more ? 1 : 0)));
    store_big(out, identification_at, identification);
  }
};

/// What a walk came to.
struct Ipv6Walk {
  enum class Outcome : std::uint8_t {
    transport,  ///< `protocol` starts at `offset`
    fragment,   ///< a fragment's payload starts at `offset`; `protocol` is what the fragment header names
    nothing,    ///< no next header: silently ignored
    discard,    ///< malformed, too long, or an option says so
    problem,    ///< discard, and report `code` and `pointer` to the sender
  };
  Outcome outcome = Outcome::discard;
  std::uint8_t protocol = 0;
  std::size_t offset = 0;          ///< into the bytes that were walked
  Ipv6Fragment fragment{};         ///< of Outcome::fragment
  bool has_fragment = false;       ///< there was a fragment header, also an atomic one (RFC 6946)
  std::uint8_t code = 0;           ///< of an ICMPv6 parameter problem
  std::uint32_t pointer = 0;       ///< from the start of the packet
  bool even_to_group = false;      ///< the problem is reported although the destination is a group
  std::size_t next_header_at = 0;  ///< from the start of the packet: the field that names `protocol`
};

namespace detail {

/// The options of a hop-by-hop or destination options header, which starts at `at` of the packet (RFC 8200 4.2).
[[nodiscard]] constexpr bool options_allow(Bytes header, std::size_t at, Ipv6Walk& walk) noexcept {
  for (std::size_t i = 2; i < header.size();) {
    const auto type = load_big<std::uint8_t>(header, i);
    if (type == 0) {  // Pad1
      ++i;
      continue;
    }
    if (i + 1 >= header.size()) return false;
    const std::size_t next = i + 2 + load_big<std::uint8_t>(header, i + 1);
    if (next > header.size()) return false;
    const bool known = type == 1 || type == 5;  // PadN; router alert (RFC 2711) means nothing to a host
    if (!known && type >> 6 != 0) {
      if (type >> 6 == 1) return false;
      walk.outcome = Ipv6Walk::Outcome::problem;
      walk.code = icmpv6_parameter_problem::option;
      walk.pointer = static_cast<std::uint32_t>(at + i);
      walk.even_to_group = type >> 6 == 2;
      return false;
    }
    i = next;
  }
  return true;
}

constexpr Ipv6Walk& problem(Ipv6Walk& walk, std::uint8_t code, std::size_t pointer) noexcept {
  walk.outcome = Ipv6Walk::Outcome::problem;
  walk.code = code;
  walk.pointer = static_cast<std::uint32_t>(pointer);
  return walk;
}

}  // namespace detail

/// Walks from the header of type `first` at the start of `bytes`, which lie at `base` of the packet (40: right behind
/// the IPv6 header, where alone hop-by-hop options may stand).
[[nodiscard]] constexpr Ipv6Walk walk_extensions(std::uint8_t first, Bytes bytes, std::size_t base) noexcept {
  Ipv6Walk walk;
  walk.protocol = first;
  walk.next_header_at = base == ipv6_header_size ? ipv6_at::next_header : base;
  for (unsigned count = 0;; ++count) {
    const bool options = walk.protocol == ipv6_next::destination_options || walk.protocol == ipv6_next::hop_by_hop;
    const bool fragment = walk.protocol == ipv6_next::fragment;
    if (walk.protocol == ipv6_next::none) {
      walk.outcome = Ipv6Walk::Outcome::nothing;
      return walk;
    }
    if (!options && !fragment && walk.protocol != ipv6_next::routing) {
      walk.outcome = Ipv6Walk::Outcome::transport;
      return walk;
    }
    // RFC 8200 4.1: hop-by-hop options only directly behind the IPv6 header.
    if (walk.protocol == ipv6_next::hop_by_hop && (count > 0 || base != ipv6_header_size)) {
      return detail::problem(walk, icmpv6_parameter_problem::next_header, walk.next_header_at);
    }
    const std::size_t at = walk.offset;
    if (count >= ipv6_maximum_extension_count || bytes.size() < at + 8) return walk;
    const std::size_t size = fragment ? Ipv6Fragment::size : 8 + 8 * std::size_t{load_big<std::uint8_t>(bytes, at + 1)};
    if (size > bytes.size() - at || at + size > ipv6_maximum_extensions) return walk;
    const Bytes header = bytes.subspan(at, size);
    if (options && !detail::options_allow(header, base + at, walk)) return walk;
    // RFC 8200 4.4: a routing header that is used up is skipped, any other one is of no type that we know (RFC 5095).
    if (walk.protocol == ipv6_next::routing && load_big<std::uint8_t>(header, 3) != 0) {
      return detail::problem(walk, icmpv6_parameter_problem::header_field, base + at + 2);
    }
    walk.protocol = load_big<std::uint8_t>(header, 0);
    walk.next_header_at = base + at;
    walk.offset += size;
    if (!fragment) continue;
    if (walk.has_fragment) return walk;  // one inside another
    walk.has_fragment = true;
    walk.fragment = Ipv6Fragment::parse(header);
    if (walk.fragment.offset == 0 && !walk.fragment.more) continue;  // RFC 6946: whole, as if it had no such header
    walk.outcome = Ipv6Walk::Outcome::fragment;
    return walk;
  }
}

/// True when the whole header chain, the transport header included, is in a first fragment's `payload` (RFC 7112 5).
[[nodiscard]] constexpr bool holds_header_chain(std::uint8_t next_header, Bytes payload) noexcept {
  const Ipv6Walk walk = walk_extensions(next_header, payload, ipv6_header_size + Ipv6Fragment::size);
  if (walk.outcome == Ipv6Walk::Outcome::discard) return false;
  if (walk.outcome != Ipv6Walk::Outcome::transport) return true;
  const std::size_t rest = payload.size() - walk.offset;
  return rest >= (walk.protocol == 6 ? 20U : walk.protocol == 17 || walk.protocol == ipv6_next::icmp ? 8U : 0U);
}

}  // namespace mirage::wire
