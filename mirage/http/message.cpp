// SPDX-License-Identifier: ISC
#include <mirage/base/text.hpp>
#include <mirage/http/message.hpp>

namespace mirage::http {
namespace {

constexpr char lower(char c) noexcept { return c >= 'A' && c <= 'Z' ? static_cast<char>(c + 32) : c; }

/// RFC 9110 section 5.6.2.
constexpr bool is_token_char(char c) noexcept {
  if ((c >= 'a' && c <= 'z') || (c >= 'A' && c <= 'Z') || (c >= '0' && c <= '9')) return true;
  return std::string_view{"!#$%&'*+-.^_`|~"}.find(c) != std::string_view::npos;
}

/// RFC 9110 section 5.5: visible, SP, HTAB or obs-text.
constexpr bool is_field_value(std::string_view text) noexcept {
  for (const char c : text) {
    const auto u = static_cast<unsigned char>(c);
    if ((u < 0x20 && c != '\t') || u == 0x7f) return false;
  }
  return true;
}

constexpr std::string_view trim(std::string_view text) noexcept {
  while (!text.empty() && (text.front() == ' ' || text.front() == '\t')) text.remove_prefix(1);
  while (!text.empty() && (text.back() == ' ' || text.back() == '\t')) text.remove_suffix(1);
  return text;
}

/// Takes a line without its CRLF; false when there is none or it holds a bare CR or LF.
bool take_line(std::string_view& text, std::string_view& line) noexcept {
  const auto end = text.find('\n');
  if (end == std::string_view::npos || end == 0 || text[end - 1] != '\r') return false;
  line = text.substr(0, end - 1);
  text.remove_prefix(end + 1);
  return line.find('\r') == std::string_view::npos;
}

Method parse_method(std::string_view text) noexcept {
  constexpr std::array<std::string_view, 9> names{"GET",     "HEAD",  "POST",    "PUT",  "DELETE",
                                                  "OPTIONS", "PATCH", "CONNECT", "TRACE"};
  for (std::size_t i = 0; i < names.size(); ++i) {
    if (names[i] == text) return static_cast<Method>(i);
  }
  return Method::other;
}

bool parse_target(Request& request) noexcept {
  std::string_view target = request.target;
  bool absolute = false;
  for (const char c : target) {
    if (static_cast<unsigned char>(c) <= 0x20 || c == 0x7f || c == '#') return false;
  }
  if (request.method == Method::connect) {  // authority-form, RFC 9112 section 3.2.3
    request.path = target;
    return !target.empty();
  }
  if (target == "*") {
    request.path = target;
    return request.method == Method::options;
  }
  for (const std::string_view scheme : {std::string_view{"http://"}, std::string_view{"https://"}}) {
    if (!equals_ignoring_case(target.substr(0, scheme.size()), scheme)) continue;  // absolute-form, section 3.2.2
    const auto end = target.find_first_of("/?", scheme.size());
    target = end == std::string_view::npos ? std::string_view{"/"} : target.substr(end);
    absolute = true;
  }
  const auto question = target.find('?');
  request.path = target.substr(0, question);
  if (request.path.empty() && absolute) request.path = "/";  // "http://host?query"
  if (!request.path.starts_with('/')) return false;
  if (question != std::string_view::npos) request.query = target.substr(question + 1);
  return true;
}

Result<void, ParseError> parse_request_line(std::string_view line, Request& request) noexcept {
  const auto first = line.find(' ');
  const auto last = line.rfind(' ');
  if (first == std::string_view::npos || first == last) return Failure{ParseError::bad_request_line};
  request.method_text = line.substr(0, first);
  request.target = line.substr(first + 1, last - first - 1);
  const std::string_view version = line.substr(last + 1);
  if (!is_token(request.method_text)) return Failure{ParseError::bad_request_line};
  if (version.size() != 8 || !version.starts_with("HTTP/")) return Failure{ParseError::bad_request_line};
  if (!version.starts_with("HTTP/1.") || version[7] < '0' || version[7] > '9') {
    return Failure{ParseError::unsupported_version};
  }
  request.minor_version = version[7] == '0' ? 0 : 1;
  request.method = parse_method(request.method_text);
  if (!parse_target(request)) return Failure{ParseError::bad_target};
  return {};
}

/// Characters of uri-host and port (RFC 3986 section 3.2.2): others are how hosts are forged (RFC 9112 section 3.2).
bool is_host(std::string_view text) noexcept {
  for (const char c : text) {
    const bool letter = (c >= 'a' && c <= 'z') || (c >= 'A' && c <= 'Z') || (c >= '0' && c <= '9');
    if (!letter && std::string_view{"-._~!$&'()*+,;=:%[]"}.find(c) == std::string_view::npos) return false;
  }
  return true;
}

/// State gathered over the header section that decides framing and persistence.
struct Gathered {
  bool content_length = false;
  bool transfer_encoding = false;
  unsigned hosts = 0;
  bool close = false;
  bool keep_alive = false;
};

Result<void, ParseError> take_content_length(std::string_view value, Request& request, Gathered& seen) noexcept {
  // RFC 9112 section 6.3 rule 5: anything but one valid number is refused; so are repetitions, even equal ones.
  const auto length = parse_unsigned<std::uint64_t>(value);
  if (seen.content_length || !length || *length > INT64_MAX) return Failure{ParseError::bad_framing};
  seen.content_length = true;
  request.framing.content_length = *length;
  return {};
}

Result<void, ParseError> take_transfer_encoding(std::string_view value, Request& request, Gathered& seen) noexcept {
  if (seen.transfer_encoding) return Failure{ParseError::bad_framing};
  seen.transfer_encoding = true;
  if (!equals_ignoring_case(value, "chunked")) return Failure{ParseError::unsupported_coding};
  request.framing.chunked = true;
  return {};
}

Result<void, ParseError> interpret(const Header& header, Request& request, Gathered& seen) noexcept {
  if (equals_ignoring_case(header.name, "content-length")) return take_content_length(header.value, request, seen);
  if (equals_ignoring_case(header.name, "transfer-encoding"))
    return take_transfer_encoding(header.value, request, seen);
  if (equals_ignoring_case(header.name, "host")) {
    ++seen.hosts;
    if (!is_host(header.value)) return Failure{ParseError::bad_header};
  }
  if (equals_ignoring_case(header.name, "connection")) {
    seen.close |= list_contains(header.value, "close");
    seen.keep_alive |= list_contains(header.value, "keep-alive");
  }
  if (equals_ignoring_case(header.name, "expect") && equals_ignoring_case(header.value, "100-continue")) {
    request.expects_continue = request.minor_version == 1;
  }
  return {};
}

Result<void, ParseError> parse_field(std::string_view line, Request& request, Gathered& seen) noexcept {
  const auto colon = line.find(':');
  if (colon == std::string_view::npos) return Failure{ParseError::bad_header};
  const Header header{line.substr(0, colon), trim(line.substr(colon + 1))};
  if (!is_token(header.name) || !is_field_value(header.value)) return Failure{ParseError::bad_header};
  if (request.header_count == Request::maximum_headers) return Failure{ParseError::too_many_headers};
  request.header_storage[request.header_count++] = header;
  return interpret(header, request, seen);
}

Result<void, ParseError> conclude(Request& request, const Gathered& seen) noexcept {
  // RFC 9112 section 3.2: a server must answer 400 to a 1.1 request without Host, and to more than one.
  if (seen.hosts > 1 || (request.minor_version == 1 && seen.hosts == 0)) return Failure{ParseError::missing_host};
  // RFC 9112 section 6.1: both, or chunked in a 1.0 message, is an attempt at smuggling.
  if (seen.transfer_encoding && (seen.content_length || request.minor_version == 0)) {
    return Failure{ParseError::bad_framing};
  }
  request.keep_alive = !seen.close && (request.minor_version == 1 || seen.keep_alive);
  return {};
}

}  // namespace

bool is_token(std::string_view text) noexcept {
  for (const char c : text) {
    if (!is_token_char(c)) return false;
  }
  return !text.empty();
}

bool equals_ignoring_case(std::string_view a, std::string_view b) noexcept {
  if (a.size() != b.size()) return false;
  for (std::size_t i = 0; i < a.size(); ++i) {
    if (lower(a[i]) != lower(b[i])) return false;
  }
  return true;
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

std::optional<std::string_view> Request::header(std::string_view name) const noexcept {
  for (const Header& field : headers()) {
    if (equals_ignoring_case(field.name, name)) return field.value;
  }
  return std::nullopt;
}

std::uint16_t status_of(ParseError error) noexcept {
  switch (error) {
    case ParseError::too_many_headers:
    case ParseError::head_too_large:
      return 431;
    case ParseError::unsupported_coding:
      return 501;
    case ParseError::unsupported_version:
      return 505;
    default:
      return 400;
  }
}

std::size_t find_head_end(std::string_view received, std::size_t& scanned) noexcept {
  const std::size_t from = scanned > 3 ? scanned - 3 : 0;
  const auto end = received.find("\r\n\r\n", from);
  if (end != std::string_view::npos) return end + 4;
  scanned = received.size();
  return 0;
}

Result<void, ParseError> parse_head(std::string_view head, Request& request) noexcept {
  std::string_view line;
  if (!take_line(head, line)) return Failure{ParseError::bad_request_line};
  MIRAGE_CHECK(parse_request_line(line, request));
  Gathered seen;
  while (true) {
    if (!take_line(head, line)) return Failure{ParseError::bad_header};
    if (line.empty()) break;
    MIRAGE_CHECK(parse_field(line, request, seen));
  }
  if (!head.empty()) return Failure{ParseError::bad_header};
  return conclude(request, seen);
}

std::optional<std::string_view> decode_path(std::string_view path, std::span<char> out) noexcept {
  std::size_t size = 0;
  for (std::size_t i = 0; i < path.size(); ++i) {
    char c = path[i];
    if (c == '%') {
      if (i + 2 >= path.size()) return std::nullopt;
      const int high = detail::hex_digit(path[i + 1]);
      const int low = detail::hex_digit(path[i + 2]);
      if (high < 0 || low < 0) return std::nullopt;
      c = static_cast<char>(high * 16 + low);
      i += 2;
    }
    const bool encoded_slash = c == '/' && path[i] != '/';
    if (c == '\0' || encoded_slash || size == out.size()) return std::nullopt;
    out[size++] = c;
  }
  return std::string_view{out.data(), size};
}

}  // namespace mirage::http
