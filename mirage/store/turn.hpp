// SPDX-License-Identifier: ISC
// One operation at a time, in the order of their arrival: a Turn is held until it is destroyed.
#pragma once

#include <utility>

#include <mirage/async/task.hpp>
#include <mirage/async/wait.hpp>
#include <mirage/module/kv.hpp>

namespace mirage::store {

class Turns;

class Turn {
 public:
  Turn(Turn&& other) noexcept : of_(std::exchange(other.of_, nullptr)) {}
  Turn& operator=(Turn&& other) noexcept {
    std::swap(of_, other.of_);
    return *this;
  }
  inline ~Turn();

 private:
  friend class Turns;
  explicit Turn(Turns& of) noexcept : of_(&of) {}
  Turns* of_;
};

class Turns {
 public:
  explicit Turns(Shard& shard) noexcept : shard_(shard) {}
  [[nodiscard]] Shard& shard() const noexcept { return shard_; }
  /// Whether nobody has it: what needs no waiting needs no turn then.
  [[nodiscard]] bool is_free() const noexcept { return !taken_; }
  /// Precondition: is_free().
  [[nodiscard]] Turn take_free() noexcept {
    taken_ = true;
    return Turn{*this};
  }
  /// Waits until the turn is the caller's. A cancelled wait ends with KvError::cancelled.
  Task<Result<Turn, KvError>> take() {
    if (taken_ && co_await waiting_.wait() == WaitStatus::cancelled) co_return Failure{KvError::cancelled};
    taken_ = true;  // it was handed over, or free
    co_return Turn{*this};
  }

 private:
  friend class Turn;
  /// To the next in line: it stays taken, nobody can come in between.
  void pass_on() noexcept { taken_ = waiting_.notify_one(); }
  Shard& shard_;
  bool taken_ = false;
  WaitQueue waiting_;
};

inline Turn::~Turn() {
  if (of_ != nullptr) of_->pass_on();
}

}  // namespace mirage::store
