// SPDX-License-Identifier: ISC
// Domain names: wire form (RFC 1035 3.1), message compression (4.1.4), comparison without regard to case (RFC 4343).
#pragma once

#include <algorithm>
#include <array>
#include <cstdint>
#include <optional>
#include <string_view>

#include <mirage/base/bytes.hpp>
#include <mirage/base/text.hpp>

namespace mirage::wire {

/// ASCII only: RFC 4343 3.
[[nodiscard]] constexpr std::uint8_t dns_lower(std::uint8_t octet) noexcept {
  return octet >= 'A' && octet <= 'Z' ? static_cast<std::uint8_t>(octet | 0x20) : octet;
}

/// A name without compression: labels behind their lengths, the root's empty label last.
class DnsName {
 public:
  static constexpr std::size_t maximum = 255;       ///< RFC 1035 2.3.4, lengths and root included
  static constexpr std::size_t maximum_label = 63;  ///< the same
  static constexpr std::size_t maximum_text = 253;  ///< what the two leave for text without the final dot
  /// Pointers that one name may follow. Writers point at whole names, which may end in a pointer themselves: a handful.
  static constexpr unsigned maximum_pointers = 32;

  /// The root.
  constexpr DnsName() noexcept = default;

  /// "www.example.org" or "www.example.org."; the root is ".". Labels of 1 to 63 printable ASCII characters; no
  /// escapes.
  [[nodiscard]] static constexpr std::optional<DnsName> from_text(std::string_view text) noexcept {
    DnsName name;
    if (text == ".") return name;
    if (text.ends_with('.')) text.remove_suffix(1);
    while (true) {
      const std::size_t dot = text.find('.');
      if (!name.append_text(text.substr(0, dot))) return std::nullopt;
      if (dot == std::string_view::npos) return name;
      text.remove_prefix(dot + 1);
    }
  }
  /// The name at `at` of a message; `at` moves behind it. Nothing for one that is cut off, too long, or whose pointers
  /// do not go back strictly: each to before the part that holds it, so that there are no loops.
  [[nodiscard]] static constexpr std::optional<DnsName> read(Bytes message, std::size_t& at) noexcept {
    DnsName name;
    std::size_t position = at;
    std::size_t part = at;
    for (unsigned pointers = 0;;) {
      if (position >= message.size()) return std::nullopt;
      const auto length = load_big<std::uint8_t>(message, position);
      if (length >= pointer_mark) {
        if (position + 1 >= message.size() || ++pointers > maximum_pointers) return std::nullopt;
        if (pointers == 1) at = position + 2;
        position = load_big<std::uint16_t>(message, position) & 0x3fffU;
        if (position >= part) return std::nullopt;
        part = position;
        continue;
      }
      if (length > maximum_label || length >= message.size() - position) return std::nullopt;
      if (length == 0) {
        if (pointers == 0) at = position + 1;
        return name;
      }
      if (!name.append(message.subspan(position + 1, length))) return std::nullopt;
      position += 1U + length;
    }
  }

  /// Appends a label in front of the root. False, and nothing changed, when there is no room or it is too long.
  [[nodiscard]] constexpr bool append(Bytes label) noexcept {
    if (label.empty() || label.size() > maximum_label || size_ + label.size() + 1 > maximum) return false;
    octets_[size_ - 1U] = static_cast<std::uint8_t>(label.size());
    for (const std::byte octet : label) octets_[size_++] = std::to_integer<std::uint8_t>(octet);
    octets_[size_++] = 0;
    return true;
  }
  /// Appends the labels of `suffix`. False, and this name spoilt, when they do not fit.
  [[nodiscard]] constexpr bool append(const DnsName& suffix) noexcept {
    if (size_ - 1U + suffix.size_ > maximum) return false;
    std::copy_n(suffix.octets_.begin(), suffix.size_, octets_.begin() + (size_ - 1));
    size_ = static_cast<std::uint8_t>(size_ - 1U + suffix.size_);
    return true;
  }

  [[nodiscard]] constexpr std::span<const std::uint8_t> octets() const noexcept { return {octets_.data(), size_}; }
  [[nodiscard]] constexpr std::size_t size() const noexcept { return size_; }
  [[nodiscard]] constexpr bool is_root() const noexcept { return size_ == 1; }
  /// Case counts.
  constexpr bool operator==(const DnsName& other) const noexcept {
    return std::ranges::equal(octets(), other.octets());
  }
  /// RFC 4343: case does not count. Lengths are below 'A', so they compare as they are.
  [[nodiscard]] constexpr bool same(const DnsName& other) const noexcept {
    return std::ranges::equal(octets(), other.octets(), {}, dns_lower, dns_lower);
  }
  [[nodiscard]] constexpr DnsName lower() const noexcept {
    DnsName name = *this;
    for (std::uint8_t& octet : name.octets_) octet = dns_lower(octet);
    return name;
  }
  /// Flips the case of the letters for which `bit()` is true: 0x20 (draft-vixie-dnsext-dns0x20).
  template <class Bit>
  constexpr void mix_case(Bit bit) noexcept {
    for (std::size_t i = 0; i < size_; ++i) {
      const std::uint8_t lower = dns_lower(octets_[i]);
      if (lower >= 'a' && lower <= 'z' && bit()) octets_[i] ^= 0x20;
    }
  }
  /// Whether every label has printable ASCII characters other than the dot and the backslash only, so that the text is
  /// the name and nothing else: what names a host, and may be printed and logged as it is.
  [[nodiscard]] constexpr bool is_text() const noexcept {
    for (std::size_t at = 0; octets_[at] != 0; at += 1U + octets_[at]) {
      for (std::size_t i = 1; i <= octets_[at]; ++i) {
        if (!is_label_character(octets_[at + i])) return false;
      }
    }
    return true;
  }
  /// The text without a final dot ("." for the root) into `out`; its size, at most maximum_text. Precondition:
  /// is_text().
  constexpr std::size_t to_text(std::span<char, maximum_text> out) const noexcept {
    if (is_root()) return out[0] = '.', 1;
    std::size_t count = 0;
    for (std::size_t at = 0; octets_[at] != 0; at += 1U + octets_[at]) {
      if (at > 0) out[count++] = '.';
      for (std::size_t i = 1; i <= octets_[at]; ++i) out[count++] = static_cast<char>(octets_[at + i]);
    }
    return count;
  }

 private:
  static constexpr std::uint8_t pointer_mark = 0xc0;
  [[nodiscard]] static constexpr bool is_label_character(std::uint8_t octet) noexcept {
    return octet > 0x20 && octet < 0x7f && octet != '.' && octet != '\\';
  }
  [[nodiscard]] constexpr bool append_text(std::string_view label) noexcept {
    std::array<std::byte, maximum_label> octets{};
    if (label.size() > maximum_label) return false;
    for (std::size_t i = 0; i < label.size(); ++i) {
      octets[i] = static_cast<std::byte>(label[i]);
      if (!is_label_character(static_cast<std::uint8_t>(label[i]))) return false;
    }
    return append(Bytes(octets).first(label.size()));
  }
  std::array<std::uint8_t, maximum> octets_{};
  std::uint8_t size_ = 1;
};

inline void append_value(TextWriter& out, const DnsName& name) noexcept {
  std::array<char, DnsName::maximum_text> text;
  out.append(name.is_text() ? std::string_view(text.data(), name.to_text(text)) : std::string_view("(no text)"));
}

}  // namespace mirage::wire
