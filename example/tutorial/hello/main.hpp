// SPDX-License-Identifier: ISC
// The smallest unikernel that does something over time: four lines, one second apart.
#pragma once

#include <mirage/module/application.hpp>

struct Hello {
  static mirage::Task<> start(const Keys& keys) {
    using namespace mirage::literals;
    const mirage::Logger log = keys.shard.logger("application");
    for (int i = 0; i < 4; ++i) {
      log.info("hello");
      if (i < 3) co_await mirage::sleep(1s);
    }
  }
};
