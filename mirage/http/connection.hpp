// SPDX-License-Identifier: ISC
// One HTTP/1.1 connection over any Flow (RFC 9110, RFC 9112): keep-alive, pipelining, bounds, timeouts.
//
// Handlers see a request, its body and return a response; never the flow. The answers to pipelined requests are
// collected and written together, as far as they are there without waiting. A connection that the server ends is
// closed in both directions before it is given up (RFC 9112 section 9.6): otherwise what the peer still sends would be
// answered by a reset that destroys our answer.
#pragma once

#include <concepts>
#include <memory>
#include <new>
#include <optional>
#include <utility>

#include <mirage/async/sleep.hpp>
#include <mirage/http/access.hpp>
#include <mirage/http/body.hpp>
#include <mirage/http/link.hpp>
#include <mirage/http/message.hpp>
#include <mirage/http/response.hpp>

namespace mirage::http {

struct ServerOptions {
  std::uint32_t maximum_head = 8 * 1024;     ///< bytes of request line and headers; more: 414 or 431
  std::uint64_t maximum_body = 1024 * 1024;  ///< bytes a handler may read; a larger body: 413
  std::uint32_t maximum_connections = 1024;  ///< at once; further ones wait in the backlog
  Duration head_timeout = 10s;               ///< from the first byte of a request to the end of its head; then: 408
  Duration idle_timeout = 60s;               ///< between requests
  Duration transfer_timeout = 60s;  ///< without a byte of a body, or until the next 64 KiB of a response are taken
  Duration linger_timeout = 2s;     ///< after the last answer, until the peer closes its side as well
  ListenOptions listen;
  AccessLog* access_log = nullptr;  ///< told about each answered request; must outlive the server
};

struct ServerCounters {
  std::uint64_t connections = 0;
  std::uint64_t requests = 0;
  std::uint64_t refused = 0;  ///< requests answered with a parse error
  std::uint64_t timeouts = 0;
  std::uint64_t upgrades = 0;
  std::uint64_t errors = 0;  ///< connections that ended by a flow error or for want of memory
};

/// A handler answers at once, or as a task. Request and body live until the response has been sent (with an upgrade:
/// until that has ended), so a BodySource may read the body of the request that it answers.
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

/// Whether answers may carry an Upgrade. A handler whose answers never do says so, `static constexpr bool upgrades =
/// false`: its image has no code for tunnels, and an upgrade that is there all the same is answered by 500.
template <class H>
[[nodiscard]] consteval bool may_upgrade() noexcept {
  if constexpr (requires { H::upgrades; }) return H::upgrades;
  return true;
}

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
  using Counters = ServerCounters;
  /// Requests that are served in a row before others get their turn.
  static constexpr unsigned burst = 32;

