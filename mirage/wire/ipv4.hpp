// SPDX-License-Identifier: ISC
// IPv4 header (RFC 791; RFC 1122 3.2.1; RFC 2474 and 3168 for the second octet). Options are kept, not interpreted.
#pragma once

#include <cstdint>

#include <mirage/base/result.hpp>
#include <mirage/wire/checksum.hpp>

namespace mirage::wire {

enum class Ipv4ParseError : std::uint8_t { truncated, version, header_length, total_length, checksum, fragment };

/// Offsets of the header's fields, in octets.
namespace ipv4_at {
inline constexpr std::size_t version_and_length = 0;
inline constexpr std::size_t traffic_class = 1;
inline constexpr std::size_t total_length = 2;
inline constexpr std::size_t identification = 4;
inline constexpr std::size_t flags_and_offset = 6;
inline constexpr std::size_t time_to_live = 8;
inline constexpr std::size_t protocol = 9;
inline constexpr std::size_t checksum = 10;
inline constexpr std::size_t source = 12;
inline constexpr std::size_t destination = 16;
inline constexpr std::size_t options = 20;
}  // namespace ipv4_at

inline constexpr std::size_t ipv4_header_size = 20;
inline constexpr std::size_t ipv4_maximum_header_size = 60;

/// The header's values, without options.
struct Ipv4Header {
  static constexpr std::uint16_t dont_fragment_bit = 0x4000;
  static constexpr std::uint16_t more_fragments_bit = 0x2000;

  std::uint8_t traffic_class = 0;
  std::uint16_t total_length = 0;
  std::uint16_t identification = 0;
  bool dont_fragment = false;
  bool more_fragments = false;
  std::uint16_t fragment_offset = 0;  ///< bytes, a multiple of 8
  std::uint8_t time_to_live = 64;
  std::uint8_t protocol = 0;
  Ipv4Address source{};
  Ipv4Address destination{};
  constexpr bool operator==(const Ipv4Header&) const = default;

  /// Writes 20 bytes, checksum included. Precondition: out.size() >= 20.
  constexpr void emit(MutableBytes out) const noexcept {
    const auto flags = static_cast<std::uint16_t>((dont_fragment ? dont_fragment_bit : 0) |
                                                  (more_fragments ? more_fragments_bit : 0) | fragment_offset / 8);
    store_big(out, ipv4_at::version_and_length, std::uint8_t{0x45});
    store_big(out, ipv4_at::traffic_class, traffic_class);
    store_big(out, ipv4_at::total_length, total_length);
    store_big(out, ipv4_at::identification, identification);
    store_big(out, ipv4_at::flags_and_offset, flags);
    store_big(out, ipv4_at::time_to_live, time_to_live);
    store_big(out, ipv4_at::protocol, protocol);
    store_big(out, ipv4_at::source, source.value);
    store_big(out, ipv4_at::destination, destination.value);
    // From the values: what was just written in small pieces would be waited for when it is read in large ones.
    const std::uint64_t sum = 0x4500U + traffic_class + total_length + identification + flags +
                              (std::uint32_t{time_to_live} << 8 | protocol) + pseudo_header_sum(source, destination);
    store_big(out, ipv4_at::checksum, static_cast<std::uint16_t>(~fold(sum)));
  }
};

/// A checked header: version, lengths and checksum are right, the whole header is there. `available` bytes of packet
/// (all slices) hold at least total_length().
class Ipv4View {
 public:
  /// `first`: the contiguous start of the packet; `available`: bytes of the whole packet (link padding included).
  [[nodiscard]] static constexpr Result<Ipv4View, Ipv4ParseError> parse(Bytes first, std::size_t available) noexcept {
    auto view = parse_quoted(first);
    if (!view) return view;
    if (view->total_length() < view->header_size() || view->total_length() > available) {
      return Failure{Ipv4ParseError::total_length};
    }
    if (!checksum_is_valid(view->header())) return Failure{Ipv4ParseError::checksum};
    // RFC 791 3.1: offset and length must stay within 65535 bytes, and all fragments but the last are multiples of 8.
    if (view->fragment_offset() + view->payload_size() > 0xffff) return Failure{Ipv4ParseError::fragment};
    if (view->more_fragments() && (view->payload_size() % 8 != 0 || view->payload_size() == 0)) {
      return Failure{Ipv4ParseError::fragment};
    }
    return view;
  }
  /// For the header that an ICMP error quotes: its packet is cut off and its checksum may have been changed on the way.
  [[nodiscard]] static constexpr Result<Ipv4View, Ipv4ParseError> parse_quoted(Bytes first) noexcept {
    if (first.size() < ipv4_header_size) return Failure{Ipv4ParseError::truncated};
    const auto octet = load_big<std::uint8_t>(first, ipv4_at::version_and_length);
    if (octet >> 4 != 4) return Failure{Ipv4ParseError::version};
    const std::size_t size = std::size_t{octet & 0x0fU} * 4;
    if (size < ipv4_header_size) return Failure{Ipv4ParseError::header_length};
    if (first.size() < size) return Failure{Ipv4ParseError::truncated};
    return Ipv4View{first.first(size)};
  }

