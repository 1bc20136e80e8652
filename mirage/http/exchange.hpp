// SPDX-License-Identifier: ISC
// One client connection and the exchange that runs on it (RFC 9112): a request goes out while its answer may already be
// coming in, each with the back-pressure of the flow.
#pragma once

#include <optional>

#include <mirage/async/scope.hpp>
#include <mirage/async/sleep.hpp>
#include <mirage/http/body.hpp>
#include <mirage/http/client_message.hpp>
#include <mirage/http/link.hpp>
#include <mirage/http/tunnel.hpp>

namespace mirage::http {

enum class ClientError : std::uint8_t {
  bad_url,             ///< malformed, or of another scheme than http
  bad_request,         ///< method, target or a field that cannot be sent
  not_resolved,        ///< no address for the host's name
  not_connected,       ///< no address of the host takes connections, or none in time: nothing has been sent
  timed_out,           ///< no progress within one of the time limits
  closed,              ///< the connection ended before the answer's head
  malformed,           ///< the answer is no HTTP/1.1
  too_large,           ///< the answer's head is beyond its bound
  too_many_redirects,  ///< or one that cannot be followed: the body cannot be sent again
  busy,                ///< every connection is in use and stays so, or so is every place in the queue; or every tunnel
  body,                ///< the request's body ended by an error of its source
  cancelled,
  no_memory,
};
[[nodiscard]] std::string_view to_string(ClientError error) noexcept;
inline void append_value(TextWriter& out, ClientError error) noexcept { out.append(to_string(error)); }

struct ClientOptions {
  std::uint32_t maximum_head = 16 * 1024;
  std::uint64_t maximum_body = UINT64_MAX;  ///< bytes of an answer that read() hands out
  std::uint32_t maximum_connections = 64;   ///< at once, idle ones included
  std::uint32_t maximum_per_origin = 8;
  std::uint32_t maximum_waiting = 256;  ///< for a connection to become free, of all origins together
  std::uint32_t maximum_tunnels = 64;   ///< connections that have changed their protocol: not counted above
  std::uint8_t maximum_redirects = 5;
  Duration connect_timeout = 10s;
  Duration waiting_timeout = 10s;
  Duration head_timeout = 30s;      ///< from the last bytes of the request to the answer's head
  Duration transfer_timeout = 60s;  ///< without a byte of an answer's body, or until 64 KiB of a request are taken
  Duration continue_timeout = 1s;
  Duration idle_timeout = 30s;  ///< how long a connection is kept for the next request
};

/// The part of an exchange that does not depend on the flow.
class Exchange {
 public:
  [[nodiscard]] const ResponseHead& head() const noexcept { return response_head; }
  [[nodiscard]] virtual Body& body() noexcept = 0;
  [[nodiscard]] virtual Tunnel& tunnel() noexcept = 0;
  /// Begins the end of the sending of the request's body, if that still goes on. Once the scope is joined its source is
  /// not used any more.
  [[nodiscard]] virtual Scope& stop() noexcept = 0;
  /// Gives the connection back: it is kept if the exchange is complete. Precondition: nothing is being sent.
  virtual void release() noexcept = 0;

 protected:
  ~Exchange() = default;
  ResponseHead response_head;
};

/// An answer. While it exists the connection is its own. When the request's body was streamed, end() must be awaited
/// before the response goes: the source may still be in use.
class ClientResponse {
 public:
  explicit ClientResponse(Exchange& exchange) noexcept : exchange_(&exchange) {}
  ClientResponse(ClientResponse&& other) noexcept : exchange_(std::exchange(other.exchange_, nullptr)) {}
  ClientResponse& operator=(ClientResponse&& other) noexcept {
    std::swap(exchange_, other.exchange_);
    return *this;
  }
  ~ClientResponse() {
    if (exchange_ != nullptr) exchange_->release();
  }
  [[nodiscard]] std::uint16_t status() const noexcept { return exchange_->head().status; }
  [[nodiscard]] const ResponseHead& head() const noexcept { return exchange_->head(); }
  [[nodiscard]] std::optional<std::string_view> header(std::string_view name) const noexcept {
    return exchange_->head().header(name);
  }
  [[nodiscard]] Body& body() noexcept { return exchange_->body(); }
  /// After a 101: the byte stream behind the head.
  [[nodiscard]] Tunnel& tunnel() noexcept { return exchange_->tunnel(); }
  /// `co_await response.end()`: no more of the request is sent; needs no memory.
  Scope::Join end() noexcept { return exchange_->stop().join(); }
  [[nodiscard]] Scope& stop() noexcept { return exchange_->stop(); }

 private:
  Exchange* exchange_;
};

/// The server's word that a body is wanted, or the end of the wait for it (RFC 9110 section 10.1.1).
class GoAhead : private Timer {
 public:
  GoAhead() noexcept : Timer([](Timer& timer) noexcept { static_cast<GoAhead&>(timer).give(); }) {}
  void wait_at_most(Shard& shard, Duration time) noexcept {
    waiting_ = true;
    arm(shard.timers(), after(shard.now(), time));
  }
  void give() noexcept {
    disarm();
    waiting_ = false;
    queue_.notify_all();
  }
  [[nodiscard]] bool waiting() const noexcept { return waiting_; }
  [[nodiscard]] WaitQueue& queue() noexcept { return queue_; }

