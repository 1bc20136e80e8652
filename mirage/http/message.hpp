// SPDX-License-Identifier: ISC
// HTTP/1.1 messages (RFC 9110, RFC 9112): a request as checked views into the received bytes. No I/O here.
#pragma once

#include <array>
#include <cstdint>
#include <optional>
#include <span>
#include <string_view>

#include <mirage/base/address.hpp>
#include <mirage/base/result.hpp>

namespace mirage::http {

enum class Method : std::uint8_t { get, head, post, put, delete_, options, patch, connect, trace, other };

struct Header {
  std::string_view name;   ///< as sent; compare with equals_ignoring_case()
  std::string_view value;  ///< without surrounding white space
};

/// ASCII only, as field names are (RFC 9110 section 5.1).
[[nodiscard]] bool equals_ignoring_case(std::string_view a, std::string_view b) noexcept;
/// RFC 9110 section 5.6.2.
[[nodiscard]] bool is_token(std::string_view text) noexcept;
/// Whether a comma-separated list (RFC 9110 section 5.6.1) has `token`, compared without case.
[[nodiscard]] bool list_contains(std::string_view list, std::string_view token) noexcept;

/// How the end of a request's body is found (RFC 9112 section 6.3).
struct Framing {
  bool chunked = false;
  std::uint64_t content_length = 0;
  [[nodiscard]] bool has_body() const noexcept { return chunked || content_length != 0; }
};

/// A request's head. Every view points into the buffer that holds the head: valid while the request is handled.
struct Request {
  static constexpr std::size_t maximum_headers = 64;

  Method method = Method::other;
  std::string_view method_text;
  std::string_view target;  ///< as received
  std::string_view path;    ///< origin-form path or that of the absolute-form, still percent-encoded; "*" for OPTIONS *
  std::string_view query;   ///< after "?", without it
  std::uint8_t minor_version = 1;
  bool keep_alive = true;
  bool expects_continue = false;
  Framing framing;
  Endpoint peer;
  std::array<Header, maximum_headers> header_storage;
  std::size_t header_count = 0;

  [[nodiscard]] std::span<const Header> headers() const noexcept { return {header_storage.data(), header_count}; }
  /// The first field of that name.
  [[nodiscard]] std::optional<std::string_view> header(std::string_view name) const noexcept;
};

/// Why a head was refused; status() is the answer to send before closing.
enum class ParseError : std::uint8_t {
  bad_request_line,
  bad_target,
  bad_header,
  too_many_headers,
  head_too_large,
  missing_host,
  bad_framing,         ///< Content-Length and Transfer-Encoding disagree: request smuggling
  unsupported_coding,  ///< a transfer coding other than chunked
  unsupported_version,
};
[[nodiscard]] std::uint16_t status_of(ParseError error) noexcept;

/// Bytes of the head at the start of `received`, the closing empty line included; 0 while incomplete. `scanned` keeps
/// the place between calls, so that bytes are looked at once.
[[nodiscard]] std::size_t find_head_end(std::string_view received, std::size_t& scanned) noexcept;

/// Parses a complete head (as delimited by find_head_end). Strict: no bare LF or CR, no white space around field names,
/// no obs-fold (RFC 9112 section 2.2, 5.1, 5.2), exactly one Host (RFC 9112 section 3.2).
[[nodiscard]] Result<void, ParseError> parse_head(std::string_view head, Request& request) noexcept;

/// Percent-decodes `path` into `out`; nothing when malformed, too long, when it holds a NUL or
/// an encoded slash: that is data and no separator (RFC 3986 section 2.2), and a proxy's rules would not see it as one.
[[nodiscard]] std::optional<std::string_view> decode_path(std::string_view path, std::span<char> out) noexcept;

}  // namespace mirage::http
