// SPDX-License-Identifier: ISC
#pragma once

#include <string_view>

#include <mirage/dns/connect.hpp>
#include <mirage/http/client.hpp>
#include <mirage/module/application.hpp>

template <mirage::Stack Net, mirage::Resolver Names>
struct Fetch {
  // A host's addresses race (RFC 8305): where one address family is dead, that costs a quarter of a second.
  using Connector = mirage::dns::Connector<Net, Names>;
  using Client = mirage::http::Client<Connector>;

  static mirage::Task<int> start(Net& net, Names& resolver, const Keys& keys) {
    const mirage::Logger log = keys.shard.logger("application");
    Connector connector{net, resolver};
    Client client{keys.shard, connector};
    int status = 0;
    for (std::string_view urls = keys.urls; !urls.empty();) {
      const auto comma = urls.find(',');
      const std::string_view url = urls.substr(0, comma);
      urls = comma == std::string_view::npos ? std::string_view{} : urls.substr(comma + 1);
      const mirage::Time began = keys.shard.now();
      auto response = co_await client.fetch(url);
      if (!response) {
        log.error("{}: {}", url, response.error());
        status = 1;
        continue;
      }
      const auto bytes = co_await count(keys, *response);
      if (!bytes) {
        log.error("{}: the answer ends early", url);
        status = 1;
        continue;
      }
      log.info("{}: status={} bytes={} milliseconds={}", url, response->status(), *bytes,
               (keys.shard.now() - began) / mirage::Duration{1'000'000});
    }
    co_return status;
  }

 private:
  /// Reads the body to its end; it may be larger than the memory.
  static mirage::Task<mirage::Result<std::uint64_t, mirage::http::ReadError>> count(
      const Keys&, mirage::http::ClientResponse& response) {
    std::uint64_t total = 0;
    while (true) {
      const auto part = co_await response.body().read();
      if (!part) co_return mirage::Failure{part.error()};
      if (part->empty()) co_return total;
      total += part->byte_count();
    }
  }
};
