// SPDX-License-Identifier: ISC
// TCP header and options: RFC 9293 section 3.1 and 3.2, RFC 7323 (window scale, timestamps), RFC 2018 (SACK).
// A TcpView has been checked: no accessor can fail. Options never make a segment invalid: what is malformed ends the
// list (RFC 9293 MUST-7: "prepared to handle an illegal option length") and is reported.
#pragma once

#include <array>
#include <cstdint>

#include <mirage/base/bytes.hpp>
#include <mirage/base/result.hpp>

namespace mirage::wire {

/// Control bits, RFC 9293 section 3.1.
struct TcpFlags {
  static constexpr std::uint8_t fin = 0x01, syn = 0x02, rst = 0x04, psh = 0x08, ack = 0x10, urg = 0x20, ece = 0x40,
                                cwr = 0x80;
};

namespace tcp_offset {
inline constexpr std::size_t source_port = 0;
inline constexpr std::size_t destination_port = 2;
inline constexpr std::size_t sequence = 4;
inline constexpr std::size_t acknowledgement = 8;
inline constexpr std::size_t data_offset = 12;  // upper four bits, in words of 32 bits
inline constexpr std::size_t flags = 13;
inline constexpr std::size_t window = 14;
inline constexpr std::size_t checksum = 16;
inline constexpr std::size_t urgent = 18;
}  // namespace tcp_offset

inline constexpr std::size_t tcp_header_size = 20;
inline constexpr std::size_t tcp_maximum_header_size = 60;

namespace tcp_option {
inline constexpr std::uint8_t end = 0;
inline constexpr std::uint8_t no_operation = 1;
inline constexpr std::uint8_t maximum_segment_size = 2;
inline constexpr std::uint8_t window_scale = 3;
inline constexpr std::uint8_t sack_permitted = 4;
inline constexpr std::uint8_t sack = 5;
inline constexpr std::uint8_t timestamps = 8;
}  // namespace tcp_option

/// RFC 7323 section 2.3: a larger shift is read as 14.
inline constexpr std::uint8_t tcp_maximum_window_scale = 14;

struct TcpSackBlock {
  std::uint32_t left = 0;
  std::uint32_t right = 0;
  constexpr bool operator==(const TcpSackBlock&) const = default;
};

/// The options this stack knows; unknown ones are skipped.
struct TcpOptionSet {
  std::uint16_t maximum_segment_size = 0;  ///< 0: absent
  std::uint8_t window_scale = 0;
  bool has_window_scale = false;
  bool sack_permitted = false;
  bool has_timestamps = false;
  std::uint32_t timestamp = 0;
  std::uint32_t timestamp_echo = 0;
  std::array<TcpSackBlock, 4> sack{};
  std::uint8_t sack_blocks = 0;
  bool malformed = false;  ///< the list ended early: a length below 2, beyond the header, or wrong for its kind
  constexpr bool operator==(const TcpOptionSet&) const = default;
};

namespace detail {
constexpr bool read_sack(Bytes body, TcpOptionSet& set) noexcept {
  if (body.empty() || body.size() % 8 != 0 || body.size() > 32) return false;
  set.sack_blocks = static_cast<std::uint8_t>(body.size() / 8);
  for (std::size_t i = 0; i < set.sack_blocks; ++i) {
    set.sack[i] = {load_big<std::uint32_t>(body, 8 * i), load_big<std::uint32_t>(body, 8 * i + 4)};
  }
  return true;
}

constexpr bool read_option(std::uint8_t kind, Bytes body, TcpOptionSet& set) noexcept {
  switch (kind) {
    case tcp_option::maximum_segment_size:
      if (body.size() != 2) return false;
      set.maximum_segment_size = load_big<std::uint16_t>(body, 0);
      return true;
    case tcp_option::window_scale:
      if (body.size() != 1) return false;
      set.has_window_scale = true;
      set.window_scale = std::to_integer<std::uint8_t>(body[0]);
      if (set.window_scale > tcp_maximum_window_scale) set.window_scale = tcp_maximum_window_scale;
      return true;
    case tcp_option::sack_permitted:
      set.sack_permitted = body.empty();
      return body.empty();
    case tcp_option::sack:
      return read_sack(body, set);
    case tcp_option::timestamps:
      if (body.size() != 8) return false;
      set.has_timestamps = true;
      set.timestamp = load_big<std::uint32_t>(body, 0);
      set.timestamp_echo = load_big<std::uint32_t>(body, 4);
      return true;
    default:
      return true;
  }
}
}  // namespace detail

/// Reads an option list of any bytes.
[[nodiscard]] constexpr TcpOptionSet parse_tcp_options(Bytes list) noexcept {
  TcpOptionSet set;
  // Timestamps and nothing else, aligned as RFC 7323 appendix A recommends: nearly every segment.
  if (list.size() == 12 && load_big<std::uint32_t>(list, 0) == 0x0101080a) {
    (void)detail::read_option(tcp_option::timestamps, list.subspan(4), set);
    return set;
  }
  while (!list.empty()) {
    const auto kind = std::to_integer<std::uint8_t>(list[0]);
    if (kind == tcp_option::end) break;
    if (kind == tcp_option::no_operation) {
      list = list.subspan(1);
      continue;
    }
    const std::size_t length = list.size() < 2 ? 0 : std::to_integer<std::size_t>(list[1]);
    if (length < 2 || length > list.size() || !detail::read_option(kind, list.subspan(2, length - 2), set)) {
      set.malformed = true;
      break;
    }
    list = list.subspan(length);
  }
  return set;
}

/// Bytes that emit_tcp_options() writes: a multiple of 4. SACK blocks beyond what fits into 40 bytes are left out.
[[nodiscard]] constexpr std::size_t tcp_options_size(const TcpOptionSet& set) noexcept {
  std::size_t size = 0;
  if (set.maximum_segment_size != 0) size += 4;
  if (set.has_timestamps) size += 12;
  if (set.has_window_scale) size += 4;
  if (set.sack_permitted && !set.has_timestamps) size += 4;  // else in the place of their padding
  if (set.sack_blocks != 0 && size + 12 <= 40) {
    const std::size_t room = (40 - size - 4) / 8;
    size += 4 + 8 * (set.sack_blocks < room ? set.sack_blocks : room);
  }
  return size;
}

/// Writes the options, padded by no-operations in front of each. Precondition: out.size() == tcp_options_size(set).
constexpr void emit_tcp_options(const TcpOptionSet& set, MutableBytes out) noexcept {
  std::size_t at = 0;
  const auto put_word = [&](std::uint32_t value) {
    store_big(out, at, value);
    at += 4;
  };
  if (set.maximum_segment_size != 0) {
    put_word(std::uint32_t{tcp_option::maximum_segment_size} << 24 | 4U << 16 | set.maximum_segment_size);
  }
  if (set.has_timestamps) {
    constexpr std::uint32_t permitted = std::uint32_t{tcp_option::sack_permitted} << 24 | 2U << 16;
    put_word((set.sack_permitted ? permitted : 0x01010000U) | std::uint32_t{tcp_option::timestamps} << 8 | 10U);
    put_word(set.timestamp);
    put_word(set.timestamp_echo);
  }
  if (set.has_window_scale) {
    put_word(0x01000000U | std::uint32_t{tcp_option::window_scale} << 16 | 3U << 8 | set.window_scale);
  }
  if (set.sack_permitted && !set.has_timestamps)
    put_word(0x01010000U | std::uint32_t{tcp_option::sack_permitted} << 8 | 2U);
  if (at + 12 > out.size() || set.sack_blocks == 0) return;
  const std::size_t blocks = (out.size() - at - 4) / 8;
  put_word(0x01010000U | std::uint32_t{tcp_option::sack} << 8 | static_cast<std::uint32_t>(2 + 8 * blocks));
  for (std::size_t i = 0; i < blocks; ++i) {
    put_word(set.sack[i].left);
    put_word(set.sack[i].right);
  }
}

/// The fixed header as a value.
struct TcpHeader {
  std::uint16_t source_port = 0;
  std::uint16_t destination_port = 0;
  std::uint32_t sequence = 0;
  std::uint32_t acknowledgement = 0;
  std::uint8_t flags = 0;
  std::uint16_t window = 0;
  std::uint16_t checksum = 0;
  std::uint16_t urgent = 0;
  constexpr bool operator==(const TcpHeader&) const = default;

