// SPDX-License-Identifier: ISC
#include <new>

#include <zlib.h>

#include <mirage/http/compress/stream.hpp>

namespace mirage::http::compress {
namespace {

constexpr int window_bits = 14;
constexpr int memory_level = 7;
constexpr int gzip_format = 16;  // added to the window's bits (zlib.h)

std::unique_ptr<z_stream_s> make_stream() noexcept {
  return std::unique_ptr<z_stream_s>{new (std::nothrow) z_stream_s{}};
}

void point(z_stream_s& stream, Bytes in, MutableBytes out) noexcept {
  // zlib does not write through next_in; without ZLIB_CONST it lacks the const.
  stream.next_in = const_cast<Bytef*>(reinterpret_cast<const Bytef*>(in.data()));
  stream.avail_in = static_cast<uInt>(in.size());
  stream.next_out = reinterpret_cast<Bytef*>(out.data());
  stream.avail_out = static_cast<uInt>(out.size());
}

Progress progress(const z_stream_s& stream, Bytes in, MutableBytes out, int status) noexcept {
  return {.consumed = in.size() - stream.avail_in,
          .produced = out.size() - stream.avail_out,
          .finished = status == Z_STREAM_END,
          // Z_BUF_ERROR: nothing could be done this time.
          .failed = status != Z_OK && status != Z_STREAM_END && status != Z_BUF_ERROR};
}

}  // namespace

std::unique_ptr<Deflater> Deflater::create(Coding coding, int level) noexcept {
  std::unique_ptr<Deflater> made{new (std::nothrow) Deflater};
  if (!made) return nullptr;
  auto stream = make_stream();
  const int bits = window_bits + (coding == Coding::gzip ? gzip_format : 0);
  if (!stream || deflateInit2(stream.get(), level, Z_DEFLATED, bits, memory_level, Z_DEFAULT_STRATEGY) != Z_OK) {
    return nullptr;
  }
  made->stream_ = std::move(stream);
  return made;
}

Deflater::~Deflater() {
  if (stream_) deflateEnd(stream_.get());
}

Progress Deflater::step(Bytes in, MutableBytes out, Flush flush) noexcept {
  point(*stream_, in, out);
  const int how = flush == Flush::finish ? Z_FINISH : flush == Flush::sync ? Z_SYNC_FLUSH : Z_NO_FLUSH;
  const int status = deflate(stream_.get(), how);
  return progress(*stream_, in, out, status);
}

std::unique_ptr<Inflater> Inflater::create(Coding coding) noexcept {
  std::unique_ptr<Inflater> made{new (std::nothrow) Inflater};
  if (!made) return nullptr;
  auto stream = make_stream();
  if (!stream || inflateInit2(stream.get(), MAX_WBITS + (coding == Coding::gzip ? gzip_format : 0)) != Z_OK) {
    return nullptr;
  }
  made->stream_ = std::move(stream);
  return made;
}

Inflater::~Inflater() {
  if (stream_) inflateEnd(stream_.get());
}

Progress Inflater::step(Bytes in, MutableBytes out) noexcept {
  point(*stream_, in, out);
  const int status = inflate(stream_.get(), Z_NO_FLUSH);
  return progress(*stream_, in, out, status);
}

void Inflater::restart() noexcept { inflateReset(stream_.get()); }

}  // namespace mirage::http::compress
