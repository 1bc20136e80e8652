#pragma once

#include <mirage/keys.hpp>
#include <mirage/module/application.hpp>

struct Hello {
  static mirage::Task<> start(const Keys& keys) {
    using namespace mirage::literals;
    const mirage::Logger log = keys.shard.logger("@NAME@");
    for (int i = 0; i < 4; ++i) {
      log.info("{}", keys.greeting);
      co_await mirage::sleep(1s);
    }
  }
};
