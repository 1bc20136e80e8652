// SPDX-License-Identifier: ISC
// Notes in an SQLite database, over HTTP:
//
//     GET    /            a page for browsers
//     GET    /notes       the newest 50 as JSON, [{"id":2,"text":"..."},...]; ?before=ID: those before that one
//     POST   /notes       a note, at most 500 bytes of UTF-8: 201 and {"id":3} once it is durable
//     DELETE /notes/ID    204, or 404
//
// What has been answered with 201 or 204 survives whatever happens to the image.
#pragma once

#include <array>
#include <charconv>

#include <mirage/http/output.hpp>
#include <mirage/http/router.hpp>
#include <mirage/http/server.hpp>
#include <mirage/http/websocket/frame.hpp>
#include <mirage/module/application.hpp>
#include <mirage/store/sqlite/connection.hpp>

#include "page.hpp"

template <mirage::Database Sql>
class NoteService {
 public:
  using Connection = mirage::store::Connection;
  template <class T = void>
  using Result = mirage::store::SqlResult<T>;
  using Error = mirage::store::SqlError;
  using Response = mirage::http::Response;
  using Request = mirage::http::Request;
  using Parameters = mirage::http::PathParameters;
  using Body = mirage::http::Body;
  static constexpr std::size_t maximum_text = 500;

  NoteService(mirage::Shard& shard, Sql& database) noexcept : shard_(shard), database_(database) {}
  [[nodiscard]] mirage::Shard& shard() noexcept { return shard_; }

  mirage::Task<Result<>> create() {
    co_return co_await database_.transaction([](Connection& sql) {
      return sql.execute(
          "CREATE TABLE IF NOT EXISTS note (id INTEGER PRIMARY KEY AUTOINCREMENT, text TEXT NOT NULL) STRICT");
    });
  }

  Response front(const Request&, const Parameters&, Body&) {
    return Response::text(200, page, "text/html; charset=utf-8");
  }

  mirage::Task<Response> list(const Request& request, const Parameters&, Body&) {
    const auto before = number_of(request.query.starts_with("before=") ? request.query.substr(7) : "");
    mirage::http::Output out{shard_.buffers()};
    const auto done = co_await database_.run([&](Connection& sql) -> Result<> {
      MIRAGE_TRY(auto rows, sql.prepare("SELECT json_object('id', id, 'text', text) FROM note WHERE id < ?"
                                        " ORDER BY id DESC LIMIT 50"));
      MIRAGE_CHECK(rows.bind(1, before.value_or(INT64_MAX)));
      std::string_view between = "[";
      while (true) {
        MIRAGE_TRY(const bool row, rows.step());
        if (!row) break;
        if (!out.append(between) || !out.append(rows.text(0))) return mirage::Failure{Error{Error::no_memory}};
        between = ",";
      }
      if (!out.append(between == "[" ? "[]" : "]")) return mirage::Failure{Error{Error::no_memory}};
      return {};
    });
    if (!done) co_return failure(done.error());
    co_return json(200, out);
  }

  mirage::Task<Response> add(const Request&, const Parameters&, Body& body) {
    std::array<char, maximum_text> memory;  // NOLINT: only what was received is read
    const auto text = co_await read(body, memory);
    if (!text) co_return Response::text(413, "at most 500 bytes\n");
    mirage::http::websocket::Utf8Checker utf8;  // JSON is UTF-8
    if (text->empty() || !utf8.take(mirage::as_bytes(*text)) || !utf8.complete()) {
      co_return Response::text(400, "no text in UTF-8\n");
    }
    const auto id = co_await database_.transaction([&](Connection& sql) -> Result<std::int64_t> {
      MIRAGE_CHECK(sql.execute("INSERT INTO note (text) VALUES (?)", *text));
      return sql.last_insert_id();
    });
    if (!id) co_return failure(id.error());
    mirage::http::Output out{shard_.buffers()};
    if (!out.append(mirage::Text<32>("{\"id\":{}}", *id).view())) co_return Response::no_memory();
    co_return json(201, out);
  }

  mirage::Task<Response> remove(const Request&, const Parameters& parameters, Body&) {
    const auto id = number_of(parameters["id"]);
    if (!id) co_return Response::text(404, "no such note\n");
    const auto removed = co_await database_.transaction([&](Connection& sql) -> Result<std::int64_t> {
      MIRAGE_CHECK(sql.execute("DELETE FROM note WHERE id = ?", *id));
      return sql.changes();
    });
    if (!removed) co_return failure(removed.error());
    if (*removed == 0) co_return Response::text(404, "no such note\n");
    Response response;
    response.status = 204;
    co_return response;
  }

 private:
  static std::optional<std::int64_t> number_of(std::string_view text) noexcept {
    const auto number = mirage::parse_unsigned<std::uint64_t>(text);
    if (!number || !std::in_range<std::int64_t>(*number)) return std::nullopt;
    return static_cast<std::int64_t>(*number);
  }

  /// The whole body; nothing when it does not fit or does not arrive.
  mirage::Task<std::optional<std::string_view>> read(Body& body, std::span<char> memory) {
    std::size_t size = 0;
    while (true) {
      const auto part = co_await body.read();
      if (!part || part->byte_count() > memory.size() - size) co_return std::nullopt;
      if (part->empty()) co_return std::string_view{memory.data(), size};
      for (const mirage::Slice& slice : *part) {
        std::memcpy(memory.data() + size, slice.bytes().data(), slice.size());
        size += slice.size();
      }
    }
  }

  Response json(std::uint16_t status, mirage::http::Output& out) noexcept {
    Response response;
    response.status = status;
    response.body = out.take();
    (void)response.headers.add("Content-Type", std::string_view{"application/json"});
    return response;
  }

  Response failure(const Error& error) noexcept {
    shard_.logger("application").error("{}", error);
    if (error.code == mirage::store::SqlCode::full) return Response::text(507, "no space left\n");
    return Response::text(503, "try again later\n");
  }

  mirage::Shard& shard_;
  Sql& database_;
};

template <mirage::Stack Net, mirage::Database Sql>
struct Notes {
  static mirage::Task<int> start(Net& net, Sql& database, const Keys& keys) {
    using Service = NoteService<Sql>;
    using mirage::http::Method;
    static constexpr std::array<mirage::http::Route<Service>, 4> routes{{
        {Method::get, "/", &Service::front},
        {Method::get, "/notes", &Service::list},
        {Method::post, "/notes", &Service::add},
        {Method::delete_, "/notes/{id}", &Service::remove},
    }};
    const mirage::Logger log = keys.shard.logger("application");
    Service service{keys.shard, database};
    if (const auto created = co_await service.create(); !created) {
      log.error("{}", created.error());
      co_return 1;
    }
    mirage::http::Router router{service, std::span<const mirage::http::Route<Service>>{routes}};
    mirage::http::Server server{keys.shard, net.tcp(), router};
    log.info("serving on {}", mirage::Endpoint{net.address(), keys.port});
    const auto served = co_await server.serve(keys.port);
    if (served) co_return 0;
    log.error("cannot listen on port {}: {}", keys.port, served.error());
    co_return 1;
  }
};
