// SPDX-License-Identifier: ISC
// A small router: a table of methods and path patterns over member functions of an application. What matches no row is
// answered with 404, a path whose rows are of other methods with 405 and Allow (RFC 9110 section 15.5.6).
#pragma once

#include <array>
#include <span>
#include <string_view>

#include <mirage/http/body.hpp>
#include <mirage/http/message.hpp>
#include <mirage/http/response.hpp>
#include <mirage/module/kv.hpp>

namespace mirage::http {

/// What the variable parts of a pattern stood for, percent-decoded. Valid while the request is handled.
class PathParameters {
 public:
  static constexpr std::size_t capacity = 8;
  /// Empty when the pattern has no such part.
  [[nodiscard]] std::string_view operator[](std::string_view name) const noexcept;
  /// False when full.
  [[nodiscard]] bool add(std::string_view name, std::string_view value) noexcept;
  void clear() noexcept { count_ = 0; }

 private:
  std::array<Header, capacity> values_;
  std::size_t count_ = 0;
};

/// Whether a decoded path is of the pattern's form. "{name}" stands for one segment that is not empty, "{name...}", at
/// the end, for all the rest, which may be empty: "/user/{id}/file/{path...}".
[[nodiscard]] bool match_path(std::string_view pattern, std::string_view path, PathParameters& parameters) noexcept;

/// Methods as a set, for Allow.
class MethodSet {
 public:
  void add(Method method) noexcept { bits_ |= 1U << static_cast<unsigned>(method); }
  [[nodiscard]] bool empty() const noexcept { return bits_ == 0; }
  [[nodiscard]] bool has(Method method) const noexcept { return (bits_ >> static_cast<unsigned>(method) & 1U) != 0; }

 private:
  unsigned bits_ = 0;
};
/// The answer for a path of which only `allowed` are served: 404 when none is, 204 to OPTIONS, else 405; both of the
/// latter with Allow, in which GET stands for HEAD too.
[[nodiscard]] Response refuse_method(Method asked, MethodSet allowed) noexcept;

/// One row. The function answers at once or as a task. GET serves HEAD too: the body is left out by the server.
template <class App>
struct Route {
  using Plain = Response (App::*)(const Request&, const PathParameters&, Body&);
  using Async = Task<Response> (App::*)(const Request&, const PathParameters&, Body&);
  constexpr Route(Method on, std::string_view path, Plain function) noexcept
      : method(on), pattern(path), plain(function) {}
  constexpr Route(Method on, std::string_view path, Async function) noexcept
      : method(on), pattern(path), async(function) {}
  Method method;
  std::string_view pattern;  ///< see match_path(); lives as long as the table
  Plain plain = nullptr;
  Async async = nullptr;
};

/// A handler (see Server) over an application and its table; the first row that matches counts. Both must outlive it.
template <class App>
class Router {
 public:
  Router(App& app, std::span<const Route<App>> routes) noexcept : app_(app), routes_(routes) {}
  [[nodiscard]] Shard& shard() noexcept { return app_.shard(); }

  Task<Response> operator()(const Request& request, Body& body) {
    std::array<char, maximum_key> memory;
    const auto path = decode_path(request.path, memory);
    if (!path) co_return Response::text(400, "bad path\n");
    PathParameters parameters;
    MethodSet allowed;
    for (const Route<App>& route : routes_) {
      parameters.clear();
      const bool all = *path == "*";  // OPTIONS of all that there is (RFC 9110 section 9.3.7)
      if (!all && !match_path(route.pattern, *path, parameters)) continue;
      allowed.add(route.method);
      if (all) continue;
      if (route.method != request.method && (route.method != Method::get || request.method != Method::head)) continue;
      if (route.plain != nullptr) co_return (app_.*route.plain)(request, parameters, body);
      co_return co_await (app_.*route.async)(request, parameters, body);
    }
    co_return refuse_method(request.method, allowed);
  }

 private:
  App& app_;
  std::span<const Route<App>> routes_;
};

}  // namespace mirage::http
