// SPDX-License-Identifier: ISC
#include <doctest/doctest.h>

#include <mirage/async/sleep.hpp>
#include <mirage/module/check/virtual_environment.hpp>
#include <mirage/module/launch.hpp>

namespace mirage {
namespace {

struct World {
  check::VirtualEnvironment environment;
  Shard shard{environment};
};

struct Plain {};
struct Fine {
  explicit Fine(Shard& in) : shard(in) {}
  Task<Result<void, StartError>> start() {
    co_await sleep(1s);
    co_return Result<void, StartError>{};
  }
  Shard& shard;
};
struct Broken {
  explicit Broken(Shard& in) : shard(in) {}
  Task<Result<void, StartError>> start() { co_return Failure{StartError{"no disk {}", 7}}; }
  Shard& shard;
};

/// Counts its end.
struct Watched {
  explicit Watched(int& count) : ends(count) {}
  ~Watched() { ++ends; }
  int& ends;
};
template <bool says>
struct Saying : Watched {
  using Watched::Watched;
  static constexpr bool nothing_to_end = says;
};
static_assert(NothingToEnd<Plain> && NothingToEnd<Saying<true>>);
static_assert(!NothingToEnd<Watched> && !NothingToEnd<Saying<false>>);

TEST_CASE("modules are destroyed at the end, but for those of a machine whose end takes all of them") {
  int ends = 0;
  ModulesPointer<Saying<false>>{new Saying<false>{ends}}.reset();
  CHECK(ends == 1);
  alignas(Saying<true>) std::byte memory[sizeof(Saying<true>)];
  ModulesPointer<Saying<true>>{new (memory) Saying<true>{ends}}.reset();
  CHECK(ends == 1);
}

TEST_CASE("modules with and without a start(), and one that fails") {
  World world;
  Plain plain;
  Fine fine{world.shard};
  Broken broken{world.shard};
  CHECK(run(world.shard, start_module(world.shard, "plain", plain)) == true);
  CHECK(run(world.shard, start_module(world.shard, "fine", fine)) == true);
  CHECK(world.environment.console.empty());
  CHECK(run(world.shard, start_module(world.shard, "broken (config.cpp:4)", broken)) == false);
  CHECK(world.environment.console == "error: broken (config.cpp:4): no disk 7\n");
}

Task<void> quiet(Shard&) { co_return; }
Task<int> number(Shard&, int value, Duration after) {
  co_await sleep(after);
  co_return value;
}
Task<Result<void, StartError>> refuse(Shard&) { co_return Failure{StartError{"refused"}}; }

static_assert(exit_status(0) == 0 && exit_status(255) == 255 && exit_status(1LL << 32) == 255);

TEST_CASE("what a job returns is the exit status") {
  World world;
  CHECK(run(world.shard, finish_job(world.shard, "a", quiet(world.shard))) == 0);
  CHECK(run(world.shard, finish_job(world.shard, "b", number(world.shard, 3, 0s))) == 3);
  CHECK(run(world.shard, finish_job(world.shard, "b", number(world.shard, 255, 0s))) == 255);
  CHECK(run(world.shard, finish_job(world.shard, "b", number(world.shard, 256, 0s))) == 255);
  CHECK(run(world.shard, finish_job(world.shard, "b", number(world.shard, -1, 0s))) == 255);
  CHECK(run(world.shard, finish_job(world.shard, "c", refuse(world.shard))) == 1);
  CHECK(world.environment.console == "error: c: refused\n");
  CHECK(run(world.shard, finish_job(world.shard, "d", Task<int>{})) == 1);
}

TEST_CASE("jobs run side by side; the first status other than 0 counts") {
  World world;
  const Time before = world.environment.now;
  Task<int> jobs[] = {number(world.shard, 0, 3s), number(world.shard, 5, 2s), number(world.shard, 6, 1s)};
  CHECK(run(world.shard, run_jobs(world.shard, jobs)) == 6);
  // The longest of them, within what the timer wheel rounds up.
  CHECK(world.environment.now - before >= 3s);
  CHECK(world.environment.now - before < 3100ms);
}

}  // namespace
}  // namespace mirage
