// SPDX-License-Identifier: ISC
// Tasks side by side: a scope that owns them, a channel between two of them, a timeout, and cancellation.
#pragma once

#include <mirage/module/application.hpp>

struct Timers {
  using Ticks = mirage::Channel<int, 4>;

  static mirage::Task<> start(const Keys& keys) {
    using namespace mirage::literals;
    const mirage::Logger log = keys.shard.logger("application");

    mirage::Scope scope{keys.shard};
    Ticks ticks;
    if (!scope.spawn(produce(keys, ticks)) || !scope.spawn(consume(keys, ticks))) scope.cancel();
    co_await scope.join();

    // heads1: two sleepers; the shorter one decides how long both together take at least.
    const mirage::Time before = keys.shard.now();
    mirage::Scope sleepers{keys.shard};
    if (!sleepers.spawn(nap(keys, "short", 100ms)) || !sleepers.spawn(nap(keys, "long", 300ms))) sleepers.cancel();
    co_await sleepers.join();
    log.info("both slept, it took {}", keys.shard.now() - before >= 300ms ? "long enough" : "too short");

    // timeout1: what takes too long is cancelled.
    const auto outcome = co_await mirage::within(100ms, answer(keys, 10s));
    log.info("{}", outcome ? "an answer in time" : "no answer within 100 ms: cancelled");
  }

 private:
  static mirage::Task<> produce(const Keys&, Ticks& ticks) {
    using namespace mirage::literals;
    for (int i = 1; i <= 3; ++i) {
      co_await mirage::sleep(50ms);
      if (!co_await ticks.send(i)) co_return;
    }
    ticks.close();
  }

  static mirage::Task<> consume(const Keys& keys, Ticks& ticks) {
    const mirage::Logger log = keys.shard.logger("application");
    while (auto tick = co_await ticks.receive()) log.info("tick {}", *tick);
    log.info("no more ticks");
  }

  static mirage::Task<> nap(const Keys& keys, std::string_view name, mirage::Duration duration) {
    co_await mirage::sleep(duration);
    keys.shard.logger("application").info("{} sleeper is awake", name);
  }

  static mirage::Task<int> answer(const Keys&, mirage::Duration after) {
    co_await mirage::sleep(after);
    co_return 42;
  }
};
