// SPDX-License-Identifier: ISC
// Names of files: UTF-16 in the volume's long names, 8.3 characters of a code page in its short ones, UTF-8 in keys.
// fatgen103 pages 24-33. Comparison ignores case for the letters of Latin-1, Latin Extended-A, Greek and Cyrillic; what
// other scripts have in cases is told apart. No I/O.
#pragma once

#include <array>
#include <cstdint>
#include <optional>
#include <span>
#include <string_view>

namespace mirage::store::fat {

inline constexpr std::size_t maximum_name = 255;  ///< UTF-16 units

/// A name in UTF-16.
class Name {
 public:
  /// From a part of a key; nullopt when it is no UTF-8, too long, or has characters that no volume may hold (control
  /// characters, "*/:<>?\|, a dot or blank at the end).
  [[nodiscard]] static std::optional<Name> from_key(std::string_view part) noexcept;
  /// UTF-8 for a key; what is no UTF-16 becomes U+FFFD. nullopt when no part of a key can be that.
  class Utf8 {
   public:
    static constexpr std::size_t capacity = 3 * maximum_name;
    [[nodiscard]] std::string_view view() const noexcept { return {text_.data(), size_}; }
    void append(char32_t point) noexcept;

   private:
    std::array<char, capacity + 4> text_;
    std::size_t size_ = 0;
  };
  [[nodiscard]] std::optional<Utf8> to_key() const noexcept;

  [[nodiscard]] std::span<const char16_t> units() const noexcept { return {units_.data(), size_}; }
  [[nodiscard]] std::size_t size() const noexcept { return size_; }
  void clear() noexcept { size_ = 0; }
  /// False when it is full.
  bool push(char16_t unit) noexcept {
    if (size_ == units_.size()) return false;
    units_[size_++] = unit;
    return true;
  }
  void assign(std::size_t at, char16_t unit) noexcept { units_[at] = unit; }
  /// Precondition: size <= maximum_name.
  void resize(std::size_t size) noexcept { size_ = size; }

  /// The same name to the volume: case does not count.
  [[nodiscard]] static bool same(const Name& a, const Name& b) noexcept;

 private:
  std::array<char16_t, maximum_name> units_;
  std::size_t size_ = 0;
};

[[nodiscard]] char16_t upper_case(char16_t unit) noexcept;

/// The eleven characters of an 8.3 name, padded with blanks, as they stand in a directory entry.
using ShortName = std::array<std::uint8_t, 11>;

/// Links a short entry to the long name before it (page 28).
[[nodiscard]] std::uint8_t checksum_of(const ShortName& name) noexcept;

/// "README.TXT" of a short name; code page 437. `lower`: bits 0x08 and 0x10 of the entry's case byte, by which NT and
/// others mark a base or extension in small letters. Empty for what is no name.
[[nodiscard]] Name name_of(const ShortName& name, std::uint8_t lower) noexcept;

/// What the short name of a file is made from.
struct Alias {
  ShortName name;      ///< base and extension as far as they fit
  bool exact = false;  ///< it is the whole name: no long name is needed
  bool fits = false;   ///< nothing but case was lost: no number is needed
  /// The short name with "~number" at the end of its base. Precondition: 1 <= number <= 999999.
  [[nodiscard]] ShortName numbered(std::uint32_t number) const noexcept;
  /// Which number makes `other` of this alias; 0: none.
  [[nodiscard]] std::uint32_t number_of(const ShortName& other) const noexcept;
};
[[nodiscard]] Alias alias_of(const Name& name) noexcept;

}  // namespace mirage::store::fat