  /// Writes the header with a data offset for `options` bytes (a multiple of 4, at most 40).
  /// Precondition: out.size() >= tcp_header_size.
  constexpr void emit(MutableBytes out, std::size_t options) const noexcept {
    store_big(out, tcp_offset::source_port, source_port);
    store_big(out, tcp_offset::destination_port, destination_port);
    store_big(out, tcp_offset::sequence, sequence);
    store_big(out, tcp_offset::acknowledgement, acknowledgement);
    out[tcp_offset::data_offset] = static_cast<std::byte>((tcp_header_size + options) / 4 << 4);
    out[tcp_offset::flags] = static_cast<std::byte>(flags);
    store_big(out, tcp_offset::window, window);
    store_big(out, tcp_offset::checksum, checksum);
    store_big(out, tcp_offset::urgent, urgent);
  }
};

enum class TcpParseError : std::uint8_t {
  truncated,   ///< shorter than its header
  bad_offset,  ///< a data offset below 5
};

/// Checked view of a segment whose header is contiguous.
class TcpView {
 public:
  [[nodiscard]] static constexpr Result<TcpView, TcpParseError> parse(Bytes segment) noexcept {
    if (segment.size() < tcp_header_size) return Failure{TcpParseError::truncated};
    const std::size_t size = std::to_integer<std::size_t>(segment[tcp_offset::data_offset] >> 4) * 4;
    if (size < tcp_header_size) return Failure{TcpParseError::bad_offset};
    if (size > segment.size()) return Failure{TcpParseError::truncated};
    return TcpView{segment.first(size)};
  }
  [[nodiscard]] constexpr TcpHeader header() const noexcept {
    return {.source_port = load_big<std::uint16_t>(bytes_, tcp_offset::source_port),
            .destination_port = load_big<std::uint16_t>(bytes_, tcp_offset::destination_port),
            .sequence = load_big<std::uint32_t>(bytes_, tcp_offset::sequence),
            .acknowledgement = load_big<std::uint32_t>(bytes_, tcp_offset::acknowledgement),
            .flags = load_big<std::uint8_t>(bytes_, tcp_offset::flags),
            .window = load_big<std::uint16_t>(bytes_, tcp_offset::window),
            .checksum = load_big<std::uint16_t>(bytes_, tcp_offset::checksum),
            .urgent = load_big<std::uint16_t>(bytes_, tcp_offset::urgent)};
  }
  /// Bytes before the payload: header and options.
  [[nodiscard]] constexpr std::size_t header_size() const noexcept { return bytes_.size(); }
  [[nodiscard]] constexpr Bytes option_bytes() const noexcept { return bytes_.subspan(tcp_header_size); }
  [[nodiscard]] constexpr TcpOptionSet options() const noexcept { return parse_tcp_options(option_bytes()); }

 private:
  explicit constexpr TcpView(Bytes bytes) noexcept : bytes_(bytes) {}
  Bytes bytes_;
};

}  // namespace mirage::wire
