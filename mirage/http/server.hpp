// SPDX-License-Identifier: ISC
// HTTP/1.1 server over any Flow (RFC 9110, RFC 9112): keep-alive, pipelining, bounded heads and bodies, timeouts.
//
// Handlers see a request, its body and return a response; never the flow. The answers to pipelined requests are
// collected and written together. Not here: TLS (a Tls<Flow> is a Flow), HTTP/2, compression.
#pragma once

#include <concepts>
#include <cstring>

#include <mirage/async/scope.hpp>
#include <mirage/async/sleep.hpp>
#include <mirage/http/body.hpp>
#include <mirage/http/message.hpp>
#include <mirage/http/response.hpp>
#include <mirage/module/flow.hpp>
#include <mirage/module/stack.hpp>

namespace mirage::http {

struct ServerOptions {
  std::uint32_t maximum_head = 8 * 1024;     ///< bytes of request line and headers; more: 431
  std::uint64_t maximum_body = 1024 * 1024;  ///< bytes a handler may read; a larger body: 413
  std::uint32_t maximum_connections = 1024;  ///< at once; further ones wait in the backlog
  Duration head_timeout = 10s;               ///< from the first byte of a request to the end of its head
  Duration idle_timeout = 60s;               ///< between requests
  Duration transfer_timeout = 60s;           ///< without progress while a body is read or a response written
  ListenOptions listen;
};

struct ServerCounters {
  std::uint64_t connections = 0;
  std::uint64_t requests = 0;
  std::uint64_t refused = 0;  ///< requests answered with a parse error
  std::uint64_t timeouts = 0;
  std::uint64_t errors = 0;  ///< connections that ended by a flow error or for want of memory
};

/// A handler answers at once, or as a task.
template <class H>
concept PlainHandler = requires(H& handler, const Request& request, Body& body) {
  { handler(request, body) } -> std::same_as<Response>;
};
template <class H>
concept TaskHandler = requires(H& handler, const Request& request, Body& body) {
  { handler(request, body) } -> std::same_as<Task<Response>>;
};
template <class H>
concept Handler = PlainHandler<H> || TaskHandler<H>;

/// Keeps the text of the Date field for a second: formatting it per request is measurable.
class DateCache {
 public:
  [[nodiscard]] std::string_view get(Shard& shard) noexcept;

 private:
  Time valid_until_{};
  std::array<char, 29> text_{};
};

/// Ends a connection that does not keep its deadline; one lazily re-armed timer.
template <Flow F>
class DeadlineGuard : public Timer {
 public:
  explicit DeadlineGuard(F& flow) noexcept : Timer(&DeadlineGuard::on_expiry), flow_(flow) {}
  void set(Duration duration) noexcept {
    wanted_ = flow_.shard().now() + duration;
    // Later deadlines do not touch the wheel: the timer re-arms itself when it fires too early.
    if (!armed() || wanted_ < deadline()) arm(flow_.shard().timers(), wanted_);
  }
  [[nodiscard]] bool expired() const noexcept { return expired_; }

 private:
  static void on_expiry(Timer& timer) noexcept {
    auto& self = static_cast<DeadlineGuard&>(timer);
    if (self.flow_.shard().now() < self.wanted_) return self.arm(self.flow_.shard().timers(), self.wanted_);
    self.expired_ = true;
    self.flow_.abort();
  }
  F& flow_;
  Time wanted_ = never;
  bool expired_ = false;
};

/// Serves one connection until it ends; one object per connection, living in its task's frame.
template <Flow F, Handler H>
class Connection {
 public:
  Connection(F flow, H& handler, const ServerOptions& options, ServerCounters& counters, DateCache& date) noexcept
      : flow_(std::move(flow)),
        handler_(handler),
        options_(options),
        counters_(counters),
        date_(date),
        guard_(flow_),
        input_(flow_.shard().buffers(), options.maximum_head),
        output_(flow_.shard().buffers()) {}

  [[nodiscard]] Shard& shard() noexcept { return flow_.shard(); }

  Task<void> run() {
    ++counters_.connections;
    bool open = true;
    while (open) {
      guard_.set(input_.empty() ? options_.idle_timeout : options_.head_timeout);
      const std::size_t head = input_.find_head();
      if (head != 0) {
        open = co_await serve_one(head);
        // Answers to pipelined requests go out together: write when there is no further complete request.
        if (open && (input_.find_head() == 0 || !output_.has_room())) open = co_await flush();
      } else if (input_.too_large()) {
        open = refuse(ParseError::head_too_large);
      } else if (input_.starved()) {
        ++counters_.errors;
        open = false;
      } else {
        open = co_await fill();
      }
    }
    (void)co_await flush();
    if (guard_.expired()) ++counters_.timeouts;
    guard_.disarm();
    flow_.close();
  }

 private:
  /// Reads more bytes; false at the end of the stream or on an error.
  Task<bool> fill() {
    if (!co_await flush()) co_return false;
    auto received = co_await flow_.read();
    if (!received) ++counters_.errors;
    if (!received || received->empty()) co_return false;
    if (input_.append(std::move(*received))) co_return true;
    ++counters_.errors;
    co_return false;
  }

