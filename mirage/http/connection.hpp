// SPDX-License-Identifier: ISC
// One HTTP/1.1 connection over any Flow (RFC 9110, RFC 9112): keep-alive, pipelining, bounds, timeouts.
//
// Handlers see a request, its body and return a response; never the flow. The answers to pipelined requests are
// collected and written together. A connection that the server ends is closed in both directions before it is given up
// (RFC 9112 section 9.6): otherwise what the peer still sends would be answered by a reset that destroys our answer.
#pragma once

#include <concepts>

#include <mirage/async/sleep.hpp>
#include <mirage/http/body.hpp>
#include <mirage/http/link.hpp>
#include <mirage/http/message.hpp>
#include <mirage/http/response.hpp>

namespace mirage::http {

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

/// Serves one connection until it ends; one object per connection, living in its task's frame.
template <Flow F, Handler H>
class Connection {
 public:
  /// Requests that are served in a row before others get their turn.
  static constexpr unsigned burst = 32;

  Connection(F flow, H& handler, const ServerOptions& options, ServerCounters& counters, DateCache& date) noexcept
      : link_(std::move(flow), options), handler_(handler), counters_(counters), date_(date) {}

  [[nodiscard]] Shard& shard() noexcept { return link_.shard(); }

  /// Returns when the flow is closed.
  Task<Step> run() {
    co_await link_.guard.enter();
    ++counters_.connections;
    await_head();
    Step step = Step::go_on;
    unsigned served = 0;
    std::size_t head = 0;
    while (step == Step::go_on) {
      if (head == 0) head = link_.input.find_head();
      if (head != 0) {
        step = co_await serve_one(head);
        await_head();
        // Answers to pipelined requests go out together: write when there is no further complete request.
        head = step == Step::go_on ? link_.input.find_head() : 0;
        if (step == Step::go_on && (head == 0 || !link_.output.has_room())) step = co_await link_.flush();
        if (++served % burst == 0) co_await yield();
      } else if (link_.input.too_large()) {
        step = refuse(status_of(ParseError::head_too_large));
      } else if (link_.input.starved()) {
        step = refuse(503);
      } else {
        step = co_await fill();
      }
    }
    co_return co_await end(step);
  }

 private:
  /// The time of a head counts from its first byte, whatever trickles in afterwards.
  void await_head() noexcept {
    const bool begun = !link_.input.empty();
    phase_ = begun ? Phase::head : Phase::idle;
    deadline_ = after(shard().now(), begun ? link_.options.head_timeout : link_.options.idle_timeout);
  }

  /// Reads more of a head; failed at the end of the stream or on an error.
  Task<Step> fill() {
    if (const Step step = co_await link_.flush(); step != Step::go_on) co_return step;
    link_.guard.set_until(deadline_, phase_);
    auto received = co_await link_.flow.read();
    link_.guard.clear();
    if (!received && !link_.guard.expired()) ++counters_.errors;
    if (!received || received->empty()) co_return Step::failed;
    link_.input.append(std::move(*received));
    if (phase_ == Phase::idle) await_head();
    co_return Step::go_on;
  }

  /// Brings the connection to its end, whatever ended it.
  Task<Step> end(Step step) {
    if (link_.guard.expired()) {
      ++counters_.timeouts;
      step = time_out();
    }
    if (step == Step::broken) {
      link_.flow.abort();
      co_return step;
    }
    // After a timeout no wait is possible any more, but what has room in the flow still goes out.
    const Step flushed = co_await link_.flush();
    if (step == Step::finish && flushed == Step::go_on) {
      link_.flow.shutdown();
      link_.guard.set(link_.options.linger_timeout, Phase::linger);
      while (true) {
        const auto dropped = co_await link_.flow.read();
        if (!dropped || dropped->empty()) break;
      }
    }
    link_.guard.clear();
    link_.flow.close();
    co_return step;
  }

  Step time_out() noexcept {
    if (link_.guard.phase() == Phase::transfer) return Step::broken;
    if (link_.guard.phase() == Phase::head) (void)refuse(408);
    return Step::failed;
  }

