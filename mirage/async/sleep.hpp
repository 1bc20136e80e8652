// SPDX-License-Identifier: ISC
// Sleeping, timeouts, yielding. The shard is that of the awaiting task.
#pragma once

#include <expected>
#include <optional>

#include <mirage/async/task.hpp>

namespace mirage {

/// Awaiter of sleep(): done, or cancelled.
class SleepAwaiter : public WaitBase {
 public:
  explicit SleepAwaiter(Time deadline) noexcept : deadline_(deadline) {}
  explicit SleepAwaiter(Duration duration) noexcept : duration_(duration) {}
  template <class Promise>
  bool await_suspend(std::coroutine_handle<Promise> handle) noexcept {
    const TaskContext& context = handle.promise().context();
    if (!prepare(handle, context)) return false;
    timer_.owner = this;
    timer_.arm(context.shard->timers(), duration_ ? after(context.shard->now(), *duration_) : deadline_);
    return true;
  }
  WaitStatus await_resume() const noexcept { return status(); }

 private:
  struct Alarm : Timer {
    Alarm() noexcept
        : Timer([](Timer& timer) noexcept { static_cast<Alarm&>(timer).owner->complete(WaitStatus::done); }) {}
    Waiter* owner = nullptr;
  };
  Time deadline_{};
  std::optional<Duration> duration_;
  Alarm timer_;
};

/// `co_await sleep(1s);` at least `duration` of monotonic time.
[[nodiscard]] inline SleepAwaiter sleep(Duration duration) noexcept { return SleepAwaiter{duration}; }
/// `never` waits until the task is cancelled.
[[nodiscard]] inline SleepAwaiter sleep_until(Time deadline) noexcept { return SleepAwaiter{deadline}; }

/// Lets everything else that is ready run first.
class YieldAwaiter : public WaitBase {
 public:
  template <class Promise>
  void await_suspend(std::coroutine_handle<Promise> handle) noexcept {
    const TaskContext& context = handle.promise().context();
    (void)prepare(handle, context, false);
    context.shard->make_ready(*this);
  }
  void await_resume() const noexcept {}
};
[[nodiscard]] inline YieldAwaiter yield() noexcept { return {}; }

/// `Shard& shard = co_await this_shard();`
class ShardAwaiter {
 public:
  [[nodiscard]] bool await_ready() const noexcept { return false; }
  template <class Promise>
  bool await_suspend(std::coroutine_handle<Promise> handle) noexcept {
    context_ = handle.promise().context();
    return false;
  }
  [[nodiscard]] Shard& await_resume() const noexcept { return *context_.shard; }

 private:
  TaskContext context_;
};
[[nodiscard]] inline ShardAwaiter this_shard() noexcept { return {}; }

struct TimedOut {};

/// Awaiter of within(): the task's value, or TimedOut when a wait of it was cut short because time ran out.
template <class T>
class [[nodiscard]] TimeoutAwaiter {
 public:
  TimeoutAwaiter(Duration duration, Task<T> task) noexcept : duration_(duration), task_(std::move(task)) {}
  TimeoutAwaiter(const TimeoutAwaiter&) = delete;
  TimeoutAwaiter& operator=(const TimeoutAwaiter&) = delete;
  [[nodiscard]] bool await_ready() const noexcept { return !task_; }
  template <class Promise>
  std::coroutine_handle<> await_suspend(std::coroutine_handle<Promise> handle) noexcept {
    const TaskContext& outer = handle.promise().context();
    source_.attach(outer.cancel);
    alarm_.source = &source_;
    alarm_.arm(outer.shard->timers(), after(outer.shard->now(), duration_));
    auto& promise = task_.handle().promise();
    promise.context().cancel = &source_;
    promise.set_continuation(handle);
    return task_.handle();
  }
  std::expected<T, TimedOut> await_resume() noexcept {
    alarm_.disarm();
    // What was complete when the time ran out is not thrown away: it may be data that nobody else has.
    if (alarm_.fired && source_.observed()) return std::unexpected(TimedOut{});
    if constexpr (std::is_void_v<T>) {
      if (!task_) detail::NoMemory<T>::value();
      return {};
    } else {
      return task_ ? task_.handle().promise().take() : detail::NoMemory<T>::value();
    }
  }

 private:
  struct Alarm : Timer {
    Alarm() noexcept
        : Timer([](Timer& timer) noexcept {
            auto& alarm = static_cast<Alarm&>(timer);
            alarm.fired = true;
            alarm.source->cancel();
          }) {}
    CancelSource* source = nullptr;
    bool fired = false;
  };
  Duration duration_;
  Task<T> task_;
  CancelSource source_;
  Alarm alarm_;
};

/// `auto value = co_await within(5s, read_request(flow));` cancels the task when the time is over, waits for its end.
template <class T>
[[nodiscard]] TimeoutAwaiter<T> within(Duration duration, Task<T> task) noexcept {
  return {duration, std::move(task)};
}

}  // namespace mirage
