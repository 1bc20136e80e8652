// SPDX-License-Identifier: ISC
// What is said, how often and how fast are keys: baked in by `mirage configure --hello=...`, or given at run time.
#pragma once

#include <mirage/module/application.hpp>

struct Hello {
  static mirage::Task<> start(const Keys& keys) {
    const mirage::Logger log = keys.shard.logger("application");
    for (std::uint32_t i = 0; i < keys.count; ++i) {
      if (i > 0) co_await mirage::sleep(keys.pause);
      log.info("{}", keys.hello);
    }
  }
};
