// SPDX-License-Identifier: ISC
// The same site with `--http2`: another server, the same handler.
#pragma once

#include <mirage/http/h2/server.hpp>
#include <mirage/http/site.hpp>

#include "serve.hpp"

template <mirage::Stack Net, mirage::KvRo Store>
struct Website {
  static mirage::Task<int> start(Net& net, Store& store, const Keys& keys) {
    using Site = mirage::http::Site<Store>;
    Site site{keys.shard, store};
    co_return co_await serve<mirage::http::h2::Server<typename Net::Tcp, Site>>(net, site, keys);
  }
};
