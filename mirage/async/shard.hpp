// SPDX-License-Identifier: ISC
// A shard: all state of one core. One run queue, timer wheel, pool of coroutine frames, buffer pool, log and generator
// of random numbers; devices and stacks join as pollers. Nothing here is global: two shards may live in one process.
#pragma once

#include <concepts>
#include <cstddef>
#include <cstdint>
#include <optional>
#include <type_traits>

#include <mirage/async/environment.hpp>
#include <mirage/async/frame_pool.hpp>
#include <mirage/async/timer_wheel.hpp>
#include <mirage/async/wait.hpp>
#include <mirage/base/buffer.hpp>
#include <mirage/base/log.hpp>
#include <mirage/base/random.hpp>

namespace mirage {

struct PollerTag;

/// Something that the loop serves in every turn: a device's receive side, a stack.
class Poller : public ListNode<PollerTag> {
 public:
  /// Takes what has arrived, without blocking; marks coroutines ready, resumes none. True when there was anything.
  virtual bool poll() noexcept = 0;
  /// Sends what the turn has produced; called once per turn after the run queue is drained.
  virtual void flush() noexcept {}

 protected:
  ~Poller() = default;
};

/// Bounds of a shard's pools, in bytes; taken from the allocator as needed, never more.
struct ShardOptions {
  std::size_t buffer_bytes = std::size_t{16} << 20;
  std::size_t frame_bytes = std::size_t{8} << 20;
  /// Half of the memory for buffers, a quarter for coroutine frames; the rest is the application's.
  [[nodiscard]] static ShardOptions of_memory(std::size_t bytes) noexcept { return {bytes / 2, bytes / 4}; }
};

class Shard {
 public:
  /// Pools bounded in proportion to the environment's memory.
  explicit Shard(Environment& environment) noexcept
      : Shard(environment, ShardOptions::of_memory(environment.memory())) {}
  Shard(Environment& environment, const ShardOptions& options) noexcept;
  Shard(const Shard&) = delete;
  Shard& operator=(const Shard&) = delete;

  /// The time of this turn: read once per turn.
  [[nodiscard]] Time now() const noexcept { return now_; }
  [[nodiscard]] WallTime wall() noexcept { return environment_.wall(); }
  [[nodiscard]] Environment& environment() noexcept { return environment_; }
  [[nodiscard]] BufferPool& buffers() noexcept { return buffers_; }
  [[nodiscard]] FramePool& frames() noexcept { return frames_; }
  [[nodiscard]] TimerWheel& timers() noexcept { return timers_; }
  [[nodiscard]] Log& log() noexcept { return log_; }
  [[nodiscard]] Logger logger(std::string_view source) noexcept { return {log_, source}; }
  /// Seeds the generator from the environment's entropy; false when there is none. Idempotent.
  [[nodiscard]] bool seed_random() noexcept;
  /// Precondition: seed_random() succeeded. Modules that use it check that in their start().
  [[nodiscard]] Drbg& random() noexcept { return *random_; }
  [[nodiscard]] bool has_random() const noexcept { return random_.has_value(); }

  void add_poller(Poller& poller) noexcept { pollers_.push_back(poller); }
  /// Puts a waiter at the end of the run queue.
  void make_ready(Waiter& waiter) noexcept { ready_.push_back(waiter); }
  /// Queues a coroutine that has not started yet.
  void start_later(Waiter& waiter, std::coroutine_handle<> handle) noexcept;

  /// One turn: time, pollers, timers, run queue, flush. True when it did anything.
  bool turn() noexcept;
  /// When the loop must run again if no device becomes ready.
  [[nodiscard]] Time next_deadline() const noexcept { return timers_.next_deadline(); }
  /// Whether nothing is ready and no deadline comes: only a device can give it work.
  [[nodiscard]] bool is_idle() const noexcept { return ready_.empty() && next_deadline() == never; }
  /// Turns until `finished`, waiting in the environment whenever there is nothing to do.
  void run_until(const bool& finished) noexcept;

 private:
  bool drain() noexcept;
  Environment& environment_;
  Time now_{};
  Log log_;
  BufferPool buffers_;
  FramePool frames_;
  TimerWheel timers_;
  List<Waiter> ready_;
  List<Poller, PollerTag> pollers_;
  std::optional<Drbg> random_;
};

/// Anything from which a coroutine's frame can find its shard: a Shard, an object with shard(), or a member `shard`.
template <class T>
concept CarriesShard = std::same_as<std::remove_cvref_t<T>, Shard> || requires(T& carrier) {
  { carrier.shard() } -> std::convertible_to<Shard&>;
} || requires(T& carrier) {
  { carrier.shard } -> std::convertible_to<Shard&>;
};

template <CarriesShard T>
[[nodiscard]] Shard& shard_of(T& carrier) noexcept {
  if constexpr (std::same_as<std::remove_cvref_t<T>, Shard>) {
    return const_cast<Shard&>(carrier);
  } else if constexpr (requires {
                         { carrier.shard() } -> std::convertible_to<Shard&>;
                       }) {
    return carrier.shard();
  } else {
    return carrier.shard;
  }
}

}  // namespace mirage
