// SPDX-License-Identifier: ISC
#include <bit>

#include <mirage/async/timer_wheel.hpp>

namespace mirage {

void Timer::arm(TimerWheel& wheel, Time deadline) noexcept {
  disarm();
  deadline_ = deadline;
  const std::int64_t count = deadline.time_since_epoch().count();
  const auto nanoseconds = static_cast<std::uint64_t>(count < 0 ? 0 : count);
  tick_ = (nanoseconds + (1U << TimerWheel::tick_shift) - 1) >> TimerWheel::tick_shift;
  // A tick that has passed becomes the next one: expire() meets it, and a callback that arms for the past cannot keep
  // expire() busy while the wheel catches up with a clock that went far ahead.
  if (tick_ <= wheel.passed_) tick_ = wheel.passed_ + 1;
  wheel_ = &wheel;
  wheel.insert(*this);
  ++wheel.armed_;
}

void Timer::disarm() noexcept {
  if (wheel_ == nullptr) return;
  wheel_->remove(*this);
  --wheel_->armed_;
  wheel_ = nullptr;
}

void TimerWheel::insert(Timer& timer) noexcept {
  const std::uint64_t tick = timer.tick_;  // beyond current_
  // The highest bit in which the tick differs from now chooses the level: everything in a lower level is due earlier.
  const unsigned bit = 63U - static_cast<unsigned>(std::countl_zero((tick ^ current_) | (slots - 1)));
  const unsigned level = bit / slot_bits;
  const unsigned slot = static_cast<unsigned>(tick >> (level * slot_bits)) & (slots - 1);
  timer.level_ = static_cast<std::uint8_t>(level);
  timer.slot_ = static_cast<std::uint8_t>(slot);
  levels_[level].lists[slot].push_back(timer);
  levels_[level].occupied |= std::uint64_t{1} << slot;
}

void TimerWheel::remove(Timer& timer) noexcept {
  if (!timer.linked()) return;
  timer.unlink();
  Level& level = levels_[timer.level_];
  if (level.lists[timer.slot_].empty()) level.occupied &= ~(std::uint64_t{1} << timer.slot_);
}

bool TimerWheel::first_place(Place& place) const noexcept {
  for (unsigned level = 0; level < levels; ++level) {
    const std::uint64_t occupied = levels_[level].occupied;
    if (occupied == 0) continue;
    // Slots of a level are ahead of the current position within the same turn of that level.
    const auto slot = static_cast<unsigned>(std::countr_zero(occupied));
    const unsigned shift = level * slot_bits;
    const std::uint64_t turn = shift + slot_bits >= 64 ? 0 : current_ >> (shift + slot_bits) << (shift + slot_bits);
    place = {level, slot, turn | std::uint64_t{slot} << shift};
    return true;
  }
  return false;
}

Time TimerWheel::next_deadline() const noexcept {
  Place place{};
  if (!first_place(place)) return never;
  if (place.tick > static_cast<std::uint64_t>(INT64_MAX) >> tick_shift) return never;
  return Time{Duration{static_cast<std::int64_t>(place.tick << tick_shift)}};
}

void TimerWheel::take_slot(const Place& place, List<Timer, TimerTag>& due) noexcept {
  Level& level = levels_[place.level];
  List<Timer, TimerTag>& list = level.lists[place.slot];
  level.occupied &= ~(std::uint64_t{1} << place.slot);
  if (place.level == 0) return due.splice_back(list);
  List<Timer, TimerTag> cascade;
  cascade.splice_back(list);
  while (Timer* timer = cascade.pop_front()) {
    if (timer->tick_ <= current_) {
      due.push_back(*timer);
    } else {
      insert(*timer);
    }
  }
}

std::size_t TimerWheel::expire(Time now) noexcept {
  const std::int64_t nanoseconds = now.time_since_epoch().count();
  const auto tick = static_cast<std::uint64_t>(nanoseconds < 0 ? 0 : nanoseconds) >> tick_shift;
  if (tick > passed_) passed_ = tick;
  List<Timer, TimerTag> due;
  std::size_t count = 0;
  Place place{};
  while (first_place(place) && place.tick <= tick) {
    current_ = place.tick;
    take_slot(place, due);
    while (Timer* timer = due.pop_front()) {
      timer->wheel_ = nullptr;
      --armed_;
      ++count;
      timer->expired_(*timer);
    }
  }
  if (tick > current_) current_ = tick;
  return count;
}

}  // namespace mirage
