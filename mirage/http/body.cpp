// SPDX-License-Identifier: ISC
#include <mirage/http/body.hpp>

namespace mirage::http {
namespace {

/// RFC 9110 section 6.5.1: what a recipient needs before the content, or must not believe behind it.
bool belongs_to_head(std::string_view name) noexcept {
  constexpr std::string_view names =
      "age, authorization, cache-control, connection, content-encoding, content-length, content-range, "
      "content-type, cookie, date, expect, expires, host, location, max-forwards, proxy-authenticate, "
      "proxy-authorization, set-cookie, te, trailer, transfer-encoding, upgrade";
  return list_contains(names, name);
}

}  // namespace

bool keep_trailers(MutableSlice& section) noexcept {
  const MutableBytes bytes = section.bytes();
  std::string_view text = as_text(bytes);
  std::size_t kept = 0;
  while (true) {
    const std::string_view before = text;
    std::string_view line;
    if (!take_line(text, line)) return false;
    if (line.empty()) break;
    const auto field = parse_field(line);
    if (!field) return false;
    if (belongs_to_head(field->name)) continue;
    std::memmove(&bytes[kept], before.data(), line.size() + 2);
    kept += line.size() + 2;
  }
  section.truncate(static_cast<std::uint32_t>(kept));
  return true;
}

}  // namespace mirage::http
