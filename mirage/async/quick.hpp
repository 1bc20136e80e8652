// SPDX-License-Identifier: ISC
// Quick<T>: a result that is there, or the task that will bring it. What a function can answer at once then costs no
// coroutine frame, and callers that cannot wait may look whether it did.
#pragma once

#include <optional>
#include <utility>

#include <mirage/async/task.hpp>

namespace mirage {

template <class T>
class [[nodiscard]] Quick {
 public:
  Quick(T value) noexcept : value_(std::move(value)) {}                   // NOLINT: implicit on purpose
  Quick(Task<T> task) noexcept : task_(std::move(task)), waits_(true) {}  // NOLINT

  [[nodiscard]] bool is_ready() const noexcept { return !waits_; }
  /// Precondition: is_ready(). Once.
  [[nodiscard]] T take() noexcept { return *std::move(value_); }

  class Awaiter {
   public:
    explicit Awaiter(Quick& from) noexcept : from_(from), inner_(std::move(from.task_).operator co_await()) {}
    [[nodiscard]] bool await_ready() const noexcept { return !from_.waits_ || inner_.await_ready(); }
    template <class Promise>
    std::coroutine_handle<> await_suspend(std::coroutine_handle<Promise> handle) noexcept {
      return inner_.await_suspend(handle);
    }
    T await_resume() noexcept { return from_.waits_ ? inner_.await_resume() : from_.take(); }

   private:
    Quick& from_;
    typename Task<T>::Awaiter inner_;
  };
  Awaiter operator co_await() noexcept { return Awaiter{*this}; }

 private:
  std::optional<T> value_;
  Task<T> task_;
  bool waits_ = false;
};

}  // namespace mirage
