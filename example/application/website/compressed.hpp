// SPDX-License-Identifier: ISC
// The same site with `--compress`: one handler around the other.
#pragma once

#include <mirage/http/compress/handler.hpp>
#include <mirage/http/server.hpp>
#include <mirage/http/site.hpp>
#include <mirage/module/application.hpp>

template <mirage::Stack Net, mirage::KvRo Store>
struct Website {
  static mirage::Task<int> start(Net& net, Store& store, const Keys& keys) {
    const mirage::Logger log = keys.shard.logger("application");
    using Site = mirage::http::Site<Store>;
    using Compressed = mirage::http::compress::Compressed<Site>;
    Site site{keys.shard, store};
    Compressed compressed{keys.shard, site};
    mirage::http::Server<typename Net::Tcp, Compressed> server{keys.shard, net.tcp(), compressed};
    log.info("serving on {}", mirage::Endpoint{net.address(), keys.port});
    const auto served = co_await server.serve(keys.port);
    if (served) co_return 0;
    log.error("cannot listen on port {}: {}", keys.port, served.error());
    co_return 1;
  }
};
