// SPDX-License-Identifier: ISC
#pragma once

#include <mirage/module/application.hpp>

#include "service.hpp"

template <mirage::Stack Net>
struct Capacity {
  static mirage::Task<int> start(Net& net, const Keys& keys) {
    Service<typename Net::Tcp> service{keys.shard, net.tcp()};
    keys.shard.logger("application").info("serving on {}", net.address());
    co_await service.serve();
    co_return 1;
  }
};
