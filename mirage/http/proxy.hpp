// SPDX-License-Identifier: ISC
// A reverse proxy (RFC 9110 section 7.6) as a handler: requests go to one of several backends, bodies stream through in
// both directions, upgrades become tunnels. Backends are checked from time to time and left out while they do not
// answer.
#pragma once

#include <new>

#include <mirage/async/sleep.hpp>
#include <mirage/http/backend.hpp>
#include <mirage/http/client_pool.hpp>

namespace mirage::http {

/// How slowly a client may send a body. Each holds a connection to a backend, so those that only trickle would take it
/// away from others. What counts is the time that is spent in waiting for the client.
struct UploadLimits {
  std::uint32_t minimum_rate = 500;  ///< bytes a second; 0: as slowly as the server allows
  Duration patience = 20s;           ///< how far a client may be behind that
};

struct ProxyOptions {
  Balance balance = Balance::round_robin;
  /// Backends are near: a SYN lost twice (RFC 6298: after 1 s, then 2 s) has its time, a silent host no more of it.
  ClientOptions client{
      .maximum_connections = 256, .maximum_per_origin = 64, .maximum_tunnels = 512, .connect_timeout = 4s};
  HealthThresholds thresholds;
  /// Protocols that an upgrade may change to, a list as in the Upgrade field; others are not passed on. A tunnel is
  /// past routing and log: h2c would be any number of requests that nobody sees.
  std::string_view upgrades = "websocket";
  Duration tunnel_idle_timeout = 5min;  ///< without a byte in either direction
  UploadLimits uploads;
  std::string_view check_target = "/";  ///< asked for by checks; 2xx and 3xx are good
  Duration check_interval = 5s;
  Duration check_timeout = 2s;
};

/// Whether a field concerns one connection only (RFC 9110 section 7.6.1): those that `connection` names, and those
/// known.
[[nodiscard]] bool is_hop_by_hop(std::string_view name, std::string_view connection) noexcept;
/// Of the protocols that the Upgrade lines in `fields` name the first that is in the list `allowed`; empty: none.
[[nodiscard]] std::string_view choose_upgrade(std::span<const Header> fields, std::string_view allowed) noexcept;
/// The target as a server of the origin is asked for it (RFC 9112 sections 3.2.1, 3.2.4). `memory` holds it where the
/// absolute-form has no path but a query. Empty: no memory.
[[nodiscard]] std::string_view origin_target(const Request& request, BufferPool& pool, Slice& memory) noexcept;
/// Copies the fields that go on to the other side; false when there is no room for them in `pool`.
[[nodiscard]] bool copy_end_to_end(HeaderBlock& to, std::span<const Header> from, BufferPool& pool) noexcept;
/// The same of a trailer section, whose message has the fields `head`.
[[nodiscard]] bool copy_trailers(HeaderBlock& to, FieldLines from, std::span<const Header> head,
                                 BufferPool& pool) noexcept;
/// How a TRACE or OPTIONS that goes no further (RFC 9110 section 7.6.2) is answered; 0: it goes on.
[[nodiscard]] std::uint16_t status_here(const Request& request) noexcept;
/// Fields that tell the backend about the client: X-Forwarded-For (continued), -Host, -Proto, and Via; and how far a
/// TRACE or OPTIONS may go from there. Precondition: it goes on.
[[nodiscard]] bool add_forwarded(HeaderBlock& to, const Request& request) noexcept;
/// The answer for a failed request: 400, 404, 502, 503 or 504.
[[nodiscard]] Response gateway_failure(ClientError error) noexcept;
/// Whether an error may be the backend's, is not the client's and not ours.
[[nodiscard]] bool blames_backend(ClientError error) noexcept;

/// The request's body on its way to the backend.
class ForwardedBody final : public BodySource {
 public:
  ForwardedBody(Shard& shard, const Request& request, Body& body, const UploadLimits& limits) noexcept
      : shard_(shard), request_(request), body_(body), limits_(limits), patience_(limits.patience) {}
  [[nodiscard]] Shard& shard() noexcept { return shard_; }
  /// Waits for the first bytes, or the end, before anything is taken from a backend.
  Task<Result<void, BodyError>> begin() noexcept;
  Task<Result<SliceList, BodyError>> next() noexcept override;
  [[nodiscard]] const HeaderBlock* trailers() noexcept override;

