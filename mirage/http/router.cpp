// SPDX-License-Identifier: ISC
#include <mirage/http/router.hpp>

namespace mirage::http {
namespace {

/// Takes the text up to the next slash.
std::string_view take_segment(std::string_view& path) noexcept {
  const auto slash = path.find('/');
  const std::string_view segment = path.substr(0, slash);
  path.remove_prefix(slash == std::string_view::npos ? path.size() : slash);
  return segment;
}

}  // namespace

std::string_view PathParameters::operator[](std::string_view name) const noexcept {
  for (const Header& value : std::span{values_}.first(count_)) {
    if (value.name == name) return value.value;
  }
  return {};
}

bool PathParameters::add(std::string_view name, std::string_view value) noexcept {
  if (count_ == capacity) return false;
  values_[count_++] = {name, value};
  return true;
}

bool match_path(std::string_view pattern, std::string_view path, PathParameters& parameters) noexcept {
  while (true) {
    if (pattern.empty() || path.empty()) return pattern.empty() && path.empty();
    if (pattern.front() != '/' || path.front() != '/') return false;
    pattern.remove_prefix(1);
    path.remove_prefix(1);
    std::string_view expected = take_segment(pattern);
    if (!expected.starts_with('{') || !expected.ends_with('}')) {
      if (take_segment(path) != expected) return false;
      continue;
    }
    expected = expected.substr(1, expected.size() - 2);
    if (expected.ends_with("...")) return parameters.add(expected.substr(0, expected.size() - 3), path);
    const std::string_view value = take_segment(path);
    if (value.empty() || !parameters.add(expected, value)) return false;
  }
}

Response refuse_method(Method asked, MethodSet allowed) noexcept {
  if (allowed.empty()) return Response::text(404, "not found\n");
  constexpr std::array<std::string_view, 9> names{"GET",     "HEAD",  "POST",    "PUT",  "DELETE",
                                                  "OPTIONS", "PATCH", "CONNECT", "TRACE"};
  allowed.add(Method::options);
  if (allowed.has(Method::get)) allowed.add(Method::head);
  Text<96> list;
  for (std::size_t i = 0; i < names.size(); ++i) {
    if (!allowed.has(static_cast<Method>(i))) continue;
    if (!list.view().empty()) list.writer().append(", ");
    list.writer().append(names[i]);
  }
  Response response = asked == Method::options ? Response{} : Response::text(405, "method not allowed\n");
  if (asked == Method::options) response.status = 204;
  (void)response.headers.add("Allow", list.view());
  return response;
}

}  // namespace mirage::http
