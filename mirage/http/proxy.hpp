// SPDX-License-Identifier: ISC
// A reverse proxy (RFC 9110 section 7.6) as a handler: requests go to one of several backends, bodies stream through in
// both directions, upgrades become tunnels. Backends are checked from time to time and left out while they do not
// answer.
#pragma once

#include <new>

#include <mirage/http/backend.hpp>
#include <mirage/http/client_pool.hpp>

namespace mirage::http {

struct ProxyOptions {
  Balance balance = Balance::round_robin;
  ClientOptions client{.maximum_connections = 256, .maximum_per_origin = 64};
  HealthThresholds thresholds;
  std::string_view check_target = "/";  ///< asked for by checks; 2xx and 3xx are good
  Duration check_interval = 5s;
  Duration check_timeout = 2s;
};

/// Whether a field concerns one connection only (RFC 9110 section 7.6.1): those that `connection` names, and those
/// known.
[[nodiscard]] bool is_hop_by_hop(std::string_view name, std::string_view connection) noexcept;
/// Copies the fields that go on to the other side; false when there is no room for them in `pool`.
[[nodiscard]] bool copy_end_to_end(HeaderBlock& to, std::span<const Header> from, BufferPool& pool) noexcept;
/// Fields that tell the backend about the client: X-Forwarded-For (continued), -Host, -Proto, and Via.
[[nodiscard]] bool add_forwarded(HeaderBlock& to, const Request& request) noexcept;
/// The answer for a failed request: 502, 503 or 504.
[[nodiscard]] Response gateway_failure(ClientError error) noexcept;

/// The request's body on its way to the backend.
class ForwardedBody final : public BodySource {
 public:
  ForwardedBody(Shard& shard, Body& body) noexcept : shard_(shard), body_(body) {}
  [[nodiscard]] Shard& shard() noexcept { return shard_; }
  Task<Result<SliceList, BodyError>> next() noexcept override;

 private:
  Shard& shard_;
  Body& body_;
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

/// After a 101: bytes both ways until both sides have ended.
class RelayedTunnel final : public Upgrade {
 public:
  RelayedTunnel(ClientResponse response, Backend& backend) noexcept
      : response_(std::move(response)), backend_(backend) {
    ++backend_.active;
  }
  ~RelayedTunnel() override { --backend_.active; }
  [[nodiscard]] std::string_view protocol() const noexcept override { return response_.head().upgrade; }
  Task<Result<void, FlowError>> run(Tunnel& tunnel) noexcept override;

 private:
  ClientResponse response_;
  Backend& backend_;
};

/// Makes of a backend's answer ours and takes it over; false, and it is left as it was, for want of memory.
[[nodiscard]] bool relay(Shard& shard, const Request& request, ClientResponse& response, Backend& backend,
                         Response& ours) noexcept;

/// A handler (see Server). The backends must outlive it.
template <Tcp T>
class Proxy {
 public:
  Proxy(Shard& shard, T& tcp, Backends& backends, const ProxyOptions& options = {}) noexcept
      : pool_(shard, tcp, options.client), backends_(backends), options_(options) {}
  [[nodiscard]] Shard& shard() noexcept { return pool_.shard(); }

  Task<Response> operator()(const Request& request, Body& body) {
    ClientRequest forward;
    if (!prepare(request, body, forward)) co_return gateway_failure(ClientError::no_memory);
    ClientError error = backends_.serves(request.path) ? ClientError::busy : ClientError::not_resolved;
    Backend* tried = nullptr;
    for (int attempt = 0; attempt < 2; ++attempt) {
      Backend* const backend = backends_.pick(request.path, options_.balance, tried);
      if (backend == nullptr) break;
      ++backend->requests;
      ++backend->active;
      const std::string_view target = request.target.starts_with('/') ? request.target : request.path;
      auto response = co_await pool_.ask(backend->endpoint, target, backend->authority, forward);
      --backend->active;
      if (response) {
        Response ours;
        if (relay(shard(), request, *response, *backend, ours)) co_return ours;
        co_await response->end();
        co_return gateway_failure(ClientError::no_memory);
      }
      error = response.error();
      note(*backend, false);
      // Nothing has been sent: another one may take it.
      if (error != ClientError::not_connected) break;
      tried = backend;
    }
    co_return gateway_failure(error);
  }

  /// Checks every backend until cancelled; to be spawned beside the server.
  Task<void> check_health() {
    while (true) {
      for (Backend& backend : backends_.all()) {
        const auto good = co_await within(options_.check_timeout, check(backend));
        note(backend, good.has_value() && good->has_value());
      }
      if (co_await sleep(options_.check_interval) == WaitStatus::cancelled) co_return;
    }
  }

 private:
  [[nodiscard]] bool prepare(const Request& request, Body& body, ClientRequest& forward) noexcept {
    forward.method = request.method_text;
    forward.upgrade = request.upgrade;
    forward.expect_continue = request.expects_continue;
    if (request.framing.has_body()) {
      forward.source.reset(new (std::nothrow) ForwardedBody(shard(), body));
      if (!forward.source) return false;
      forward.source_length_known = !request.framing.chunked;
      forward.source_length = request.framing.content_length;
    }
    return copy_end_to_end(forward.headers, request.headers(), shard().buffers()) &&
           add_forwarded(forward.headers, request);
  }

  Task<Result<void, ClientError>> check(Backend& backend) {
    ClientRequest request;
    auto response = co_await pool_.ask(backend.endpoint, options_.check_target, backend.authority, request);
    if (!response) co_return Failure{response.error()};
    while (true) {  // to its end, so that the connection is kept
      const auto part = co_await response->body().read();
      if (!part || part->empty()) break;
    }
    if (response->status() >= 400) co_return Failure{ClientError::malformed};
    co_return Result<void, ClientError>{};
  }

  void note(Backend& backend, bool good) noexcept {
    if (!note_check(backend, good, options_.thresholds)) return;
    const Logger log = shard().logger("proxy");
    good ? log.info("{} is up", backend.endpoint) : log.warning("{} is down", backend.endpoint);
  }

  ClientPool<T> pool_;
  Backends& backends_;
  ProxyOptions options_;
};

}  // namespace mirage::http