 private:
  WaitQueue queue_;
  bool waiting_ = false;
};

template <Flow F, class Origin>
class ClientConnection;

/// What owns connections.
template <Flow F, class Origin>
class ConnectionOwner {
 public:
  /// `kept`: the connection can carry another exchange.
  virtual void give_back(ClientConnection<F, Origin>& connection, bool kept) noexcept = 0;

 protected:
  ~ConnectionOwner() = default;
};

/// `Origin`: what its owner tells servers apart by.
template <Flow F, class Origin>
class ClientConnection final : public Exchange, public ListNode<> {
 public:
  ClientConnection(ConnectionOwner<F, Origin>& owner, F flow, const Origin& origin,
                   const ClientOptions& options) noexcept
      : owner_(owner),
        options_(options),
        origin_(origin),
        link_(std::move(flow), options.maximum_head, options.maximum_body, options.transfer_timeout),
        upload_(link_.shard().buffers()),
        sending_(link_.shard()),
        tunnel_(link_) {
    link_.guard.on_expiry(this, [](void* self) noexcept { static_cast<ClientConnection*>(self)->link_.flow.abort(); });
  }
  [[nodiscard]] Shard& shard() noexcept { return link_.shard(); }
  [[nodiscard]] const Origin& origin() const noexcept { return origin_; }
  [[nodiscard]] unsigned exchanges() const noexcept { return exchanges_; }
  [[nodiscard]] Time idle_since() const noexcept { return idle_since_; }

  /// Sends the request and waits for the head of the answer. After an error nothing is being sent any more.
  Task<Result<void, ClientError>> run(ClientRequest& request, std::string_view target, std::string_view authority) {
    body_.reset();
    reusable_ = false;
    link_.patience = options_.transfer_timeout;  // what an earlier request took is not this one's affair
    heard_ = source_failed_ = abandoned_ = false;
    ++exchanges_;
    method_is_head_ = request.method == "HEAD";
    asked_upgrade_ = request.upgrade;
    if (!append_request_head(link_.output, request, target, authority)) co_return Failure{ClientError::bad_request};
    if (co_await link_.flush() != Step::go_on) co_return failure(ClientError::closed);
    if (!start_sending(request)) co_return Failure{ClientError::no_memory};
    const auto received = co_await receive_head();
    if (!received) {
      co_await stop().join();
    } else if (response_head.status >= 400 && sending_.running() != 0) {
      // RFC 9112 section 9.5: the body is not wanted any more; why, the answer says, which may still be coming.
      abandoned_ = true;
      sending_.cancel();
      co_await sending_.join();
    } else {
      go_ahead_.give();
    }
    co_return received;
  }
  /// The owner's note that this carries no requests any more.
  void set_tunnel() noexcept { is_tunnel_ = true; }
  [[nodiscard]] bool is_tunnel() const noexcept { return is_tunnel_; }
  /// Whether anything of an answer has come in: otherwise the server may have closed before it saw the request.
  [[nodiscard]] bool heard() const noexcept { return heard_; }

  [[nodiscard]] Body& body() noexcept override { return *body_; }
  [[nodiscard]] Tunnel& tunnel() noexcept override { return tunnel_; }
  [[nodiscard]] Scope& stop() noexcept override {
    if (sending_.running() != 0) {
      sending_.cancel();
      link_.flow.abort();  // a peer must not take half a request for a whole one
    }
    return sending_;
  }
  void release() noexcept override {
    const bool kept = complete();
    if (kept) link_.input.consume(body_->end_of_message());
    body_.reset();
    source_.reset();
    head_memory_ = Slice{};
    idle_since_ = shard().now();
    // What came behind the answer was not asked for.
    owner_.give_back(*this, kept && link_.input.empty() && !spoke_unasked());
  }
  /// Whether something came in, or the connection ended, while nothing was asked: the next answer would not be the
  /// next request's (RFC 9112 section 9.2). A flow that cannot be looked at counts as such.
  [[nodiscard]] bool spoke_unasked() noexcept {
    if constexpr (ObservableFlow<F>) {
      return link_.flow.readable_now();
    } else {
      return true;
    }
  }
  void close() noexcept { link_.flow.close(); }
  void abort() noexcept { link_.flow.abort(); }

 private:
  [[nodiscard]] bool complete() const noexcept {
    return reusable_ && sent_ && !abandoned_ && sending_.running() == 0 && body_ && !body_->unread() &&
           !link_.guard.expired();
  }
  [[nodiscard]] Failure<ClientError> failure(ClientError error) const noexcept {
    if (source_failed_) return Failure{ClientError::body};
    return Failure{link_.guard.expired() ? ClientError::timed_out : error};
  }

  // Sending