  [[nodiscard]] constexpr Bytes header() const noexcept { return header_; }
  [[nodiscard]] constexpr std::size_t header_size() const noexcept { return header_.size(); }
  [[nodiscard]] constexpr bool has_options() const noexcept { return header_.size() > ipv4_header_size; }
  [[nodiscard]] constexpr std::uint8_t traffic_class() const noexcept { return octet(ipv4_at::traffic_class); }
  [[nodiscard]] constexpr std::uint16_t total_length() const noexcept { return word(ipv4_at::total_length); }
  [[nodiscard]] constexpr std::size_t payload_size() const noexcept { return total_length() - header_.size(); }
  [[nodiscard]] constexpr std::uint16_t identification() const noexcept { return word(ipv4_at::identification); }
  [[nodiscard]] constexpr bool dont_fragment() const noexcept {
    return (word(ipv4_at::flags_and_offset) & Ipv4Header::dont_fragment_bit) != 0;
  }
  [[nodiscard]] constexpr bool more_fragments() const noexcept {
    return (word(ipv4_at::flags_and_offset) & Ipv4Header::more_fragments_bit) != 0;
  }
  [[nodiscard]] constexpr std::uint16_t fragment_offset() const noexcept {
    return static_cast<std::uint16_t>((word(ipv4_at::flags_and_offset) & 0x1fff) * 8);
  }
  [[nodiscard]] constexpr bool is_fragment() const noexcept { return more_fragments() || fragment_offset() != 0; }
  [[nodiscard]] constexpr std::uint8_t time_to_live() const noexcept { return octet(ipv4_at::time_to_live); }
  [[nodiscard]] constexpr std::uint8_t protocol() const noexcept { return octet(ipv4_at::protocol); }
  [[nodiscard]] constexpr Ipv4Address source() const noexcept {
    return {load_big<std::uint32_t>(header_, ipv4_at::source)};
  }
  [[nodiscard]] constexpr Ipv4Address destination() const noexcept {
    return {load_big<std::uint32_t>(header_, ipv4_at::destination)};
  }
  [[nodiscard]] constexpr Ipv4Header value() const noexcept {
    return {.traffic_class = traffic_class(),
            .total_length = total_length(),
            .identification = identification(),
            .dont_fragment = dont_fragment(),
            .more_fragments = more_fragments(),
            .fragment_offset = fragment_offset(),
            .time_to_live = time_to_live(),
            .protocol = protocol(),
            .source = source(),
            .destination = destination()};
  }

 private:
  constexpr explicit Ipv4View(Bytes header) noexcept : header_(header) {}
  [[nodiscard]] constexpr std::uint8_t octet(std::size_t at) const noexcept {
    return load_big<std::uint8_t>(header_, at);
  }
  [[nodiscard]] constexpr std::uint16_t word(std::size_t at) const noexcept {
    return load_big<std::uint16_t>(header_, at);
  }
  Bytes header_;
};

}  // namespace mirage::wire
