// SPDX-License-Identifier: ISC
// Task<T>: a lazy coroutine with symmetric transfer.
//
// Frames come from the shard's FramePool: a coroutine's parameters must include something that carries its shard (a
// Shard&, or an object with shard()), otherwise it does not compile. When the pool is exhausted the call returns an
// empty task: awaiting it yields E::no_memory for Task<Result<T, E>> whose E has that enumerator, and T::no_memory or
// T::no_memory() for Task<T> of a type that has it; spawning it is refused. Awaiting an empty task of another type
// ends the program: work that peers can multiply must use a type that says no_memory. Admission (FramePool::admits)
// keeps a reserve so that running work seldom meets the bound.
#pragma once

#include <coroutine>
#include <cstdlib>
#include <expected>
#include <optional>
#include <type_traits>
#include <utility>

#include <mirage/async/shard.hpp>

namespace mirage {

template <class T = void>
class Task;
class Scope;

namespace detail {

/// Carries the shard of the first parameter that has one.
template <class First, class... Rest>
[[nodiscard]] Shard& find_shard(First& first, Rest&... rest) noexcept {
  if constexpr (CarriesShard<First>) {
    return shard_of(first);
  } else {
    return find_shard(rest...);
  }
}

class PromiseBase {
 public:
  template <class... Arguments>
    requires(CarriesShard<Arguments> || ...)
  explicit PromiseBase(Arguments&... arguments) noexcept {
    context_.shard = &find_shard(arguments...);
  }
  /// Else it does not compile, and the compiler says why.
  template <class... Arguments>
  explicit PromiseBase(Arguments&...) noexcept {
    static_assert((CarriesShard<Arguments> || ...),
                  "a task's frame lies in its shard: one of the coroutine's parameters must carry that, such as "
                  "`const Keys& keys` or `mirage::Shard& shard` (doc/application.md)");
  }
  PromiseBase(const PromiseBase&) = delete;
  PromiseBase& operator=(const PromiseBase&) = delete;

  template <class... Arguments>
    requires(CarriesShard<Arguments> || ...)
  static void* operator new(std::size_t size, Arguments&... arguments) noexcept {
    return find_shard(arguments...).frames().allocate(size);
  }
  static void* operator new(std::size_t) = delete;  // a parameter must carry the shard
  static void operator delete(void* frame) noexcept { FramePool::free(frame); }

  std::suspend_always initial_suspend() const noexcept { return {}; }
  [[noreturn]] void unhandled_exception() const noexcept { std::abort(); }

  [[nodiscard]] TaskContext& context() noexcept { return context_; }
  void set_continuation(std::coroutine_handle<> continuation) noexcept { continuation_ = continuation; }

  struct FinalAwaiter {
    [[nodiscard]] bool await_ready() const noexcept { return false; }
    template <class Promise>
    std::coroutine_handle<> await_suspend(std::coroutine_handle<Promise> finished) const noexcept {
      PromiseBase& promise = finished.promise();
      if (promise.scope_ != nullptr) {
        Scope& scope = *promise.scope_;
        finished.destroy();
        child_finished(scope);
        return std::noop_coroutine();
      }
      return promise.continuation_ ? promise.continuation_ : std::noop_coroutine();
    }
    void await_resume() const noexcept {}
  };
  [[nodiscard]] FinalAwaiter final_suspend() const noexcept { return {}; }

 private:
  friend class mirage::Scope;
  static void child_finished(Scope& scope) noexcept;
  TaskContext context_;
  std::coroutine_handle<> continuation_;
  Scope* scope_ = nullptr;  // set for a spawned task: it owns itself
  Waiter start_;
};

template <class T>
class Promise : public PromiseBase {
 public:
  using PromiseBase::PromiseBase;
  [[nodiscard]] Task<T> get_return_object() noexcept;
  [[nodiscard]] static Task<T> get_return_object_on_allocation_failure() noexcept;
  template <class U>
    requires std::constructible_from<T, U&&>
  void return_value(U&& value) noexcept {
    value_.emplace(std::forward<U>(value));
  }
  [[nodiscard]] T take() noexcept { return *std::move(value_); }
  /// Precondition: the task has ended.
  [[nodiscard]] T& value() noexcept { return *value_; }

 private:
  std::optional<T> value_;
};

template <>
class Promise<void> : public PromiseBase {
 public:
  using PromiseBase::PromiseBase;
  [[nodiscard]] Task<void> get_return_object() noexcept;
  [[nodiscard]] static Task<void> get_return_object_on_allocation_failure() noexcept;
  void return_void() const noexcept {}
  void take() const noexcept {}
};

template <class T>
struct NoMemory {
  [[noreturn]] static T value() noexcept { std::abort(); }
};
template <class T, class E>
  requires requires { E::no_memory; }
struct NoMemory<std::expected<T, E>> {
  static std::expected<T, E> value() noexcept { return std::unexpected(E::no_memory); }
};
template <class T>
  requires requires {
    { T::no_memory } -> std::convertible_to<T>;
  }
struct NoMemory<T> {
  static T value() noexcept { return T::no_memory; }
};
template <class T>
  requires requires {
    { T::no_memory() } -> std::same_as<T>;
  }
struct NoMemory<T> {
  static T value() noexcept { return T::no_memory(); }
};

}  // namespace detail

template <class T>
class [[nodiscard]] Task {
 public:
  using promise_type = detail::Promise<T>;
  using Handle = std::coroutine_handle<promise_type>;

  Task() noexcept = default;
  explicit Task(Handle handle) noexcept : handle_(handle) {}
  Task(Task&& other) noexcept : handle_(std::exchange(other.handle_, nullptr)) {}
  Task& operator=(Task&& other) noexcept {
    std::swap(handle_, other.handle_);
    return *this;
  }
  ~Task() {
    if (handle_) handle_.destroy();
  }
  /// False when there was no memory for the frame.
  [[nodiscard]] explicit operator bool() const noexcept { return static_cast<bool>(handle_); }
  [[nodiscard]] Handle handle() const noexcept { return handle_; }
  /// Gives up ownership of the frame.
  [[nodiscard]] Handle release() noexcept { return std::exchange(handle_, nullptr); }

  class [[nodiscard]] Awaiter {
   public:
    explicit Awaiter(Handle handle) noexcept : handle_(handle) {}
    [[nodiscard]] bool await_ready() const noexcept { return !handle_; }
    template <class Promise>
    std::coroutine_handle<> await_suspend(std::coroutine_handle<Promise> awaiting) noexcept {
      handle_.promise().context().cancel = awaiting.promise().context().cancel;
      handle_.promise().set_continuation(awaiting);
      return handle_;
    }
    T await_resume() noexcept {
      if (!handle_) return detail::NoMemory<T>::value();
      return handle_.promise().take();
    }

   private:
    Handle handle_;
  };
  Awaiter operator co_await() && noexcept { return Awaiter{handle_}; }

 private:
  Handle handle_;
};

template <class T>
Task<T> detail::Promise<T>::get_return_object() noexcept {
  return Task<T>{std::coroutine_handle<Promise>::from_promise(*this)};
}
template <class T>
Task<T> detail::Promise<T>::get_return_object_on_allocation_failure() noexcept {
  return {};
}
inline Task<void> detail::Promise<void>::get_return_object() noexcept {
  return Task<void>{std::coroutine_handle<Promise>::from_promise(*this)};
}
inline Task<void> detail::Promise<void>::get_return_object_on_allocation_failure() noexcept { return {}; }

}  // namespace mirage
