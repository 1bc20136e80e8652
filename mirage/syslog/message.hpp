// SPDX-License-Identifier: ISC
// Syslog messages (RFC 5424 section 6) from lines of the log.
#pragma once

#include <cstdint>
#include <optional>
#include <span>
#include <string_view>

#include <mirage/base/log.hpp>
#include <mirage/base/time.hpp>

namespace mirage::syslog {

inline constexpr unsigned facility = 16;  ///< local0
/// Whose lines are about the sending itself.
inline constexpr std::string_view own_source = "syslog";
/// SD-ID of a line's fields (RFC 5424 6.3.2): nobody has given us a number; this one is for examples (RFC 5612).
inline constexpr std::string_view fields_id = "fields@32473";
/// Bytes of the longest message; what does not fit is cut off. RFC 5426 3.2: receivers should take 2048.
inline constexpr std::size_t maximum_message = 1024;

/// A line as Log::write makes it, in its parts; one of another form is all text, of level info.
struct LogLine {
  LogLevel level = LogLevel::info;
  std::string_view source{};
  std::string_view text{};
  [[nodiscard]] static LogLine parse(std::string_view line) noexcept;
};

struct Origin {
  std::string_view host;         ///< HOSTNAME, or "-"
  std::string_view application;  ///< APP-NAME
};

/// A part NAME=VALUE of a line's text; the value as it stands there, without the quotation marks around it.
struct Field {
  std::string_view name;
  std::string_view value;
  /// Takes the next one out of `text`, with all that stands before it; nothing when there is none. A field begins where
  /// a word does and not within quotation marks: so nobody whose words are quoted makes fields. Without quotation marks
  /// a value ends before a space, or the comma, semicolon or parenthesis in front of it.
  [[nodiscard]] static std::optional<Field> take(std::string_view& text) noexcept;
};

/// Writes "<PRI>1 TIME HOST APP - SOURCE [meta sequenceId="N"][fields@32473 NAME="VALUE"...] TEXT" without a line's
/// end; how many bytes. A clock that was never set yields no time. Fields that have no room beside the text are left
/// out.
[[nodiscard]] std::size_t format_message(std::span<char, maximum_message> out, const Origin& origin,
                                         const LogLine& line, WallTime time, std::uint32_t sequence) noexcept;

}  // namespace mirage::syslog
