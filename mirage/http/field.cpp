// SPDX-License-Identifier: ISC
#include <mirage/base/text.hpp>
#include <mirage/http/character_set.hpp>
#include <mirage/http/field.hpp>

namespace mirage::http {
namespace {

constexpr char lower(char c) noexcept { return c >= 'A' && c <= 'Z' ? static_cast<char>(c + 32) : c; }

constexpr CharacterSet token_characters = CharacterSet{"!#$%&'*+-.^_`|~"}.and_alphanumeric();

}  // namespace

bool equals_ignoring_case(std::string_view a, std::string_view b) noexcept {
  if (a.size() != b.size()) return false;
  for (std::size_t i = 0; i < a.size(); ++i) {
    if (lower(a[i]) != lower(b[i])) return false;
  }
  return true;
}

bool is_token(std::string_view text) noexcept { return !text.empty() && token_characters.contains_all(text); }

bool is_field_value(std::string_view text) noexcept {
  // Without a branch for each: several are looked at at once.
  bool bad = false;
  for (const char c : text) bad |= (static_cast<unsigned char>(c) < 0x20 && c != '\t') || c == 0x7f;
  return !bad;
}

std::string_view trim(std::string_view text) noexcept {
  while (!text.empty() && (text.front() == ' ' || text.front() == '\t')) text.remove_prefix(1);
  while (!text.empty() && (text.back() == ' ' || text.back() == '\t')) text.remove_suffix(1);
  return text;
}

bool list_contains(std::string_view list, std::string_view token) noexcept {
  while (!list.empty()) {
    const auto comma = list.find(',');
    if (equals_ignoring_case(trim(list.substr(0, comma)), token)) return true;
    if (comma == std::string_view::npos) return false;
    list.remove_prefix(comma + 1);
  }
  return false;
}

bool take_line(std::string_view& text, std::string_view& line) noexcept {
  const auto end = text.find('\r');
  if (end == std::string_view::npos || text.size() - end < 2 || text[end + 1] != '\n') return false;
  line = text.substr(0, end);
  text.remove_prefix(end + 2);
  return true;
}

std::optional<Header> parse_field(std::string_view line) noexcept {
  const auto colon = line.find(':');
  if (colon == std::string_view::npos) return std::nullopt;
  const Header header{line.substr(0, colon), trim(line.substr(colon + 1))};
  if (!is_token(header.name) || !is_field_value(header.value)) return std::nullopt;
  return header;
}

Header FieldLines::Iterator::operator*() const noexcept {
  return parse_field(rest_.substr(0, rest_.find('\r'))).value_or(Header{});
}

FieldLines::Iterator& FieldLines::Iterator::operator++() noexcept {
  const auto end = rest_.find('\n');
  rest_.remove_prefix(end == std::string_view::npos ? rest_.size() : end + 1);
  return *this;
}

std::optional<std::string_view> FieldLines::find(std::string_view name) const noexcept {
  for (const Header header : *this) {
    if (equals_ignoring_case(header.name, name)) return header.value;
  }
  return std::nullopt;
}

Result<void, FramingError> FramingFields::take(const Header& header) noexcept {
  if (equals_ignoring_case(header.name, "content-length")) {
    // RFC 9112 section 6.3 rule 5: anything but one valid number is refused; so are repetitions, even equal ones.
    const auto length = parse_unsigned<std::uint64_t>(header.value);
    if (content_length_ || !length || *length > INT64_MAX) return Failure{FramingError::bad_framing};
    content_length_ = length;
  } else if (equals_ignoring_case(header.name, "transfer-encoding")) {
    if (chunked_) return Failure{FramingError::bad_framing};
    if (!equals_ignoring_case(header.value, "chunked")) return Failure{FramingError::unsupported_coding};
    chunked_ = true;
  } else if (equals_ignoring_case(header.name, "connection")) {
    close_ |= list_contains(header.value, "close");
    keep_alive_ |= list_contains(header.value, "keep-alive");
    upgrade_ |= list_contains(header.value, "upgrade");
  }
  // RFC 9112 section 6.1: both are an attempt at smuggling.
  if (chunked_ && content_length_) return Failure{FramingError::bad_framing};
  return {};
}

}  // namespace mirage::http
