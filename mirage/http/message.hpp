// SPDX-License-Identifier: ISC
// HTTP/1.1 requests (RFC 9110, RFC 9112) as checked views into the received bytes. No I/O here.
#pragma once

#include <array>
#include <cstdint>
#include <optional>
#include <span>
#include <string_view>

#include <mirage/base/address.hpp>
#include <mirage/base/result.hpp>
#include <mirage/http/field.hpp>

namespace mirage::http {

enum class Method : std::uint8_t { get, head, post, put, delete_, options, patch, connect, trace, other };

enum class Version : std::uint8_t { http_1_0, http_1_1, http_2 };
/// "HTTP/1.1" ...
[[nodiscard]] std::string_view to_string(Version version) noexcept;

/// A request's head. Every view points into the buffer that holds the head: valid while the request is handled.
struct Request {
  static constexpr std::size_t maximum_headers = 64;

  Method method = Method::other;
  std::string_view method_text;
  std::string_view target;  ///< as received
  std::string_view path;    ///< origin-form path or that of the absolute-form, still percent-encoded; "*" for OPTIONS *
  std::string_view query;   ///< after "?", without it
  /// Host and port that the client named: of the absolute-form, else of Host (RFC 9112 section 3.3); may be empty.
  std::string_view authority;
  /// There is an Upgrade, and Connection says that it is meant for us (RFC 9110 section 7.8); see asks_for().
  bool may_upgrade = false;
  Version version = Version::http_1_1;
  bool keep_alive = true;
  bool expects_continue = false;
  bool takes_trailers = false;  ///< TE: trailers (RFC 9110 section 10.1.4)
  Framing framing;
  Endpoint peer;
  FieldList<maximum_headers> fields;

  [[nodiscard]] std::span<const Header> headers() const noexcept { return fields.all(); }
  /// The first field of that name.
  [[nodiscard]] std::optional<std::string_view> header(std::string_view name) const noexcept;
  /// Whether the client would change to `protocol`: its Upgrade lines are one list (RFC 9110 section 5.3).
  [[nodiscard]] bool asks_for(std::string_view protocol) const noexcept;
};

/// Why a head was refused; status() is the answer to send before closing.
enum class ParseError : std::uint8_t {
  bad_request_line,
  bad_target,
  bad_header,
  too_many_headers,
  head_too_large,
  target_too_long,  ///< not even the request line fits
  missing_host,
  bad_framing,         ///< Content-Length and Transfer-Encoding disagree: request smuggling
  unsupported_coding,  ///< a transfer coding other than chunked
  unsupported_version,
  unknown_expectation,
};
[[nodiscard]] std::uint16_t status_of(ParseError error) noexcept;

/// Bytes of the head at the start of `received`, the closing empty line included; 0 while incomplete. `scanned` keeps
/// the place between calls, so that bytes are looked at once.
[[nodiscard]] std::size_t find_head_end(std::string_view received, std::size_t& scanned) noexcept;

/// Parses a complete head (as delimited by find_head_end). Strict: no bare LF or CR, no white space around field names,
/// no obs-fold (RFC 9112 section 2.2, 5.1, 5.2), exactly one Host (RFC 9112 section 3.2).
[[nodiscard]] Result<void, ParseError> parse_head(std::string_view head, Request& request) noexcept;

/// uri-host [":" port], the host perhaps empty (RFC 3986 section 3.2.2): others are how hosts are forged (RFC 9112
/// section 3.2).
[[nodiscard]] bool is_authority(std::string_view text) noexcept;

/// Percent-decodes `path` into `out`; nothing when malformed, too long, when it holds a NUL or
/// an encoded slash: that is data and no separator (RFC 3986 section 2.2), and a proxy's rules would not see it as one.
[[nodiscard]] std::optional<std::string_view> decode_path(std::string_view path, std::span<char> out) noexcept;

}  // namespace mirage::http
