// SPDX-License-Identifier: ISC
#include <algorithm>
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

constexpr bool is_control(char c) noexcept { return static_cast<unsigned char>(c) < ' ' || c == 0x7f; }

constexpr bool is_name_start(char c) noexcept { return (c >= 'a' && c <= 'z') || (c >= 'A' && c <= 'Z') || c == '_'; }

/// Bytes of an SD-NAME at the front; not all that RFC 5424 6.3.3 allows, but what looks like a name.
std::size_t name_size(std::string_view text) noexcept {
  if (text.empty() || !is_name_start(text[0])) return 0;
  std::size_t size = 1;
  while (size < text.size() && (is_name_start(text[size]) || (text[size] >= '0' && text[size] <= '9') ||
                                text[size] == '.' || text[size] == '-')) {
    ++size;
  }
  return size;
}

/// Behind the quotation mark that closes the one at the front; a backslash takes the next byte with it.
std::size_t quoted_size(std::string_view text) noexcept {
  for (std::size_t i = 1; i < text.size(); ++i) {
    if (text[i] == '\\') {
      ++i;
    } else if (text[i] == '"') {
      return i + 1;
    }
  }
  return text.size();
}

/// Of a word: what follows, to the next space outside of quotation marks.
std::size_t word_size(std::string_view text) noexcept {
  std::size_t size = 0;
  while (size < text.size() && text[size] != ' ') size += text[size] == '"' ? quoted_size(text.substr(size)) : 1;
  return std::min(size, text.size());
}

std::string_view value_of(std::string_view word) noexcept {
  if (word.starts_with('"')) {
    const std::size_t size = quoted_size(word);
    return word.substr(1, size - (size > 1 && word[size - 1] == '"' ? 2 : 1));
  }
  while (!word.empty() && std::string_view{",;)"}.contains(word.back())) word.remove_suffix(1);
  return word;
}

/// PARAM-VALUE (RFC 5424 6.3.3): three characters are escaped, and it is UTF-8, which our bytes need not be.
void append_value_text(TextWriter& out, std::string_view value) noexcept {
  for (const char c : value) {
    if (c == '"' || c == '\\' || c == ']') out.append('\\');
    out.append(is_control(c) || static_cast<unsigned char>(c) > 0x7f ? '?' : c);
  }
}

/// RFC 5424 6.3: an element with the fields of the text, as long as `room` bytes are enough.
void append_fields(TextWriter& out, std::string_view text, std::size_t room) noexcept {
  bool any = false;
  while (const auto field = Field::take(text)) {
    const std::size_t size =
        (any ? 0 : fields_id.size() + 2) + field->name.size() + 2 * field->value.size() + 4;  // at most
    if (size > room) continue;
    room -= size;
    if (!any) format_to(out, "[{}", fields_id);
    any = true;
    format_to(out, " {}=\"", field->name);
    append_value_text(out, field->value);
    out.append('"');
  }
  if (any) out.append(']');
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

std::optional<Field> Field::take(std::string_view& text) noexcept {
  constexpr std::size_t maximum_name = 32;
  while (!text.empty()) {
    const std::string_view word = text.substr(0, word_size(text));
    text.remove_prefix(std::min(word.size() + 1, text.size()));
    const std::size_t size = name_size(word);
    if (size == 0 || size > maximum_name || !word.substr(size).starts_with('=')) continue;
    const std::string_view rest = word.substr(size + 1);
    const Field field{word.substr(0, size), value_of(rest)};
    if (!field.value.empty() || rest.starts_with('"')) return field;
  }
  return std::nullopt;
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
  format_to(writer, " [meta sequenceId=\"{}\"]", sequence);
  const std::size_t needed = writer.view().size() + line.text.size() + 1;
  append_fields(writer, line.text, needed < out.size() ? out.size() - needed : 0);
  writer.append(' ');
  // 6.4: control characters, which may end a line somewhere, do not belong into a message.
  for (const char c : line.text) writer.append(is_control(c) ? ' ' : c);
  return writer.view().size();
}

}  // namespace mirage::syslog
