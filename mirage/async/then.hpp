// SPDX-License-Identifier: ISC
// then(): what is awaited goes to a function at once, and only what that returns to the coroutine. The value lives on
// the stack; in `use(co_await make())` it has a place in the coroutine's frame, as long as that lives, and a list of
// slices takes 448 bytes.
#pragma once

#include <coroutine>
#include <type_traits>
#include <utility>

namespace mirage {

namespace detail {

/// What `co_await make()` makes of a value: itself, or what its operator says.
template <class Awaitable>
struct AwaiterFor {
  template <class Make>
  explicit AwaiterFor(Make& make) noexcept : awaiter(make()) {}
  Awaitable awaiter;
};

template <class Awaitable>
  requires requires(Awaitable& from) { std::move(from).operator co_await(); }
struct AwaiterFor<Awaitable> {
  template <class Make>
  explicit AwaiterFor(Make& make) noexcept : from(make()), awaiter(std::move(from).operator co_await()) {}
  Awaitable from;
  decltype(std::declval<Awaitable>().operator co_await()) awaiter;
};

}  // namespace detail

template <class Make, class Use>
class [[nodiscard]] Then {
 public:
  Then(Make make, Use use) noexcept : inner_(make), use_(std::move(use)) {}
  [[nodiscard]] bool await_ready() noexcept { return inner_.awaiter.await_ready(); }
  template <class Promise>
  auto await_suspend(std::coroutine_handle<Promise> handle) noexcept {
    return inner_.awaiter.await_suspend(handle);
  }
  /// Not inlined: in a loop, what is inlined into a coroutine has its locals in the frame all the same.
  [[gnu::noinline]] auto await_resume() noexcept { return use_(inner_.awaiter.await_resume()); }

 private:
  detail::AwaiterFor<std::invoke_result_t<Make&>> inner_;
  [[no_unique_address]] Use use_;
};

/// `step = co_await then([&] { return flow.read(); }, [&](Result<SliceList, FlowError> got) { return fill(got); });`
/// `make` is called at once, `use` when the value is there.
template <class Make, class Use>
[[nodiscard]] Then<Make, Use> then(Make make, Use use) noexcept {
  return {std::move(make), std::move(use)};
}

}  // namespace mirage
