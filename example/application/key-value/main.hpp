// SPDX-License-Identifier: ISC
// Values over HTTP: GET, PUT and DELETE /value/KEY. All other paths are files of the page.
#pragma once

#include <array>
#include <string>

#include <mirage/http/router.hpp>
#include <mirage/http/server.hpp>
#include <mirage/http/site.hpp>
#include <mirage/module/application.hpp>

/// The rows of the table below are functions of this. A store's operations are tasks; each ends with a value or an
/// error.
template <mirage::KvRo Page, mirage::KvStore Values>
class Service {
 public:
  using Request = mirage::http::Request;
  using Response = mirage::http::Response;
  using Parameters = mirage::http::PathParameters;
  using Body = mirage::http::Body;
  using Site = mirage::http::Site<Page>;

  Service(const Keys& keys, Page& page, Values& values) noexcept
      : keys_(keys), values_(values), site_(keys.shard, page) {}
  /// A coroutine's frame lies in the memory of its shard, which it finds through one of its parameters: here, `this`.
  [[nodiscard]] mirage::Shard& shard() noexcept { return keys_.shard; }

  mirage::Task<Response> get(const Request&, const Parameters& path, Body&) {
    auto value = co_await values_.get(path["key"], 0, keys_.largest);
    if (!value) co_return refusal(value.error());
    Response response;
    response.body = *std::move(value);
    if (!response.headers.add("Content-Type", "application/octet-stream")) co_return Response::no_memory();
    co_return response;
  }

  mirage::Task<Response> put(const Request&, const Parameters& path, Body& body) {
    std::string bytes;
    while (true) {
      const auto piece = co_await body.read();
      if (!piece) co_return Response::text(400, "the body did not come whole\n");
      if (piece->empty()) break;
      if (bytes.size() + piece->byte_count() > keys_.largest) co_return Response::text(413, "too large\n");
      for (const mirage::Slice& slice : *piece) bytes += slice.text();
    }
    const auto done = co_await values_.set(path["key"], mirage::as_bytes(bytes));
    co_return done ? Response::text(204, {}) : refusal(done.error());
  }

  mirage::Task<Response> remove(const Request&, const Parameters& path, Body&) {
    const auto done = co_await values_.remove(path["key"]);
    co_return done ? Response::text(204, {}) : refusal(done.error());
  }

  mirage::Task<Response> page(const Request& request, const Parameters&, Body& body) {
    // A handler answers at once, as a site does that is in the image, or as a task.
    if constexpr (mirage::http::PlainHandler<Site>) {
      co_return site_(request, body);
    } else {
      co_return co_await site_(request, body);
    }
  }

 private:
  static Response refusal(mirage::KvError error) noexcept {
    switch (error) {
      case mirage::KvError::not_found:
        return Response::text(404, "not found\n");
      case mirage::KvError::invalid_key:
      case mirage::KvError::not_a_value:
      case mirage::KvError::not_a_directory:
        return Response::text(400, to_string(error));
      case mirage::KvError::no_space:
        return Response::text(507, to_string(error));
      default:
        return Response::text(500, to_string(error));
    }
  }
  const Keys& keys_;
  Values& values_;
  Site site_;
};

template <mirage::Stack Net, mirage::KvRo Page, mirage::KvStore Values>
struct KeyValue {
  using App = Service<Page, Values>;

  static mirage::Task<int> start(Net& net, Page& page, Values& values, const Keys& keys) {
    using mirage::http::Method;
    static constexpr std::array<mirage::http::Route<App>, 4> routes{{{Method::get, "/value/{key...}", &App::get},
                                                                     {Method::put, "/value/{key...}", &App::put},
                                                                     {Method::delete_, "/value/{key...}", &App::remove},
                                                                     {Method::get, "/{path...}", &App::page}}};
    const mirage::Logger log = keys.shard.logger("application");
    App app{keys, page, values};
    mirage::http::Router<App> router{app, routes};
    mirage::http::Server<typename Net::Tcp, mirage::http::Router<App>> server{keys.shard, net.tcp(), router};
    log.info("serving on {}", mirage::Endpoint{net.address(), keys.port});
    const auto served = co_await server.serve(keys.port);
    if (served) co_return 0;
    log.error("cannot listen on port {}: {}", keys.port, served.error());
    co_return 1;
  }
};
