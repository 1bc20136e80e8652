// SPDX-License-Identifier: ISC
// The same site with `--compress`: one handler around the other.
#pragma once

#include <mirage/http/compress/handler.hpp>
#include <mirage/http/site.hpp>

#include "serve.hpp"

template <mirage::Stack Net, mirage::KvRo Store>
struct Website {
  static mirage::Task<int> start(Net& net, Store& store, const Keys& keys) {
    using Site = mirage::http::Site<Store>;
    using Compressed = mirage::http::compress::Compressed<Site>;
    Site site{keys.shard, store};
    Compressed compressed{keys.shard, site};
    co_return co_await serve<mirage::http::Server<typename Net::Tcp, Compressed>>(net, compressed, keys);
  }
};
