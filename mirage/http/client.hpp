// SPDX-License-Identifier: ISC
// HTTP/1.1 client over URLs: names, redirects (RFC 9110 section 15.4); see client_pool.hpp and exchange.hpp for what is
// below. Which of a host's addresses a connection goes to is the Connector's affair: dns::Connector lets them race. Not
// here: TLS, cookies, caches.
#pragma once

#include <mirage/http/client_pool.hpp>
#include <mirage/http/url.hpp>

namespace mirage::http {

/// Where a redirect leads: the next URL, or nothing when the response is none that is followed.
[[nodiscard]] std::optional<Url> redirect_of(const ResponseHead& head, const Url& from) noexcept;
/// Makes `request` that which follows a redirect with `status` (RFC 9110 sections 15.4.2 to 15.4.9): 303 turns all but
/// HEAD into GET, 301 and 302 turn POST into GET; what was meant for one origin is not told to another. `spent`: there
/// is a body that cannot be sent again. False: it would have to be.
[[nodiscard]] bool follow(ClientRequest& request, std::uint16_t status, bool same_origin, bool& spent) noexcept;

/// The connector must outlive it.
template <Connector C>
class Client {
 public:
  using Pool = ClientPool<NameDialler<C>>;
  Client(Shard& shard, C& connector, const ClientOptions& options = {}) noexcept
      : pool_(NameDialler{shard, connector}, options) {}
  [[nodiscard]] Shard& shard() noexcept { return pool_.shard(); }
  [[nodiscard]] Pool& pool() noexcept { return pool_; }
  void visit_counters(CounterVisitor& visitor) const noexcept { pool_.visit_counters(visitor); }

  /// Asks for a URL and follows redirects. The response is that of the last URL.
  Task<Result<ClientResponse, ClientError>> fetch(std::string_view text, ClientRequest request = {}) {
    std::optional<Url> url = Url::parse(text);
    if (!url) co_return Failure{ClientError::bad_url};
    bool spent = request.source != nullptr;
    for (unsigned redirects = 0;; ++redirects) {
      auto response = co_await ask(*url, request);
      if (!response) co_return response;
      const auto next = redirect_of(response->head(), *url);
      if (!next) co_return response;
      const std::uint16_t status = response->status();
      co_await response->end();
      (void)co_await within(drain_patience, drain(*response));
      if (redirects == pool_.options().maximum_redirects || !follow(request, status, url->same_origin(*next), spent)) {
        co_return Failure{ClientError::too_many_redirects};
      }
      url = next;
    }
  }

 private:
  static constexpr Duration drain_patience = 1s;
  Task<Result<ClientResponse, ClientError>> ask(const Url& url, ClientRequest& request) {
    const auto origin = HostPort::of(url.host(), url.port());
    if (!origin) co_return Failure{ClientError::bad_url};
    co_return co_await pool_.ask(*origin, url.target(), url.authority(), request);
  }

  /// Reads what a redirect says to people, so that the connection can be kept; not much of it, and not for long.
  Task<Result<void, ClientError>> drain(ClientResponse& response) {
    std::size_t total = 0;
    while (total < FlowBody<typename C::Flow>::maximum_skip) {
      const auto part = co_await response.body().read();
      if (!part || part->empty()) break;
      total += part->byte_count();
    }
    co_return Result<void, ClientError>{};
  }

  Pool pool_;
};

}  // namespace mirage::http
