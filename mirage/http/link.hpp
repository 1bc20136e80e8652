// SPDX-License-Identifier: ISC
// A flow with what has been received from it and what is to be written to it, under one deadline.
#pragma once

#include <algorithm>

#include <mirage/async/quick.hpp>
#include <mirage/async/then.hpp>
#include <mirage/base/time.hpp>
#include <mirage/http/deadline.hpp>
#include <mirage/http/input.hpp>
#include <mirage/http/output.hpp>
#include <mirage/module/flow.hpp>
#include <mirage/module/stack.hpp>

namespace mirage::http {

/// What a step of a connection leaves it in.
enum class Step : std::uint8_t {
  go_on,      ///< ready for the next request
  finish,     ///< the last answer has been collected; the peer may still be sending
  failed,     ///< the stream is at its end or the flow broken: nothing more can be said
  broken,     ///< failed, and the peer could take what it has got for the whole: reset
  no_memory,  ///< for a coroutine's frame or a buffer
};

/// Wakes a connection's task when another one has added to its output: only one task may write to a flow.
class Bell : private Waiter {
 public:
  explicit Bell(Shard& shard) noexcept : shard_(shard) {}
  void ring() noexcept {
    if (awaited_ == nullptr) return;
    std::exchange(awaited_, nullptr)->set_continuation({});
    shard_.start_later(*this, owner_);
  }

 private:
  template <class T>
  friend class Attended;
  Shard& shard_;
  detail::PromiseBase* awaited_ = nullptr;
  std::coroutine_handle<> owner_;
};

/// A task that a connection's task waits for, writing meanwhile what has been collected: before it, and by other tasks.
/// `while (!co_await task.wait()) { flush; }`. What has no need to wait leaves the output as it is.
template <class T>
class [[nodiscard]] Attended {
 public:
  Attended(Bell& bell, const Output& output, Task<T> task) noexcept
      : bell_(bell), output_(output), task_(std::move(task)) {}
  /// Another task instead of one that has ended.
  void begin(Task<T> task) noexcept {
    task_ = std::move(task);
    begun_ = false;
  }

  class [[nodiscard]] Wait {
   public:
    explicit Wait(Attended& of) noexcept : of_(of) {}
    [[nodiscard]] bool await_ready() const noexcept { return of_.ended(); }
    template <class Promise>
    bool await_suspend(std::coroutine_handle<Promise> owner) const noexcept {
      auto& task = of_.task_.handle().promise();
      if (!std::exchange(of_.begun_, true)) {
        task.context().cancel = owner.promise().context().cancel;
        of_.task_.handle().resume();
      }
      if (of_.ended() || !of_.output_.empty()) return false;
      task.set_continuation(owner);
      of_.bell_.awaited_ = &task;
      of_.bell_.owner_ = owner;
      return true;
    }
    [[nodiscard]] bool await_resume() const noexcept {
      of_.bell_.awaited_ = nullptr;
      return of_.ended();
    }

   private:
    Attended& of_;
  };
  /// True when the task has ended, false when there is something to write.
  Wait wait() noexcept { return Wait{*this}; }
  /// What the task has returned, in its frame; nullptr when there was no memory for that. Precondition: it has ended.
  [[nodiscard]] T* value() const noexcept { return task_ ? &task_.handle().promise().value() : nullptr; }

 private:
  [[nodiscard]] bool ended() const noexcept { return !task_ || task_.handle().done(); }
  Bell& bell_;
  const Output& output_;
  Task<T> task_;
  bool begun_ = false;
};

template <Flow F>
struct Link {
  /// Bytes that the flow has to take before the next deadline.
  static constexpr std::size_t piece = std::size_t{64} * 1024;

  /// `head`, `body`: the most bytes that a head and a body may have; `transfer`: the longest wait for a piece of
  /// either.
  Link(F from, std::uint32_t head, std::uint64_t body, Duration transfer) noexcept
      : flow(std::move(from)),
        maximum_body(body),
        transfer_timeout(transfer),
        patience(transfer),
        guard(flow.shard()),
        input(flow.shard().buffers(), head),
        output(flow.shard().buffers()),
        bell(flow.shard()) {}

  [[nodiscard]] Shard& shard() noexcept { return flow.shard(); }
  template <class T>
  [[nodiscard]] Attended<T> attend(Task<T> task) noexcept {
    return {bell, output, std::move(task)};
  }

  /// More bytes of the flow, given to `use` at once; what that returns goes to the coroutine.
  template <class Use>
  [[nodiscard]] auto read(Use use) noexcept {
    return then([this] { return flow.read(); }, std::move(use));
  }

  /// Writes what was collected; go_on or failed. What the flow takes at once needs no task.
  Quick<Step> flush() {
    [[clang::uninitialized]] SliceList pending = output.take();
    if constexpr (requires { flow.write_now(pending); }) flow.write_now(pending);
    if (!pending.empty()) return drain(std::move(pending));
    return Step::go_on;
  }

  Task<Step> drain(SliceList pending) {
    while (!pending.empty()) {
      const auto written = co_await flow.write(begin_piece(pending));
      end_piece();
      if (written) continue;
      flow.abort();  // what may follow would make no sense to the peer
      co_return Step::failed;
    }
    co_return Step::go_on;
  }

  /// What is to be written next of `pending`, and the peer's time for it: `transfer_timeout` for each `piece`, however
  /// small the parts are that it is written in. What it took has earned it time for what follows.
  [[nodiscard]] SliceList begin_piece(SliceList& pending) noexcept {
    [[clang::uninitialized]] SliceList next = pending.take_prefix(piece);
    guard.set_writing(patience);
    earned = transfer_timeout / piece * static_cast<std::int64_t>(next.byte_count());
    return next;
  }
  void end_piece() noexcept { patience = std::min(transfer_timeout, guard.clear_writing() + earned); }

  F flow;
  std::uint64_t maximum_body;
  Duration transfer_timeout;
  Duration patience;  // what is left of it for the peer to take what is written
  Duration earned{};  // once it has taken that
  DeadlineGuard guard;
  Input input;
  Output output;
  Bell bell;
};

}  // namespace mirage::http