  Task<bool> flush() {
    if (output_.empty()) co_return true;
    guard_.set(options_.transfer_timeout);
    const auto written = co_await flow_.write(output_.take());
    co_return written.has_value();
  }

  /// Answers an error and ends the connection: after a bad head nothing that follows can be trusted.
  bool refuse(ParseError error) noexcept {
    ++counters_.refused;
    const Response response = Response::text(status_of(error), "bad request\n");
    (void)(append_head(output_, response, false, false, date_.get(shard())) && output_.append(response.body));
    return false;
  }

  Task<bool> serve_one(std::size_t head_size) {
    Request request;
    request.peer = flow_.peer();
    if (const auto parsed = parse_head(input_.text().substr(0, head_size), request); !parsed) {
      co_return refuse(parsed.error());
    }
    ++counters_.requests;
    if (request.framing.content_length > options_.maximum_body) {
      Response response = Response::text(413, "body too large\n");
      response.close = true;
      (void)co_await send(request, response);
      co_return false;
    }
    FlowBody<F> body{flow_, input_, output_, request, head_size, options_.maximum_body};
    if constexpr (PlainHandler<H>) {
      Response response = handler_(request, body);
      co_return co_await finish(request, response, body);
    } else {
      auto task = handler_(request, body);
      if (!task) co_return false;
      Response response = co_await std::move(task);
      co_return co_await finish(request, response, body);
    }
  }

  Task<bool> finish(const Request& request, Response& response, FlowBody<F>& body) {
    // What the handler did not read would be taken for the next request: skip it, within reason.
    const bool skipped = !body.unread() || co_await body.discard();
    if (!skipped) response.close = true;
    const bool keep = co_await send(request, response);
    input_.consume(body.end_of_message());
    co_return keep&& skipped;
  }

  Task<bool> send(const Request& request, Response& response) {
    const bool chunked = response.source && !response.source_length_known && request.minor_version == 1;
    const bool delimited = !response.source || response.source_length_known || chunked;
    const bool keep_alive = request.keep_alive && !response.close && delimited;
    if (request.method == Method::head && !response.omit_body) {
      response.announced_length = response.source ? response.source_length : response.body.byte_count();
      response.omit_body = true;
    }
    if (!append_head(output_, response, keep_alive, chunked, date_.get(shard()))) co_return false;
    if (response.omit_body || request.method == Method::head) co_return keep_alive;
    if (response.source) {
      const bool sent = co_await stream(*response.source, chunked);
      co_return sent&& keep_alive;
    }
    co_return output_.append(response.body) && keep_alive;
  }

  Task<bool> stream(BodySource& source, bool chunked) {
    while (true) {
      auto part = co_await source.next();
      if (!part) co_return false;
      if (part->empty()) co_return !chunked || output_.append("0\r\n\r\n");
      if (!output_.has_room() && !co_await flush()) co_return false;
      if (chunked) {
        Text<24> size;
        size.writer().append_unsigned(part->byte_count(), 16);
        size.writer().append("\r\n");
        if (!output_.append(size.view())) co_return false;
      }
      if (!output_.append(*part) || (chunked && !output_.append("\r\n"))) co_return false;
      if (!co_await flush()) co_return false;
    }
  }

  F flow_;
  H& handler_;
  const ServerOptions& options_;
  ServerCounters& counters_;
  DateCache& date_;
  DeadlineGuard<F> guard_;
  Input input_;
  Output output_;
};

/// Listens on `port` and serves every connection with `handler` until cancelled or the listener fails.
template <class TcpType, Handler H>
class Server {
 public:
  using F = typename TcpType::Flow;
  Server(Shard& shard, TcpType& tcp, H& handler, const ServerOptions& options = {}) noexcept
      : shard_(shard), tcp_(tcp), handler_(handler), options_(options) {}
  [[nodiscard]] Shard& shard() noexcept { return shard_; }
  [[nodiscard]] const ServerCounters& counters() const noexcept { return counters_; }

  Task<Result<void, ListenError>> serve(Port port) {
    auto listener = tcp_.listen(port, options_.listen);
    if (!listener) co_return Failure{listener.error()};
    Scope scope{shard_};
    while (true) {
      // Admission: without a slot or memory for another connection the backlog fills and TCP refuses.
      while (scope.running() >= options_.maximum_connections || !shard_.frames().admits()) {
        if (co_await sleep(1ms) == WaitStatus::cancelled) break;
      }
      auto flow = co_await listener->accept();
      if (!flow) break;
      if (!scope.spawn(serve_connection(*this, *std::move(flow)))) ++counters_.errors;
    }
    scope.cancel();
    co_await scope.join();
    co_return Result<void, ListenError>{};
  }

 private:
  static Task<void> serve_connection(Server& server, F flow) {
    Connection<F, H> connection{std::move(flow), server.handler_, server.options_, server.counters_, server.date_};
    co_await connection.run();
  }

  Shard& shard_;
  TcpType& tcp_;
  H& handler_;
  ServerOptions options_;
  ServerCounters counters_;
  DateCache date_;
};

}  // namespace mirage::http
