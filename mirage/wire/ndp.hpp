// SPDX-License-Identifier: ISC
// Neighbour discovery messages (RFC 4861 section 4) and their options, those of RFC 8106 (RDNSS, DNSSL) and RFC 4191
// (router preference) included. Every message is an ICMPv6 message; `bytes` below start at its type. Options are
// checked once: a length of zero or beyond the end makes the whole message invalid (RFC 4861 4.6).
#pragma once

#include <cstdint>
#include <optional>

#include <mirage/wire/ethernet.hpp>
#include <mirage/wire/icmpv6.hpp>
#include <mirage/wire/ipv6.hpp>

namespace mirage::wire {

namespace nd_option {
inline constexpr std::uint8_t source_link_address = 1;
inline constexpr std::uint8_t target_link_address = 2;
inline constexpr std::uint8_t prefix_information = 3;
inline constexpr std::uint8_t mtu = 5;
inline constexpr std::uint8_t nonce = 14;  ///< RFC 3971, RFC 7527
inline constexpr std::uint8_t rdnss = 25;
inline constexpr std::uint8_t dnssl = 31;
inline constexpr std::size_t link_address_size = 8;
inline constexpr std::size_t nonce_size = 8;
}  // namespace nd_option

/// Options that are known to be well-formed.
class NdOptions {
 public:
  constexpr NdOptions() noexcept = default;
  [[nodiscard]] static constexpr std::optional<NdOptions> parse(Bytes bytes) noexcept {
    for (Bytes rest = bytes; !rest.empty();) {
      if (rest.size() < 2) return std::nullopt;
      const std::size_t size = 8 * std::size_t{load_big<std::uint8_t>(rest, 1)};
      if (size == 0 || size > rest.size()) return std::nullopt;
      rest = rest.subspan(size);
    }
    return NdOptions{bytes};
  }
  /// Calls visit(type, option) for each, whose bytes start at the type.
  template <class F>
  constexpr void for_each(F&& visit) const {
    for (Bytes rest = bytes_; !rest.empty();) {
      const std::size_t size = 8 * std::size_t{load_big<std::uint8_t>(rest, 1)};
      visit(load_big<std::uint8_t>(rest, 0), rest.first(size));
      rest = rest.subspan(size);
    }
  }
  /// The first option of the type; empty when there is none.
  [[nodiscard]] constexpr Bytes find(std::uint8_t type) const noexcept {
    Bytes found;
    for_each([&](std::uint8_t of, Bytes option) {
      if (found.empty() && of == type) found = option;
    });
    return found;
  }
  /// The Ethernet address in a source or target link-layer address option.
  [[nodiscard]] constexpr std::optional<MacAddress> link_address(std::uint8_t type) const noexcept {
    const Bytes option = find(type);
    if (option.size() != nd_option::link_address_size) return std::nullopt;
    return load_mac(option, 2);
  }

 private:
  constexpr explicit NdOptions(Bytes bytes) noexcept : bytes_(bytes) {}
  Bytes bytes_;
};

/// Precondition: eight bytes.
constexpr void emit_link_address(MutableBytes out, std::uint8_t type, const MacAddress& mac) noexcept {
  store_big(out, 0, type);
  store_big(out, 1, std::uint8_t{1});
  store_mac(out, 2, mac);
}

/// Neighbour solicitation and advertisement (RFC 4861 4.3, 4.4).
struct NeighbourMessage {
  static constexpr std::size_t flags_at = 4;
  static constexpr std::size_t target_at = 8;
  static constexpr std::size_t size = 24;  ///< without options
  static constexpr std::uint8_t router = 0x80;
  static constexpr std::uint8_t solicited = 0x40;
  static constexpr std::uint8_t overrides = 0x20;

  std::uint8_t type = 0;
  std::uint8_t flags = 0;  ///< of an advertisement
  IpAddress target{};
  NdOptions options{};

  [[nodiscard]] constexpr bool has(std::uint8_t flag) const noexcept { return (flags & flag) != 0; }
  /// The checks of RFC 4861 7.1.1 and 7.1.2 that concern the message alone. Precondition: an ICMPv6 header.
  [[nodiscard]] static constexpr std::optional<NeighbourMessage> parse(Bytes bytes) noexcept {
    if (bytes.size() < size || load_big<std::uint8_t>(bytes, Icmpv6Header::code_at) != 0) return std::nullopt;
    const auto options = NdOptions::parse(bytes.subspan(size));
    const NeighbourMessage message{load_big<std::uint8_t>(bytes, Icmpv6Header::type_at),
                                   load_big<std::uint8_t>(bytes, flags_at), load_ip(bytes, target_at),
                                   options.value_or(NdOptions{})};
    if (!options || !message.target.is_unicast() || message.target.is_v4()) return std::nullopt;
    return message;
  }
  /// Header, without options and checksum. Precondition: out.size() >= size.
  constexpr void emit(MutableBytes out) const noexcept {
    Icmpv6Header{.type = type, .rest = std::uint32_t{flags} << 24}.emit(out);
    store_ip(out, target_at, target);
  }
};

/// RFC 4861 4.2 with the preference of RFC 4191 2.2.
struct RouterAdvertisement {
  static constexpr std::size_t size = 16;  ///< without options
  std::uint8_t hop_limit = 0;              ///< 0: unspecified, as for the timers
  bool managed = false;                    ///< addresses by DHCPv6
  bool other = false;                      ///< other configuration by DHCPv6
  std::int8_t preference = 0;              ///< -1 low, 0 medium, 1 high
  std::uint16_t lifetime = 0;              ///< seconds; 0: no default router
  std::uint32_t reachable_time = 0;        ///< milliseconds
  std::uint32_t retransmit_time = 0;       ///< milliseconds
  NdOptions options{};

