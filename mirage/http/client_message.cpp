// SPDX-License-Identifier: ISC
#include <algorithm>

#include <mirage/http/client_message.hpp>

namespace mirage::http {
namespace {

bool parse_status_line(std::string_view line, ResponseHead& out) noexcept {
  // RFC 9112 section 4: "HTTP/1.1 200 reason"; the space behind the number is left out by some.
  if (line.size() < 12 || !line.starts_with("HTTP/1.") || line[7] < '0' || line[7] > '9' || line[8] != ' ')
    return false;
  if (line.size() > 12 && line[12] != ' ') return false;
  const auto status = parse_unsigned<std::uint16_t>(line.substr(9, 3));
  if (!status || *status < 100) return false;
  out.version = line[7] == '0' ? Version::http_1_0 : Version::http_1_1;
  out.status = *status;
  out.reason = line.size() > 13 ? line.substr(13) : std::string_view{};
  return is_field_value(out.reason);
}

/// RFC 9112 section 6.3.
bool conclude(std::string_view method, const FramingFields& seen, ResponseHead& out) noexcept {
  const bool old = out.version == Version::http_1_0;
  // RFC 9110 sections 7.6.1, 7.8: Upgrade concerns a connection only if Connection says so (RFC 6455 section 4.1).
  if (out.status == 101 && !seen.upgrade()) return false;
  if (seen.chunked() && old) return false;
  const bool without_body = method == "HEAD" || out.status < 200 || out.status == 204 || out.status == 304;
  if (!without_body) {
    out.framing.chunked = seen.chunked();
    out.framing.content_length = seen.length();
    out.framing.until_close = !seen.chunked() && !seen.has_length();
  }
  out.keep_alive = !seen.close() && (!old || seen.keep_alive()) && !out.framing.until_close;
  return true;
}

/// Nothing that ends a word of the request line or could begin another line. Bytes beyond ASCII have no place in a URI
/// (RFC 3986 section 2), but come (a browser's referrer, curl) and mean nothing to any parser: a proxy passes on what
/// the server took, as others do.
bool is_word(std::string_view text) noexcept {
  return !text.empty() && std::ranges::none_of(text, [](char c) {
    const auto u = static_cast<unsigned char>(c);
    return u <= 0x20 || u == 0x7f;
  });
}

}  // namespace

bool is_idempotent(std::string_view method) noexcept {
  constexpr std::array<std::string_view, 6> names{"GET", "HEAD", "PUT", "DELETE", "OPTIONS", "TRACE"};
  return std::ranges::find(names, method) != names.end();
}

std::optional<std::string_view> ResponseHead::header(std::string_view name) const noexcept {
  for (const Header& field : headers()) {
    if (equals_ignoring_case(field.name, name)) return field.value;
  }
  return std::nullopt;
}

bool parse_response_head(std::string_view head, std::string_view method, ResponseHead& out) noexcept {
  out = ResponseHead{};
  std::string_view line;
  if (!take_line(head, line) || !parse_status_line(line, out)) return false;
  FramingFields seen;
  unsigned upgrades = 0;
  while (true) {
    if (!take_line(head, line)) return false;
    if (line.empty()) break;
    const auto header = parse_field(line);
    if (!header || !out.fields.push_back(*header)) return false;
    if (!seen.take(*header)) return false;
    if (!equals_ignoring_case(header->name, "upgrade")) continue;
    out.upgrade = header->value;
    ++upgrades;
  }
  if (out.status == 101 && upgrades > 1) return false;  // one over the other: nobody has asked for that
  return head.empty() && conclude(method, seen, out);
}

bool append_request_head(Output& out, const ClientRequest& request, std::string_view target,
                         std::string_view authority) noexcept {
  if (!is_token(request.method) || !is_word(target) || !is_authority(authority)) return false;
  Text<128> framing;
  const bool streamed = request.source != nullptr;
  const std::uint64_t length = streamed ? request.source_length : request.body.byte_count();
  // RFC 9110 section 8.6: a method that is sent with content says so even when there is none.
  const bool expected = request.method == "POST" || request.method == "PUT" || request.method == "PATCH";
  if (streamed && !request.source_length_known) {
    framing.writer().append("Transfer-Encoding: chunked\r\n");
  } else if (streamed || length != 0 || expected) {
    format_to(framing.writer(), "Content-Length: {}\r\n", length);
  }
  if (request.expect_continue && (streamed || length != 0)) framing.writer().append("Expect: 100-continue\r\n");
  if (!request.upgrade.empty()) {
    if (!is_field_value(request.upgrade) || request.upgrade.size() > 32) return false;
    format_to(framing.writer(), "Connection: Upgrade\r\nUpgrade: {}\r\n", request.upgrade);
  }
  const std::string_view fields = request.headers.text();
  const std::size_t size = request.method.size() + target.size() + authority.size() + framing.view().size() +
                           fields.size() + std::string_view{"  HTTP/1.1\r\nHost: \r\n\r\n"}.size();
  if (!out.reserve(size)) return false;
  const std::array<std::string_view, 9> pieces{request.method, " ",    target, " HTTP/1.1\r\nHost: ", authority, "\r\n",
                                               framing.view(), fields, "\r\n"};
  return std::ranges::all_of(pieces, [&out](std::string_view piece) { return out.append(piece); });
}

}  // namespace mirage::http
