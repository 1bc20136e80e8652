// SPDX-License-Identifier: ISC
// Says something ten times a second; so does what stands for a library.
#pragma once

#include <mirage/module/application.hpp>

template <mirage::Loggers Log>
struct Talker {
  static mirage::Task<> start(Log& log, const Keys& keys) {
    const mirage::Logger out = log.logger("application");
    for (std::uint32_t i = 1;; ++i) {
      if (i % 10 == 0) {
        out.warning("line {}", i);
      } else {
        out.info("line {}", i);
      }
      if (i % 5 == 0) keys.shard.logger("library").info("step {}: of=\"a \\\"b] c\" n={}, done", i, 2 * i);
      keys.shard.logger("other").debug("not at this level");
      if (co_await mirage::sleep(mirage::Duration{100'000'000}) == mirage::WaitStatus::cancelled) co_return;
    }
  }
};
