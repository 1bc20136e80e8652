// SPDX-License-Identifier: ISC
// Syslog messages (RFC 5424 section 6) from lines of the log.
#pragma once

#include <cstdint>
#include <span>
#include <string_view>

#include <mirage/base/log.hpp>
#include <mirage/base/time.hpp>

namespace mirage::syslog {

inline constexpr unsigned facility = 16;  ///< local0
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

/// Writes "<PRI>1 TIME HOST APP - SOURCE [meta sequenceId="N"] TEXT" without a line's end; how many bytes. A clock that
/// was never set yields no time.
[[nodiscard]] std::size_t format_message(std::span<char, maximum_message> out, const Origin& origin,
                                         const LogLine& line, WallTime time, std::uint32_t sequence) noexcept;

}  // namespace mirage::syslog
