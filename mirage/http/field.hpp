// SPDX-License-Identifier: ISC
// Fields of HTTP/1.1 messages (RFC 9110 section 5, RFC 9112 section 5): what requests, responses and trailers share.
// Strict: no bare LF or CR, no white space around field names, no obs-fold (RFC 9112 sections 2.2, 5.1, 5.2).
#pragma once

#include <cstddef>
#include <cstdint>
#include <new>
#include <optional>
#include <span>
#include <string_view>

#include <mirage/base/result.hpp>

namespace mirage::http {

struct Header {
  std::string_view name;   ///< as sent; compare with equals_ignoring_case()
  std::string_view value;  ///< without surrounding white space
};

/// Up to `capacity` fields, in place. What no field has taken is not written to: a request has few.
template <std::size_t capacity>
class FieldList {
 public:
  FieldList() noexcept {}  // NOLINT: the storage stays uninitialised on purpose
  /// False when full.
  [[nodiscard]] bool push_back(const Header& field) noexcept {
    if (count_ == capacity) return false;
    new (&storage_[count_++ * sizeof(Header)]) Header(field);
    return true;
  }
  [[nodiscard]] std::span<const Header> all() const noexcept {
    return {std::launder(reinterpret_cast<const Header*>(storage_)), count_};
  }

 private:
  alignas(Header) std::byte storage_[capacity * sizeof(Header)];  // NOLINT
  std::size_t count_ = 0;
};

/// ASCII only, as field names are (RFC 9110 section 5.1).
[[nodiscard]] bool equals_ignoring_case(std::string_view a, std::string_view b) noexcept;
/// RFC 9110 section 5.6.2.
[[nodiscard]] bool is_token(std::string_view text) noexcept;
/// RFC 9110 section 5.5: visible characters, SP, HTAB, obs-text.
[[nodiscard]] bool is_field_value(std::string_view text) noexcept;
/// Without optional white space on either side (RFC 9110 section 5.6.3).
[[nodiscard]] std::string_view trim(std::string_view text) noexcept;
/// Whether a comma-separated list (RFC 9110 section 5.6.1) has `token`, compared without case.
[[nodiscard]] bool list_contains(std::string_view list, std::string_view token) noexcept;

/// Takes a line without its CRLF; false when there is none or a bare CR comes first. A bare LF stays in the line, where
/// nothing that is checked may hold one: neither a token, nor a target, nor a field's value.
[[nodiscard]] bool take_line(std::string_view& text, std::string_view& line) noexcept;
/// One field line; nothing when it is malformed.
[[nodiscard]] std::optional<Header> parse_field(std::string_view line) noexcept;

/// The fields of a text of checked "Name: value\r\n" lines.
class FieldLines {
 public:
  class Iterator {
   public:
    explicit Iterator(std::string_view rest) noexcept : rest_(rest) {}
    [[nodiscard]] Header operator*() const noexcept;
    Iterator& operator++() noexcept;
    [[nodiscard]] bool operator==(const Iterator& other) const noexcept { return rest_.size() == other.rest_.size(); }

   private:
    std::string_view rest_;
  };
  FieldLines() noexcept = default;
  /// Precondition: every line is one that parse_field() takes.
  explicit FieldLines(std::string_view text) noexcept : text_(text) {}
  [[nodiscard]] Iterator begin() const noexcept { return Iterator{text_}; }
  [[nodiscard]] Iterator end() const noexcept { return Iterator{text_.substr(text_.size())}; }
  [[nodiscard]] bool empty() const noexcept { return text_.empty(); }
  [[nodiscard]] std::string_view text() const noexcept { return text_; }
  /// The first field of that name.
  [[nodiscard]] std::optional<std::string_view> find(std::string_view name) const noexcept;

 private:
  std::string_view text_;
};

/// How the end of a message's body is found (RFC 9112 section 6.3).
struct Framing {
  bool chunked = false;
  bool until_close = false;  ///< only responses: the body ends with the connection
  std::uint64_t content_length = 0;
  [[nodiscard]] bool has_body() const noexcept { return chunked || until_close || content_length != 0; }
};

enum class FramingError : std::uint8_t {
  bad_framing,         ///< lengths that disagree: request smuggling
  unsupported_coding,  ///< a transfer coding other than chunked
};

/// Gathers over a header section what decides framing and persistence.
class FramingFields {
 public:
  [[nodiscard]] Result<void, FramingError> take(const Header& header) noexcept;
  [[nodiscard]] bool has_length() const noexcept { return content_length_.has_value(); }
  [[nodiscard]] std::uint64_t length() const noexcept { return content_length_.value_or(0); }
  [[nodiscard]] bool chunked() const noexcept { return chunked_; }
  [[nodiscard]] bool close() const noexcept { return close_; }
  [[nodiscard]] bool keep_alive() const noexcept { return keep_alive_; }
  [[nodiscard]] bool upgrade() const noexcept { return upgrade_; }

 private:
  std::optional<std::uint64_t> content_length_;
  bool chunked_ = false;
  bool close_ = false;
  bool keep_alive_ = false;
  bool upgrade_ = false;
};

}  // namespace mirage::http
