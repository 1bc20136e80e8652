// SPDX-License-Identifier: ISC
// Module type File: bytes that can be read and written anywhere, cut, extended and made durable; and its refinement
// FileBatch, several changes at once or not at all. JournaledFile: a file with the journal that protects it.
#pragma once

#include <concepts>
#include <cstdint>
#include <span>

#include <mirage/module/block.hpp>

namespace mirage {

enum class FileError : std::uint8_t {
  no_space,     ///< the file cannot become larger
  read_only,    ///< the file or what it lies on
  unsupported,  ///< what it lies on cannot flush, or the batch is too large
  corrupt,      ///< the store's checks failed
  io,           ///< the device failed, now or earlier: what was not synced is uncertain, nothing more is written
  cancelled,
  no_memory,
};

[[nodiscard]] constexpr std::string_view to_string(FileError error) noexcept {
  switch (error) {
    case FileError::no_space:
      return "no space left";
    case FileError::read_only:
      return "read-only file";
    case FileError::unsupported:
      return "not supported by the device";
    case FileError::corrupt:
      return "corrupt store";
    case FileError::io:
      return "input/output error";
    case FileError::cancelled:
      return "cancelled";
    case FileError::no_memory:
      return "out of memory";
  }
  return "?";
}

inline void append_value(TextWriter& out, FileError error) noexcept { out.append(to_string(error)); }

struct FileTraits {
  /// What the device writes as one: a write may read and write again the bytes around it up to multiples of this, and a
  /// power cut may damage them.
  std::uint32_t unit = 512;
  Durability durability = Durability::none;
  bool read_only = false;
  std::size_t batch_limit = 0;  ///< bytes in one batch(); 0: there is none
  /// A power cut leaves what some write left, and nothing of those that came later, to this file and to the one beside
  /// it in a JournaledFile: writes need no sync() between them to arrive in order.
  bool ordered = false;
};

/// read_at(): fills as much of `in` as lies before the end; the number of bytes read, fewer only at the end (0 behind
/// it). write_at(): all of `out`, extending the file; bytes between the old end and `offset` become zero. truncate():
/// the new size, bytes gained are zero. sync(): everything that completed before it was called is durable when it
/// completes; on a device that cannot flush it fails with unsupported.
///
/// After a power cut each write since the last sync() is there, partly there or not, in any order; the size is that of
/// the last sync() or a later one, and bytes of a size that arrived without its writes are whatever the device held.
/// One operation at a time is carried out; others wait for their turn. The memory stays the caller's.
template <class F>
concept File =
    requires(F& file, const F& constant, std::uint64_t offset, std::uint64_t size, MutableBytes in, Bytes out) {
      { constant.traits() } noexcept -> std::convertible_to<FileTraits>;
      { constant.size() } noexcept -> std::same_as<std::uint64_t>;
      { file.read_at(offset, in) } -> AwaitableOf<Result<std::size_t, FileError>>;
      { file.write_at(offset, out) } -> AwaitableOf<Result<void, FileError>>;
      { file.truncate(size) } -> AwaitableOf<Result<void, FileError>>;
      { file.sync() } -> AwaitableOf<Result<void, FileError>>;
    };

/// One change of a batch.
struct FileChange {
  std::uint64_t offset = 0;
  Bytes bytes;
};

/// batch(): all changes, and then the size, or none of them; durable when it completes, as by sync(). After an error
/// or a power cut it may have happened or not, but never in part. At most traits().batch_limit bytes.
template <class F>
concept FileBatch = File<F> && requires(F& file, std::span<const FileChange> changes, std::uint64_t size) {
  { file.batch(changes, size) } -> AwaitableOf<Result<void, FileError>>;
};

/// Two files on one device: data, and the journal by which changes of it become whole or nothing.
template <class J>
concept JournaledFile = requires(J& pair) {
  requires File<std::remove_cvref_t<decltype(pair.data())>>;
  requires File<std::remove_cvref_t<decltype(pair.journal())>>;
};

}  // namespace mirage
