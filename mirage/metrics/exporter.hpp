// SPDX-License-Identifier: ISC
// Serves the counters of modules over HTTP at /metrics: a job of its own, or a handler in a server of the
// application's.
#pragma once

#include <tuple>

#include <mirage/http/body.hpp>
#include <mirage/http/response.hpp>
#include <mirage/http/server.hpp>
#include <mirage/metrics/page.hpp>
#include <mirage/module/stack.hpp>

namespace mirage::metrics {

/// A handler (see http::Server): GET /metrics, everything else is not found. Refers to the modules.
template <class... Modules>
class Handler {
 public:
  static constexpr bool upgrades = false;
  explicit Handler(Shard& shard, const Modules&... modules) noexcept : shard_(shard), modules_(modules...) {}

  http::Response operator()(const http::Request& request, http::Body&) noexcept {
    if (request.path != "/metrics") return http::Response::text(404, "not found: counters are at /metrics\n");
    if (request.method != http::Method::get && request.method != http::Method::head) {
      http::Response response = http::Response::text(405, "method not allowed\n");
      (void)response.headers.add("Allow", std::string_view{"GET, HEAD"});
      return response;
    }
    Page page{shard_};
    std::apply([&page](const auto&... module) { (page.add(module), ...); }, modules_);
    http::Response response;
    response.body = page.render();
    if (response.body.empty()) return http::Response::no_memory();
    (void)response.headers.add("Content-Type", Page::content_type);
    return response;
  }

 private:
  Shard& shard_;
  std::tuple<const Modules&...> modules_;
};

/// What counters are served with: there are few who ask, and who asks once a minute needs no connection meanwhile. Kept
/// for as long as a website's they would shut others out.
[[nodiscard]] inline http::ServerOptions server_options() noexcept {
  http::ServerOptions options;
  options.maximum_connections = 4;
  options.idle_timeout = Duration{2s};
  return options;
}

/// The job that config.cpp's metrics() makes.
template <mirage::Stack S, class... Modules>
struct Exporter {
  template <class Keys>
  static Task<int> start(S& net, Modules&... modules, const Keys& keys) {
    const Logger log = net.shard().logger("metrics");
    Handler<S, Modules...> handler{net.shard(), net, modules...};
    http::Server server{net.shard(), net.tcp(), handler, server_options()};
    log.info("counters at port {}, /metrics", keys.metrics_port);
    const auto served = co_await server.serve(keys.metrics_port);
    if (served) co_return 0;
    log.error("cannot listen on port {}: {}", keys.metrics_port, served.error());
    co_return 1;
  }
};

}  // namespace mirage::metrics
