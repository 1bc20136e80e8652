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

namespace detail {

/// A limit in time of what waits below `source_`.
class TimeLimit {
 public:
  TimeLimit(const TimeLimit&) = delete;
  TimeLimit& operator=(const TimeLimit&) = delete;

 protected:
  explicit TimeLimit(Duration duration) noexcept : duration_(duration) {}
  [[nodiscard]] CancelSource* begin(const TaskContext& outer) noexcept {
    source_.attach(outer.cancel);
    alarm_.source = &source_;
    alarm_.arm(outer.shard->timers(), after(outer.shard->now(), duration_));
    return &source_;
  }
  /// Whether a wait was cut short. What was complete when the time ran out is not thrown away: it may be data that
  /// nobody else has.
  [[nodiscard]] bool end() noexcept {
    alarm_.disarm();
    return alarm_.fired && source_.observed();
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
  CancelSource source_;
  Alarm alarm_;
};

}  // namespace detail

/// Awaiter of within(): the task's value, or TimedOut when a wait of it was cut short because time ran out.
template <class T>
class [[nodiscard]] TimeoutAwaiter : detail::TimeLimit {
 public:
  TimeoutAwaiter(Duration duration, Task<T> task) noexcept : TimeLimit(duration), task_(std::move(task)) {}
  [[nodiscard]] bool await_ready() const noexcept { return !task_; }
  template <class Promise>
  std::coroutine_handle<> await_suspend(std::coroutine_handle<Promise> handle) noexcept {
    auto& promise = task_.handle().promise();
    promise.context().cancel = begin(handle.promise().context());
    promise.set_continuation(handle);
    return task_.handle();
  }
  std::expected<T, TimedOut> await_resume() noexcept {
    if (end()) return std::unexpected(TimedOut{});
    if constexpr (std::is_void_v<T>) {
      if (!task_) detail::NoMemory<T>::value();
      return {};
    } else {
      return task_ ? task_.handle().promise().take() : detail::NoMemory<T>::value();
    }
  }

 private:
  Task<T> task_;
};

/// `auto value = co_await within(5s, read_request(flow));` cancels the task when the time is over, waits for its end.
template <class T>
[[nodiscard]] TimeoutAwaiter<T> within(Duration duration, Task<T> task) noexcept {
  return {duration, std::move(task)};
}

/// The same of an operation that is no task, which must outlive it.
template <class Operation>
class [[nodiscard]] OperationTimeoutAwaiter : detail::TimeLimit {
 public:
  OperationTimeoutAwaiter(Duration duration, Operation& operation) noexcept
      : TimeLimit(duration), operation_(operation) {}
  [[nodiscard]] bool await_ready() const noexcept { return operation_.await_ready(); }
  template <class Promise>
  auto await_suspend(std::coroutine_handle<Promise> handle) noexcept {
    // The operation waits below whatever the task waits below when it begins.
    TaskContext& context = handle.promise().context();
    CancelSource* const outer = std::exchange(context.cancel, begin(context));
    if constexpr (std::is_void_v<decltype(operation_.await_suspend(handle))>) {
      operation_.await_suspend(handle);
      context.cancel = outer;
    } else {
      const auto next = operation_.await_suspend(handle);
      context.cancel = outer;
      return next;
    }
  }
  auto await_resume() noexcept -> std::expected<decltype(std::declval<Operation&>().await_resume()), TimedOut> {
    if (end()) return std::unexpected(TimedOut{});
    if constexpr (std::is_void_v<decltype(operation_.await_resume())>) {
      operation_.await_resume();
      return {};
    } else {
      return operation_.await_resume();
    }
  }

 private:
  Operation& operation_;
};

/// `auto received = co_await within(5s, flow.read());`
template <class Operation>
  requires requires(std::remove_reference_t<Operation>& operation) {
    operation.await_ready();
    operation.await_resume();
  }
[[nodiscard]] OperationTimeoutAwaiter<std::remove_reference_t<Operation>> within(Duration duration,
                                                                                 Operation&& operation
                                                                                 [[clang::lifetimebound]]) noexcept {
  return {duration, operation};
}

}  // namespace mirage
