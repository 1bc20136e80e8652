// SPDX-License-Identifier: ISC
// One HTTP/2 connection over any Flow: a reader, a writer, and a task for each stream that calls the same handlers as
// HTTP/1.1 does. Without TLS: prior knowledge (RFC 9113 section 3.3); EitherConnection tells the versions apart.
// Not here: push, priorities, extended CONNECT (WebSocket over HTTP/2, RFC 8441).
#pragma once

#include <mirage/async/scope.hpp>
#include <mirage/http/h2/session.hpp>

namespace mirage::http::h2 {

template <Flow F, Handler H>
class Connection final : private SessionOwner {
 public:
  Connection(F flow, H& handler, const ServerOptions& http, const Options& options, ServerCounters& totals,
             Counters& counters, DateCache& date) noexcept
      : flow_(std::move(flow)),
        handler_(handler),
        http_(http),
        totals_(totals),
        date_(date),
        output_(flow_.shard().buffers()),
        session_(flow_.shard(), *this, http, options, counters, output_),
        scope_(flow_.shard()) {}
  [[nodiscard]] Shard& shard() noexcept { return flow_.shard(); }

  /// Returns when the flow is closed.
  Task<Step> run() {
    ++totals_.connections;
    const bool begun = session_.start() && scope_.spawn(write_frames(*this));
    if (begun) co_await read_frames();
    // Whoever ended it: what can still be said without waiting is said.
    session_.terminate(ErrorCode::no_error);
    if (begun && !failed_ && !writing_ && session_.collect() && !output_.empty()) {
      (void)co_await flow_.write(output_.take());
    }
    scope_.cancel();
    co_await scope_.join();
    flow_.close();
    co_return begun ? Step::finish : Step::no_memory;
  }

 private:
  void on_request(Stream& stream) noexcept override {
    ++totals_.requests;
    if (scope_.spawn(serve(*this, stream))) return;
    session_.reset(stream, ErrorCode::refused_stream);
    session_.release(stream);
  }
  void on_stuck() noexcept override {
    failed_ = true;
    flow_.abort();
  }

  Task<Result<void, FlowError>> read_frames() {
    while (true) {
      const auto received = co_await flow_.read();
      if (!received) co_return Failure{received.error()};
      if (received->empty()) break;
      for (const Slice& slice : *received) {
        if (!session_.receive(slice)) co_return Failure{FlowError::reset};
      }
    }
    co_return Result<void, FlowError>{};
  }

  static Task<void> write_frames(Connection& self) {
    while (!self.failed_) {
      // A frame that was made and not kept is missing for ever, to the peer's HPACK state too.
      if (!self.session_.collect()) {
        self.on_stuck();
        break;
      }
      if (self.output_.empty()) {
        if (self.session_.over()) break;
        if (co_await self.session_.work().wait() == WaitStatus::cancelled) co_return;
        continue;
      }
      self.session_.writing(self.writing_ = true);
      const auto written = co_await self.flow_.write(self.output_.take());
      self.session_.writing(self.writing_ = false);
      if (!written) self.failed_ = true;
    }
    self.writing_ = true;  // nothing goes out any more
    // Closed in both directions before it is given up (RFC 9112 section 9.6 says why): the reader waits for the peer.
    if (!self.failed_) self.flow_.shutdown();
    self.session_.linger();
  }

  static Task<void> serve(Connection& self, Stream& stream) {
    const Time started = self.shard().now();
    Request request;
    request.peer = self.flow_.peer();
    const std::uint16_t refused = stream.parse(request);
    std::uint64_t sent = 0;
    if (refused != 0) {
      ++self.totals_.refused;
      Response response = Response::text(refused, "request refused\n");
      co_await self.answer(request, response, stream, sent);
      self.log(request, response.status, sent, started);
    } else if constexpr (PlainHandler<H>) {
      Response response = self.handler_(request, stream);
      co_await self.answer(request, response, stream, sent);
      self.log(request, response.status, sent, started);
    } else {
      Response response = co_await self.handler_(request, stream);
      co_await self.answer(request, response, stream, sent);
      self.log(request, response.status, sent, started);
    }
    self.session_.release(stream);
  }

  void log(const Request& request, std::uint16_t status, std::uint64_t bytes, Time started) noexcept {
    if (http_.access_log == nullptr) return;
    AccessRecord record = access_record(request, status, bytes);
    record.finished = shard().wall();
    record.duration = shard().now() - started;
    http_.access_log->record(record);
  }

  static Scope* stop(Response& response) noexcept { return response.source ? response.source->stop() : nullptr; }

  Task<Result<void, ReadError>> answer(const Request& request, Response& response, Stream& stream,
                                       std::uint64_t& sent) {
    if (response.status < 200 || response.status > 599) {
      if (Scope* running = stop(response)) co_await running->join();
      response = Response::text(500, "no final status\n");
    }
    // A source may read the body while the response goes out: then it is too late for an interim one.
    if (response.source && response.status < 400) stream.welcome();
    const Delivery delivery = delivery_of(request, response);
    Result<void, ReadError> done{};
    if (!session_.respond(stream, response, delivery, date_.get(shard()))) {
      done = Failure{ReadError::no_memory};
    } else if (delivery.has_body && response.source) {
      done = co_await relay(*response.source, delivery, stream, sent);
    } else if (delivery.has_body && !response.body.empty()) {
      sent = response.body.byte_count();
      done = co_await session_.send(stream, std::move(response.body), true, nullptr);
    }
    if (Scope* running = stop(response)) co_await running->join();
    // RFC 9113 section 8.1: the rest of a request that was answered is not wanted any more.
    if (!done) session_.reset(stream, ErrorCode::internal_error);
    if (done && !stream.received()) session_.reset(stream, ErrorCode::no_error);
    co_return done;
  }

  /// Sends a body as its source yields it: the next piece is asked for when the output has taken the last one.
  Task<Result<void, ReadError>> relay(BodySource& source, const Delivery& delivery, Stream& stream,
                                      std::uint64_t& sent) {
    const std::uint64_t limit = delivery.framing == Delivery::Framing::length ? delivery.length : UINT64_MAX;
    while (true) {
      auto part = co_await source.next();
      if (!part || part->byte_count() > limit - sent) co_return Failure{ReadError::malformed};
      if (part->empty()) break;
      sent += part->byte_count();
      MIRAGE_CO_CHECK(co_await session_.send(stream, *std::move(part), false, nullptr));
    }
    if (delivery.framing == Delivery::Framing::length && sent != limit) co_return Failure{ReadError::malformed};
    const HeaderBlock* trailers = delivery.trailers ? source.trailers() : nullptr;
    co_return co_await session_.send(stream, SliceList{}, true, trailers);
  }

  F flow_;
  H& handler_;
  const ServerOptions& http_;
  ServerCounters& totals_;
  DateCache& date_;
  Output output_;
  Session session_;
  Scope scope_;
  bool failed_ = false;
  bool writing_ = false;
};

}  // namespace mirage::http::h2
