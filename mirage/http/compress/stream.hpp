// SPDX-License-Identifier: ISC
// zlib's streams, piece by piece: the only part of this folder that calls zlib. Memory comes from the image's heap.
#pragma once

#include <memory>

#include <mirage/base/bytes.hpp>
#include <mirage/http/compress/coding.hpp>

struct z_stream_s;  // NOLINT(readability-identifier-naming): a name of zlib

namespace mirage::http::compress {

/// What a call did.
struct Progress {
  std::size_t consumed = 0;
  std::size_t produced = 0;
  bool finished = false;  ///< the end of the coded stream
  bool failed = false;    ///< malformed (decoding), or out of order
};

class Deflater {
 public:
  /// Heap that one takes: a window of 16 KiB with its tables (zconf.h: 2^(14+2) + 2^(7+9) bytes, and a few KiB).
  static constexpr std::size_t memory = std::size_t{140} * 1024;
  enum class Flush : std::uint8_t {
    none,    ///< as is best for size
    sync,    ///< all that was put in comes out, so that the peer can decode it
    finish,  ///< the end; to be repeated until finished
  };

  /// `coding` is gzip or deflate, `level` 1 (fast) to 9 (small). nullptr: no memory.
  [[nodiscard]] static std::unique_ptr<Deflater> create(Coding coding, int level) noexcept;
  Deflater(const Deflater&) = delete;
  Deflater& operator=(const Deflater&) = delete;
  ~Deflater();
  [[nodiscard]] Progress step(Bytes in, MutableBytes out, Flush flush) noexcept;

 private:
  Deflater() noexcept = default;
  std::unique_ptr<z_stream_s> stream_;
};

class Inflater {
 public:
  /// `coding` is gzip or deflate. nullptr: no memory. Takes about 44 KiB of the heap.
  [[nodiscard]] static std::unique_ptr<Inflater> create(Coding coding) noexcept;
  Inflater(const Inflater&) = delete;
  Inflater& operator=(const Inflater&) = delete;
  ~Inflater();
  [[nodiscard]] Progress step(Bytes in, MutableBytes out) noexcept;
  /// Begins with another member (RFC 1952 section 2.2).
  void restart() noexcept;

 private:
  Inflater() noexcept = default;
  std::unique_ptr<z_stream_s> stream_;
};

}  // namespace mirage::http::compress
