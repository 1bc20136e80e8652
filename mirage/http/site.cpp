// SPDX-License-Identifier: ISC
#include <mirage/http/site.hpp>

namespace mirage::http {
namespace {

/// An entity tag at the front of a list (RFC 9110 section 8.8.3); advances behind it. Nothing when malformed.
struct EntityTag {
  bool weak = false;
  std::string_view opaque;
};
std::optional<EntityTag> take_etag(std::string_view& list) noexcept {
  EntityTag tag;
  tag.weak = list.starts_with("W/");
  if (tag.weak) list.remove_prefix(2);
  const auto end = list.starts_with('"') ? list.find('"', 1) : std::string_view::npos;
  if (end == std::string_view::npos) return std::nullopt;
  tag.opaque = list.substr(1, end - 1);
  list.remove_prefix(end + 1);
  return tag;
}

/// Whether a list of entity tags names `etag`. `weak` ignores the W/ mark (RFC 9110 section 8.8.3.2).
bool names_etag(std::string_view list, std::string_view etag, bool weak) noexcept {
  if (list == "*") return true;
  while (true) {
    while (!list.empty() && (list.front() == ' ' || list.front() == '\t' || list.front() == ',')) list.remove_prefix(1);
    const auto tag = take_etag(list);
    if (!tag) return false;
    if (!etag.empty() && tag->opaque == etag && (weak || !tag->weak)) return true;
  }
}

/// The same over all fields of that name, which are one list (RFC 9110 section 5.3); nothing when there is none.
std::optional<bool> names_etag(const Request& request, std::string_view name, std::string_view etag,
                               bool weak) noexcept {
  std::optional<bool> named;
  for (const Header& field : request.headers()) {
    if (equals_ignoring_case(field.name, name)) named = named.value_or(false) || names_etag(field.value, etag, weak);
  }
  return named;
}

}  // namespace

RangeResult evaluate_range(std::string_view field, std::uint64_t size, ByteRange& range) noexcept {
  if (!equals_ignoring_case(field.substr(0, 6), "bytes=")) return RangeResult::whole;
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
  // Dates have a resolution of one second.
  const auto changed_since = [&info](std::string_view field) noexcept -> std::optional<bool> {
    const auto date = parse_http_date(field);
    if (!date || !info.last_modified) return std::nullopt;
    return *info.last_modified >= *date + 1s;
  };
  if (const auto match = names_etag(request, "if-match", info.etag, false)) {
    if (!*match) return Precondition::failed;
  } else if (const auto since = request.header("if-unmodified-since")) {
    if (changed_since(*since).value_or(false)) return Precondition::failed;
  }
  if (const auto none = names_etag(request, "if-none-match", info.etag, true)) {
    return *none ? Precondition::not_modified : Precondition::proceed;
  }
  const auto since = request.header("if-modified-since");
  return since && !changed_since(*since).value_or(true) ? Precondition::not_modified : Precondition::proceed;
}

bool range_applies(const Request& request, const KvInfo& info) noexcept {
  // One strong tag; a date never counts as strong here, so the whole is sent.
  auto condition = request.header("if-range");
  if (!condition) return true;
  const auto tag = take_etag(*condition);
  return tag && condition->empty() && !tag->weak && !info.etag.empty() && tag->opaque == info.etag;
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
