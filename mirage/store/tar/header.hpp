// SPDX-License-Identifier: ISC
// Headers of tar archives: ustar and pax (POSIX.1-2024, "pax", EXTENDED DESCRIPTION), and what GNU tar adds (long
// names, numbers in base 256). A checked value from 512 bytes, and back. No I/O.
#pragma once

#include <array>
#include <cstdint>
#include <optional>
#include <string_view>

#include <mirage/base/bytes.hpp>
#include <mirage/base/result.hpp>

namespace mirage::store::tar {

inline constexpr std::size_t block_size = 512;

/// Octets of a header block ("ustar Header Block").
namespace header_at {
inline constexpr std::size_t name = 0, mode = 100, uid = 108, gid = 116, size = 124, mtime = 136, checksum = 148,
                             type = 156, link = 157, magic = 257, version = 263, owner = 265, group = 297, prefix = 345,
                             sparse_extended = 482, end = 500;
}

enum class TarError : std::uint8_t {
  checksum,        ///< a block that should be a header is none
  number,          ///< a size that is no number, or does not fit 64 bits
  extension,       ///< an extended header that cannot be read
  extension_size,  ///< an extended header that is larger than any that we keep
  cut_off,         ///< a member or extended header reaches beyond the end of the disk
};
[[nodiscard]] std::string_view to_string(TarError error) noexcept;

/// One header block. Strings are views of the block.
struct Header {
  std::string_view name;
  std::string_view prefix;  ///< goes before the name with a slash; empty: nothing does
  std::uint64_t size = 0;
  std::int64_t mtime = 0;  ///< seconds since 1970
  char type = '0';
  bool sparse_extended = false;  ///< GNU sparse: a block of its map follows

  /// Precondition: block_size bytes that are not all zero.
  [[nodiscard]] static Result<Header, TarError> parse(Bytes block) noexcept;
  /// A ustar header. Precondition: name and prefix fit their fields (100 and 155 bytes),
  /// the size 33 bits.
  void emit(MutableBytes block) const noexcept;
};

[[nodiscard]] bool is_zero(Bytes bytes) noexcept;

/// A number field: octal digits between blanks, or base 256 when the first bit is set (GNU). nullopt: none, negative,
/// or above 64 bits.
[[nodiscard]] std::optional<std::uint64_t> parse_number(Bytes field) noexcept;

/// What the records of a pax extended header say of the member that follows.
struct Extension {
  std::optional<std::string_view> path;
  std::optional<std::uint64_t> size;
  std::optional<std::int64_t> mtime;
  bool sparse = false;  ///< "GNU.sparse.*": what follows is no plain content
  /// Records "LENGTH KEY=VALUE\n"; nullopt when malformed.
  [[nodiscard]] static std::optional<Extension> parse(std::string_view records) noexcept;
};

/// The key that a member's name stands for: without leading "/" and "./" and trailing "/". Not checked further.
[[nodiscard]] std::string_view key_of(std::string_view name) noexcept;

}  // namespace mirage::store::tar
