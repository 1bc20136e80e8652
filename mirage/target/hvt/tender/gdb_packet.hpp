// SPDX-License-Identifier: ISC
#pragma once

#include <array>
#include <cstddef>
#include <cstdint>
#include <optional>
#include <span>
#include <string_view>

/// Framing of gdb's remote serial protocol ("Debugging with GDB", appendix E): $payload#checksum, acknowledgements, the
/// interrupt byte, hexadecimal numbers and bytes. Nothing here allocates; every buffer is bounded.
namespace mirage::target::hvt::gdb {

/// Longest payload either way. gdb is told, so it keeps to it.
inline constexpr std::size_t payload_limit = 4096;

/// Takes a stream of bytes apart.
class PacketReader {
 public:
  enum class Event : std::uint8_t {
    none,
    packet,     // payload() is valid until the next feed()
    corrupt,    // bad checksum, or too long: to be answered with '-'
    interrupt,  // 0x03 between packets: the user wants the guest to stop
  };
  Event feed(char byte);
  [[nodiscard]] std::string_view payload() const { return {payload_.data(), size_}; }

 private:
  enum class State : std::uint8_t { idle, payload, escape, checksum_high, checksum_low };
  void append(char byte);

  std::array<char, payload_limit> payload_;
  std::size_t size_ = 0;
  State state_ = State::idle;
  bool overflow_ = false;
  std::uint8_t sum_ = 0;
  std::optional<unsigned> high_;
};

/// Builds a reply; what does not fit makes it an error reply.
class Reply {
 public:
  Reply& text(std::string_view text);
  Reply& byte(std::uint8_t byte);  // two digits
  Reply& bytes(std::span<const std::byte> bytes);
  Reply& number(std::uint64_t number);  // hexadecimal, without leading zeros

  [[nodiscard]] std::string_view payload() const { return {text_.data(), size_}; }

 private:
  std::array<char, payload_limit> text_;
  std::size_t size_ = 0;
};

/// "$payload#xx" into `out`. Precondition: out has payload.size() + 4 bytes. Replies need no escapes: they consist of
/// letters, digits and punctuation.
std::string_view frame(std::string_view payload, std::span<char> out);

/// Value of a hexadecimal digit.
constexpr std::optional<unsigned> digit(char character) {
  if (character >= '0' && character <= '9') {
    return static_cast<unsigned>(character - '0');
  }
  if (character >= 'a' && character <= 'f') {
    return static_cast<unsigned>(character - 'a' + 10);
  }
  if (character >= 'A' && character <= 'F') {
    return static_cast<unsigned>(character - 'A' + 10);
  }
  return std::nullopt;
}

/// Takes a request apart, from left to right. After a mismatch every further step fails.
class Scanner {
 public:
  explicit Scanner(std::string_view text) : rest_{text} {}

  /// The next characters are `text`: skips them.
  bool skip(std::string_view text);
  /// A hexadecimal number of 1 to 16 digits.
  std::optional<std::uint64_t> number();
  /// Exactly out.size() bytes as pairs of digits.
  bool bytes(std::span<std::byte> out);
  [[nodiscard]] bool at_end() const { return rest_.empty(); }
  [[nodiscard]] std::string_view rest() const { return rest_; }

 private:
  std::string_view rest_;
};

}  // namespace mirage::target::hvt::gdb
