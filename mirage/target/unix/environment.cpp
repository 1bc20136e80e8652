// SPDX-License-Identifier: ISC
#include <algorithm>
#include <array>
#include <cerrno>
#include <csignal>
#include <ctime>

#include <sys/epoll.h>
#include <sys/random.h>
#include <unistd.h>

#include <mirage/target/unix/attachment.hpp>
#include <mirage/target/unix/environment.hpp>

namespace mirage::target::posix {

namespace {

constexpr std::int64_t second = 1'000'000'000;

std::int64_t read_clock(clockid_t clock) noexcept {
  timespec time{};
  ::clock_gettime(clock, &time);
  return std::int64_t{time.tv_sec} * second + time.tv_nsec;
}

/// epoll_pwait2(2). Where there is none (Linux before 5.11, some sandboxes) the wait is in milliseconds, rounded up.
int wait_for_events(int epoll, std::span<epoll_event> events, const timespec* timeout) noexcept {
  const int room = static_cast<int>(events.size());
  const int count = ::epoll_pwait2(epoll, events.data(), room, timeout, nullptr);
  if (count >= 0 || errno == EINTR) return count;
  constexpr std::int64_t longest = 3600;  // seconds: the loop comes again
  const auto milliseconds = [&] {
    return static_cast<int>(std::min<std::int64_t>(timeout->tv_sec, longest) * 1000 +
                            (timeout->tv_nsec + 999'999) / 1'000'000);
  };
  return ::epoll_wait(epoll, events.data(), room, timeout == nullptr ? -1 : milliseconds());
}

}  // namespace

Environment::Environment() noexcept : epoll_(::epoll_create1(EPOLL_CLOEXEC)) { ::signal(SIGPIPE, SIG_IGN); }

Environment::~Environment() { ::close(epoll_); }

Time Environment::monotonic() noexcept { return Time{Duration{read_clock(CLOCK_MONOTONIC)}}; }

WallTime Environment::wall() noexcept { return WallTime{Duration{read_clock(CLOCK_REALTIME)}}; }

bool Environment::entropy(MutableBytes out) noexcept {
  while (!out.empty()) {
    const ssize_t count = ::getrandom(out.data(), out.size(), 0);
    if (count < 0 && errno != EINTR) return false;
    if (count > 0) out = out.subspan(static_cast<std::size_t>(count));
  }
  return true;
}

void Environment::wait(Time deadline) noexcept {
  const std::int64_t left = std::max<std::int64_t>((deadline - monotonic()).count(), 0);
  const timespec time_left{left / second, left % second};
  const timespec* timeout = deadline == never ? nullptr : &time_left;
  // After it has slept, dispatch() looks for events.
  if (sleeper_ == nullptr || !sleeper_->sleep(epoll_, timeout)) collect(timeout);
}

void Environment::collect(const timespec* timeout) noexcept {
  std::array<epoll_event, 128> events;
  const int count = wait_for_events(epoll_, events, timeout);
  untold_ = std::span{events}.first(static_cast<std::size_t>(std::max(count, 0)));
  while (!untold_.empty()) {
    const epoll_event event = untold_.front();
    untold_ = untold_.subspan(1);
    if (event.data.ptr != nullptr) static_cast<Watch*>(event.data.ptr)->on_ready(event.events);
  }
  fresh_ |= count > 0;
}

bool Environment::dispatch() noexcept {
  constexpr timespec at_once{};
  if (!fresh_) collect(&at_once);
  const bool any = fresh_;
  fresh_ = false;
  return any;
}

bool Environment::watch(int descriptor, std::uint32_t events, Watch* watch) noexcept {
  epoll_event event{.events = events, .data = {.ptr = watch}};
  if (::epoll_ctl(epoll_, EPOLL_CTL_ADD, descriptor, &event) == 0) {
    ++watched_;
    return true;
  }
  return errno == EEXIST && ::epoll_ctl(epoll_, EPOLL_CTL_MOD, descriptor, &event) == 0;
}

void Environment::forget(int descriptor) noexcept {
  if (::epoll_ctl(epoll_, EPOLL_CTL_DEL, descriptor, nullptr) == 0) --watched_;
}

void Environment::end_watch(int descriptor, const Watch& watch) noexcept {
  forget(descriptor);
  for (epoll_event& event : untold_) {
    if (event.data.ptr == &watch) event.data.ptr = nullptr;
  }
}

void Environment::write_console(std::string_view text) noexcept {
  while (!text.empty()) {
    const ssize_t count = ::write(STDOUT_FILENO, text.data(), text.size());
    if (count < 0 && errno != EINTR) return;  // nobody reads: there is no better place to say so
    if (count > 0) text.remove_prefix(static_cast<std::size_t>(count));
  }
}

void Environment::take_attachments(int& argument_count, char** arguments) noexcept {
  posix::take_attachments(argument_count, arguments);
}

bool Environment::take_attachments(int& argument_count, char** arguments,
                                   std::span<const std::string_view> devices) noexcept {
  return posix::take_attachments(argument_count, arguments, devices, *this);
}

}  // namespace mirage::target::posix
