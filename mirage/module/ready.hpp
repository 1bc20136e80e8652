// SPDX-License-Identifier: ISC
// An awaitable that is complete already: for operations that a device finishes at once.
#pragma once

#include <coroutine>
#include <utility>

namespace mirage {

template <class T>
class [[nodiscard]] Ready {
 public:
  explicit Ready(T value) noexcept : value_(std::move(value)) {}
  [[nodiscard]] bool await_ready() const noexcept { return true; }
  void await_suspend(std::coroutine_handle<>) const noexcept {}
  T await_resume() noexcept { return std::move(value_); }

 private:
  T value_;
};

}  // namespace mirage
