// SPDX-License-Identifier: ISC
// HTTP/1.1 server: listens, admits connections within its bounds, serves each (see connection.hpp).
// Not here: TLS (a Tls<Flow> is a Flow), HTTP/2 (h2/server.hpp), compression (compress/handler.hpp).
#pragma once

#include <mirage/async/scope.hpp>
#include <mirage/async/sleep.hpp>
#include <mirage/base/counters.hpp>
#include <mirage/http/connection.hpp>

namespace mirage::http {

/// Listens on `port` and serves every connection with `handler` until cancelled or the listener fails. `C` is what
/// serves a connection: h2/server.hpp has one for HTTP/2.
template <class TcpType, Handler H, template <class, class> class C = Connection>
class Server {
 public:
  using F = typename TcpType::Flow;
  using Counters = typename C<F, H>::Counters;
  Server(Shard& shard, TcpType& tcp, H& handler, const ServerOptions& options = {}) noexcept
      : shard_(shard), tcp_(tcp), handler_(handler), options_(options) {}
  [[nodiscard]] Shard& shard() noexcept { return shard_; }
  [[nodiscard]] const Counters& counters() const noexcept { return counters_; }
  void visit_counters(CounterVisitor& visitor) const noexcept {
    visitor.counters("http", counters_of<ServerCounters>(counters_));
    if constexpr (requires { counters_.h2; }) visitor.counters("http2", counters_of(counters_.h2));
  }

  Task<Result<void, ListenError>> serve(Port port) {
    auto listener = tcp_.listen(port, options_.listen);
    if (!listener) co_return Failure{listener.error()};
    Scope scope{shard_};
    WaitStatus admitted = WaitStatus::done;
    while (true) {
      // Admission: without a slot or memory for another connection the backlog fills and TCP refuses. Each end of a
      // connection wakes this; memory that something else holds is looked for now and then.
      while (admitted == WaitStatus::done &&
             (scope.running() >= options_.maximum_connections || !shard_.frames().admits())) {
        admitted = shard_.frames().admits() ? co_await vacancy_.wait() : co_await sleep(10ms);
      }
      if (admitted != WaitStatus::done) break;
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
    // Answers are written whole: the end of one must not wait until what is in front of it is acknowledged.
    flow.set_no_delay(true);
    [[clang::uninitialized]] C<F, H> connection{std::move(flow), server.handler_, server.options_, server.counters_,
                                                server.date_};
    if (co_await connection.run() == Step::no_memory) ++server.counters_.errors;
    server.vacancy_.notify_one();
  }

  Shard& shard_;
  TcpType& tcp_;
  H& handler_;
  ServerOptions options_;
  Counters counters_;
  DateCache date_;
  WaitQueue vacancy_;
};

}  // namespace mirage::http
