// SPDX-License-Identifier: ISC
// A load balancer: several servers that can do the same share the requests. Those that do not answer, or say that they
// are not well, are left out until they are.
#pragma once

#include <mirage/http/proxy.hpp>
#include <mirage/http/server.hpp>
#include <mirage/metrics/exporter.hpp>
#include <mirage/module/application.hpp>

template <mirage::Stack Net>
struct LoadBalancer {
  using Tcp = typename Net::Tcp;
  using Proxy = mirage::http::Proxy<Tcp>;
  using Front = mirage::http::Server<Tcp, Proxy>;
  // What the application makes itself is shown by a handler of its own, together with the stack.
  using Counters = mirage::metrics::Handler<Net, Front, Proxy>;
  using Pages = mirage::http::Server<Tcp, Counters>;

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
    Front front{keys.shard, net.tcp(), proxy, {.maximum_body = UINT64_MAX, .listen = {}}};
    Counters counters{keys.shard, net, front, proxy};
    Pages pages{keys.shard, net.tcp(), counters, mirage::metrics::server_options()};
    log.info("sharing {} among {} servers", mirage::Endpoint{net.address(), keys.port}, servers.all().size());
    mirage::Scope jobs{keys.shard};
    if (!jobs.spawn(proxy.check_health())) co_return 1;
    if (!jobs.spawn(show(pages, keys.metrics_port, log))) log.warning("no memory for showing the counters");
    const auto served = co_await front.serve(keys.port);
    jobs.cancel();
    co_await jobs.join();
    if (served) co_return 0;
    log.error("cannot listen on port {}: {}", keys.port, served.error());
    co_return 1;
  }

 private:
  static mirage::Task<void> show(Pages& pages, mirage::Port port, const mirage::Logger& log) {
    const auto served = co_await pages.serve(port);
    if (!served) log.error("cannot listen on port {}: {}", port, served.error());
  }
};