 private:
  Task<Result<SliceList, BodyError>> read() noexcept;
  Shard& shard_;
  const Request& request_;
  Body& body_;
  UploadLimits limits_;
  Duration patience_;  // what is left of it
  std::optional<SliceList> first_;
  HeaderBlock trailers_;
};

/// The answer's body on its way back; counts the request as at work until it goes.
class RelayedBody final : public BodySource {
 public:
  RelayedBody(Shard& shard, ClientResponse response, Backend& backend) noexcept
      : shard_(shard), response_(std::move(response)), backend_(backend) {
    ++backend_.active;
  }
  ~RelayedBody() override { --backend_.active; }
  [[nodiscard]] Shard& shard() noexcept { return shard_; }
  Task<Result<SliceList, BodyError>> next() noexcept override;
  [[nodiscard]] const HeaderBlock* trailers() noexcept override;
  [[nodiscard]] Scope* stop() noexcept override { return &response_.stop(); }
  [[nodiscard]] ClientResponse& response() noexcept { return response_; }

 private:
  Shard& shard_;
  ClientResponse response_;
  Backend& backend_;
  HeaderBlock trailers_;
};

/// After a 101: bytes both ways until both sides have ended, or nothing comes from either for too long.
class RelayedTunnel final : public Upgrade {
 public:
  RelayedTunnel(ClientResponse response, Backend& backend, Duration idle) noexcept
      : response_(std::move(response)), backend_(backend), idle_(idle) {
    ++backend_.active;
  }
  ~RelayedTunnel() override { --backend_.active; }
  [[nodiscard]] std::string_view protocol() const noexcept override { return response_.head().upgrade; }
  Task<Result<void, FlowError>> run(Tunnel& tunnel) noexcept override;

 private:
  ClientResponse response_;
  Backend& backend_;
  Duration idle_;
};

/// Makes of a backend's answer ours and takes it over; false, and it is left as it was, for want of memory.
[[nodiscard]] bool relay(Shard& shard, const Request& request, ClientResponse& response, Backend& backend,
                         const ProxyOptions& options, Response& ours) noexcept;

/// A handler (see Server). The backends must outlive it.
template <Tcp T>
class Proxy {
 public:
  Proxy(Shard& shard, T& tcp, Backends& backends, const ProxyOptions& options = {}) noexcept
      : pool_(AddressDialler{shard, tcp}, options.client),
        checks_(AddressDialler{shard, tcp}, options_of_checks(options.client)),
        backends_(backends),
        options_(options) {}
  [[nodiscard]] Shard& shard() noexcept { return pool_.shard(); }
  /// What asks the backends, and each of them.
  void visit_counters(CounterVisitor& visitor) const noexcept {
    pool_.visit_counters(visitor);
    backends_.visit_counters(visitor);
  }

