// SPDX-License-Identifier: ISC
// Waiting within layers of blocks: operations on blocks are never cancelled halfway, so neither is this.
#pragma once

#include <mirage/async/task.hpp>
#include <mirage/async/wait.hpp>

namespace mirage {

/// Coroutines that wait until something has changed; they look again themselves.
class BlockWaiters {
 public:
  class [[nodiscard]] Awaiter : public WaitBase {
   public:
    explicit Awaiter(List<Waiter>& list) noexcept : list_(list) {}
    template <class Promise>
    void await_suspend(std::coroutine_handle<Promise> handle) noexcept {
      (void)prepare(handle, handle.promise().context(), false);
      list_.push_back(*this);
    }
    void await_resume() const noexcept {}

   private:
    List<Waiter>& list_;
  };
  Awaiter wait() noexcept { return Awaiter{waiters_}; }
  [[nodiscard]] bool empty() const noexcept { return waiters_.empty(); }
  void wake_all() noexcept {
    while (Waiter* waiter = waiters_.front()) waiter->complete(WaitStatus::done);
  }

 private:
  List<Waiter> waiters_;
};

}  // namespace mirage
