// SPDX-License-Identifier: ISC
#pragma once

#include <array>
#include <csignal>
#include <cstddef>
#include <cstdint>
#include <limits>
#include <span>
#include <string_view>

#include <poll.h>
#include <sys/types.h>

#include <mirage/base/mailbox_layout.hpp>
#include <tender/error.hpp>

namespace mirage::tender {

/// The process that has started shards: passes on what they print and how they end, and signals to them.
class ShardSupervisor {
 public:
  /// Blocks the signals that run() waits for, and ignores none of its children's.
  ShardSupervisor();
  ShardSupervisor(const ShardSupervisor&) = delete;
  ShardSupervisor& operator=(const ShardSupervisor&) = delete;

  /// Starts one more. Yields in the new process the descriptor that it prints to, with its signals as they were before;
  /// here -1.
  Result<int> start();
  /// Until all have ended and everything that they printed is out, or was told by a signal to end and nobody reads: the
  /// first status that is not 0. `confined`: with the privileges of shards that dropped theirs.
  int run(bool confined);
  void end_all(int signal);

 private:
  struct One {
    pid_t process = -1;
    int output = -1;
    std::array<char, 1024> line{};  // not ended yet
    std::size_t size = 0;
  };
  static constexpr std::int64_t never = std::numeric_limits<std::int64_t>::max();
  [[nodiscard]] Result<> confine(bool confined) const;
  int wait(std::span<pollfd> waits, std::int64_t until);
  void relay(std::size_t index);
  void flush_line(std::size_t index);
  void print(std::string_view text);
  void take_signals();
  void reap();
  [[nodiscard]] bool anybody_left() const;

  std::array<One, shard_limit> all_;
  std::size_t count_ = 0;
  sigset_t before_{};
  sigset_t watched_{};
  int signals_ = -1;
  int status_ = 0;
  bool ending_ = false;
  // Milliseconds of the monotonic clock.
  std::int64_t kill_at_ = never;
  std::int64_t drop_from_ = never;  // what finds no room on the console from then on is lost
};

}  // namespace mirage::tender
