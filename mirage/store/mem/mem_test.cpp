// SPDX-License-Identifier: ISC
#include <string>

#include <doctest/doctest.h>

#include <mirage/async/scope.hpp>
#include <mirage/module/check/kv.hpp>
#include <mirage/module/check/virtual_environment.hpp>
#include <mirage/store/mem/mem.hpp>

using namespace mirage;

static_assert(KvStore<store::Mem>);

TEST_CASE("mem: conforms") {
  check::VirtualEnvironment environment;
  Shard shard{environment};
  store::Mem mem{shard, 1 << 20};
  CHECK(run(shard, check::check_kv_rw(shard, mem)) == std::string_view{});
  CHECK(run(shard, check::check_kv_batch(shard, mem)) == std::string_view{});
  CHECK(run(shard, check::check_kv_snapshot(shard, mem)) == std::string_view{});
}

TEST_CASE("mem: the bound is a value, and what was there stays") {
  check::VirtualEnvironment environment;
  Shard shard{environment};
  store::Mem mem{shard, 4096};
  const std::string large(5000, 'x');
  const std::string small(100, 'y');
  CHECK(mem.set("a", as_bytes(small)).await_resume().has_value());
  CHECK(mem.set("a", as_bytes(large)).await_resume() == Result<void, KvError>{Failure{KvError::no_space}});
  CHECK(mem.set_partial("a", 100, as_bytes(large)).await_resume() == Result<void, KvError>{Failure{KvError::no_space}});
  CHECK(mem.info("a").await_resume()->size == 100);
  std::size_t kept = 0;
  while (mem.set(Text<16>{"k{}", kept}.view(), as_bytes(small)).await_resume()) ++kept;
  CHECK(kept > 15);
  CHECK(kept < 41);
  CHECK_FALSE(mem.snapshot().await_resume().has_value());
  CHECK(mem.remove("").await_resume().has_value());
  CHECK(mem.set("b", as_bytes(std::string_view{large}.substr(0, 3000))).await_resume().has_value());
}
