// SPDX-License-Identifier: ISC
#include <array>
#include <vector>

#include <doctest/doctest.h>

#include <mirage/async/channel.hpp>
#include <mirage/async/scope.hpp>
#include <mirage/async/sleep.hpp>
#include <mirage/async/then.hpp>
#include <mirage/base/result.hpp>

using namespace mirage;

namespace {

/// A clock that moves only when the shard waits.
class VirtualEnvironment final : public Environment {
 public:
  Time monotonic() noexcept override { return now; }
  WallTime wall() noexcept override { return WallTime{now.time_since_epoch()}; }
  bool entropy(MutableBytes out) noexcept override {
    for (auto& byte : out) byte = std::byte{7};
    return true;
  }
  void wait(Time deadline) noexcept override {
    REQUIRE(deadline != never);
    if (deadline > now) now = deadline;
    ++waits;
  }
  void write_console(std::string_view) noexcept override {}
  Time now{};
  int waits = 0;
};

Task<int> add(Shard&, int a, int b) { co_return a + b; }
Task<int> sum(Shard& shard) { co_return co_await add(shard, 1, 2) + co_await add(shard, 3, 4); }

Task<int> sleeper(Shard& shard, Duration d) {
  const Time before = shard.now();
  if (co_await sleep(d) == WaitStatus::cancelled) co_return -1;
  co_return shard.now() - before >= d ? 1 : 0;
}

Task<void> record(Shard&, std::vector<int>& out, int id, Duration d) {
  const auto status = co_await sleep(d);
  out.push_back(status == WaitStatus::done ? id : -id);
}

enum class E { no_memory, other };
Task<Result<int, E>> fallible(Shard&) { co_return 1; }

}  // namespace

TEST_CASE("tasks nest by symmetric transfer") {
  VirtualEnvironment environment;
  Shard shard{environment};
  CHECK(run(shard, sum(shard)) == 10);
  CHECK(shard.frames().statistics().frames == 0);
}

TEST_CASE("sleep takes at least its duration and no ticks") {
  VirtualEnvironment environment;
  Shard shard{environment};
  CHECK(run(shard, sleeper(shard, 3600s)) == 1);
  CHECK(environment.waits < 12);
}

TEST_CASE("a scope cancels its tasks and joins them") {
  VirtualEnvironment environment;
  Shard shard{environment};
  std::vector<int> order;
  auto body = [](Shard& s, std::vector<int>& out) -> Task<int> {
    Scope scope{s};
    CHECK(scope.spawn(record(s, out, 1, 5ms)));
    CHECK(scope.spawn(record(s, out, 2, 1ms)));
    CHECK(scope.spawn(record(s, out, 3, 1h)));
    co_await sleep(10ms);
    scope.cancel();
    CHECK_FALSE(scope.spawn(record(s, out, 4, 1ms)));
    co_await scope.join();
    co_return static_cast<int>(scope.running());
  };
  CHECK(run(shard, body(shard, order)) == 0);
  CHECK(order == std::vector<int>{2, 1, -3});
  CHECK(shard.timers().armed() == 0);
}

TEST_CASE("within() cancels what takes too long") {
  VirtualEnvironment environment;
  Shard shard{environment};
  auto body = [](Shard& s) -> Task<int> {
    const auto slow = co_await within(1ms, sleeper(s, 10s));
    const auto fast = co_await within(10s, sleeper(s, 1ms));
    co_return (slow ? 0 : 10) + fast.value_or(5);
  };
  CHECK(run(shard, body(shard)) == 11);
  CHECK(shard.timers().armed() == 0);
  CHECK(environment.now < Time{1s});
}