  [[nodiscard]] bool start_sending(ClientRequest& request) noexcept {
    rest_ = request.body;
    source_ = std::move(request.source);
    announced_ = request.source_length_known ? std::optional{request.source_length} : std::nullopt;
    sent_ = source_ == nullptr && rest_.empty();
    if (!sent_ && request.expect_continue) go_ahead_.wait_at_most(shard(), options_.continue_timeout);
    return sent_ || sending_.spawn(send_body(*this));
  }

  static Task<void> send_body(ClientConnection& self) {
    while (self.go_ahead_.waiting()) {
      if (co_await self.go_ahead_.queue().wait() == WaitStatus::cancelled) co_return;
    }
    const Step step = self.source_ ? co_await self.send_source() : co_await self.write(std::move(self.rest_));
    self.sent_ = step == Step::go_on;
    // A server answers when it has got the whole: that may take long.
    self.answer_due_ = after(self.shard().now(), self.options_.head_timeout);
    if (self.awaits_answer_) self.link_.guard.set_until(self.answer_due_, Phase::head);
    // Half a request must not be taken for a whole one, and nothing can follow it. Who has refused it takes it for
    // none.
    if (!self.sent_ && !self.abandoned_) self.link_.flow.abort();
  }

  Task<Step> write(SliceList slices) {
    while (!slices.empty()) {
      const auto written = co_await link_.flow.write(link_.begin_piece(slices));
      link_.end_piece();
      if (!written) co_return Step::failed;
    }
    co_return Step::go_on;
  }

  Task<Step> send_source() {
    BodyWriter writer{upload_, announced_, !announced_};
    while (true) {
      const auto piece = co_await source_->next();
      source_failed_ = !piece || !writer.accepts(*piece);
      if (source_failed_) co_return Step::failed;
      if (piece->empty()) break;
      do {
        if (!writer.append(*piece)) co_return Step::no_memory;
        if (co_await write(upload_.take()) != Step::go_on) co_return Step::failed;
      } while (!writer.whole());
    }
    if (!writer.finish(source_.get())) co_return Step::no_memory;
    co_return co_await write(upload_.take());
  }

  // Receiving

  Task<Result<void, ClientError>> receive_head() {
    answer_due_ = after(shard().now(), options_.head_timeout);
    while (true) {
      const std::size_t size = link_.input.find_head();
      if (size == 0) {
        if (link_.input.too_large()) co_return Failure{ClientError::too_large};
        if (link_.input.starved()) co_return Failure{ClientError::no_memory};
        if (const auto more = co_await read_more(); !more) co_return more;
        continue;
      }
      head_memory_ = link_.input.view(0, size);
      if (!parse_response_head(head_memory_.text(), method_is_head_ ? "HEAD" : "GET", response_head)) {
        co_return Failure{ClientError::malformed};
      }
      // RFC 9110 section 7.8: only to a protocol that was asked for, and behind the whole request.
      if (response_head.status == 101 && (!sent_ || !list_contains(asked_upgrade_, response_head.upgrade))) {
        co_return Failure{ClientError::malformed};
      }
      // RFC 9110 section 15.2: interim answers, any number of them within the time.
      if (response_head.status >= 200 || response_head.status == 101) co_return begin_body(size);
      if (response_head.status == 100) go_ahead_.give();
      link_.input.consume(size);
    }
  }

  Result<void, ClientError> begin_body(std::size_t size) noexcept {
    reusable_ = response_head.keep_alive && response_head.status != 101;
    if (response_head.status == 101) link_.input.consume(size);
    body_.emplace(link_, response_head.framing, false, response_head.status == 101 ? 0 : size);
    return {};
  }

  Task<Result<void, ClientError>> read_more() {
    awaits_answer_ = true;
    if (sent_) link_.guard.set_until(answer_due_, Phase::head);
    co_return co_await link_.read([this](Result<SliceList, FlowError> received) { return fill(received); });
  }

  Result<void, ClientError> fill(Result<SliceList, FlowError>& received) noexcept {
    awaits_answer_ = false;
    link_.guard.clear();
    if (!received && received.error() == FlowError::cancelled) return failure(ClientError::cancelled);
    if (!received && received.error() == FlowError::no_memory) return failure(ClientError::no_memory);
    if (!received || received->empty()) return failure(ClientError::closed);
    heard_ = true;
    link_.input.append(std::move(*received));
    return {};
  }

  ConnectionOwner<F, Origin>& owner_;
  const ClientOptions& options_;
  Origin origin_;
  Link<F> link_;
  Slice head_memory_;
  std::string_view asked_upgrade_;  // until the answer's head is there
  std::optional<FlowBody<F>> body_;
  Output upload_;
  SliceList rest_;
  std::unique_ptr<BodySource> source_;
  std::optional<std::uint64_t> announced_;  // its length
  Scope sending_;
  FlowTunnel<F> tunnel_;
  GoAhead go_ahead_;
  Time idle_since_{};
  Time answer_due_{};
  unsigned exchanges_ = 0;
  bool sent_ = true;
  bool reusable_ = false;
  bool heard_ = false;
  bool awaits_answer_ = false;
  bool source_failed_ = false;
  bool abandoned_ = false;  // the rest of the request's body is not wanted
  bool is_tunnel_ = false;
  bool method_is_head_ = false;
};

}  // namespace mirage::http
