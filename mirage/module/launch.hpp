// SPDX-License-Identifier: ISC
// What the generated main of an image calls: starting modules and running jobs, with one line on the console for what
// fails. Exit status 0: all jobs have returned; a job may return another.
#pragma once

#include <memory>
#include <span>
#include <string_view>
#include <type_traits>
#include <utility>

#include <mirage/async/scope.hpp>
#include <mirage/async/task.hpp>
#include <mirage/module/start.hpp>

namespace mirage {

/// A module of which the end of a machine takes everything: nothing that it destroys is outside of its memory.
template <class T>
concept NothingToEnd = std::is_trivially_destructible_v<T> || requires { requires T::nothing_to_end; };

/// Destroys the modules at the end, or leaves that to the end of the machine, which is next.
template <class M>
struct EndModules {
  void operator()(M* modules) const noexcept {
    if constexpr (!M::nothing_to_end) delete modules;
  }
};
template <class M>
using ModulesPointer = std::unique_ptr<M, EndModules<M>>;

/// The shard of an image, which outlives its modules.
template <bool nothing_to_end>
union ImageShard {
  explicit ImageShard(Environment& environment) noexcept : shard(environment) {}
  ImageShard(const ImageShard&) = delete;
  ImageShard& operator=(const ImageShard&) = delete;
  ~ImageShard() {
    if constexpr (!nothing_to_end) shard.~Shard();
  }
  Shard shard;
};

/// Writes "error: TITLE: MESSAGE" to the console, whatever the log's levels.
inline void report_failure(Shard& shard, std::string_view title, std::string_view message) noexcept {
  shard.environment().write_line(Text<Log::maximum_line>{"error: {}: {}", title, message});
}

/// Lets a target whose images attach their devices by themselves take its options out of the command line. `devices`
/// are those of the image: "net:service", "block:data". False, with a line, for another.
template <class E>
bool take_attachments([[maybe_unused]] E& environment, [[maybe_unused]] int& argument_count,
                      [[maybe_unused]] char** arguments,
                      [[maybe_unused]] std::span<const std::string_view> devices) noexcept {
  if constexpr (requires { environment.take_attachments(argument_count, arguments, devices); }) {
    return environment.take_attachments(argument_count, arguments, devices);
  } else {
    return true;
  }
}

/// Lets a target say what it got from the outside world: `clock=host entropy=seed guard=yes ...`, one line.
template <class E>
void log_capabilities(const E& environment, Shard& shard) noexcept {
  if constexpr (requires { environment.log_capabilities(shard); }) environment.log_capabilities(shard);
}

namespace detail {
inline Task<bool> nothing_to_start(Shard&) { co_return true; }
/// Not a template: an image has it once, however many modules it starts.
[[gnu::noinline]] inline Task<bool> report_start(Shard& shard, std::string_view title,
                                                 Task<Result<void, StartError>> start) {
  const Result<void, StartError> started = co_await std::move(start);
  if (!started) report_failure(shard, title, started.error().text());
  co_return started.has_value();
}
}  // namespace detail

/// Starts a module that has a start(). `title` names it and its place in config.cpp.
template <class T>
Task<bool> start_module(Shard& shard, std::string_view title, [[maybe_unused]] T& module) {
  if constexpr (Startable<T>) {
    return detail::report_start(shard, title, module.start());
  } else {
    return detail::nothing_to_start(shard);
  }
}

/// A status as a process can end with it: 255 for what is not one, never 0 for what is not 0.
constexpr int exit_status(long long number) noexcept {
  return static_cast<unsigned long long>(number) <= 255 ? static_cast<int>(number) : 255;
}

/// Runs a job's task to its end: the exit status is 0, the task's number, or 1 for an error or for lack of memory.
template <class T>
Task<int> finish_job(Shard& shard, std::string_view title, Task<T> task) {
  if (!task) {
    report_failure(shard, title, "no memory left to start");
    co_return 1;
  }
  if constexpr (std::is_void_v<T>) {
    co_await std::move(task);
    co_return 0;
  } else if constexpr (std::is_convertible_v<T, int>) {
    co_return exit_status(static_cast<long long>(co_await std::move(task)));
  } else {
    const auto finished = co_await std::move(task);
    if (finished) co_return 0;
    report_failure(shard, title, finished.error().text());
    co_return 1;
  }
}

namespace detail {
inline Task<void> keep_status(Shard&, Task<int> job, int& status) {
  const int own = co_await std::move(job);
  if (status == 0) status = own;
}
}  // namespace detail

/// Runs jobs side by side until all have returned; the first status other than 0 counts.
inline Task<int> run_jobs(Shard& shard, std::span<Task<int>> jobs) {
  int status = 0;
  Scope scope{shard};
  for (Task<int>& job : jobs) {
    if (!job || !scope.spawn(detail::keep_status(shard, std::move(job), status))) status = 1;
  }
  co_await scope.join();
  co_return status;
}

}  // namespace mirage