  Connection(F flow, H& handler, const ServerOptions& options, ServerCounters& counters, DateCache& date) noexcept
      : options_(options),
        handler_(handler),
        counters_(counters),
        date_(date),
        link_(std::move(flow), options.maximum_head, options.maximum_body, options.transfer_timeout) {}

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
        step = co_await serve(head);
        await_head();
        // Answers to pipelined requests go out together: write when there is no further complete request.
        head = step == Step::go_on ? link_.input.find_head() : 0;
        if (step == Step::go_on && (head == 0 || !link_.output.has_room())) step = co_await link_.flush();
        if (++served % burst == 0) co_await yield();
      } else if (link_.input.too_large()) {
        const bool line = link_.input.text().find('\n') != std::string_view::npos;
        step = refuse(status_of(line ? ParseError::head_too_large : ParseError::target_too_long));
      } else if (link_.input.starved()) {
        step = refuse(503);
      } else if (step = co_await link_.flush(); step == Step::go_on) {
        link_.guard.set_until(deadline_, phase_);
        step = co_await link_.read([this](Result<SliceList, FlowError> received) { return fill(received); });
      }
    }
    co_return co_await end(step);
  }

 private:
  /// The time of a head counts from its first byte, whatever trickles in afterwards.
  void await_head() noexcept {
    const bool begun = !link_.input.empty();
    phase_ = begun ? Phase::head : Phase::idle;
    deadline_ = after(shard().now(), begun ? options_.head_timeout : options_.idle_timeout);
  }

  /// Takes more of a head; failed at the end of the stream or on an error.
  Step fill(Result<SliceList, FlowError>& received) noexcept {
    link_.guard.clear();
    if (!received && !link_.guard.expired()) ++counters_.errors;
    if (!received || received->empty()) return Step::failed;
    link_.input.append(std::move(*received));
    if (phase_ == Phase::idle) await_head();
    return Step::go_on;
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
      link_.guard.set(options_.linger_timeout, Phase::linger);
      while (true) {
        const bool dropped = co_await link_.read([](const auto& received) { return received && !received->empty(); });
        if (!dropped) break;
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
    const bool without_body = link_.input.text().starts_with("HEAD ");
    const bool said = append_head(link_.output, response, delivery, date_.get(shard())) &&
                      (without_body || link_.output.append(response.body[0]));
    if (options_.access_log != nullptr) log({}, status, without_body ? 0 : delivery.length, shard().now());
    return said ? Step::finish : Step::no_memory;
  }

  void log(const Request& request, std::uint16_t status, std::uint64_t bytes, Time started) noexcept {
    AccessRecord record = access_record(request, status, bytes);
    record.peer = link_.flow.peer();  // of a refused head there is no request
    record.finished = shard().wall();
    record.duration = shard().now() - started;
    options_.access_log->record(record);
  }

  /// A request while it is served: where it is does not change, as bodies and sources refer to it.
  struct Exchange {
    Request request;
    std::optional<FlowBody<F>> body;
    Time started{};
    static void operator delete(void* memory) noexcept { FramePool::free(memory); }
  };
  using ExchangeOwner = std::unique_ptr<Exchange>;

  /// Answers the request whose head is at the front. What is answered at once and shortly takes no task.
  Quick<Step> serve(std::size_t head_size) {
    ExchangeOwner exchange = begin();
    if (!exchange) return Step::no_memory;
    Request& request = exchange->request;
    request.peer = link_.flow.peer();
    if (const auto parsed = parse_head(link_.input.text().substr(0, head_size), request); !parsed) {
      return refuse(status_of(parsed.error()));
    }
    ++counters_.requests;
    // Nobody could serve a tunnel: handlers never see the flow.
    if (request.method == Method::connect) return refuse(501);
    if (request.framing.content_length > options_.maximum_body) return refuse(413);
    FlowBody<F>& body = exchange->body.emplace(link_, request.framing, request.expects_continue, head_size);
    if constexpr (PlainHandler<H>) {
      [[clang::uninitialized]] Response response = handler_(std::as_const(request), body);
      if (is_short(response, body)) return say(*exchange, response);
      return finish(std::move(exchange), std::move(response));
    } else {
      return answer(std::move(exchange));
    }
  }

  Task<Step> answer(ExchangeOwner exchange) {
    // Answers in front of this one do not wait for it, but leave together with it if it is there at once.
    auto handling = link_.attend(handler_(std::as_const(exchange->request), *exchange->body));
    while (!co_await handling.wait()) (void)co_await link_.flush();
    Response* const made = handling.value();
    [[clang::uninitialized]] Response response = made != nullptr ? std::move(*made) : Response::no_memory();
    handling.begin({});  // the handler's frame goes
    if (is_short(response, *exchange->body)) co_return say(*exchange, response);
    co_return co_await finish(std::move(exchange), std::move(response));
  }

  /// Null without memory.
  ExchangeOwner begin() noexcept {
    void* const memory = shard().frames().allocate(sizeof(Exchange));
    if (memory == nullptr) return nullptr;
    ExchangeOwner exchange{new (memory) Exchange};
    exchange->started = shard().now();
    return exchange;
  }

  /// Whether an answer goes out whole behind what is collected, with nothing to wait for.
  static bool is_short(const Response& response, const FlowBody<F>& body) noexcept {
    const bool ends = response.status >= 200 && response.status <= 599;
    return ends && !response.source && !response.upgrade && response.body.size() <= 2 && !body.unread();
  }

  /// Precondition: is_short(), and the output has room, as it always has in front of a request.
  Step say(Exchange& exchange, const Response& response) noexcept {
    const Delivery delivery = delivery_of(exchange.request, response);
    Step step = delivery.keep_alive ? Step::go_on : Step::finish;
    std::uint64_t sent = 0;
    bool said = append_head(link_.output, response, delivery, date_.get(shard()));
    if (said && delivery.has_body) {
      sent = response.body.byte_count();
      for (const Slice& slice : response.body) said = said && link_.output.append(slice);
    }
    if (!said) step = Step::no_memory;
    if (options_.access_log != nullptr) log(exchange.request, response.status, sent, exchange.started);
    link_.input.consume(exchange.body->end_of_message());
    return step;
  }

  /// Sends the response and skips what the handler did not read of the body: it would be taken for the next request.
  Task<Step> finish(ExchangeOwner exchange, Response response) {
    const Request& request = exchange->request;
    FlowBody<F>& body = *exchange->body;
    const Time started = exchange->started;
    if constexpr (may_upgrade<H>()) {
      if (switches(request, response, body)) co_return co_await upgrade(request, response, body, started);
    }
    if (response.status < 200 || response.status > 599) {
      if (Scope* running = stop(response)) co_await running->join();
      response = Response::text(500, "no final status\n");
    }
    if (!response.source) {  // what is left of a body that nobody reads any more must not be taken for a request
      if (body.unread() && !body.skippable()) response.close = true;
    } else if (response.status < 400 && !body.welcome()) {
      response.close = true;
    }
    body.hush();  // a source may read the body while the response goes out: then it is too late for an interim one
    std::uint64_t sent = 0;
    Step step = co_await send(request, response, sent);
    if (Scope* running = stop(response)) co_await running->join();
    if (options_.access_log != nullptr) log(request, response.status, sent, started);
    if (step == Step::go_on && body.unread()) step = co_await body.skip();
    link_.input.consume(body.end_of_message());
    co_return step;
  }

  static Scope* stop(Response& response) noexcept { return response.source ? response.source->stop() : nullptr; }

  /// Only to a protocol that the client asked for, and not in the middle of a body (RFC 9110 section 7.8).
  static bool switches(const Request& request, const Response& response, const FlowBody<F>& body) noexcept {
    return response.status == 101 && response.upgrade && !body.unread() &&
           request.asks_for(response.upgrade->protocol());
  }

  Task<Step> upgrade(const Request& request, Response& response, const FlowBody<F>& body, Time started) {
    if (!append_switch_head(link_.output, response, date_.get(shard()))) co_return Step::no_memory;
    if (const Step flushed = co_await link_.flush(); flushed != Step::go_on) co_return flushed;
    ++counters_.upgrades;
    if (options_.access_log != nullptr) log(request, response.status, 0, started);
    link_.input.consume(body.end_of_message());
    FlowTunnel<F> tunnel{link_};
    const auto ended = co_await response.upgrade->run(tunnel);
    co_return ended ? Step::finish : Step::failed;
  }

  Task<Step> send(const Request& request, Response& response, std::uint64_t& sent) {
    const Delivery delivery = delivery_of(request, response);
    if (!append_head(link_.output, response, delivery, date_.get(shard()))) co_return Step::no_memory;
    if (delivery.has_body && response.source) {
      const Step step = co_await stream(*response.source, delivery, sent);
      if (step != Step::go_on) co_return step;
    } else if (delivery.has_body) {
      sent = response.body.byte_count();
      for (const Slice& slice : response.body) {
        if (!link_.output.has_room() && co_await link_.flush() != Step::go_on) co_return Step::failed;
        if (!link_.output.append(slice)) co_return Step::no_memory;
      }
    }
    co_return delivery.keep_alive ? Step::go_on : Step::finish;
  }

  /// Sends a body as its source yields it: the next piece is asked for when the transport has taken the last one. The
  /// head goes out with the first, unless that is not there yet (events, a slow backend).
  Task<Step> stream(BodySource& source, const Delivery& delivery, std::uint64_t& sent) {
    const Step incomplete = delivery.framing == Delivery::Framing::close ? Step::broken : Step::failed;
    const bool known = delivery.framing == Delivery::Framing::length;
    BodyWriter writer{link_.output, known ? std::optional{delivery.length} : std::nullopt,
                      delivery.framing == Delivery::Framing::chunked};
    auto pulling = link_.attend(source.next());
    while (true) {
      const bool pulled = co_await pulling.wait();
      if (pulled) {
        const auto* const piece = pulling.value();
        if (piece == nullptr || !*piece || !writer.accepts(**piece)) co_return incomplete;
        if ((*piece)->empty()) break;
        const bool appended = writer.append(**piece);
        sent = writer.sent();
        if (!appended) co_return incomplete;
      }
      const Step flushed = co_await link_.flush();
      if (!pulled) continue;  // if that failed, the source's next piece is the last
      if (flushed != Step::go_on) co_return incomplete;
      if (writer.whole()) pulling.begin(source.next());
    }
    co_return writer.finish(delivery.trailers ? &source : nullptr) ? Step::go_on : incomplete;
  }

  const ServerOptions& options_;
  H& handler_;
  ServerCounters& counters_;
  DateCache& date_;
  Time deadline_{};
  Phase phase_ = Phase::idle;
  Link<F> link_;
};

}  // namespace mirage::http
