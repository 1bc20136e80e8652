// SPDX-License-Identifier: ISC
#include <cstring>

#include <mirage/http/websocket/frame.hpp>

namespace mirage::http::websocket {
namespace {

// Section 5.2
constexpr unsigned final_bit = 0x80;
constexpr unsigned reserved_bits = 0x70;
constexpr unsigned opcode_bits = 0x0f;
constexpr unsigned mask_bit = 0x80;
constexpr unsigned length_bits = 0x7f;
constexpr unsigned length_16 = 126;
constexpr unsigned length_64 = 127;

constexpr bool is_known(unsigned opcode) noexcept { return opcode <= 2 || (opcode >= 8 && opcode <= 10); }

}  // namespace

void FrameHeader::emit(MutableBytes out) const noexcept {
  out[0] = static_cast<std::byte>((final ? final_bit : 0U) | static_cast<unsigned>(opcode));
  const unsigned masked = mask ? mask_bit : 0U;
  std::size_t at = 2;
  if (length > 0xffff) {
    out[1] = static_cast<std::byte>(masked | length_64);
    store_big(out, at, length);
    at += 8;
  } else if (length > 125) {
    out[1] = static_cast<std::byte>(masked | length_16);
    store_big(out, at, static_cast<std::uint16_t>(length));
    at += 2;
  } else {
    out[1] = static_cast<std::byte>(masked | length);
  }
  if (mask) std::memcpy(&out[at], mask->data(), mask->size());
}

Result<std::optional<FrameHeader>, FrameError> parse_frame_header(Bytes bytes) noexcept {
  if (bytes.size() < 2) return std::nullopt;
  const auto first = std::to_integer<unsigned>(bytes[0]);
  const auto second = std::to_integer<unsigned>(bytes[1]);
  if ((first & reserved_bits) != 0) return Failure{FrameError::reserved_bit};
  if (!is_known(first & opcode_bits)) return Failure{FrameError::unknown_opcode};
  FrameHeader header{
      .final = (first & final_bit) != 0, .opcode = static_cast<Opcode>(first & opcode_bits), .length = 0, .mask = {}};
  const unsigned length = second & length_bits;
  if (is_control(header.opcode) && (!header.final || length > FrameHeader::maximum_control_payload)) {
    return Failure{FrameError::bad_control};
  }
  const std::size_t extended = length == length_64 ? 8U : length == length_16 ? 2U : 0U;
  const std::size_t masked = (second & mask_bit) != 0 ? 4U : 0U;
  if (bytes.size() < 2 + extended + masked) return std::nullopt;
  header.length = extended == 8   ? load_big<std::uint64_t>(bytes, 2)
                  : extended == 2 ? load_big<std::uint16_t>(bytes, 2)
                                  : length;
  if ((extended == 8 && header.length <= 0xffff) || (extended == 2 && header.length <= 125) ||
      header.length > INT64_MAX) {
    return Failure{FrameError::bad_length};
  }
  if (masked != 0) std::memcpy(header.mask.emplace().data(), &bytes[2 + extended], masked);
  return header;
}

void apply_mask(MutableBytes out, Bytes in, const MaskingKey& key, std::uint64_t offset) noexcept {
  std::array<std::byte, 8> pattern;
  for (std::size_t i = 0; i < pattern.size(); ++i) pattern[i] = key[(i + offset) % 4];
  std::uint64_t word = 0;
  std::memcpy(&word, pattern.data(), sizeof word);
  const std::size_t size = in.size();
  std::size_t at = 0;
  // Words of eight bytes, which the compiler turns into vectors; the byte order does not matter.
  for (; at + sizeof word <= size; at += sizeof word) {
    std::uint64_t value = 0;
    std::memcpy(&value, in.data() + at, sizeof value);
    value ^= word;
    std::memcpy(out.data() + at, &value, sizeof value);
  }
  for (; at < size; ++at) out[at] = in[at] ^ pattern[at % 8];
}

bool Utf8Checker::begin(unsigned lead) noexcept {
  low_ = 0x80;
  high_ = 0xbf;
  if (lead < 0x80) return true;
  if (lead < 0xc2 || lead > 0xf4) return false;  // continuation, overlong, beyond U+10FFFF
  expected_ = lead < 0xe0 ? 1 : lead < 0xf0 ? 2 : 3;
  if (lead == 0xe0) low_ = 0xa0;   // overlong
  if (lead == 0xed) high_ = 0x9f;  // surrogates
  if (lead == 0xf0) low_ = 0x90;   // overlong
  if (lead == 0xf4) high_ = 0x8f;  // beyond U+10FFFF
  return true;
}

bool Utf8Checker::take(Bytes piece) noexcept {
  constexpr std::uint64_t high_bits = 0x8080808080808080;
  for (std::size_t i = 0; i < piece.size();) {
    if (expected_ == 0) {  // eight bytes of ASCII at a time
      std::uint64_t word = 0;
      while (piece.size() - i >= sizeof word) {
        std::memcpy(&word, &piece[i], sizeof word);
        if ((word & high_bits) != 0) break;
        i += sizeof word;
      }
      if (i == piece.size()) break;
    }
    const auto byte = std::to_integer<unsigned>(piece[i++]);
    if (expected_ == 0) {
      if (!begin(byte)) return false;
      continue;
    }
    if (byte < low_ || byte > high_) return false;
    low_ = 0x80;
    high_ = 0xbf;
    --expected_;
  }
  return true;
}

bool is_close_code(std::uint16_t code) noexcept {
  // 1004 to 1006 and 1015 are never sent (section 7.4.1); 1012 to 1014 were registered later.
  if (code >= 3000) return code <= 4999;
  return code >= 1000 && code <= 1014 && code != 1004 && code != 1005 && code != 1006;
}

}  // namespace mirage::http::websocket
