// SPDX-License-Identifier: ISC
#pragma once

#include <array>
#include <cstddef>
#include <cstdint>
#include <span>

#include <mirage/target/solo5/note.hpp>
#include <tender/error.hpp>
#include <tender/file.hpp>
#include <tender/manifest.hpp>
#include <tender/memory.hpp>

/// Reads unikernel images: ELF64 executables under the rules of Solo5's tenders. Every field of the file is hostile
/// until checked here; an image that passes has no overlapping, unordered, unaligned or W+X segment, none below
/// 1 MiB, and an entry point inside an executable segment.
namespace mirage::tender {

/// One PT_LOAD segment with bytes in the file. [start, end) is page-aligned and holds nothing else.
struct Segment {
  std::uint64_t start;
  std::uint64_t end;
  std::uint64_t address;
  std::uint64_t file_offset;
  std::uint64_t file_size;
  std::uint64_t memory_size;
  bool read;
  bool write;
  bool execute;
};

/// What an image says about itself, checked as far as it can be without knowing the size of guest memory.
struct Image {
  static constexpr std::size_t segment_limit = GuestMemory::range_limit;

  std::uint64_t entry = 0;
  std::uint64_t end = 0;  // page-aligned, first address behind the last segment
  std::array<Segment, segment_limit> segment_storage;
  std::size_t segment_count = 0;
  Manifest manifest;
  std::uint64_t wanted = 0;  // capability bits of the "mirage" note, 0 without one

  [[nodiscard]] std::span<const Segment> segments() const { return {segment_storage.data(), segment_count}; }
};

/// Opens an image; never waits, as for who writes to a pipe.
Result<File> open_image(const char* path);

/// Reads and checks headers, notes and manifest of the image in `descriptor`. The image must be for `target` in ABI
/// `version`. Errors do not contain the file's name.
Result<Image> read_image(int descriptor, mirage::target::solo5::AbiTarget target, std::uint32_t version);

/// Sets the protection of page-aligned guest memory [start, end).
using Protect = Result<> (*)(void* context, const Segment& segment);

/// Copies the segments into `memory` (which must be zeroed, as fresh mappings are) and calls `protect` for each.
/// Refuses an image that does not fit.
Result<> load_image(int descriptor, const Image& image, const GuestMemory& memory, Protect protect, void* context);

/// A `Protect` of the host's mapping; `context` is the GuestMemory, which remembers it.
Result<> protect_host(void* context, const Segment& segment);

}  // namespace mirage::tender