TEST_CASE("cancelling a task that joins a scope cancels the scope's tasks") {
  VirtualEnvironment environment;
  Shard shard{environment};
  std::vector<int> order;
  auto joiner = [](Shard& s, std::vector<int>& out) -> Task<int> {
    Scope scope{s};
    CHECK(scope.spawn(record(s, out, 7, 1h)));
    co_await scope.join();
    co_return 1;
  };
  auto body = [](Shard& s, std::vector<int>& out, auto& make) -> Task<int> {
    const auto outcome = co_await within(1ms, make(s, out));
    co_return outcome ? 1 : 0;
  };
  CHECK(run(shard, body(shard, order, joiner)) == 0);
  CHECK(order == std::vector<int>{-7});
  CHECK(environment.now < Time{1s});
}

TEST_CASE("a cancelled scope stays cancelled when it is joined: waits that its tasks begin later end at once") {
  VirtualEnvironment environment;
  Shard shard{environment};
  auto body = [](Shard& s) -> Task<int> {
    Scope scope{s};
    auto late = [](Shard&) -> Task<void> {
      co_await yield();  // cannot be cancelled
      (void)co_await sleep(1h);
    };
    CHECK(scope.spawn(late(s)));
    scope.cancel();
    co_await scope.join();
    co_return 1;
  };
  CHECK(run(shard, body(shard)) == 1);
  CHECK(environment.now < Time{1min});
}

TEST_CASE("channels hand over in order and end when closed") {
  VirtualEnvironment environment;
  Shard shard{environment};
  Channel<int, 2> channel;
  std::vector<int> got;
  auto producer = [](Shard&, Channel<int, 2>& c) -> Task<void> {
    for (int i = 0; i < 10; ++i) CHECK(co_await c.send(i));
    c.close();
  };
  auto consumer = [](Shard& s, Channel<int, 2>& c, std::vector<int>& out, auto& make) -> Task<int> {
    Scope scope{s};
    CHECK(scope.spawn(make(s, c)));
    while (auto value = co_await c.receive()) out.push_back(*value);
    co_await scope.join();
    co_return 0;
  };
  CHECK(run(shard, consumer(shard, channel, got, producer)) == 0);
  CHECK(got == std::vector<int>{0, 1, 2, 3, 4, 5, 6, 7, 8, 9});
}

TEST_CASE("sleeping until never ends by cancellation only") {
  VirtualEnvironment environment;
  Shard shard{environment};
  auto forever = [](Shard&) -> Task<int> { co_return co_await sleep_until(never) == WaitStatus::cancelled ? 1 : 0; };
  auto body = [](Shard& s, auto& make) -> Task<int> {
    Scope scope{s};
    int ended = 0;
    auto keep = [](Shard& sh, auto& inner, int& out) -> Task<void> { out = co_await inner(sh); };
    CHECK(scope.spawn(keep(s, make, ended)));
    co_await sleep(1h);
    CHECK(ended == 0);
    scope.cancel();
    co_await scope.join();
    co_return ended;
  };
  CHECK(run(shard, body(shard, forever)) == 1);
}

namespace {

/// Hands a value over in the very turn in which the time is over, before the timers are looked at.
struct Late final : Poller {
  Late(Shard& s, Channel<int, 1>& c, Time t) : shard(s), channel(c), time(t) {}
  bool poll() noexcept override {
    int value = 42;
    if (!sent && shard.now() >= time) sent = channel.try_send(value);
    return false;
  }
  Shard& shard;
  Channel<int, 1>& channel;
  Time time;
  bool sent = false;
};

}  // namespace

TEST_CASE("within() keeps what was complete when the time ran out") {
  VirtualEnvironment environment;
  Shard shard{environment};
  Channel<int, 1> channel;
  Late late{shard, channel, Time{1ms}};
  shard.add_poller(late);
  auto receive = [](Shard&, Channel<int, 1>& c) -> Task<int> { co_return (co_await c.receive()).value_or(-1); };
  auto body = [](Shard& s, Channel<int, 1>& c, auto& make) -> Task<int> {
    const auto value = co_await within(1ms, make(s, c));
    co_return value.value_or(-2);
  };
  CHECK(run(shard, body(shard, channel, receive)) == 42);
  CHECK(late.sent);
}

