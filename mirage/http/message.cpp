// SPDX-License-Identifier: ISC
#include <mirage/base/text.hpp>
#include <mirage/http/character_set.hpp>
#include <mirage/http/message.hpp>

namespace mirage::http {
namespace {

Method parse_method(std::string_view text) noexcept {
  constexpr std::array<std::string_view, 9> names{"GET",     "HEAD",  "POST",    "PUT",  "DELETE",
                                                  "OPTIONS", "PATCH", "CONNECT", "TRACE"};
  for (std::size_t i = 0; i < names.size(); ++i) {
    if (names[i] == text) return static_cast<Method>(i);
  }
  return Method::other;
}

bool has_no_host(std::string_view authority) noexcept { return authority.empty() || authority.starts_with(':'); }

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
    if (target.starts_with('/')) break;                                            // origin-form, as nearly all are
    if (!equals_ignoring_case(target.substr(0, scheme.size()), scheme)) continue;  // absolute-form, section 3.2.2
    const auto end = target.find_first_of("/?", scheme.size());
    request.authority = target.substr(scheme.size(), end == std::string_view::npos ? end : end - scheme.size());
    // An empty host and userinfo are errors (RFC 9110 sections 4.2.1, 4.2.4).
    if (has_no_host(request.authority) || !is_authority(request.authority)) return false;
    target = end == std::string_view::npos ? std::string_view{"/"} : target.substr(end);
    absolute = true;
    break;
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
  request.version = version[7] == '0' ? Version::http_1_0 : Version::http_1_1;
  request.method = parse_method(request.method_text);
  if (!parse_target(request)) return Failure{ParseError::bad_target};
  return {};
}

/// State gathered over the header section.
struct Gathered {
  FramingFields framing;
  unsigned hosts = 0;
  std::string_view host;
  bool upgrade = false;
};

Result<void, ParseError> interpret(const Header& header, Request& request, Gathered& seen) noexcept {
  if (const auto taken = seen.framing.take(header); !taken) {
    return Failure{taken.error() == FramingError::bad_framing ? ParseError::bad_framing
                                                              : ParseError::unsupported_coding};
  }
  if (equals_ignoring_case(header.name, "host")) {
    ++seen.hosts;
    seen.host = header.value;
    if (!is_authority(header.value)) return Failure{ParseError::bad_header};
  } else if (equals_ignoring_case(header.name, "expect") && request.version != Version::http_1_0) {
    // RFC 9110 section 10.1.1: one of HTTP/1.0 is ignored, one that we do not know is refused.
    if (!equals_ignoring_case(header.value, "100-continue")) return Failure{ParseError::unknown_expectation};
    request.expects_continue = true;
  } else if (equals_ignoring_case(header.name, "upgrade")) {
    seen.upgrade = true;
  } else if (equals_ignoring_case(header.name, "te")) {
    request.takes_trailers |= list_contains(header.value, "trailers");
  }
  return {};
}

Result<void, ParseError> take_field(std::string_view line, Request& request, Gathered& seen) noexcept {
  const auto header = parse_field(line);
  if (!header) return Failure{ParseError::bad_header};
  if (!request.fields.push_back(*header)) return Failure{ParseError::too_many_headers};
  return interpret(*header, request, seen);
}

Result<void, ParseError> conclude(Request& request, const Gathered& seen) noexcept {
  const bool old = request.version == Version::http_1_0;
  // RFC 9112 section 3.2: a server must answer 400 to a 1.1 request without Host, and to more than one.
  if (seen.hosts > 1 || (!old && seen.hosts == 0)) return Failure{ParseError::missing_host};
  // RFC 9112 section 6.1: chunked in a 1.0 message is an attempt at smuggling.
  if (seen.framing.chunked() && old) return Failure{ParseError::bad_framing};
  request.framing.chunked = seen.framing.chunked();
  request.framing.content_length = seen.framing.length();
  // RFC 9112 section 3.2.2: the absolute-form's authority counts, whatever Host says.
  if (request.authority.empty()) request.authority = seen.host;
  request.keep_alive = !seen.framing.close() && (!old || seen.framing.keep_alive());
  if (seen.framing.upgrade() && !old) request.may_upgrade = seen.upgrade;
  return {};
}

}  // namespace

bool is_authority(std::string_view text) noexcept {
  // A name has no colon in it, which would begin the port; an address may name its zone (RFC 6874).
  constexpr CharacterSet characters = CharacterSet{"-._~!$&'()*+,;=%"}.and_alphanumeric();
  const char* at = text.begin();
  const bool literal = at != text.end() && *at == '[';
  if (literal) ++at;
  const char* const host = at;
  while (at != text.end() && (characters.contains(*at) || (literal && *at == ':'))) ++at;
  if (literal) {
    if (at == host || at == text.end() || *at != ']') return false;
    ++at;
  }
  if (at == text.end()) return true;
  if (*at != ':') return false;
  while (++at != text.end()) {
    if (*at < '0' || *at > '9') return false;
  }
  return true;
}

std::string_view to_string(Version version) noexcept {
  constexpr std::array<std::string_view, 3> names{"HTTP/1.0", "HTTP/1.1", "HTTP/2.0"};
  return names[static_cast<std::size_t>(version)];
}

std::optional<std::string_view> Request::header(std::string_view name) const noexcept {
  for (const Header& field : headers()) {
    if (equals_ignoring_case(field.name, name)) return field.value;
  }
  return std::nullopt;
}

bool Request::asks_for(std::string_view protocol) const noexcept {
  if (!may_upgrade) return false;
  for (const Header& field : headers()) {
    if (equals_ignoring_case(field.name, "upgrade") && list_contains(field.value, protocol)) return true;
  }
  return false;
}

std::uint16_t status_of(ParseError error) noexcept {
  switch (error) {
    case ParseError::too_many_headers:
    case ParseError::head_too_large:
      return 431;
    case ParseError::target_too_long:
      return 414;
    case ParseError::unknown_expectation:
      return 417;
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
    MIRAGE_CHECK(take_field(line, request, seen));
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
