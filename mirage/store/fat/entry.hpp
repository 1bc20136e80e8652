// SPDX-License-Identifier: ISC
// Directory entries of 32 bytes: short ones, which say where a file is, and the parts of long names before them.
// fatgen103 pages 22-33. No I/O.
#pragma once

#include <mirage/base/time.hpp>
#include <mirage/store/fat/layout.hpp>
#include <mirage/store/fat/name.hpp>

namespace mirage::store::fat {

inline constexpr std::size_t entry_size = 32;
/// What a power cut leaves whole, as Block says, however large the volume's sectors are; and the entries in it.
inline constexpr std::size_t unit_size = 512;
inline constexpr std::uint32_t per_unit = unit_size / entry_size;
/// Units of a long name in one entry.
inline constexpr std::size_t units_per_entry = 13;

/// Octets of a short entry (page 23).
namespace entry_at {
inline constexpr std::size_t name = 0, attributes = 11, lower = 12, create_tenth = 13, create_time = 14,
                             create_date = 16, access_date = 18, cluster_high = 20, time = 22, date = 24,
                             cluster_low = 26, size = 28;
}  // namespace entry_at

namespace attribute {
inline constexpr std::uint8_t read_only = 0x01, hidden = 0x02, system = 0x04, volume = 0x08, directory = 0x10,
                              archive = 0x20, long_name = 0x0f, long_name_mask = 0x3f;
}

inline constexpr std::byte deleted_mark{0xe5};
inline constexpr std::byte end_mark{0};

/// Time as a volume keeps it: two seconds from 1980 to 2107 (page 25), taken as UTC.
struct Stamp {
  std::uint16_t date = 0x21;
  std::uint16_t time = 0;
  [[nodiscard]] static Stamp of(WallTime when) noexcept;
  /// nullopt: no date.
  [[nodiscard]] std::optional<WallTime> wall() const noexcept;
};

/// A short entry.
struct Entry {
  ShortName name{};
  std::uint8_t attributes = attribute::archive;
  std::uint8_t lower = 0;
  std::uint32_t cluster = 0;  ///< first; 0: an empty file (or, in "..", the root). Any number: not checked.
  std::uint32_t size = 0;
  Stamp stamp;

  /// Precondition: entry_size bytes.
  [[nodiscard]] static Entry parse(Bytes bytes, Type type) noexcept;
  void emit(MutableBytes bytes) const noexcept;
  /// Points an entry that is there to other content.
  static void update(MutableBytes bytes, std::uint32_t cluster, std::uint32_t size, Stamp stamp) noexcept;
  [[nodiscard]] bool is_directory() const noexcept { return (attributes & attribute::directory) != 0; }
  [[nodiscard]] bool is_volume() const noexcept { return (attributes & attribute::volume) != 0; }
};

/// Whether the entry is a part of a long name.
[[nodiscard]] inline bool is_long(Bytes entry) noexcept {
  return (entry[entry_at::attributes] & std::byte{attribute::long_name_mask}) == std::byte{attribute::long_name};
}

/// Puts a long name together from its parts, the last of which comes first (page 27).
class LongName {
 public:
  /// The next part. `index`: the entry's number in its directory.
  void take(Bytes entry, std::uint32_t index) noexcept;
  void reset() noexcept {
    expected_ = 0;
    complete_ = false;
  }
  /// Whether the parts are all there and belong to this short name.
  [[nodiscard]] bool belongs_to(const ShortName& name) const noexcept {
    return complete_ && checksum_ == checksum_of(name);
  }
  [[nodiscard]] const Name& name() const noexcept { return name_; }
  /// Number of the first part's entry.
  [[nodiscard]] std::uint32_t first() const noexcept { return first_; }

 private:
  Name name_;
  std::uint32_t first_ = 0;
  std::uint8_t expected_ = 0;
  std::uint8_t checksum_ = 0;
  bool complete_ = false;
};

/// Entries that a name takes with its short entry.
[[nodiscard]] inline std::uint32_t entries_of(const Name& name, bool needs_long) noexcept {
  return needs_long ? static_cast<std::uint32_t>((name.size() + units_per_entry - 1) / units_per_entry) + 1 : 1;
}
/// Writes part `ordinal` (1 is the beginning of the name) of `count` parts.
void emit_long(MutableBytes entry, const Name& name, std::uint32_t ordinal, std::uint32_t count,
               std::uint8_t checksum) noexcept;

}  // namespace mirage::store::fat
