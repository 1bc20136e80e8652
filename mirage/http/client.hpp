// SPDX-License-Identifier: ISC
// HTTP/1.1 client over URLs: names, several addresses, redirects (RFC 9110 section 15.4); see client_pool.hpp and
// exchange.hpp for what is below. Not here: TLS, cookies, caches.
#pragma once

#include <mirage/http/client_pool.hpp>
#include <mirage/http/url.hpp>

namespace mirage::http {

/// Addresses to try for a host, in this order.
struct HostAddresses {
  static constexpr std::size_t maximum = 4;
  std::array<IpAddress, maximum> address{};
  std::size_t count = 0;
  /// False when full.
  [[nodiscard]] bool add(const IpAddress& one) noexcept {
    if (count == maximum) return false;
    address[count++] = one;
    return true;
  }
};

/// hosts(name): at least one address of the host, or an error. The name stays valid until it completes.
template <class R>
concept HostLookup = requires(R& lookup, std::string_view name) {
  { lookup.hosts(name) } -> AwaitableOf<Result<HostAddresses, ClientError>>;
};

/// Where a redirect leads: the next URL, or nothing when the response is none that is followed.
[[nodiscard]] std::optional<Url> redirect_of(const ResponseHead& head, const Url& from) noexcept;
/// Makes `request` that which follows a redirect with `status` (RFC 9110 sections 15.4.2 to 15.4.9): 303 turns all but
/// HEAD into GET, 301 and 302 turn POST into GET; what was meant for one origin is not told to another. False: the body
/// cannot be sent again.
[[nodiscard]] bool follow(ClientRequest& request, std::uint16_t status, bool same_origin, bool streamed) noexcept;

template <Tcp T, HostLookup R>
class Client {
 public:
  Client(Shard& shard, T& tcp, R& lookup, const ClientOptions& options = {}) noexcept
      : pool_(shard, tcp, options), lookup_(lookup) {}
  [[nodiscard]] Shard& shard() noexcept { return pool_.shard(); }
  [[nodiscard]] ClientPool<T>& pool() noexcept { return pool_; }
  void visit_counters(CounterVisitor& visitor) const noexcept { pool_.visit_counters(visitor); }

  /// Asks for a URL and follows redirects. The response is that of the last URL.
  Task<Result<ClientResponse, ClientError>> fetch(std::string_view text, ClientRequest request = {}) {
    std::optional<Url> url = Url::parse(text);
    if (!url) co_return Failure{ClientError::bad_url};
    const bool streamed = request.source != nullptr;
    for (unsigned redirects = 0;; ++redirects) {
      auto response = co_await ask(*url, request);
      if (!response) co_return response;
      const auto next = redirect_of(response->head(), *url);
      if (!next) co_return response;
      const std::uint16_t status = response->status();
      co_await response->end();
      co_await drain(*response);
      if (redirects == pool_.options().maximum_redirects ||
          !follow(request, status, url->same_origin(*next), streamed)) {
        co_return Failure{ClientError::too_many_redirects};
      }
      url = next;
    }
  }

 private:
  Task<Result<ClientResponse, ClientError>> ask(const Url& url, ClientRequest& request) {
    const auto hosts = co_await lookup_.hosts(url.host());
    if (!hosts) co_return Failure{hosts.error()};
    for (std::size_t i = 0; i < hosts->count; ++i) {
      auto response = co_await pool_.ask({hosts->address[i], url.port()}, url.target(), url.authority(), request);
      const bool last = i + 1 == hosts->count;
      if (response || last || response.error() != ClientError::not_connected) co_return response;
    }
    co_return Failure{ClientError::not_resolved};
  }

  /// Reads what a redirect says to people, so that the connection can be kept; not much of it.
  Task<Result<void, ClientError>> drain(ClientResponse& response) {
    std::size_t total = 0;
    while (total < FlowBody<typename T::Flow>::maximum_skip) {
      const auto part = co_await response.body().read();
      if (!part || part->empty()) break;
      total += part->byte_count();
    }
    co_return Result<void, ClientError>{};
  }

  ClientPool<T> pool_;
  R& lookup_;
};

}  // namespace mirage::http
