// SPDX-License-Identifier: ISC
// The client's side of HTTP/1.1 messages (RFC 9112): what is asked and the head of what is answered. No I/O here.
#pragma once

#include <array>
#include <memory>
#include <optional>
#include <span>
#include <string_view>

#include <mirage/http/field.hpp>
#include <mirage/http/message.hpp>
#include <mirage/http/response.hpp>

namespace mirage::http {

/// A request to send.
struct ClientRequest {
  std::string_view method = "GET";  ///< a token; must stay valid until the answer's head is there
  HeaderBlock headers;              ///< Host, Connection, Content-Length, Transfer-Encoding and TE are the client's own
  SliceList body;
  /// Instead of `body`: streamed while the answer may already be coming in. With a length the request has
  /// Content-Length, without one it is chunked.
  std::unique_ptr<BodySource> source;
  std::uint64_t source_length = 0;
  bool source_length_known = false;
  /// Wait for the server's word, a second at most, before the body is sent (RFC 9110 section 10.1.1).
  bool expect_continue = false;
  /// A protocol to change to, as in the Upgrade field; empty: none. Must stay valid until the answer's head is there.
  std::string_view upgrade;
};

/// Whether repeating a request does no harm (RFC 9110 section 9.2.2).
[[nodiscard]] bool is_idempotent(std::string_view method) noexcept;

/// The head of a response. Every view points into the bytes that hold it: valid as long as the response.
struct ResponseHead {
  static constexpr std::size_t maximum_headers = 64;

  std::uint16_t status = 0;
  std::string_view reason;
  Version version = Version::http_1_1;
  bool keep_alive = false;
  std::string_view upgrade;  ///< of a 101
  Framing framing;
  FieldList<maximum_headers> fields;

  [[nodiscard]] std::span<const Header> headers() const noexcept { return fields.all(); }
  /// The first field of that name.
  [[nodiscard]] std::optional<std::string_view> header(std::string_view name) const noexcept;
};

/// Parses a complete head (as delimited by find_head_end()) as the answer to a request of `method`; as strict as
/// parse_head(). Of a framing that could be read in two ways nothing is believed: false.
[[nodiscard]] bool parse_response_head(std::string_view head, std::string_view method, ResponseHead& out) noexcept;

/// Writes request line and header section, or nothing: false for want of memory, or when method, target or authority
/// hold what would end them.
[[nodiscard]] bool append_request_head(Output& out, const ClientRequest& request, std::string_view target,
                                       std::string_view authority) noexcept;

}  // namespace mirage::http
