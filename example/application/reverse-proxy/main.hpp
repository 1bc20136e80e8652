// SPDX-License-Identifier: ISC
// A reverse proxy: one address in front of several servers, each with a part of the paths. Requests and answers stream
// through; a server that does not answer is left out until it does.
#pragma once

#include <mirage/http/proxy.hpp>
#include <mirage/http/server.hpp>
#include <mirage/module/application.hpp>

template <mirage::Stack Net>
struct ReverseProxy {
  using Proxy = mirage::http::Proxy<typename Net::Tcp>;

  static mirage::Task<int> start(Net& net, const Keys& keys) {
    const mirage::Logger log = keys.shard.logger("application");
    mirage::http::Backends servers;
    if (!servers.parse(keys.routes)) {
      log.error("--routes: not a list of /PREFIX=ADDRESS:PORT: {}", keys.routes);
      co_return 2;
    }
    mirage::http::ProxyOptions options;
    options.check_target = keys.check;
    Proxy proxy{keys.shard, net.tcp(), servers, options};
    mirage::http::LoggedAccess access{keys.shard.logger("access"), mirage::http::AccessFormat::combined};
    mirage::http::Server<typename Net::Tcp, Proxy> front{
        keys.shard, net.tcp(), proxy, {.maximum_body = UINT64_MAX, .listen = {}, .access_log = &access}};
    log.info("passing on what comes to {}", mirage::Endpoint{net.address(), keys.port});
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
