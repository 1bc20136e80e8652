// SPDX-License-Identifier: ISC
// A handler around another one: Server<Tcp, Compressed<Site<Store>>>. An image that does not use it has no zlib.
#pragma once

#include <mirage/base/counters.hpp>
#include <mirage/http/compress/encoder.hpp>
#include <mirage/http/connection.hpp>

namespace mirage::http::compress {

/// Answers what `handler` answers, compressed for clients that ask for it. The handler must outlive it.
template <Handler H>
class Compressed {
 public:
  static constexpr bool upgrades = may_upgrade<H>();
  Compressed(Shard& shard, H& handler, const Options& options = {}) noexcept
      : handler_(handler), encoder_(shard, options) {}
  [[nodiscard]] Shard& shard() noexcept { return encoder_.shard(); }
  [[nodiscard]] const Counters& counters() const noexcept { return encoder_.counters(); }
  void visit_counters(CounterVisitor& visitor) const noexcept { visitor.counters("compress", counters_of(counters())); }

  Response operator()(const Request& request, Body& body)
    requires PlainHandler<H>
  {
    Response response;
    if (encoder_.refuses(request, response)) return response;
    response = handler_(request, body);
    encoder_.apply(request, response);
    return response;
  }
  Task<Response> operator()(const Request& request, Body& body)
    requires TaskHandler<H>
  {
    Response response;
    if (encoder_.refuses(request, response)) co_return response;
    response = co_await handler_(request, body);
    encoder_.apply(request, response);
    co_return response;
  }

 private:
  H& handler_;
  Encoder encoder_;
};

}  // namespace mirage::http::compress
