// SPDX-License-Identifier: ISC
// Frames of the WebSocket protocol (RFC 6455 section 5) and what their payloads need: masking, UTF-8. No I/O here.
#pragma once

#include <array>
#include <cstdint>
#include <optional>

#include <mirage/base/bytes.hpp>
#include <mirage/base/result.hpp>

namespace mirage::http::websocket {

enum class Opcode : std::uint8_t { continuation = 0, text = 1, binary = 2, close = 8, ping = 9, pong = 10 };
[[nodiscard]] constexpr bool is_control(Opcode opcode) noexcept { return static_cast<unsigned>(opcode) >= 8; }

using MaskingKey = std::array<std::byte, 4>;

struct FrameHeader {
  static constexpr std::size_t maximum_size = 14;
  static constexpr std::uint64_t maximum_control_payload = 125;

  bool final = true;
  Opcode opcode = Opcode::text;
  std::uint64_t length = 0;
  std::optional<MaskingKey> mask;

  /// Bytes of the header.
  [[nodiscard]] std::size_t size() const noexcept {
    return 2U + (length > 0xffff ? 8U : length > 125 ? 2U : 0U) + (mask ? 4U : 0U);
  }
  /// Writes size() bytes to the front of `out`. Precondition: they fit.
  void emit(MutableBytes out) const noexcept;
};

enum class FrameError : std::uint8_t {
  reserved_bit,    ///< section 5.2: no extension was agreed on
  unknown_opcode,  ///< section 5.2
  bad_control,     ///< section 5.5: fragmented or longer than 125 bytes
  bad_length,      ///< section 5.2: not the shortest form, or beyond 63 bits
};
/// The header at the front of `bytes`; nothing while it is incomplete.
[[nodiscard]] Result<std::optional<FrameHeader>, FrameError> parse_frame_header(Bytes bytes) noexcept;

/// out[i] = in[i] xor key[(i + offset) mod 4] (section 5.3). Precondition: `out` is as large as `in`; they may be the
/// same memory.
void apply_mask(MutableBytes out, Bytes in, const MaskingKey& key, std::uint64_t offset) noexcept;

/// Checks a text that comes in pieces (RFC 3629): no overlong forms, no surrogates, nothing beyond U+10FFFF.
class Utf8Checker {
 public:
  /// False as soon as the text cannot become valid any more.
  [[nodiscard]] bool take(Bytes piece) noexcept;
  /// Whether the text may end here.
  [[nodiscard]] bool complete() const noexcept { return expected_ == 0; }
  void reset() noexcept { *this = Utf8Checker{}; }

 private:
  [[nodiscard]] bool begin(unsigned lead) noexcept;
  unsigned expected_ = 0;  // continuation bytes to come
  unsigned low_ = 0x80;    // bounds of the next one
  unsigned high_ = 0xbf;
};

/// Whether an endpoint may put this code into a Close frame (section 7.4).
[[nodiscard]] bool is_close_code(std::uint16_t code) noexcept;

}  // namespace mirage::http::websocket
