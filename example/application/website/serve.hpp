// SPDX-License-Identifier: ISC
// What the variants of the site have in common.
#pragma once

#include <mirage/http/server.hpp>
#include <mirage/module/application.hpp>

template <class Server, class Net, class Handler>
mirage::Task<int> serve(Net& net, Handler& handler, const Keys& keys) {
  const mirage::Logger log = keys.shard.logger("application");
  Server server{keys.shard, net.tcp(), handler};
  log.info("serving on {}", mirage::Endpoint{net.address(), keys.port});
  const auto served = co_await server.serve(keys.port);
  if (served) co_return 0;
  log.error("cannot listen on port {}: {}", keys.port, served.error());
  co_return 1;
}
