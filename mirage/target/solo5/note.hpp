// SPDX-License-Identifier: ISC
#pragma once

#include <cstdint>

/// Facts of Solo5's published ABI that its hvt and spt tenders share, written from the interface's description
/// (version 0.12), for guests and for our tenders. Header-only; the layouts are little-endian and fixed.
namespace mirage::target::solo5 {

/// Which tender an image is for (`AbiNote::target`).
enum class AbiTarget : std::uint32_t { hvt = 1, spt = 2 };

inline constexpr std::uint32_t abi_note_type = 0x31494241;       // "ABI1"
inline constexpr std::uint32_t manifest_note_type = 0x3154464d;  // "MFT1"
inline constexpr char note_name[8] = "Solo5";                    // padded to a multiple of four
inline constexpr std::uint32_t note_name_size = 6;               // with its terminator

/// Lowest address at which an image may be loaded.
inline constexpr std::uint64_t lowest_image_address = 0x100000;

/// Longest command line that a tender passes, terminator included.
inline constexpr std::uint32_t command_line_size = 8192;

/// ELF note header with a name of eight bytes. Each note needs a PT_NOTE segment of its own: tenders read the first
/// note of a segment only.
struct NoteHeader {
  std::uint32_t name_size;
  std::uint32_t descriptor_size;
  std::uint32_t type;
  char name[8];
};
static_assert(sizeof(NoteHeader) == 20);

/// States the tender and the version of its ABI that an image was built for.
struct AbiNote {
  NoteHeader header;
  std::uint32_t target;
  std::uint32_t version;
  std::uint32_t reserved[2];
};
static_assert(sizeof(AbiNote) == 36);

/// The whole note of `target` in `version`; place it in section `.note.solo5.abi`.
constexpr AbiNote abi_note(AbiTarget target, std::uint32_t version) {
  return {{note_name_size, sizeof(AbiNote) - sizeof(NoteHeader), abi_note_type, {'S', 'o', 'l', 'o', '5'}},
          static_cast<std::uint32_t>(target),
          version,
          {}};
}

}  // namespace mirage::target::solo5
