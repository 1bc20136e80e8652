// SPDX-License-Identifier: ISC
// The deadlines of a connection: one lazily re-armed timer that cancels the waits of the task that serves it. Reading
// and writing have one each: a body may still be read, by another task, while the answer goes out.
#pragma once

#include <utility>

#include <mirage/async/task.hpp>

namespace mirage::http {

/// What a connection waits for when its time runs out.
enum class Phase : std::uint8_t {
  idle,      ///< the next request
  head,      ///< the rest of a request's head
  transfer,  ///< progress of a body or a response
  linger,    ///< the peer's end of the connection
};

class DeadlineGuard : private Timer {
 public:
  explicit DeadlineGuard(Shard& shard) noexcept : Timer(&DeadlineGuard::expire), shard_(shard) {}

  /// Instead of enter(): calls `act(context)` once the time is over, for waits that belong to several tasks.
  void on_expiry(void* context, void (*act)(void*) noexcept) noexcept {
    context_ = context;
    act_ = act;
  }

  /// `co_await guard.enter()`: from here on the coroutine's waits, and those of the tasks that it awaits, end as
  /// cancelled once the time is over. The guard must outlive the coroutine.
  class [[nodiscard]] Enter {
   public:
    explicit Enter(DeadlineGuard& guard) noexcept : guard_(guard) {}
    [[nodiscard]] bool await_ready() const noexcept { return false; }
    template <class Promise>
    bool await_suspend(std::coroutine_handle<Promise> handle) const noexcept {
      TaskContext& context = handle.promise().context();
      guard_.source_.attach(context.cancel);
      context.cancel = &guard_.source_;
      return false;
    }
    void await_resume() const noexcept {}

   private:
    DeadlineGuard& guard_;
  };
  Enter enter() noexcept { return Enter{*this}; }

  void set_until(Time deadline, Phase phase) noexcept {
    phase_ = phase;
    set_one(reading_, deadline);
  }
  void set(Duration duration, Phase phase) noexcept { set_until(after(shard_.now(), duration), phase); }
  /// No deadline for reading: the handler is at work.
  void clear() noexcept { reading_ = never; }
  /// The peer has to take what is written within this time. In Phase::transfer.
  void set_writing(Duration duration) noexcept { set_one(writing_, after(shard_.now(), duration)); }
  /// What was left of that time.
  Duration clear_writing() noexcept { return std::exchange(writing_, never) - shard_.now(); }
  [[nodiscard]] bool expired() const noexcept { return expired_; }
  /// What ran out; else of the last deadline for reading.
  [[nodiscard]] Phase phase() const noexcept { return phase_; }

 private:
  static void expire(Timer& timer) noexcept {
    auto& self = static_cast<DeadlineGuard&>(timer);
    const Time due = self.writing_ < self.reading_ ? self.writing_ : self.reading_;
    if (due == never) return;
    if (self.shard_.now() < due) return self.arm(self.shard_.timers(), due);
    if (due == self.writing_) self.phase_ = Phase::transfer;
    self.expired_ = true;
    if (self.act_ != nullptr) self.act_(self.context_);
    self.source_.cancel();
  }
  /// Later deadlines do not touch the wheel: the timer re-arms itself when it fires too early.
  void set_one(Time& which, Time deadline) noexcept {
    which = deadline;
    if (!armed() || deadline < Timer::deadline()) arm(shard_.timers(), deadline);
  }
  Shard& shard_;
  Time reading_ = never;
  Time writing_ = never;
  Phase phase_ = Phase::idle;
  bool expired_ = false;
  CancelSource source_;
  void (*act_)(void*) noexcept = nullptr;
  void* context_ = nullptr;
};

}  // namespace mirage::http