TEST_CASE("within() keeps what was complete although a shorter time within it had run out before") {
  VirtualEnvironment environment;
  Shard shard{environment};
  Channel<int, 1> channel;
  Late late{shard, channel, Time{10ms}};
  shard.add_poller(late);
  auto work = [](Shard& s, Channel<int, 1>& c) -> Task<int> {
    CHECK_FALSE(co_await within(1ms, sleeper(s, 1h)));
    co_return (co_await c.receive()).value_or(-1);
  };
  auto body = [](Shard& s, Channel<int, 1>& c, auto& make) -> Task<int> {
    const auto value = co_await within(10ms, make(s, c));
    co_return value.value_or(-2);
  };
  CHECK(run(shard, body(shard, channel, work)) == 42);
  CHECK(late.sent);
}

TEST_CASE("within() limits operations that are no tasks, as they stand") {
  VirtualEnvironment environment;
  Shard shard{environment};
  Channel<int, 1> channel;
  Late late{shard, channel, Time{10ms}};
  shard.add_poller(late);
  auto body = [](Shard&, Channel<int, 1>& c) -> Task<int> {
    CHECK_FALSE(co_await within(1ms, c.receive()));
    auto operation = c.receive();
    const auto value = co_await within(10ms, operation);
    CHECK(co_await within(1h, sleep(1ms)) == WaitStatus::done);
    co_return value ? value->value_or(-1) : -2;
  };
  CHECK(run(shard, body(shard, channel)) == 42);
  CHECK(shard.timers().armed() == 0);
  CHECK(environment.now < Time{1s});
}

TEST_CASE("within() an operation keeps what was complete when the time ran out, and heeds who gives up the task") {
  VirtualEnvironment environment;
  Shard shard{environment};
  Channel<int, 1> channel;
  Late late{shard, channel, Time{1ms}};
  shard.add_poller(late);
  auto keep = [](Shard&, Channel<int, 1>& c) -> Task<int> {
    const auto value = co_await within(1ms, c.receive());
    co_return value ? value->value_or(-1) : -2;
  };
  CHECK(run(shard, keep(shard, channel)) == 42);
  auto give_up = [](Shard& s) -> Task<int> {
    auto waiting = [](Shard&) -> Task<int> {
      const auto slept = co_await within(1h, sleep(2h));
      // The task itself is cancelled, and so is what it waits for next.
      co_return slept && *slept == WaitStatus::cancelled&& co_await sleep(2h) == WaitStatus::cancelled ? 1 : 0;
    };
    Scope scope{s};
    int result = -1;
    CHECK(scope.spawn(
        [](Shard&, Task<int> task, int& out) -> Task<void> { out = co_await std::move(task); }(s, waiting(s), result)));
    co_await sleep(1ms);
    scope.cancel();
    co_await scope.join();
    co_return result;
  };
  CHECK(run(shard, give_up(shard)) == 1);
  CHECK(shard.timers().armed() == 0);
}

TEST_CASE("within() times out when a scope below it was cut short") {
  VirtualEnvironment environment;
  Shard shard{environment};
  std::vector<int> order;
  auto joiner = [](Shard& s, std::vector<int>& out) -> Task<int> {
    Scope scope{s};
    CHECK(scope.spawn(record(s, out, 7, 1h)));
    co_await scope.join();
    co_return 1;
  };
  auto body = [](Shard& s, std::vector<int>& out, auto& make) -> Task<int> {
    co_return co_await within(1ms, make(s, out)) ? 1 : 0;
  };
  CHECK(run(shard, body(shard, order, joiner)) == 0);
}

TEST_CASE("frames of one size make room for those of another") {
  FramePool pool{16 * 1024};
  std::vector<void*> small;
  while (void* frame = pool.allocate(100)) small.push_back(frame);
  for (void* frame : small) FramePool::free(frame);
  CHECK(pool.statistics().bytes_in_use == 0);
  void* large = pool.allocate(8000);
  CHECK(large != nullptr);
  CHECK(pool.statistics().bytes_reserved <= 16 * 1024);
  FramePool::free(large);
}

