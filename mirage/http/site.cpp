// SPDX-License-Identifier: ISC
#include <mirage/http/site.hpp>

namespace mirage::http {
namespace {

constexpr std::string_view trim(std::string_view text) noexcept {
  while (!text.empty() && (text.front() == ' ' || text.front() == '\t')) text.remove_prefix(1);
  while (!text.empty() && (text.back() == ' ' || text.back() == '\t')) text.remove_suffix(1);
  return text;
}

/// Whether a list of entity tags names `etag`. `weak` ignores the W/ mark (RFC 9110 section 8.8.3.2).
bool names_etag(std::string_view list, std::string_view etag, bool weak) noexcept {
  if (trim(list) == "*") return true;
  while (!list.empty()) {
    const auto comma = list.find(',');
    std::string_view tag = trim(list.substr(0, comma));
    if (tag.starts_with("W/")) tag = weak ? tag.substr(2) : std::string_view{};
    if (tag.size() == etag.size() + 2 && tag.front() == '"' && tag.back() == '"' &&
        tag.substr(1, etag.size()) == etag) {
      return !etag.empty();
    }
    if (comma == std::string_view::npos) return false;
    list.remove_prefix(comma + 1);
  }
  return false;
}

}  // namespace

RangeResult evaluate_range(std::string_view field, std::uint64_t size, ByteRange& range) noexcept {
  if (!field.starts_with("bytes=")) return RangeResult::whole;
  const std::string_view spec = trim(field.substr(6));
  const auto dash = spec.find('-');
  if (dash == std::string_view::npos || spec.find(',') != std::string_view::npos) return RangeResult::whole;
  const auto first = parse_unsigned<std::uint64_t>(spec.substr(0, dash));
  const auto last = parse_unsigned<std::uint64_t>(spec.substr(dash + 1));
  if (dash == 0) {  // the last `last` bytes
    if (!last) return RangeResult::whole;
    if (*last == 0 || size == 0) return RangeResult::unsatisfiable;
    range.length = *last < size ? *last : size;
    range.first = size - range.length;
    return RangeResult::part;
  }
  const bool open_end = dash + 1 == spec.size();
  if (!first || (!open_end && !last) || (last && *last < *first)) return RangeResult::whole;
  if (*first >= size) return RangeResult::unsatisfiable;
  const std::uint64_t end = open_end || *last >= size ? size - 1 : *last;
  range = {*first, end - *first + 1};
  return RangeResult::part;
}

Precondition evaluate_preconditions(const Request& request, const KvInfo& info) noexcept {
  if (const auto match = request.header("if-match"); match && !names_etag(*match, info.etag, false)) {
    return Precondition::failed;
  }
  if (const auto none = request.header("if-none-match")) {
    return names_etag(*none, info.etag, true) ? Precondition::not_modified : Precondition::proceed;
  }
  const auto since = request.header("if-modified-since");
  if (!since || !info.last_modified) return Precondition::proceed;
  const auto date = parse_http_date(*since);
  // The field has a resolution of one second.
  return date && *info.last_modified < *date + 1s ? Precondition::not_modified : Precondition::proceed;
}

bool range_applies(const Request& request, const KvInfo& info) noexcept {
  const auto condition = request.header("if-range");
  return !condition || names_etag(*condition, info.etag, false);
}

std::string_view key_of_path(std::string_view decoded, std::span<char> memory) noexcept {
  if (decoded.empty() || decoded.front() != '/') return {};
  decoded.remove_prefix(1);
  TextWriter key{memory};
  key.append(decoded);
  if (decoded.empty() || decoded.back() == '/') key.append("index.html");
  return !key.truncated() && valid_key(key.view()) ? key.view() : std::string_view{};
}

std::string_view content_type_of(std::string_view key) noexcept {
  struct Type {
    std::string_view extension, type;
  };
  constexpr std::array<Type, 14> types{{{"html", "text/html; charset=utf-8"},
                                        {"htm", "text/html; charset=utf-8"},
                                        {"css", "text/css; charset=utf-8"},
                                        {"js", "text/javascript; charset=utf-8"},
                                        {"json", "application/json"},
                                        {"txt", "text/plain; charset=utf-8"},
                                        {"svg", "image/svg+xml"},
                                        {"png", "image/png"},
                                        {"jpg", "image/jpeg"},
                                        {"gif", "image/gif"},
                                        {"webp", "image/webp"},
                                        {"ico", "image/x-icon"},
                                        {"woff2", "font/woff2"},
                                        {"pdf", "application/pdf"}}};
  const auto dot = key.rfind('.');
  if (dot != std::string_view::npos) {
    for (const Type& type : types) {
      if (equals_ignoring_case(type.extension, key.substr(dot + 1))) return type.type;
    }
  }
  return "application/octet-stream";
}

}  // namespace mirage::http