  [[nodiscard]] static constexpr std::optional<RouterAdvertisement> parse(Bytes bytes) noexcept {
    if (bytes.size() < size || load_big<std::uint8_t>(bytes, Icmpv6Header::code_at) != 0) return std::nullopt;
    const auto options = NdOptions::parse(bytes.subspan(size));
    if (!options) return std::nullopt;
    const auto flags = load_big<std::uint8_t>(bytes, 5);
    const unsigned preference = flags >> 3 & 3;
    return RouterAdvertisement{.hop_limit = load_big<std::uint8_t>(bytes, 4),
                               .managed = (flags & 0x80) != 0,
                               .other = (flags & 0x40) != 0,
                               // RFC 4191 2.2: the reserved value counts as medium.
                               .preference = static_cast<std::int8_t>(preference == 1   ? 1
                                                                      : preference == 3 ? -1
                                                                                        : 0),
                               .lifetime = load_big<std::uint16_t>(bytes, 6),
                               .reachable_time = load_big<std::uint32_t>(bytes, 8),
                               .retransmit_time = load_big<std::uint32_t>(bytes, 12),
                               .options = *options};
  }
};

/// RFC 4861 4.6.2.
struct PrefixInformation {
  static constexpr std::size_t size = 32;
  static constexpr std::uint32_t infinity = 0xffffffff;
  IpPrefix prefix{};
  bool on_link = false;
  bool autonomous = false;
  std::uint32_t valid = 0;      ///< seconds
  std::uint32_t preferred = 0;  ///< seconds

  /// Nothing for an option of another size.
  [[nodiscard]] static constexpr std::optional<PrefixInformation> parse(Bytes option) noexcept {
    if (option.size() != size || load_big<std::uint8_t>(option, 2) > 128) return std::nullopt;
    const auto flags = load_big<std::uint8_t>(option, 3);
    return PrefixInformation{.prefix = {load_ip(option, 16), load_big<std::uint8_t>(option, 2)},
                             .on_link = (flags & 0x80) != 0,
                             .autonomous = (flags & 0x40) != 0,
                             .valid = load_big<std::uint32_t>(option, 4),
                             .preferred = load_big<std::uint32_t>(option, 8)};
  }
  /// Precondition: `size` bytes.
  constexpr void emit(MutableBytes out) const noexcept {
    store_big(out, 0, nd_option::prefix_information);
    store_big(out, 1, std::uint8_t{size / 8});
    store_big(out, 2, prefix.length);
    store_big(out, 3, static_cast<std::uint8_t>((on_link ? 0x80 : 0) | (autonomous ? 0x40 : 0)));
    store_big(out, 4, valid);
    store_big(out, 8, preferred);
    store_big(out, 12, std::uint32_t{0});
    store_ip(out, 16, prefix.address);
  }
};

/// RFC 4861 4.6.4; nothing for an option of another size.
[[nodiscard]] constexpr std::optional<std::uint32_t> parse_mtu_option(Bytes option) noexcept {
  if (option.size() != 8) return std::nullopt;
  return load_big<std::uint32_t>(option, 4);
}

/// RFC 8106 5.1: recursive DNS servers.
struct RdnssOption {
  std::uint32_t lifetime = 0;  ///< seconds
  Bytes addresses;             ///< sixteen bytes each
  [[nodiscard]] static constexpr std::optional<RdnssOption> parse(Bytes option) noexcept {
    if (option.size() < 24 || option.size() % 16 != 8) return std::nullopt;
    return RdnssOption{load_big<std::uint32_t>(option, 4), option.subspan(8)};
  }
  [[nodiscard]] constexpr std::size_t count() const noexcept { return addresses.size() / 16; }
  /// Precondition: index < count().
  [[nodiscard]] constexpr IpAddress address(std::size_t index) const noexcept { return load_ip(addresses, 16 * index); }
};

/// RFC 8106 5.2: the search list, names in the wire format of RFC 1035 3.1, padded with zeros.
struct DnsslOption {
  std::uint32_t lifetime = 0;  ///< seconds
  Bytes names;
  [[nodiscard]] static constexpr std::optional<DnsslOption> parse(Bytes option) noexcept {
    if (option.size() < 16) return std::nullopt;
    return DnsslOption{load_big<std::uint32_t>(option, 4), option.subspan(8)};
  }
};

}  // namespace mirage::wire
