// SPDX-License-Identifier: ISC
// Responses: a handler returns one as a value; the server turns it into bytes. Bodies are slices (static or owned, sent
// without a copy) or a source that is pulled as the peer takes it.
#pragma once

#include <array>
#include <cstdint>
#include <memory>
#include <optional>
#include <string_view>

#include <mirage/async/scope.hpp>
#include <mirage/async/task.hpp>
#include <mirage/base/buffer.hpp>
#include <mirage/base/result.hpp>
#include <mirage/base/text.hpp>
#include <mirage/base/time.hpp>
#include <mirage/http/message.hpp>
#include <mirage/http/output.hpp>
#include <mirage/http/tunnel.hpp>

namespace mirage::http {

enum class BodyError : std::uint8_t { failed, no_memory };

/// Field names and values, kept in place: bounded, no allocation. Who needs more room lends it.
class HeaderBlock {
 public:
  static constexpr std::size_t capacity = 512;
  static constexpr std::size_t maximum_capacity = std::size_t{64} * 1024;
  HeaderBlock() noexcept {}  // NOLINT: only the text counts, and only that is moved
  HeaderBlock(HeaderBlock&& other) noexcept { take(other); }
  HeaderBlock& operator=(HeaderBlock&& other) noexcept {
    if (this != &other) take(other);
    return *this;
  }
  ~HeaderBlock() = default;
  /// Room for `size` bytes in all from `pool`; false when there is none or size exceeds maximum_capacity.
  [[nodiscard]] bool enlarge(BufferPool& pool, std::size_t size) noexcept;
  /// False, and nothing added, when full, when name is no token, when value contains control characters, and for
  /// fields that are the server's own: Connection, Content-Length, Date, Transfer-Encoding.
  [[nodiscard]] bool add(std::string_view name, std::string_view value) noexcept;
  [[nodiscard]] bool add(std::string_view name, std::uint64_t value) noexcept;
  /// "Upgrade: protocol", which a 426 must have, with the Connection that belongs to it (RFC 9110 section 7.8).
  [[nodiscard]] bool add_upgrade(std::string_view protocol) noexcept;
  /// Takes every field of that name out.
  void remove(std::string_view name) noexcept;
  /// "Name: value\r\n" lines.
  [[nodiscard]] std::string_view text() const noexcept {
    return {larger_ ? as_text(larger_.bytes()).data() : text_.data(), size_};
  }
  [[nodiscard]] FieldLines lines() const noexcept { return FieldLines{text()}; }

 private:
  [[nodiscard]] std::span<char> free_room() noexcept;
  void take(HeaderBlock& other) noexcept;
  std::array<char, capacity> text_;  // NOLINT: only the first size_ bytes count
  std::size_t size_ = 0;
  MutableSlice larger_;  // when not empty, it holds the text
};

/// A body that is produced while it is sent.
class BodySource {
 public:
  virtual ~BodySource() = default;
  /// The next bytes; an empty list at the end. An error after the head has gone out ends the connection.
  virtual Task<Result<SliceList, BodyError>> next() noexcept = 0;
  /// Asked for once after the end: fields to follow the body (RFC 9110 section 6.5). They are sent when the body is
  /// chunked and, of a response, the client takes them (TE: trailers); nullptr: none.
  [[nodiscard]] virtual const HeaderBlock* trailers() noexcept { return nullptr; }
  /// Called once nothing more is asked of it. Begins the end of what still runs on its behalf; the scope, if any, is
  /// joined before the source, the request and its body go.
  [[nodiscard]] virtual Scope* stop() noexcept { return nullptr; }
};

struct Response {
  std::uint16_t status = 200;
  HeaderBlock headers;
  SliceList body;
  /// Instead of `body`: streamed. With a length the response has Content-Length, without one it is chunked.
  std::unique_ptr<BodySource> source;
  std::uint64_t source_length = 0;
  bool source_length_known = false;
  /// For HEAD and 304, no effect otherwise: the length to announce for a body that is not sent.
  bool omit_body = false;
  std::uint64_t announced_length = 0;
  bool close = false;
  /// With status 101 and a request that asked for this protocol: what goes on with the connection. The server writes
  /// Connection and Upgrade.
  std::unique_ptr<Upgrade> upgrade;

  /// A response with a text body that lives as long as the image.
  [[nodiscard]] static Response text(std::uint16_t status, std::string_view body,
                                     std::string_view content_type = "text/plain; charset=utf-8") noexcept;
  /// What awaiting a handler yields that got no frame: 503.
  [[nodiscard]] static Response no_memory() noexcept;
};

[[nodiscard]] std::string_view reason_phrase(std::uint16_t status) noexcept;

/// "Sun, 06 Nov 1994 08:49:37 GMT" (RFC 9110 section 5.6.7), 29 characters.
void append_http_date(TextWriter& out, WallTime time) noexcept;
/// Parses any of the three forms that a recipient must accept (section 5.6.7).
[[nodiscard]] std::optional<WallTime> parse_http_date(std::string_view text) noexcept;

/// How a response goes out.
struct Delivery {
  enum class Framing : std::uint8_t {
    none,     ///< the status excludes a body
    length,   ///< Content-Length
    chunked,  ///< length unknown, HTTP/1.1
    close,    ///< length unknown, HTTP/1.0: ends with the connection
  };
  Framing framing = Framing::none;
  std::uint64_t length = 0;
  bool has_body = false;  ///< bytes follow the head: not for HEAD
  bool keep_alive = false;
  bool old_client = false;  ///< HTTP/1.0: keeping the connection must be said
  bool trailers = false;    ///< the client takes them
};
/// Framing and persistence of `response` as an answer to `request` (RFC 9110 section 6.4.1, RFC 9112 section 6.3).
[[nodiscard]] Delivery delivery_of(const Request& request, const Response& response) noexcept;

/// Writes status line and header section (RFC 9112 section 4), or nothing: false for want of memory. `date` may be
/// empty.
[[nodiscard]] bool append_head(Output& out, const Response& response, const Delivery& delivery,
                               std::string_view date) noexcept;
/// Status line and header section of "101 Switching Protocols" (RFC 9110 section 15.2.2).
[[nodiscard]] bool append_switch_head(Output& out, const Response& response, std::string_view date) noexcept;

/// Writes a streamed body behind its head: piece after piece, of each as much at a time as the output has room for.
class BodyWriter {
 public:
  /// `announced`: the length that the head says. Without one the body is chunked, or ends with the connection.
  BodyWriter(Output& out, std::optional<std::uint64_t> announced, bool chunked) noexcept
      : out_(out), announced_(announced), chunked_(chunked) {}
  /// Whether `piece` may come next: no more than was announced, which would be taken for the next message, and no end
  /// (a piece of nothing) before all of that.
  [[nodiscard]] bool accepts(const SliceList& piece) const noexcept;
  /// Precondition: accepts(piece). To be called again with the same piece, once the output has been written, until
  /// whole(). False for want of memory.
  [[nodiscard]] bool append(const SliceList& piece) noexcept;
  [[nodiscard]] bool whole() const noexcept { return said_ == 0; }
  /// The end, with the trailers that `source` has unless nullptr. False for want of memory.
  [[nodiscard]] bool finish(BodySource* source) noexcept;
  /// Bytes of the pieces that append() was given.
  [[nodiscard]] std::uint64_t sent() const noexcept { return sent_; }

 private:
  Output& out_;
  std::optional<std::uint64_t> announced_;
  bool chunked_;
  std::uint64_t sent_ = 0;
  std::size_t said_ = 0;  // slices of the piece that append() has not done with
};

}  // namespace mirage::http
