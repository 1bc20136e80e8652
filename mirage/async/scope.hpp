// SPDX-License-Identifier: ISC
// Structured concurrency: a Scope owns the tasks spawned into it; it is joined before it goes.
#pragma once

#include <cstddef>
#include <cstdlib>
#include <utility>

#include <mirage/async/task.hpp>

namespace mirage {

class Scope {
 public:
  explicit Scope(Shard& shard) noexcept : shard_(shard) {}
  /// Below `parent`: cancelled together with it.
  Scope(Shard& shard, CancelSource* parent) noexcept : shard_(shard), cancel_(parent) {}
  Scope(const Scope&) = delete;
  Scope& operator=(const Scope&) = delete;
  /// Precondition: no task is running (join() first).
  ~Scope() {
    if (running_ != 0) std::abort();
  }

  [[nodiscard]] Shard& shard() const noexcept { return shard_; }
  /// Starts the task in the next drain of the run queue. False when the task is empty (no memory) or the scope is
  /// cancelled; then nothing runs.
  [[nodiscard]] bool spawn(Task<void> task) noexcept {
    if (!task || cancel_.cancelled()) return false;
    const auto handle = task.release();
    detail::PromiseBase& promise = handle.promise();
    promise.context_.cancel = &cancel_;
    promise.scope_ = this;
    ++running_;
    shard_.start_later(promise.start_, handle);
    return true;
  }
  /// Asks every task to end: their waits return WaitStatus::cancelled.
  void cancel() noexcept { cancel_.cancel(); }
  [[nodiscard]] CancelSource& cancel_source() noexcept { return cancel_; }
  [[nodiscard]] std::size_t running() const noexcept { return running_; }

  /// Completes when no task runs. Cancelling the joining task cancels the scope's tasks; the join itself still waits
  /// for them, because they live in what the caller owns.
  class [[nodiscard]] Join : public WaitBase {
   public:
    explicit Join(Scope& scope) noexcept : scope_(scope) {}
    [[nodiscard]] bool await_ready() const noexcept { return scope_.running_ == 0; }
    template <class Promise>
    void await_suspend(std::coroutine_handle<Promise> handle) noexcept {
      const TaskContext& context = handle.promise().context();
      (void)prepare(handle, context, false);
      scope_.joining_.push_back(*this);
      scope_.follow(context.cancel);
    }
    void await_resume() const noexcept {}

   private:
    Scope& scope_;
  };
  Join join() noexcept { return Join{*this}; }

 private:
  friend class detail::PromiseBase;
  void follow(CancelSource* parent) noexcept {
    if (parent == nullptr || cancel_.linked()) return;
    if (parent->cancelled()) return cancel_.cancel();
    cancel_.attach(parent);
  }
  void finished() noexcept {
    if (--running_ != 0) return;
    while (Waiter* waiter = joining_.front()) waiter->complete(WaitStatus::done);
  }
  Shard& shard_;
  CancelSource cancel_;
  List<Waiter> joining_;
  std::size_t running_ = 0;
};

/// Runs `task` to its end in the shard's loop and returns its value: what main() does with a unikernel's jobs.
template <class T>
[[nodiscard]] std::optional<T> run(Shard& shard, Task<T> task) noexcept {
  if (!task) return std::nullopt;
  std::optional<T> value;
  bool finished = false;
  Scope scope{shard};
  auto outer = [](Shard&, Task<T> inner, std::optional<T>& result, bool& done) -> Task<void> {
    result.emplace(co_await std::move(inner));
    done = true;
  }(shard, std::move(task), value, finished);
  if (!scope.spawn(std::move(outer))) return std::nullopt;
  shard.run_until(finished);
  // The outer coroutine has set `done` in its last step; its frame ends with the drain that ran it.
  return value;
}

}  // namespace mirage
