// SPDX-License-Identifier: ISC
#include <array>
#include <chrono>

#include <mirage/syslog/message.hpp>

namespace mirage::syslog {

namespace {

constexpr std::int64_t first_plausible_day = 365 * 40;  // a clock before 2010 is one that nobody has set

/// RFC 5424 6.2.1, table 2.
unsigned severity(LogLevel level) noexcept {
  switch (level) {
    case LogLevel::error:
      return 3;
    case LogLevel::warning:
      return 4;
    case LogLevel::debug:
      return 7;
    case LogLevel::quiet:
    case LogLevel::info:
      break;
  }
  return 6;
}

/// A field of the header: printable ASCII without spaces (RFC 5424 6), "-" for an empty one.
void append_field(TextWriter& out, std::string_view text, std::size_t maximum) noexcept {
  if (text.empty()) return out.append('-');
  for (const char c : text.substr(0, maximum)) out.append(c > ' ' && c < 0x7f ? c : '_');
}

/// RFC 3339 with microseconds, as RFC 5424 6.2.3 wants it.
void append_time(TextWriter& out, WallTime time) noexcept {
  const auto days = std::chrono::floor<std::chrono::days>(time.time_since_epoch());
  if (days.count() < first_plausible_day) return out.append('-');
  const std::chrono::year_month_day date{std::chrono::sys_days{days}};
  const auto microseconds = static_cast<std::uint64_t>(
      std::chrono::duration_cast<std::chrono::microseconds>(time.time_since_epoch() - days).count());
  const std::uint64_t seconds = microseconds / 1'000'000;
  const auto number = [&out](std::uint64_t value, unsigned digits, char behind) {
    out.append_unsigned(value, 10, digits);
    out.append(behind);
  };
  number(static_cast<std::uint64_t>(static_cast<int>(date.year())), 4, '-');
  number(static_cast<unsigned>(date.month()), 2, '-');
  number(static_cast<unsigned>(date.day()), 2, 'T');
  number(seconds / 3600, 2, ':');
  number(seconds / 60 % 60, 2, ':');
  number(seconds % 60, 2, '.');
  number(microseconds % 1'000'000, 6, 'Z');
}

}  // namespace

LogLine LogLine::parse(std::string_view line) noexcept {
  constexpr std::array<std::string_view, 5> levels{"quiet", "error", "warning", "info", "debug"};
  const auto space = line.find(" [");
  const auto end = line.find("] ", space);
  if (space == std::string_view::npos || end == std::string_view::npos) return {.text = line};
  for (std::size_t i = 1; i < levels.size(); ++i) {
    if (levels[i] != line.substr(0, space)) continue;
    return {static_cast<LogLevel>(i), line.substr(space + 2, end - space - 2), line.substr(end + 2)};
  }
  return {.text = line};
}

std::size_t format_message(std::span<char, maximum_message> out, const Origin& origin, const LogLine& line,
                           WallTime time, std::uint32_t sequence) noexcept {
  TextWriter writer{out};
  format_to(writer, "<{}>1 ", facility * 8 + severity(line.level));
  append_time(writer, time);
  writer.append(' ');
  append_field(writer, origin.host, 255);
  writer.append(' ');
  append_field(writer, origin.application, 48);
  writer.append(" - ");
  append_field(writer, line.source, 32);
  format_to(writer, " [meta sequenceId=\"{}\"] ", sequence);
  // 6.4: control characters, which may end a line somewhere, do not belong into a message.
  for (const char c : line.text) writer.append(static_cast<unsigned char>(c) < ' ' || c == 0x7f ? ' ' : c);
  return writer.view().size();
}

}  // namespace mirage::syslog
