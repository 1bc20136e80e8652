// SPDX-License-Identifier: ISC
// A fiber: a stack of its own on which blocking code runs, such as a C library that knows only calls that return when
// they are done. Inside, `fiber.wait(awaitable)` waits for what a coroutine would co_await; meanwhile the shard goes
// on.
//
//     const auto outcome = co_await run_on_fiber(fiber, work);   // work() runs on the fiber's stack
//
// It stands in async because it is a way of waiting: it needs the run queue and nothing of a device or a target. Its
// stack comes from mmap(2) and its guard from mprotect(2), which are libc's in a process and the runtime's in a guest
// (mirage/runtime/guest/libc.cpp), the machine's or the target's; where pages cannot be protected (stock solo5-spt),
// a pattern at the end of the stack is checked at every switch and ends the program when it is damaged.
//
// Cancellation is that of the task that awaits run_on_fiber(): waits inside see it as its own would (a wait that can
// be cancelled ends with its cancelled value, I/O of devices is not cut), cancelled() asks. The work always runs to its
// end: a stack full of C frames cannot be unwound.
#pragma once

#include <concepts>
#include <cstddef>
#include <cstdint>
#include <type_traits>

#include <mirage/async/task.hpp>

namespace mirage {

enum class FiberOutcome : std::uint8_t { finished, no_memory };

namespace detail {

using FiberDriver = std::coroutine_handle<Promise<FiberOutcome>>;

/// What the fiber waits for: an awaiter on its stack, without its type.
struct FiberWait {
  void* awaiter = nullptr;
  /// Suspends the driver in the awaiter's place; what to resume next.
  std::coroutine_handle<> (*suspend)(void* awaiter, FiberDriver driver) noexcept = nullptr;
};

template <class A>
std::coroutine_handle<> suspend_driver(void* awaiter, FiberDriver driver) noexcept {
  A& self = *static_cast<A*>(awaiter);
  using Suspended = decltype(self.await_suspend(driver));
  if constexpr (std::is_void_v<Suspended>) {
    self.await_suspend(driver);
    return std::noop_coroutine();
  } else if constexpr (std::same_as<Suspended, bool>) {
    return self.await_suspend(driver) ? std::coroutine_handle<>(std::noop_coroutine()) : driver;
  } else {
    return self.await_suspend(driver);
  }
}

}  // namespace detail

class Fiber {
 public:
  explicit Fiber(Shard& shard) noexcept : shard_(shard) {}
  Fiber(const Fiber&) = delete;
  Fiber& operator=(const Fiber&) = delete;
  /// Precondition: no work is on it.
  ~Fiber();
  [[nodiscard]] Shard& shard() const noexcept { return shard_; }

  /// Takes a stack of at least `bytes` and a guard below it. False: no memory. Once.
  [[nodiscard]] bool allocate(std::size_t bytes) noexcept;
  /// Whether an overrun faults at once, rather than being found at the next switch.
  [[nodiscard]] bool guarded() const noexcept { return guarded_; }
  /// Bytes of the stack that were ever written to, for choosing its size: walks the rest.
  [[nodiscard]] std::size_t high_water() const noexcept;

  /// On the fiber only: waits for a task or any awaitable; its result. Nothing is allocated, and nothing is switched
  /// when it is complete already. A temporary awaitable lives until its result is there.
  template <class A>
  auto wait(A&& awaitable) {
    if constexpr (requires { std::forward<A>(awaitable).operator co_await(); }) {
      auto awaiter = std::forward<A>(awaitable).operator co_await();
      return wait_in(awaiter);
    } else {
      return wait_in(awaitable);
    }
  }
  /// Whether code runs on the fiber now.
  [[nodiscard]] bool current() const noexcept { return current_; }
  /// On the fiber only: whether the awaiting task has been cancelled.
  [[nodiscard]] bool cancelled() const noexcept { return cancel_ != nullptr && cancel_->cancelled(); }

 private:
  template <class Work>
  friend Task<FiberOutcome> run_on_fiber(Fiber& fiber, Work& work);
  using Body = void (*)(void* work) noexcept;

  template <class A>
  auto wait_in(A& awaiter) {
    if (!awaiter.await_ready()) {
      const detail::FiberWait wait{&awaiter, detail::suspend_driver<A>};
      wait_ = &wait;
      switch_out(false);
    }
    return awaiter.await_resume();
  }

  /// Suspends the driver in what the fiber waits for.
  class Next {
   public:
    explicit Next(const detail::FiberWait& wait) noexcept : wait_(wait) {}
    [[nodiscard]] bool await_ready() const noexcept { return false; }
    [[nodiscard]] std::coroutine_handle<> await_suspend(detail::FiberDriver driver) const noexcept {
      return wait_.suspend(wait_.awaiter, driver);
    }
    void await_resume() const noexcept {}

   private:
    const detail::FiberWait& wait_;
  };
  /// Notes what cancels the driver.
  class Origin {
   public:
    explicit Origin(Fiber& fiber) noexcept : fiber_(fiber) {}
    [[nodiscard]] bool await_ready() const noexcept { return false; }
    [[nodiscard]] bool await_suspend(detail::FiberDriver driver) const noexcept {
      fiber_.cancel_ = driver.promise().context().cancel;
      return false;
    }
    void await_resume() const noexcept {}

   private:
    Fiber& fiber_;
  };

  static void enter(Fiber* fiber) noexcept;
  friend void enter_fiber(Fiber* fiber) noexcept;
  void begin(Body body, void* work) noexcept;
  /// Runs until the work waits or ends. True: it has ended.
  [[nodiscard]] bool resume() noexcept;
  void switch_out(bool finished) noexcept;
  void check_stack() const noexcept;

  Shard& shard_;
  std::byte* mapping_ = nullptr;
  std::size_t mapped_ = 0;
  std::byte* low_ = nullptr;  ///< lowest byte of the stack
  std::size_t size_ = 0;
  void* inside_ = nullptr;   ///< the fiber's stack pointer while it does not run
  void* outside_ = nullptr;  ///< the other one while it runs
  Body body_ = nullptr;
  void* work_ = nullptr;
  const detail::FiberWait* wait_ = nullptr;
  CancelSource* cancel_ = nullptr;
  bool guarded_ = false;
  bool busy_ = false;
  bool current_ = false;
  bool finished_ = false;
  // AddressSanitizer's account of the two stacks.
  void* fake_inside_ = nullptr;
  void* fake_outside_ = nullptr;
  const void* outside_low_ = nullptr;
  std::size_t outside_size_ = 0;
};

/// Runs work() on the fiber, to its end. One at a time: a second call while one is under way ends the program. `work`
/// belongs to the caller, must not throw, and may call fiber.wait().
template <class Work>
Task<FiberOutcome> run_on_fiber(Fiber& fiber, Work& work) {
  co_await Fiber::Origin{fiber};
  fiber.begin([](void* object) noexcept { (*static_cast<Work*>(object))(); }, &work);
  while (!fiber.resume()) co_await Fiber::Next{*fiber.wait_};
  co_return FiberOutcome::finished;
}

}  // namespace mirage