namespace {
enum class Step { done, no_memory };
Task<Step> take_step(Shard&) { co_return Step::done; }
}  // namespace

TEST_CASE("awaiting a task without a frame yields the type's no_memory") {
  VirtualEnvironment environment;
  bool refused = false;
  std::vector<void*> taken;
  Shard shard{environment, {.buffer_bytes = 4096, .frame_bytes = 4096}};
  auto body = [](Shard& s, std::vector<void*>& frames, bool& out) -> Task<int> {
    while (void* frame = s.frames().allocate(64)) frames.push_back(frame);
    out = co_await take_step(s) == Step::no_memory;
    co_return 0;
  };
  CHECK(run(shard, body(shard, taken, refused)) == 0);
  CHECK(refused);
  for (void* frame : taken) FramePool::free(frame);
}

TEST_CASE("then() hands what is awaited to a function, whether it waits or not") {
  VirtualEnvironment environment;
  Shard shard{environment};
  auto body = [](Shard& s) -> Task<int> {
    const int task = co_await then([&] { return add(s, 1, 2); }, [](int sum) { return sum * 10; });
    Channel<int, 1> channel;
    int four = 4;
    CHECK(channel.try_send(four));
    auto receive = [&] { return channel.receive(); };
    const int there = co_await then(receive, [](std::optional<int> got) { return got.value_or(-1); });
    channel.close();
    const int closed = co_await then(receive, [](std::optional<int> got) { return got.value_or(-1); });
    const bool slept =
        co_await then([] { return sleep(5ms); }, [](WaitStatus status) { return status == WaitStatus::done; });
    co_return task + there + (closed == -1 && slept ? 100 : 0);
  };
  CHECK(run(shard, body(shard)) == 134);
  CHECK(environment.now >= Time{} + 5ms);
  CHECK(shard.frames().statistics().frames == 0);
}

TEST_CASE("a cancelled task's then() hears of it") {
  VirtualEnvironment environment;
  Shard shard{environment};
  auto waiter = [](Shard&, bool& cancelled) -> Task<void> {
    cancelled =
        co_await then([] { return sleep(60s); }, [](WaitStatus status) { return status == WaitStatus::cancelled; });
  };
  auto body = [&](Shard& s, bool& cancelled) -> Task<int> {
    Scope scope{s};
    CHECK(scope.spawn(waiter(s, cancelled)));
    co_await sleep(1ms);
    scope.cancel();
    co_await scope.join();
    co_return 0;
  };
  bool cancelled = false;
  CHECK(run(shard, body(shard, cancelled)) == 0);
  CHECK(cancelled);
  CHECK(environment.now < Time{} + 1s);
}

namespace {

struct Large {
  std::array<std::byte, 2048> bytes{};
};
struct GiveLarge {
  [[nodiscard]] static bool await_ready() noexcept { return true; }
  static void await_suspend(std::coroutine_handle<>) noexcept {}
  static Large await_resume() noexcept { return {}; }
};

}  // namespace

TEST_CASE("what then() hands on has no place in the coroutine's frame") {
  VirtualEnvironment environment;
  Shard shard{environment};
  auto body = [](Shard& s) -> Task<int> {
    std::size_t total = 0;
    for (int i = 0; i < 2; ++i) {
      total += co_await then([] { return GiveLarge{}; }, [](const Large& large) { return large.bytes.size(); });
      co_await sleep(1ms);
    }
    CHECK(total == 2 * sizeof(Large));
    CHECK(s.frames().statistics().bytes_in_use < sizeof(Large));
    co_return 0;
  };
  CHECK(run(shard, body(shard)) == 0);
}

