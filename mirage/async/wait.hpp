// SPDX-License-Identifier: ISC
// Waiting and cancellation. A Waiter lives in an awaiter, that is in a coroutine frame: no wait allocates.
//
// Cancellation is cooperative and structured: a CancelSource belongs to a scope or a timeout; cancelling it completes
// every cancellable wait of the tasks below with WaitStatus::cancelled, and every later wait at once. Waits on devices
// that hold a buffer are not cancellable: they end when the device has given the buffer back.
#pragma once

#include <coroutine>
#include <cstdint>

#include <mirage/base/list.hpp>

namespace mirage {

class Shard;
struct CancelTag;
struct SourceTag;

enum class WaitStatus : std::uint8_t { pending, done, cancelled };

/// A suspended coroutine: queued where it waits, later in the run queue; in at most one queue at a time.
class Waiter : public ListNode<>, public ListNode<CancelTag> {
 public:
  /// Ends the wait: leaves the queue it waits in, becomes ready. Later calls do nothing.
  void complete(WaitStatus status) noexcept;
  [[nodiscard]] WaitStatus status() const noexcept { return status_; }

 private:
  friend class Shard;
  friend class WaitBase;
  std::coroutine_handle<> handle_;
  Shard* shard_ = nullptr;
  WaitStatus status_ = WaitStatus::pending;
};

/// Origin of cancellation for the tasks below it.
class CancelSource : public ListNode<SourceTag> {
 public:
  CancelSource() noexcept = default;
  /// Below `parent`: cancelling the parent cancels this one too.
  explicit CancelSource(CancelSource* parent) noexcept { attach(parent); }
  void attach(CancelSource* parent) noexcept {
    if (parent == nullptr) return;
    parent->children_.push_back(*this);
    parent_ = parent;
    cancelled_ = cancelled_ || parent->cancelled_;
  }
  [[nodiscard]] bool cancelled() const noexcept { return cancelled_; }
  /// Whether any wait below this source has been cut short or refused: a task that ended without one did its work.
  [[nodiscard]] bool observed() const noexcept { return observed_; }
  void cancel() noexcept;

 private:
  friend class WaitBase;
  void observe() noexcept {
    observed_ = true;
    // What ended by this source alone is nothing that the parent cut short. A parent that has gone has unlinked this.
    if (linked() && parent_->cancelled_) parent_->observe();
  }
  bool cancelled_ = false;
  bool observed_ = false;
  CancelSource* parent_ = nullptr;
  List<Waiter, CancelTag> waiters_;
  List<CancelSource, SourceTag> children_;
};

/// What a task inherits from the one that awaits it.
struct TaskContext {
  Shard* shard = nullptr;
  CancelSource* cancel = nullptr;
};

/// Base of awaiters that wait in a queue or for a callback.
class WaitBase : public Waiter {
 public:
  [[nodiscard]] bool await_ready() const noexcept { return false; }

 protected:
  /// Prepares the wait; false when the task is cancelled already (then nothing was queued: resume at once).
  bool prepare(std::coroutine_handle<> handle, const TaskContext& context, bool cancellable = true) noexcept {
    handle_ = handle;
    shard_ = context.shard;
    status_ = WaitStatus::pending;
    if (!cancellable || context.cancel == nullptr) return true;
    if (context.cancel->cancelled()) {
      context.cancel->observe();
      status_ = WaitStatus::cancelled;
      return false;
    }
    context.cancel->waiters_.push_back(*this);
    return true;
  }
};

/// Coroutines that wait for a condition; first come, first served. Callers re-check the condition after waiting.
class WaitQueue {
 public:
  class [[nodiscard]] Awaiter : public WaitBase {
   public:
    explicit Awaiter(WaitQueue& queue) noexcept : queue_(queue) {}
    template <class Promise>
    bool await_suspend(std::coroutine_handle<Promise> handle) noexcept {
      if (!prepare(handle, handle.promise().context())) return false;
      queue_.waiters_.push_back(*this);
      return true;
    }
    /// done or cancelled
    WaitStatus await_resume() const noexcept { return status(); }

   private:
    WaitQueue& queue_;
  };

  Awaiter wait() noexcept { return Awaiter{*this}; }
  /// True when somebody was waiting.
  bool notify_one() noexcept {
    Waiter* waiter = waiters_.front();
    if (waiter == nullptr) return false;
    waiter->complete(WaitStatus::done);
    return true;
  }
  void notify_all() noexcept {
    while (notify_one()) {
    }
  }
  [[nodiscard]] bool empty() const noexcept { return waiters_.empty(); }

 private:
  List<Waiter> waiters_;
};

}  // namespace mirage
