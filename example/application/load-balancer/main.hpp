// SPDX-License-Identifier: ISC
// A load balancer: several servers that can do the same share the requests. Those that do not answer, or say that they
// are not well, are left out until they are.
#pragma once

#include <mirage/http/proxy.hpp>
#include <mirage/http/server.hpp>
#include <mirage/module/application.hpp>

template <mirage::Stack Net>
struct LoadBalancer {
  using Proxy = mirage::http::Proxy<typename Net::Tcp>;

  static mirage::Task<int> start(Net& net, const Keys& keys) {
    const mirage::Logger log = keys.shard.logger("application");
    mirage::http::Backends servers;
    if (!servers.parse(keys.backends)) {
      log.error("--backends: not a list of ADDRESS:PORT: {}", keys.backends);
      co_return 2;
    }
    mirage::http::ProxyOptions options;
    options.balance = keys.least_active ? mirage::http::Balance::least_active : mirage::http::Balance::round_robin;
    options.check_target = keys.check;
    options.check_interval = keys.check_every;
    Proxy proxy{keys.shard, net.tcp(), servers, options};
    mirage::http::Server<typename Net::Tcp, Proxy> front{
        keys.shard, net.tcp(), proxy, {.maximum_body = UINT64_MAX, .listen = {}}};
    log.info("sharing {} among {} servers", mirage::Endpoint{net.address(), keys.port}, servers.all().size());
    mirage::Scope checks{keys.shard};
    if (!checks.spawn(proxy.check_health())) co_return 1;
    const auto served = co_await front.serve(keys.port);
    checks.cancel();
    co_await checks.join();
    if (served) co_return 0;
    log.error("cannot listen on port {}: {}", keys.port, served.error());
    co_return 1;
  }
};
