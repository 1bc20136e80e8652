// SPDX-License-Identifier: ISC
// The header of a volume: what stands on the device, and where the bytes of its two files are. doc/sqlite.md draws it.
#pragma once

#include <array>
#include <cstdint>
#include <optional>
#include <string_view>

#include <mirage/base/bytes.hpp>
#include <mirage/base/result.hpp>
#include <mirage/module/block.hpp>

namespace mirage::store::volume {

/// Files are given space in chunks.
inline constexpr std::size_t chunk_size = 65536;

struct Header {
  std::uint64_t generation = 0;
  std::uint64_t id = 0;                  ///< random, of this format: an older header of another volume is not taken
  std::array<std::uint64_t, 2> sizes{};  ///< bytes of the data and of the journal
  std::uint64_t chunks = 0;
};

inline constexpr std::size_t header_size = 64;

/// Precondition: `out` holds header_size bytes.
void emit(const Header& header, MutableBytes out) noexcept;
/// Nothing when this is no header of this version, or a damaged one.
[[nodiscard]] std::optional<Header> parse(Bytes bytes) noexcept;

/// Where things are on a device; nothing when it is too small (four chunks).
struct Layout {
  std::uint64_t slot = 4096;  ///< bytes of each of the two headers, at the start of the device
  std::uint64_t chunks = 0;   ///< behind them: those of the device, once a header is known the volume's
  std::uint32_t sector = 512;

  /// Position of a file's byte: the data grows from the front, the journal from the back, chunk by chunk.
  [[nodiscard]] constexpr std::uint64_t place(unsigned file, std::uint64_t offset) const noexcept {
    const std::uint64_t chunk = offset / chunk_size;
    const std::uint64_t at = file == 0 ? chunk : chunks - 1 - chunk;
    return 2 * slot + at * chunk_size + offset % chunk_size;
  }
};
[[nodiscard]] std::optional<Layout> layout_of(const BlockGeometry& geometry) noexcept;

[[nodiscard]] constexpr std::uint64_t chunks_for(std::uint64_t size) noexcept {
  return size / chunk_size + (size % chunk_size != 0 ? 1 : 0);
}

enum class Finding : std::uint8_t {
  good,
  blank,    ///< nothing but zeros where the headers would be
  foreign,  ///< something else
  damaged,  ///< both headers are, or they contradict each other or the device
};

struct Found {
  Finding finding = Finding::foreign;
  Header header;
  unsigned slot = 0;  ///< the header's; the next one goes into the other
};

/// Judges the two header slots, which are as long as layout.slot each.
[[nodiscard]] Found judge(Bytes first, Bytes second, const Layout& layout) noexcept;

}  // namespace mirage::store::volume
