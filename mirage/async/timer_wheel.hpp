// SPDX-License-Identifier: ISC
// Hierarchical timer wheel (Varghese and Lauck 1987): O(1) arm and cancel, next_deadline() in O(1), no ticking when
// idle. Ticks are 2^14 ns (16.4 us), deadlines are rounded up to the next tick: a timer never fires early.
#pragma once

#include <array>
#include <cstdint>

#include <mirage/base/list.hpp>
#include <mirage/base/time.hpp>

namespace mirage {

class TimerWheel;
struct TimerTag;

/// A timer; lives in the object that it serves. Disarms itself when destroyed.
class Timer : public ListNode<TimerTag> {
 public:
  using Function = void (*)(Timer&) noexcept;
  explicit Timer(Function expired) noexcept : expired_(expired) {}
  ~Timer() { disarm(); }
  /// (Re)arms for `deadline`; one in the past fires in the next turn.
  void arm(TimerWheel& wheel, Time deadline) noexcept;
  void disarm() noexcept;
  [[nodiscard]] bool armed() const noexcept { return wheel_ != nullptr; }
  [[nodiscard]] Time deadline() const noexcept { return deadline_; }

 private:
  friend class TimerWheel;
  Function expired_;
  TimerWheel* wheel_ = nullptr;
  Time deadline_{};
  std::uint64_t tick_ = 0;
  std::uint8_t level_ = 0;
  std::uint8_t slot_ = 0;
};

class TimerWheel {
 public:
  static constexpr unsigned tick_shift = 14;

  /// Runs every timer due at `now`, in order of tick and of arming within a tick. Timers armed meanwhile for the past
  /// run in the next call. Returns how many ran.
  std::size_t expire(Time now) noexcept;
  /// A lower bound for when expire() has something to do; exact to a tick when it is near; `never` when none is armed.
  [[nodiscard]] Time next_deadline() const noexcept;
  [[nodiscard]] std::size_t armed() const noexcept { return armed_; }

 private:
  friend class Timer;
  static constexpr unsigned slot_bits = 6;
  static constexpr unsigned slots = 1U << slot_bits;
  static constexpr unsigned levels = 9;  // 14 + 6 * 9 bits: more than 63
  struct Level {
    std::uint64_t occupied = 0;
    std::array<List<Timer, TimerTag>, slots> lists;
  };
  struct Place {
    unsigned level;
    unsigned slot;
    std::uint64_t tick;  // when the slot begins
  };
  void insert(Timer& timer) noexcept;
  void remove(Timer& timer) noexcept;
  [[nodiscard]] bool first_place(Place& place) const noexcept;
  void take_slot(const Place& place, List<Timer, TimerTag>& due) noexcept;

  std::uint64_t current_ = 0;  // the wheel's position: everything up to this tick has run
  std::uint64_t passed_ = 0;   // the tick that expire() moves to or has moved to; not before current_
  std::size_t armed_ = 0;
  std::array<Level, levels> levels_;
};

}  // namespace mirage
