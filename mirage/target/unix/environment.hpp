// SPDX-License-Identifier: ISC
// The outside world of a shard that is a process of the host: its clocks, getrandom(2), standard output, and an epoll
// set in which devices and sockets are waited for. The devices and the stack of this target work in this environment
// only: they find it as their shard's.
#pragma once

#include <cstdint>
#include <span>
#include <string_view>

#include <mirage/async/environment.hpp>
#include <mirage/async/shard.hpp>

struct epoll_event;
struct timespec;

namespace mirage::target::posix {

/// Hears of events on a descriptor. Must stay until end_watch(); may end its own watch or another's, and itself, from
/// on_ready().
class Watch {
 public:
  /// `events`: EPOLLIN, EPOLLOUT, EPOLLHUP ...; runs between tasks, so it marks them ready and resumes none.
  virtual void on_ready(std::uint32_t events) noexcept = 0;

 protected:
  ~Watch() = default;
};

/// Waits for the kernel in its own way, in place of the environment, which then waits for both.
class Sleeper {
 public:
  /// Until one of its requests is complete, `descriptor` is readable or `timeout` (null: never) has passed; or less.
  /// False, at once, when it waits for nothing.
  virtual bool sleep(int descriptor, const struct timespec* timeout) noexcept = 0;

 protected:
  ~Sleeper() = default;
};

class Environment final : public mirage::Environment {
 public:
  /// Ignores SIGPIPE for the process: a closed peer is an error value.
  Environment() noexcept;
  Environment(const Environment&) = delete;
  Environment& operator=(const Environment&) = delete;
  ~Environment();

  [[nodiscard]] Time monotonic() noexcept override;
  [[nodiscard]] WallTime wall() noexcept override;
  [[nodiscard]] bool entropy(MutableBytes out) noexcept override;
  void wait(Time deadline) noexcept override;
  [[nodiscard]] std::size_t memory() const noexcept override { return std::size_t{256} << 20; }
  void write_console(std::string_view text) noexcept override;

  /// Takes the options that attach devices (`--net:NAME=...`, see attachment.hpp) out of the command line.
  static void take_attachments(int& argument_count, char** arguments) noexcept;
  /// The same for an image, whose `devices` these are; false, with a line, when another is attached.
  [[nodiscard]] bool take_attachments(int& argument_count, char** arguments,
                                      std::span<const std::string_view> devices) noexcept;

  /// Watches `descriptor` for `events` (with EPOLLET: edges). Without a watch an event only ends wait(). Moves the
  /// watch of a descriptor that is watched already. False when the system refuses.
  [[nodiscard]] bool watch(int descriptor, std::uint32_t events, Watch* watch) noexcept;
  /// For a descriptor that was given no Watch.
  void forget(int descriptor) noexcept;
  /// `watch` hears of nothing any more, not even of events that came with the one being told.
  void end_watch(int descriptor, const Watch& watch) noexcept;
  /// Whether no descriptor is watched that anything could arrive at.
  [[nodiscard]] bool watches_nothing() const noexcept { return watched_ == 0; }
  /// Runs the watches of events that are there, without blocking; true when there were any since the last call.
  bool dispatch() noexcept;
  /// From now on `sleeper` is asked first when there is nothing to do. False when there is another. It must stay until
  /// end_sleeper().
  [[nodiscard]] bool set_sleeper(Sleeper& sleeper) noexcept {
    if (sleeper_ == nullptr) sleeper_ = &sleeper;
    return is_sleeper(sleeper);
  }
  void end_sleeper(Sleeper& sleeper) noexcept {
    if (is_sleeper(sleeper)) sleeper_ = nullptr;
  }
  [[nodiscard]] bool is_sleeper(const Sleeper& sleeper) const noexcept { return sleeper_ == &sleeper; }

 private:
  void collect(const struct timespec* timeout) noexcept;

  int epoll_;
  std::size_t watched_ = 0;
  Sleeper* sleeper_ = nullptr;
  std::span<struct epoll_event> untold_;  // of the events that collect() is telling
  bool fresh_ = false;                    // wait() has run watches since the last dispatch()
};

/// The environment of a shard of this target.
[[nodiscard]] inline Environment& environment_of(Shard& shard) noexcept {
  return static_cast<Environment&>(shard.environment());
}

}  // namespace mirage::target::posix