  Task<Response> operator()(const Request& request, Body& body) {
    if (const std::uint16_t status = status_here(request); status != 0) {
      Response response;
      response.status = status;
      co_return response;
    }
    ClientRequest forward;
    Slice memory;
    const std::string_view target = origin_target(request, shard().buffers(), memory);
    if (target.empty() || !prepare(request, body, forward)) co_return gateway_failure(ClientError::no_memory);
    // With 100-continue it is the backend's to say whether there will be a body.
    if (forward.source && !request.expects_continue && !co_await static_cast<ForwardedBody&>(*forward.source).begin()) {
      co_return gateway_failure(ClientError::body);
    }
    ClientError error = backends_.serves(request.path) ? ClientError::busy : ClientError::not_resolved;
    Backend* tried = nullptr;
    for (int attempt = 0; attempt < 2; ++attempt) {
      Backend* const backend = backends_.pick(request.path, options_.balance, tried);
      if (backend == nullptr) break;
      ++backend->requests;
      ++backend->active;
      auto response = co_await pool_.ask(backend->endpoint, target, backend->authority, forward);
      --backend->active;
      if (response) {
        backend->refusals = 0;
        Response ours;
        if (relay(shard(), request, *response, *backend, options_, ours)) co_return ours;
        co_await response->end();
        co_return gateway_failure(ClientError::no_memory);
      }
      error = response.error();
      tried = backend;  // where nothing has been sent another one may take it
      if (error == ClientError::busy) continue;
      if (error != ClientError::not_connected) {
        // A client can ask for what takes too long, or is too large, as often as it likes: that takes no server away.
        backend->failures += blames_backend(error) ? 1 : 0;
        break;
      }
      if (note_refusal(*backend, options_.thresholds)) tell(*backend);
    }
    co_return gateway_failure(error);
  }

  /// Checks every backend until cancelled; to be spawned beside the server. Each in a task of its own: one that does
  /// not answer delays no other's check.
  Task<void> check_health() {
    do {
      Scope checks{shard()};
      for (Backend& backend : backends_.all()) (void)checks.spawn(check(*this, backend));
      co_await checks.join();
    } while (co_await sleep(options_.check_interval) != WaitStatus::cancelled);
  }

 private:
  /// Checks have connections of their own: that others take all of a backend's says nothing about its health.
  static ClientOptions options_of_checks(ClientOptions options) noexcept {
    options.maximum_connections = Backends::maximum;
    options.maximum_per_origin = 1;
    return options;
  }

  [[nodiscard]] bool prepare(const Request& request, Body& body, ClientRequest& forward) noexcept {
    forward.method = request.method_text;
    // With a body the protocol would change somewhere within it: RFC 9110 section 7.8 lets a server ignore such a wish.
    if (request.may_upgrade && !request.framing.has_body()) {
      forward.upgrade = choose_upgrade(request.headers(), options_.upgrades);
    }
    forward.expect_continue = request.expects_continue;
    if (request.framing.has_body()) {
      forward.source.reset(new (std::nothrow) ForwardedBody(shard(), request, body, options_.uploads));
      if (!forward.source) return false;
      forward.source_length_known = !request.framing.chunked;
      forward.source_length = request.framing.content_length;
    }
    return copy_end_to_end(forward.headers, request.headers(), shard().buffers()) &&
           add_forwarded(forward.headers, request);
  }

  static Task<void> check(Proxy& self, Backend& backend) {
    const auto good = co_await within(self.options_.check_timeout, self.ask(backend));
    if (good && good->error_or(ClientError::closed) == ClientError::cancelled) co_return;
    if (note_check(backend, good && *good, self.options_.thresholds)) self.tell(backend);
  }

  Task<Result<void, ClientError>> ask(Backend& backend) {
    ClientRequest request;
    auto response = co_await checks_.ask(backend.endpoint, options_.check_target, backend.authority, request);
    if (!response) co_return Failure{response.error()};
    while (true) {  // to its end, so that the connection is kept
      const auto part = co_await response->body().read();
      if (!part || part->empty()) break;
    }
    if (response->status() >= 400) co_return Failure{ClientError::malformed};
    co_return Result<void, ClientError>{};
  }

  void tell(const Backend& backend) noexcept {
    const Logger log = shard().logger("proxy");
    backend.up ? log.info("{} is up", backend.endpoint) : log.warning("{} is down", backend.endpoint);
  }

  using Pool = ClientPool<AddressDialler<T>>;
  Pool pool_;
  Pool checks_;
  Backends& backends_;
  ProxyOptions options_;
};

}  // namespace mirage::http