TEST_CASE("no memory for a frame is a value") {
  VirtualEnvironment environment;
  Shard shard{environment, {.buffer_bytes = 4096, .frame_bytes = 64}};
  const Task<Result<int, E>> task = fallible(shard);
  CHECK_FALSE(task);
  CHECK(shard.frames().statistics().failures == 1);
}

TEST_CASE("the timer wheel fires everything once, in order, never early") {
  TimerWheel wheel;
  struct Probe : Timer {
    Probe() : Timer([](Timer& t) noexcept { static_cast<Probe&>(t).fired = true; }) {}
    bool fired = false;
  };
  std::vector<Probe> probes(2000);
  std::uint64_t x = 88172645463325252ULL;
  for (auto& probe : probes) {
    x ^= x << 13;
    x ^= x >> 7;
    x ^= x << 17;
    probe.arm(wheel, Time{Duration{static_cast<std::int64_t>(x % (std::uint64_t{1} << (10 + x % 40)))}});
  }
  Time last{};
  while (wheel.armed() > 0) {
    const Time next = wheel.next_deadline();
    REQUIRE(next != never);
    REQUIRE(next >= last);
    last = next;
    wheel.expire(next);
    // One assertion a round: of four million each by itself would take a minute.
    bool early = false;
    bool late = false;
    for (const auto& probe : probes) {
      early |= probe.fired && probe.deadline() > next;
      late |= !probe.fired && probe.deadline() + Duration{1 << TimerWheel::tick_shift} <= next;
    }
    REQUIRE_FALSE(early);
    REQUIRE_FALSE(late);
  }
  for (const auto& probe : probes) CHECK(probe.fired);
  CHECK(wheel.next_deadline() == never);
}

TEST_CASE("a timer that arms itself for the past runs once per call, however far the clock went ahead") {
  TimerWheel wheel;
  struct Eager : Timer {
    explicit Eager(TimerWheel& w)
        : Timer([](Timer& t) noexcept {
            auto& self = static_cast<Eager&>(t);
            ++self.count;
            self.arm(self.wheel, self.deadline() + 1us);
          }),
          wheel(w) {}
    TimerWheel& wheel;
    int count = 0;
  } eager{wheel};
  eager.arm(wheel, Time{1s});
  CHECK(wheel.expire(Time{1h}) == 1);
  CHECK(eager.count == 1);
  CHECK(wheel.expire(Time{1h + 1ms}) == 1);
  CHECK(wheel.next_deadline() > Time{1h});
}

TEST_CASE("a timer at never is armed and never due") {
  TimerWheel wheel;
  struct Probe : Timer {
    Probe() : Timer([](Timer&) noexcept { FAIL("fired"); }) {}
  } probe;
  probe.arm(wheel, never);
  CHECK(wheel.next_deadline() == never);
  CHECK(wheel.expire(never - 1s) == 0);
  CHECK(wheel.next_deadline() == never);
  CHECK(probe.armed());
  probe.disarm();
  CHECK(wheel.armed() == 0);
}

TEST_CASE("a callback may disarm and re-arm timers that are due in the same call") {
  TimerWheel wheel;
  struct Pair : Timer {
    explicit Pair(TimerWheel& w)
        : Timer([](Timer& t) noexcept {
            auto& self = static_cast<Pair&>(t);
            ++self.count;
            if (self.other != nullptr) self.other->disarm();
            if (self.count == 1) self.arm(self.wheel, Time{2s});
          }),
          wheel(w) {}
    TimerWheel& wheel;
    Pair* other = nullptr;
    int count = 0;
  };
  Pair first{wheel};
  Pair second{wheel};
  first.other = &second;
  first.arm(wheel, Time{1s});
  second.arm(wheel, Time{1s});
  CHECK(wheel.expire(Time{1s + 1ms}) == 1);
  CHECK(second.count == 0);
  CHECK(wheel.armed() == 1);
  CHECK(wheel.expire(Time{3s}) == 1);
  CHECK(wheel.armed() == 0);
}
