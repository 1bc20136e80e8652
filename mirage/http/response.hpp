// SPDX-License-Identifier: ISC
// Responses: a handler returns one as a value; the server turns it into bytes. Bodies are slices (static or owned, sent
// without a copy) or a source that is pulled as the peer takes it.
#pragma once

#include <array>
#include <cstdint>
#include <memory>
#include <string_view>

#include <mirage/async/task.hpp>
#include <mirage/base/buffer.hpp>
#include <mirage/base/result.hpp>
#include <mirage/base/text.hpp>
#include <mirage/base/time.hpp>

namespace mirage::http {

enum class BodyError : std::uint8_t { failed, no_memory };

/// A body that is produced while it is sent.
class BodySource {
 public:
  virtual ~BodySource() = default;
  /// The next bytes; an empty list at the end. An error after the head has gone out ends the connection.
  virtual Task<Result<SliceList, BodyError>> next() noexcept = 0;
};

/// Field names and values, kept in place: bounded, no allocation.
class HeaderBlock {
 public:
  static constexpr std::size_t capacity = 512;
  /// False, and nothing added, when full or when name or value contain control characters.
  [[nodiscard]] bool add(std::string_view name, std::string_view value) noexcept;
  [[nodiscard]] bool add(std::string_view name, std::uint64_t value) noexcept;
  /// "Name: value\r\n" lines.
  [[nodiscard]] std::string_view text() const noexcept { return {text_.data(), size_}; }

 private:
  std::array<char, capacity> text_;  // NOLINT: only the first size_ bytes count
  std::size_t size_ = 0;
};

struct Response {
  std::uint16_t status = 200;
  HeaderBlock headers;
  SliceList body;
  /// Instead of `body`: streamed. With a length the response has Content-Length, without one it is chunked.
  std::unique_ptr<BodySource> source;
  std::uint64_t source_length = 0;
  bool source_length_known = false;
  /// HEAD and 304: the length to announce for a body that is not sent.
  bool omit_body = false;
  std::uint64_t announced_length = 0;
  bool close = false;

  /// A response with a text body that lives as long as the image.
  [[nodiscard]] static Response text(std::uint16_t status, std::string_view body,
                                     std::string_view content_type = "text/plain; charset=utf-8") noexcept;
};

[[nodiscard]] std::string_view reason_phrase(std::uint16_t status) noexcept;

/// "Sun, 06 Nov 1994 08:49:37 GMT" (RFC 9110 section 5.6.7), 29 characters.
void append_http_date(TextWriter& out, WallTime time) noexcept;
/// Parses the IMF-fixdate form only; the obsolete forms are treated as absent.
[[nodiscard]] std::optional<WallTime> parse_http_date(std::string_view text) noexcept;

/// Collects what is to be written: copies small pieces into pooled blocks, references large ones.
class Output {
 public:
  /// Payload up to this size is copied next to its head, which saves a slice per response.
  static constexpr std::size_t copy_limit = 256;
  explicit Output(BufferPool& pool) noexcept : pool_(pool) {}
  /// False when the pool has no block or the list is full.
  [[nodiscard]] bool append(std::string_view text) noexcept;
  [[nodiscard]] bool append(const SliceList& slices) noexcept;
  /// Everything collected, in order; the output is empty afterwards.
  [[nodiscard]] SliceList take() noexcept;
  [[nodiscard]] std::size_t byte_count() const noexcept { return done_.byte_count() + open_.size(); }
  [[nodiscard]] bool empty() const noexcept { return byte_count() == 0; }
  /// Whether another head and a few slices fit without a write in between.
  [[nodiscard]] bool has_room() const noexcept {
    return done_.size() + 4 < SliceList::capacity && byte_count() < std::size_t{32} * 1024;
  }

 private:
  [[nodiscard]] bool close_block() noexcept;
  BufferPool& pool_;
  SliceList done_;
  MutableSlice open_;
};

/// Writes status line and header section (RFC 9112 section 4) for `response`; `date` may be empty.
[[nodiscard]] bool append_head(Output& out, const Response& response, bool keep_alive, bool chunked,
                               std::string_view date) noexcept;

}  // namespace mirage::http