  /// Answers an error and ends the connection: after a bad head nothing that follows can be trusted.
  Step refuse(std::uint16_t status) noexcept {
    ++counters_.refused;
    const Response response = Response::text(status, "request refused\n");
    const Delivery delivery{.framing = Delivery::Framing::length, .length = response.body.byte_count()};
    const bool said =
        append_head(link_.output, response, delivery, date_.get(shard())) && link_.output.append(response.body[0]);
    return said ? Step::finish : Step::no_memory;
  }

  Task<Step> serve_one(std::size_t head_size) {
    Request request;
    request.peer = link_.flow.peer();
    if (const auto parsed = parse_head(link_.input.text().substr(0, head_size), request); !parsed) {
      co_return refuse(status_of(parsed.error()));
    }
    ++counters_.requests;
    // Nobody could serve a tunnel: handlers never see the flow.
    if (request.method == Method::connect) co_return refuse(501);
    if (request.framing.content_length > link_.options.maximum_body) co_return refuse(413);
    FlowBody<F> body{link_, request, head_size};
    if constexpr (PlainHandler<H>) {
      Response response = handler_(request, body);
      co_return co_await finish(request, response, body);
    } else {
      Response response = co_await handler_(request, body);
      co_return co_await finish(request, response, body);
    }
  }

  /// Sends the response and skips what the handler did not read of the body: it would be taken for the next request.
  Task<Step> finish(const Request& request, Response& response, FlowBody<F>& body) {
    if (response.status < 200 || response.status > 599) response = Response::text(500, "no final status\n");
    if (body.unread() && !body.skippable()) response.close = true;
    Step step = co_await send(request, response);
    if (step == Step::go_on && body.unread()) step = co_await body.skip();
    link_.input.consume(body.end_of_message());
    co_return step;
  }

  Task<Step> send(const Request& request, Response& response) {
    const Delivery delivery = delivery_of(request, response);
    if (!append_head(link_.output, response, delivery, date_.get(shard()))) co_return Step::no_memory;
    if (delivery.has_body && response.source) {
      const Step step = co_await stream(*response.source, delivery);
      if (step != Step::go_on) co_return step;
    } else if (delivery.has_body) {
      for (const Slice& slice : response.body) {
        if (!link_.output.has_room() && co_await link_.flush() != Step::go_on) co_return Step::failed;
        if (!link_.output.append(slice)) co_return Step::no_memory;
      }
    }
    co_return delivery.keep_alive ? Step::go_on : Step::finish;
  }

  /// Sends a body as its source yields it.
  Task<Step> stream(BodySource& source, const Delivery& delivery) {
    const Step incomplete = delivery.framing == Delivery::Framing::close ? Step::broken : Step::failed;
    const bool chunked = delivery.framing == Delivery::Framing::chunked;
    std::uint64_t left = delivery.framing == Delivery::Framing::length ? delivery.length : UINT64_MAX;
    while (true) {
      const auto part = co_await source.next();
      if (!part || part->byte_count() > left) co_return incomplete;  // more than announced would be the next response
      if (part->empty()) break;
      left -= part->byte_count();
      if (chunked && !append_chunk_size(link_.output, part->byte_count())) co_return incomplete;
      for (const Slice& slice : *part) {
        if (!link_.output.has_room() && co_await link_.flush() != Step::go_on) co_return incomplete;
        if (!link_.output.append(slice)) co_return incomplete;
      }
      if (chunked && !link_.output.append("\r\n")) co_return incomplete;
      if (co_await link_.flush() != Step::go_on) co_return incomplete;
    }
    if (chunked && !link_.output.append("0\r\n\r\n")) co_return incomplete;
    co_return delivery.framing == Delivery::Framing::length&& left != 0 ? incomplete : Step::go_on;
  }

  Link<F> link_;
  H& handler_;
  ServerCounters& counters_;
  DateCache& date_;
  Time deadline_{};
  Phase phase_ = Phase::idle;
};

}  // namespace mirage::http
