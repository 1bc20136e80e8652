// SPDX-License-Identifier: ISC
// Bounded channel between tasks of one shard; values are handed over directly, waits do not allocate.
#pragma once

#include <optional>
#include <utility>

#include <mirage/async/wait.hpp>
#include <mirage/base/ring.hpp>

namespace mirage {

template <class T, std::size_t Capacity>
class Channel {
 public:
  class [[nodiscard]] ReceiveAwaiter : public WaitBase {
   public:
    explicit ReceiveAwaiter(Channel& channel) noexcept : channel_(channel) {}
    [[nodiscard]] bool await_ready() noexcept {
      value_ = channel_.try_receive();
      return value_.has_value() || channel_.closed_;
    }
    template <class Promise>
    bool await_suspend(std::coroutine_handle<Promise> handle) noexcept {
      if (!prepare(handle, handle.promise().context())) return false;
      channel_.receivers_.push_back(*this);
      return true;
    }
    /// Nothing when the channel is closed and empty, or the task was cancelled.
    std::optional<T> await_resume() noexcept { return std::move(value_); }

   private:
    friend class Channel;
    Channel& channel_;
    std::optional<T> value_;
  };

  class [[nodiscard]] SendAwaiter : public WaitBase {
   public:
    SendAwaiter(Channel& channel, T value) noexcept : channel_(channel), value_(std::move(value)) {}
    [[nodiscard]] bool await_ready() noexcept {
      sent_ = channel_.try_send(value_);
      return sent_ || channel_.closed_;
    }
    template <class Promise>
    bool await_suspend(std::coroutine_handle<Promise> handle) noexcept {
      if (!prepare(handle, handle.promise().context())) return false;
      channel_.senders_.push_back(*this);
      return true;
    }
    /// False when the channel was closed or the task cancelled before the value was taken.
    bool await_resume() const noexcept { return sent_; }

   private:
    friend class Channel;
    Channel& channel_;
    T value_;
    bool sent_ = false;
  };

  ReceiveAwaiter receive() noexcept { return ReceiveAwaiter{*this}; }
  SendAwaiter send(T value) noexcept { return SendAwaiter{*this, std::move(value)}; }

  /// Takes the value only when it returns true.
  [[nodiscard]] bool try_send(T& value) noexcept {
    if (closed_) return false;
    if (Waiter* waiter = receivers_.front()) {
      static_cast<ReceiveAwaiter*>(waiter)->value_ = std::move(value);
      waiter->complete(WaitStatus::done);
      return true;
    }
    return ring_.push(std::move(value));
  }
  [[nodiscard]] std::optional<T> try_receive() noexcept {
    if (ring_.empty()) return std::nullopt;
    std::optional<T> value{ring_.pop()};
    if (Waiter* waiter = senders_.front()) {
      auto* sender = static_cast<SendAwaiter*>(waiter);
      sender->sent_ = ring_.push(std::move(sender->value_));
      sender->complete(WaitStatus::done);
    }
    return value;
  }
  /// No more values come in; those queued are still received.
  void close() noexcept {
    closed_ = true;
    while (Waiter* waiter = receivers_.front()) waiter->complete(WaitStatus::done);
    while (Waiter* waiter = senders_.front()) waiter->complete(WaitStatus::done);
  }
  [[nodiscard]] bool closed() const noexcept { return closed_; }
  [[nodiscard]] std::size_t size() const noexcept { return ring_.size(); }

 private:
  Ring<T, Capacity> ring_;
  List<Waiter> receivers_;
  List<Waiter> senders_;
  bool closed_ = false;
};

}  // namespace mirage
