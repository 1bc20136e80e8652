// SPDX-License-Identifier: ISC
#include <mirage/base/checked.hpp>
#include <mirage/target/virtio/command_line.hpp>

namespace mirage::target::virtio {

namespace {

constexpr std::string_view prefix = "virtio_mmio.device=";

constexpr int digit_value(char c) noexcept {
  if (c >= '0' && c <= '9') return c - '0';
  if (c >= 'a' && c <= 'f') return c - 'a' + 10;
  if (c >= 'A' && c <= 'F') return c - 'A' + 10;
  return 16;
}

/// A number in C notation at the front of `text`, removed from it.
std::optional<std::uint64_t> take_number(std::string_view& text) noexcept {
  std::uint64_t base = 10;
  if (text.starts_with("0x") || text.starts_with("0X")) {
    base = 16;
    text.remove_prefix(2);
  }
  std::uint64_t value = 0;
  std::size_t digits = 0;
  for (; digits < text.size(); ++digits) {
    const auto digit = static_cast<std::uint64_t>(digit_value(text[digits]));
    if (digit >= base) break;
    const auto scaled = checked_mul(value, base);
    const auto sum = scaled ? checked_add(*scaled, digit) : std::nullopt;
    if (!sum) return std::nullopt;
    value = *sum;
  }
  if (digits == 0) return std::nullopt;
  text.remove_prefix(digits);
  return value;
}

bool take(std::string_view& text, char c) noexcept {
  if (!text.starts_with(c)) return false;
  text.remove_prefix(1);
  return true;
}

unsigned take_unit(std::string_view& text) noexcept {
  if (take(text, 'K') || take(text, 'k')) return 10;
  if (take(text, 'M') || take(text, 'm')) return 20;
  if (take(text, 'G') || take(text, 'g')) return 30;
  return 0;
}

constexpr bool is_space(char c) noexcept { return c == ' ' || c == '\t' || c == '\n' || c == '\r'; }

/// Length of the word at the front: up to white space outside quotes.
std::size_t word_length(std::string_view text) noexcept {
  char quote = 0;
  for (std::size_t i = 0; i < text.size(); ++i) {
    const char c = text[i];
    if (c == '\\' && quote != '\'') {
      ++i;
    } else if (quote != 0) {
      if (c == quote) quote = 0;
    } else if (c == '"' || c == '\'') {
      quote = c;
    } else if (is_space(c)) {
      return i;
    }
  }
  return text.size();
}

}  // namespace

std::optional<MmioDevice> parse_mmio_device(std::string_view text) noexcept {
  const auto size = take_number(text);
  const unsigned unit = take_unit(text);
  if (!size || *size == 0 || *size > (UINT32_MAX >> unit) || !take(text, '@')) return std::nullopt;
  const auto address = take_number(text);
  if (!address || !take(text, ':')) return std::nullopt;
  const auto interrupt = take_number(text);
  if (!interrupt || *interrupt > UINT32_MAX) return std::nullopt;
  if (!text.empty() && (!take(text, ':') || !take_number(text) || !text.empty())) return std::nullopt;
  return MmioDevice{*address, static_cast<std::uint32_t>(*size << unit), static_cast<std::uint32_t>(*interrupt)};
}

std::size_t strip_command_line(std::string_view line, std::span<char> out, MmioDevices& devices) noexcept {
  std::size_t written = 0;
  while (!line.empty()) {
    std::size_t spaces = 0;
    while (spaces < line.size() && is_space(line[spaces])) ++spaces;
    const std::size_t length = word_length(line.substr(spaces));
    const std::string_view word = line.substr(spaces, length);
    if (word.starts_with(prefix)) {
      if (const auto device = parse_mmio_device(word.substr(prefix.size()))) devices.add(*device);
    } else {
      for (const char c : line.substr(0, spaces + length)) out[written++] = c;
    }
    line.remove_prefix(spaces + length);
  }
  return written;
}

}  // namespace mirage::target::virtio
