// SPDX-License-Identifier: ISC
#include <array>
#include <csignal>
#include <string>

#include <doctest/doctest.h>
#include <sys/wait.h>
#include <unistd.h>

#include <mirage/async/fiber/fiber.hpp>
#include <mirage/async/scope.hpp>
#include <mirage/async/sleep.hpp>
#include <mirage/module/ready.hpp>

using namespace mirage;
using namespace std::chrono_literals;

namespace {

class Clock final : public Environment {
 public:
  Time now{};
  Time monotonic() noexcept override { return now; }
  WallTime wall() noexcept override { return {}; }
  bool entropy(MutableBytes) noexcept override { return false; }
  void wait(Time deadline) noexcept override {
    if (deadline != never && deadline > now) now = deadline;
  }
  void write_console(std::string_view) noexcept override {}
};

Task<std::expected<int, FiberOutcome>> add_later(Shard&, int a, int b) {
  co_await sleep(1ms);
  co_return a + b;
}

int deep(Fiber& fiber, int depth) {
  std::array<volatile char, 512> room{};
  room[static_cast<std::size_t>(depth) % room.size()] = static_cast<char>(depth);
  if (depth == 0) return fiber.wait(add_later(fiber.shard(), 1, 2)).value_or(-1);
  return deep(fiber, depth - 1) + room[static_cast<std::size_t>(depth) % room.size()] - static_cast<char>(depth);
}

}  // namespace

TEST_CASE("blocking code on a fiber waits for tasks while others run") {
  Clock environment;
  Shard shard{environment};
  Fiber first{shard};
  Fiber second{shard};
  REQUIRE(first.allocate(std::size_t{256} << 10));
  REQUIRE(second.allocate(std::size_t{256} << 10));
  CHECK(first.guarded());
  std::string order;
  auto work = [&order](Fiber& fiber, char name, Duration step) {
    return [&order, &fiber, name, step] {
      for (int i = 0; i < 3; ++i) {
        order += name;
        (void)fiber.wait(sleep(step));
      }
      order += deep(fiber, 40) == 3 ? '+' : '-';
    };
  };
  auto a = work(first, 'a', 10ms);
  auto b = work(second, 'b', 15ms);
  auto both = [](Shard& on, Fiber& one, Fiber& two, auto& left, auto& right) -> Task<bool> {
    Scope scope{on};
    auto start = [](Fiber& fiber, auto& body) -> Task<void> { (void)co_await run_on_fiber(fiber, body); };
    const bool spawned = scope.spawn(start(one, left)) && scope.spawn(start(two, right));
    co_await scope.join();
    co_return spawned;
  };
  CHECK(run(shard, both(shard, first, second, a, b)) == true);
  CHECK(order == "ababab++");
  CHECK(first.high_water() > 20000);
  CHECK(first.high_water() < (std::size_t{256} << 10));
}

TEST_CASE("what is complete does not switch, and a fiber is used again and again") {
  Clock environment;
  Shard shard{environment};
  Fiber fiber{shard};
  REQUIRE(fiber.allocate(65536));
  int sum = 0;
  for (int i = 0; i < 100; ++i) {
    auto work = [&] {
      CHECK(fiber.current());
      sum += fiber.wait(Ready<int>{1});
      if (i % 2 == 0) sum += fiber.wait(add_later(shard, 1, 1)).value_or(0);
    };
    CHECK(run(shard, run_on_fiber(fiber, work)) == FiberOutcome::finished);
  }
  CHECK(sum == 200);
  CHECK_FALSE(fiber.current());
}

TEST_CASE("cancellation reaches the waits inside, and the work runs to its end") {
  Clock environment;
  Shard shard{environment};
  Fiber fiber{shard};
  REQUIRE(fiber.allocate(65536));
  WaitStatus status = WaitStatus::pending;
  bool asked = false;
  bool ended = false;
  auto work = [&] {
    status = fiber.wait(sleep(1h));
    asked = fiber.cancelled();
    ended = true;
  };
  auto outer = [](Shard&, Fiber& on, auto& body) -> Task<FiberOutcome> { return run_on_fiber(on, body); };
  auto bounded = [](Shard& on, auto task) -> Task<bool> {
    const auto outcome = co_await within(1s, std::move(task));
    (void)on;
    co_return outcome.has_value();
  };
  CHECK(run(shard, bounded(shard, outer(shard, fiber, work))) == false);
  CHECK(status == WaitStatus::cancelled);
  CHECK(asked);
  CHECK(ended);
}

TEST_CASE("an overrun of the stack faults in its guard") {
  const pid_t child = ::fork();
  if (child == 0) {
    (void)::signal(SIGSEGV, SIG_DFL);  // the test framework and AddressSanitizer have handlers
    Clock environment;
    Shard shard{environment};
    Fiber fiber{shard};
    auto work = [&] { (void)deep(fiber, 100'000); };
    if (fiber.allocate(65536)) (void)run(shard, run_on_fiber(fiber, work));
    ::_exit(0);
  }
  int status = 0;
  REQUIRE(::waitpid(child, &status, 0) == child);
  REQUIRE(WIFSIGNALED(status));
  CHECK(WTERMSIG(status) == SIGSEGV);
}
