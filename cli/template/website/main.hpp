// A static web site: the files of htdocs/ are linked into the image and sent without being copied.
#pragma once

#include <mirage/http/server.hpp>
#include <mirage/http/site.hpp>
#include <mirage/keys.hpp>
#include <mirage/module/application.hpp>

template <mirage::Stack Net, mirage::KvRo Store>
struct Website {
  static mirage::Task<int> start(Net& net, Store& store, const Keys& keys) {
    const mirage::Logger log = keys.shard.logger("application");
    mirage::http::Site<Store> site{keys.shard, store};
    mirage::http::Server<typename Net::Tcp, mirage::http::Site<Store>> server{keys.shard, net.tcp(), site};
    log.info("serving on {}", mirage::Endpoint{net.address(), keys.port});
    const auto served = co_await server.serve(keys.port);
    if (served) co_return 0;
    log.error("cannot listen on port {}: {}", keys.port, served.error());
    co_return 1;
  }
};
